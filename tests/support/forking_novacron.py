"""`novacron` without the second that Python needs to import it: a process that has read the code and forks at each call.

The child is a process like any other: its own arguments, environment, standard streams and end. What the start itself
does is looked at where `novacron` is started for real.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_CODE = (
    "novacron_tui.startup.start", "novacron_tui.startup.command_line", "novacron_core.client",
    *(f"novacron_tui.cli.{name}" for name in ("changes", "events", "lists", "sign_in", "storage", "runtime.connect")),
    "httpx", "httpcore", "h11", "anyio._backends._asyncio", "websockets.asyncio.client",
    "typer._adapters", "pydantic.type_adapter", "pydantic.json_schema",
)  # fmt: skip
"""What commands import, late too; not keyring, which looks at its environment at import."""
_MOST = 1 << 20
"""Bytes of one call's arguments and environment, at most."""


class ForkingNovacron:
    """The forking process, started. Use as a context manager."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forking_novacron", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[2],
        )
        theirs.close()

    def __enter__(self) -> ForkingNovacron:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait(20)

    def run(
        self, words: Sequence[str], environment: dict[str, str], typed: str, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run. Raises TimeoutError."""
        self._ours.settimeout(timeout_s)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as typing:
            typing.write(typed.encode())
            typing.seek(0)
            call = json.dumps({"words": list(words), "environment": environment}).encode()
            socket.send_fds(self._ours, [call], [typing.fileno(), out.fileno(), err.fileno()])
            code = json.loads(self._ours.recv(_MOST))
            return subprocess.CompletedProcess(list(words), code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _serve(calls: socket.socket) -> bool:
    """Fork for every call until nobody calls any more; True in a child, which is to do what was asked."""
    while True:
        call, fds, _, _ = socket.recv_fds(calls, _MOST, 3)
        if not call:
            return False
        child = os.fork()
        if child == 0:
            calls.close()
            asked = json.loads(call)
            for standard, fd in enumerate(fds):
                os.dup2(fd, standard)
                os.close(fd)
            os.environ.clear()
            os.environ.update(asked["environment"])
            sys.argv = ["novacron", *asked["words"]]
            return True
        for fd in fds:
            os.close(fd)
        calls.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _read_the_code() -> None:
    for name in _CODE:
        importlib.import_module(name)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _read_the_code()
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        from novacron_tui.startup.start import main

        main()
