"""The data directory of a machine, shared by the console and the server it starts.

Before a console sends a password or a token to a server that it found there, the server proves that it can read the
directory's secret key: a program that listens at the port of a server that has ended cannot.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from novacron_core import errors


class RunningServer(msgspec.Struct, frozen=True):
    """`server.json` in a data directory: the server that uses it."""

    url: str
    pid: int


def default_data_dir() -> Path:
    """`NOVACRON_DATA_DIR`; else /var/lib/novacron for root (QEMU's user must be able to enter it), or the user's
    own."""
    if path := os.environ.get("NOVACRON_DATA_DIR"):
        return Path(path)
    if os.geteuid() == 0:
        return Path("/var/lib/novacron")
    import platformdirs

    return platformdirs.user_data_path("novacron")


LOCK = "server.lock"
"""The running server has it open, with an exclusive flock(2)."""


def read_running_server(data_dir: Path) -> RunningServer | None:
    """The server that runs on this data directory; None when there is none.

    The lock says who runs, not the file: it survives a crash, and its process number may belong to another program
    then, perhaps another user's, who would get the next password at the port in the file.
    """
    try:
        running = msgspec.json.decode((data_dir / "server.json").read_bytes(), type=RunningServer)
        os.kill(running.pid, 0)
    except (OSError, OverflowError, RecursionError, msgspec.DecodeError):
        return None
    return running if _holds(running.pid, data_dir / LOCK) else None


def _holds(pid: int, lock: Path) -> bool:
    """Whether this process has the lock file open. Another user's processes cannot be asked: then it must at least be
    one of the user that the file belongs to."""
    process = Path("/proc", str(pid))
    try:
        wanted = lock.stat()
        if not process.exists():
            return not Path("/proc/self").exists()  # an operating system without /proc: the pid alone must do
        try:
            return any(os.path.samestat(found, wanted) for found in _open_files(process / "fd"))
        except PermissionError:
            return process.stat().st_uid == wanted.st_uid
    except OSError:
        return False


def _open_files(descriptors: Path) -> Iterator[os.stat_result]:
    for descriptor in descriptors.iterdir():
        try:
            yield descriptor.stat()
        except OSError:
            continue  # closed meanwhile, or not a file


def make_private(descriptor: int) -> None:
    """Let only its owner read an open file. Whatever is no regular file keeps its mode: a log may be a link to
    /dev/null, which everybody needs."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)


KEY = "server.key"
"""A secret of the server's account, 0600."""
_PROOF_TIMEOUT_S = 15.0


def make_proof(key: str, nonce: str, port: int) -> str:
    """What proves the key to whoever has it too. The port keeps others from passing on the proof of a server elsewhere."""
    return hmac.digest(key.encode(), f"novacron-proof:{nonce}:{port}".encode(), "sha256").hex()


def require_proof(running: RunningServer, data_dir: Path) -> None:
    """Return when the program at the URL is the server of this data directory. Blocking; sends nothing but a nonce.

    Raises ServerUnreachable.
    """
    nonce = secrets.token_hex(32)
    try:
        key = (data_dir / KEY).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise errors.ServerUnreachable(
            f"the server of {data_dir} cannot be verified: {data_dir / KEY} cannot be read. Use --server URL"
        ) from e
    try:
        url = urlsplit(running.url)
        answer = _ask_for_proof(url.scheme, url.hostname or "", url.port or 0, nonce)
    except (OSError, ValueError) as e:
        raise errors.ServerUnreachable(
            f"the server at {running.url} does not respond: {str(e) or type(e).__name__}"
        ) from e
    if not key or not hmac.compare_digest(answer, make_proof(key, nonce, url.port or 0).encode()):
        raise errors.ServerUnreachable(
            f"the program at {running.url} is not the server of {data_dir}, or is an older one: stop process {running.pid}"
        )


def verifier(data_dir: Path) -> Callable[[str], Awaitable[None]]:
    """For a client: raises ServerUnreachable when the server at a URL is not, or no longer, that of this directory."""

    async def verify(url: str) -> None:
        import asyncio  # imported here: most commands use a server elsewhere, and should start quickly

        running = read_running_server(data_dir)
        if running is None or running.url != url:
            raise errors.ServerUnreachable(f"the server at {url} has ended")
        await asyncio.to_thread(require_proof, running, data_dir)

    return verify


def _ask_for_proof(scheme: str, host: str, port: int, nonce: str) -> bytes:
    """The proof that the program at an address gives; empty when it gives none. Raises OSError."""
    import http.client  # imported here: most commands use a server elsewhere, and should start quickly
    import ssl

    connection = http.client.HTTPConnection(host, port, timeout=_PROOF_TIMEOUT_S)
    if scheme == "https":  # the proof is what counts, not the certificate
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(host, port, timeout=_PROOF_TIMEOUT_S, context=context)
    try:
        connection.request("GET", f"/api/proof?nonce={nonce}")
        body = connection.getresponse().read(4096)
        return msgspec.json.decode(body, type=dict[str, str]).get("proof", "").encode()
    except (msgspec.DecodeError, RecursionError, http.client.HTTPException):
        return b""
    finally:
        connection.close()
