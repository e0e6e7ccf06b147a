"""Prepares the Alpine image of the `demo` extra, so that a newcomer can log in to its guests and shut them down.

As packaged it ignores the power button, has no login on its serial line, no host name and a fixed address. A copy is
changed with debugfs, which writes into an ext4 file system without mounting it, and kept in the data directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import structlog

from novacron_core import errors
from novacron_server.images.folder import Entry
from novacron_server.images.qemu_img import convert
from novacron_server.tasks import cancel_tasks

RECIPE = 1
"""The version of what is changed: a copy of another version is prepared again."""
PATIENCE_S = 10.0
"""How long a request waits for the copy; it goes on after that. Less than a client waits for an answer."""
_PROGRAM_S = 60.0
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Those that cannot be mistaken for another one."""
_RECORD = "alpine.json"
# acpid starts before the services, so that no press of the power button is lost. Not as a service, and the same for
# the host name: the image tells OpenRC that it is a container (rc_sys), which leaves out the services for them.
_INITTAB = """# Written by NovaCron: a login on the serial line, the power button, the host name
::sysinit:/bin/hostname -F /etc/hostname
::sysinit:/sbin/openrc sysinit
::sysinit:/sbin/modprobe -a button evdev
::sysinit:/sbin/acpid
::sysinit:/sbin/openrc boot
::wait:/sbin/openrc default
tty1::respawn:/sbin/getty 38400 tty1
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
::ctrlaltdel:/sbin/reboot
::shutdown:/sbin/openrc shutdown
"""
_INTERFACES = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"
_SHADOW = "/etc/shadow"
_MODES = {_SHADOW: "0100640"}
_GROUPS = {_SHADOW: 42}
"""Alpine's group `shadow`."""
_log = structlog.get_logger()


class _Failed(Exception):
    """The copy cannot be made; the message says why."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the prepared copy `file`. `source` is the version of the packaged image it was made from."""

    recipe: int
    source: tuple[str, int, int]
    file: str
    size_bytes: int
    sha256: str
    password: str


@dataclass(frozen=True, slots=True)
class _Missing:
    """A program that is not installed, and its Debian package."""

    program: str
    package: str


class DemoGuest:
    """The prepared copy, in a directory of its own. One copy is made at a time, and by the first request for it.

    The password of root is random, made once for each installation and kept when the copy is prepared again: a known
    one would let everybody in who reaches a guest, an empty one too.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._task: asyncio.Task[None] | None = None
        self._failure = ""

    async def offer(self, entry: Entry) -> Entry:
        """The packaged image in its prepared form; unchanged but for its description where that cannot be made."""
        if (missing := _find_missing()) is not None:
            lack = f"no login: install {missing.package} on the server"
            return replace(entry, description=f"{entry.description}; {lack}")
        if not self._failure and (record := await asyncio.to_thread(self._read, entry)) is None:
            task = self._task = self._task or asyncio.create_task(self._prepare(entry), name="demo guest")
            if not (await asyncio.wait({task}, timeout=PATIENCE_S))[0]:
                wait = f"{entry.name} is being prepared for its first use: try again in a moment"
                return replace(entry, problem=wait, busy=True)
            task.result()
            record = await asyncio.to_thread(self._read, entry)
        if self._failure or record is None:
            return replace(entry, description=f"{entry.description}; no login: {self._failure or 'it was removed'}")
        path = self._directory / record.file
        login = f"login root, password {record.password}; serial console"
        return replace(entry, path=path, file=path, description=f"{entry.description}; {login}")

    async def close(self) -> None:
        """Stop preparing."""
        await cancel_tasks([self._task])

    async def _prepare(self, entry: Entry) -> None:
        try:
            await self._make(entry)
        except (_Failed, errors.NovaCronError, OSError) as error:
            why = error.detail if isinstance(error, errors.NovaCronError) else str(error)
            _log.warning("cannot prepare the demo guest", reason=why)
            self._failure = "its copy could not be prepared, see the server's log"
        finally:
            self._task = None

    async def _make(self, entry: Entry) -> None:
        """Copy, change, check, compress, and only then make the new copy the current one."""
        await asyncio.to_thread(self._sweep)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=self._directory) as name:
            work = Path(name)
            raw, draft = work / "disk.raw", work / "disk.qcow2"
            await convert(entry.file, raw, "raw", entry.name)
            password = self._password() or "".join(secrets.choice(_LETTERS) for _ in range(10))
            await _change(work, raw, password)
            await convert(raw, draft, "qcow2", entry.name)
            await asyncio.to_thread(self._keep, entry, draft, password)
        _log.info("prepared the demo guest", recipe=RECIPE)

    def _keep(self, entry: Entry, draft: Path, password: str) -> None:
        with draft.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        record = _Record(
            recipe=RECIPE,
            source=_version(entry.file),
            file=f"alpine-{sha256[:16]}.qcow2",
            size_bytes=draft.stat().st_size,
            sha256=sha256,
            password=password,
        )
        draft.rename(self._directory / record.file)
        noted = draft.with_name(_RECORD)
        noted.write_bytes(msgspec.json.encode(record))
        noted.rename(self._directory / _RECORD)  # from here on it is the current one
        for old in self._directory.glob("alpine-*.qcow2"):
            if old.name != record.file:
                old.unlink(missing_ok=True)

    def _read(self, entry: Entry) -> _Record | None:
        """The record of the current copy; None if there is none that fits the package and this recipe."""
        record = self._record()
        if record is None or record.recipe != RECIPE or record.source != _version(entry.file):
            return None
        with suppress(OSError):
            return record if (self._directory / record.file).stat().st_size == record.size_bytes else None
        return None

    def _record(self) -> _Record | None:
        try:
            record = msgspec.json.decode((self._directory / _RECORD).read_bytes(), type=_Record)
        except (OSError, ValueError, RecursionError):
            return None
        return record if Path(record.file).name == record.file else None

    def _password(self) -> str:
        """That of an earlier copy, because VMs may have been made from it."""
        record = self._record()
        found = record.password if record is not None else ""
        return found if len(found) >= 10 and set(found) <= set(_LETTERS) else ""

    def _sweep(self) -> None:
        """Create the directory, and remove what a killed server left."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for draft in self._directory.glob(".draft-*"):
            shutil.rmtree(draft, ignore_errors=True)


def _version(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return file.name, found.st_size, found.st_mtime_ns


def _find_missing() -> _Missing | None:
    programs = (_Missing("debugfs", "e2fsprogs"), _Missing("e2fsck", "e2fsprogs"), _Missing("qemu-img", "qemu-utils"))
    return next((needed for needed in programs if shutil.which(needed.program, path=_PATH) is None), None)


async def _change(work: Path, raw: Path, password: str) -> None:
    """Change the file system in `raw`, the whole disk. Raises _Failed when anything is not as it must be afterwards."""
    shadow = await _cat(raw, _SHADOW)
    files = {
        "/etc/inittab": _INITTAB,
        "/etc/hostname": "alpine\n",
        "/etc/network/interfaces": _INTERFACES,
        _SHADOW: _with_password(shadow, await asyncio.to_thread(_hash, password)),
    }
    script = work / "script"
    script.write_text(await asyncio.to_thread(_write_script, work, files))
    await _run("debugfs", "-w", "-f", str(script), str(raw), directory=work)
    for path, text in files.items():  # debugfs exits with 0 also when a command of the script has failed
        if await _cat(raw, path) != text:
            raise _Failed(f"{path} could not be written")
    await _run("e2fsck", "-f", "-n", str(raw), directory=work)


def _write_script(work: Path, files: Mapping[str, str]) -> str:
    """Write the files beside the disk, and return the commands that put them in. All names in it are our own."""
    lines = []
    for number, (path, text) in enumerate(files.items()):
        (work / f"file{number}").write_text(text)
        folder, _, name = path.rpartition("/")
        lines += [f"cd {folder}", f"rm {name}", f"write file{number} {name}"]
        lines += [f"sif {name} {field} {value}" for field, value in _owner_of(path).items()]
    return "\n".join([*lines, ""])


def _owner_of(path: str) -> dict[str, str]:
    return {"mode": _MODES.get(path, "0100644"), "uid": "0", "gid": str(_GROUPS.get(path, 0))}


def _with_password(shadow: str, hashed: str) -> str:
    lines = shadow.splitlines()
    found = [number for number, line in enumerate(lines) if line.startswith("root:")]
    if len(found) != 1:
        raise _Failed(f"{_SHADOW} has {len(found)} entries of root")
    fields = lines[found[0]].split(":")
    lines[found[0]] = ":".join(["root", hashed, *fields[2:]])
    return "\n".join([*lines, ""])


def _hash(password: str) -> str:
    """As crypt(3) of the guest reads it (SHA-512)."""
    from passlib.hash import sha512_crypt

    return str(sha512_crypt.using(rounds=5000).hash(password))


async def _cat(raw: Path, path: str) -> str:
    return (await _run("debugfs", "-R", f"cat {path}", str(raw), directory=raw.parent)).decode(errors="replace")


async def _run(program: str, *arguments: str, directory: Path) -> bytes:
    """What a program prints. Raises _Failed when it fails, or takes too long."""
    process = await asyncio.create_subprocess_exec(
        shutil.which(program, path=_PATH) or program,
        *arguments,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PROGRAM_S):
            out, _ = await process.communicate()
    except TimeoutError as e:
        raise _Failed(f"{program} took longer than {_PROGRAM_S:.0f} s") from e
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _Failed(f"{program} failed (exit code {process.returncode})")
    return out
