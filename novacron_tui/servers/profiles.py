"""Profiles: the known servers by name, in `profiles.toml` in the user's configuration directory.

A profile is created by the first sign-in and may be edited by hand. It contains no secrets: see saved_session.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from novacron_core import errors

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HOST = re.compile(r"\w(?:[\w-]{0,61}\w)?(?:\.\w(?:[\w-]{0,61}\w)?)*\.?")
"""A host name, in any script."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LOCK_S = 5.0
"""How long to wait for a process that writes the file, which takes milliseconds: one that was suspended may never end."""
_CURRENT = "current"
LOCAL = "local"
"""The profile of the bundled server of this machine: it always exists and is never in the file."""


class Profile(msgspec.Struct, frozen=True):
    """A known server. `production` highlights it as a warning. `read_only` refuses all changes from here. `certificate` is the fingerprint of the only accepted
    certificate, for a server with a self-signed one. `user` is the last one who signed in."""

    name: str
    url: str
    user: str = ""
    production: bool = False
    certificate: str = ""
    read_only: bool = False

    @property
    def why_read_only(self) -> str:
        """The sentence that refuses changes on this server; empty when they are allowed."""
        return f"read-only: the profile {self.name} says read_only = true" if self.read_only else ""


def why_not_name(name: str) -> str | None:
    """The sentence that refuses a profile name, or None."""
    if name in (_CURRENT, LOCAL):
        return f"the profile name {name} is reserved"
    if not _NAME.fullmatch(name):
        return "use lower-case letters, digits, dots, hyphens and underscores for a profile name"
    return None


def why_not_url(url: str) -> str | None:
    """The sentence that refuses a server URL, or None. It does not quote the text, which may be a token."""
    if not url.isprintable() or any(char.isspace() for char in url):
        return "the server URL contains a line break, a space or another character that no URL has"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = parts.scheme in ("http", "https") and is_host(host) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, good = None, False
    if "@" in url:
        return "a server URL must not contain a user name or password"
    if parts is None or not good:
        return "the address of the server is not a server URL like https://host:8090"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return f"a server URL ends before ? or #: use {parts.scheme}://{parts.netloc}{parts.path}"
    return None


def is_host(text: str) -> bool:
    """Whether a text is a host name or an IP address."""
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return len(text) <= 253 and bool(_HOST.fullmatch(text))
    return True


def is_same_server(one: str, other: str) -> bool:
    """Whether two server URLs lead to one server: the names of the loopback interface do, at one port. Raises ValueError
    for a port that is no number."""
    return _address(one) == _address(other)


def _address(url: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(url.rstrip("/"))
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, "localhost" if host in _LOOPBACK else host, port, parts.path


class Profiles:
    """The profile file. It is read at every access, because another console may have written it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _config_dir()
        self.path = self.folder / "profiles.toml"

    def all(self) -> dict[str, Profile]:
        """All profiles by name. Raises InvalidArgument when the file is invalid."""
        return {name: self._profile(name, value) for name, value in self._read().items() if isinstance(value, dict)}

    def named(self, name: str) -> Profile:
        """The profile with this name. Raises NotFound, listing the known names."""
        known = self.all()
        if name in known:
            return known[name]
        names = ", ".join(sorted(known)) or "none yet; novacron login --server URL creates one"
        raise errors.NotFound(f"unknown profile {name!r} (known: {names})")

    def at(self, url: str) -> Profile | None:
        """The profile of a URL, or of one for the same server by another name; None without either."""
        known = self.all().values()
        exact = next((profile for profile in known if profile.url == url.rstrip("/")), None)
        return exact or next((profile for profile in known if is_same_server(profile.url, url)), None)

    def current(self) -> Profile | None:
        """The profile of the last `novacron login`, else the only one, else None."""
        known = self.all()
        current = self._read().get(_CURRENT)
        if isinstance(current, str) and current in known:
            return known[current]
        return next(iter(known.values())) if len(known) == 1 else None

    def fresh(self, url: str, name: str = "") -> Profile:
        """A new profile for a URL, not yet saved; without a name it is named after the host."""
        known, base = self.all(), _name_of(url)
        free = (base if n == 1 else f"{base}-{n}" for n in range(1, len(known) + 2))
        return Profile(name or next(name for name in free if name not in known), url.rstrip("/"))

    def remember(self, profile: Profile, *, current: bool = False) -> None:
        """Save a profile. `current` makes it the default for commands without a flag. Blocking: raises Conflict when
        another process writes the file for `LOCK_S`."""
        with self._locked():
            document = self._read()
            values = msgspec.to_builtins(profile)
            del values["name"]
            document[profile.name] = {key: value for key, value in values.items() if value not in ("", False)}
            if current:
                document[_CURRENT] = profile.name
            write_private(self.path, _toml(document))

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as e:
            raise errors.InvalidArgument(f"cannot read {self.path}: {e}") from e

    def _profile(self, name: str, value: dict[str, Any]) -> Profile:
        try:
            profile = msgspec.convert({**value, "name": name}, Profile)
        except msgspec.ValidationError as e:
            raise errors.InvalidArgument(f"cannot use profile {name!r} of {self.path}: {e}") from e
        if refused := why_not_name(name) or why_not_url(profile.url):
            raise errors.InvalidArgument(f"cannot use profile {name!r} of {self.path}: {refused}")
        return msgspec.structs.replace(profile, url=profile.url.rstrip("/"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        private_folder(self.folder)
        with (self.folder / ".lock").open("a") as lock:
            deadline = time.monotonic() + LOCK_S
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise errors.Conflict(
                        f"another novacron process is writing {self.path}; try again when it has ended"
                    )
                time.sleep(0.02)
            yield


def _config_dir() -> Path:
    import platformdirs

    return platformdirs.user_config_path("novacron")


def _name_of(url: str) -> str:
    host = (urlsplit(url).hostname or "server").lower()
    if ":" in host:
        host = _name_of_ipv6(host)
    name = re.sub(r"[^a-z0-9._-]", "-", host).strip("-._") or "server"
    return name[:60] if why_not_name(name[:60]) is None else f"{name[:53]}-server"


def _name_of_ipv6(host: str) -> str:
    """`::1` is `localhost`, `2001:db8::5` is `2001-db8--5`, `::5` is `ipv6--5`."""
    if IPv6Address(host.partition("%")[0]).is_loopback:
        return "localhost"
    name = host.replace(":", "-").replace("%", "-")
    return f"ipv6{name}" if name.startswith("-") else name


def try_lock(lock: IO[str]) -> bool:
    """Take the exclusive lock of an open file; False while another process holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def private_folder(folder: Path) -> None:
    """Create a directory that only this user can access."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, readable only by this user."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # created with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _toml(document: dict[str, Any]) -> str:
    plain = [f"{_key(key)} = {_value(value)}" for key, value in document.items() if not isinstance(value, dict)]
    tables = [
        "\n".join([f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())])
        for name, table in document.items()
        if isinstance(table, dict)
    ]
    head = "# NovaCron: known servers. May be edited; `novacron login` writes it."
    return "\n\n".join([head, *(["\n".join(plain)] if plain else []), *tables]) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    """A TOML string, number or boolean: the JSON form, which has the same escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
