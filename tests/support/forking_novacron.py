"""`novacron` without the second that Python needs to import it: a process with the imported code forks for each call.

The child is an ordinary process with its own arguments, environment, standard streams and exit code. Its commands are
built before the fork, and it repeats a read without a pause. The real start is tested where `novacron` itself is started.
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

import stamina
import typer
import typer.main

_MODULES = (
    "novacron_tui.startup.start", "novacron_tui.startup.command_line", "novacron_core.client",
    *(f"novacron_tui.cli.{name}" for name in (
        "changes", "events", "lists", "own_account", "people", "sign_in", "storage", "tenants", "runtime.connect",
    )),
    "httpx", "httpcore", "h11", "anyio._backends._asyncio", "websockets.asyncio.client",
    "typer._adapters", "pydantic.type_adapter", "pydantic.json_schema",
)  # fmt: skip
"""The modules that commands import, including late imports, without keyring, which reads the environment at import."""
_MAX_CALL_BYTES = 1 << 20
"""The maximum size of one call's arguments and environment, in bytes."""


class ForkingNovacron:
    """The forking process. Use as a context manager."""

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
        """Like subprocess.run. Raises TimeoutError."""
        self._ours.settimeout(timeout_s)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as typing:
            typing.write(typed.encode())
            typing.seek(0)
            call = json.dumps({"words": list(words), "environment": environment}).encode()
            socket.send_fds(self._ours, [call], [typing.fileno(), out.fileno(), err.fileno()])
            code = json.loads(self._ours.recv(_MAX_CALL_BYTES))
            return subprocess.CompletedProcess(list(words), code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _serve(calls: socket.socket) -> bool:
    """Fork for every call until the caller ends. Returns True in a child, which must then run the command."""
    while True:
        call, fds, _, _ = socket.recv_fds(calls, _MAX_CALL_BYTES, 3)
        if not call:
            return False
        child = os.fork()
        if child == 0:
            calls.close()
            request = json.loads(call)
            for standard, fd in enumerate(fds):
                os.dup2(fd, standard)
                os.close(fd)
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.argv = ["novacron", *request["words"]]
            return True
        for fd in fds:
            os.close(fd)
        calls.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _import_code() -> None:
    for name in _MODULES:
        importlib.import_module(name)
    stamina.set_testing(True, attempts=3, cap=True)  # as often as ever: the pauses add up to 1.3 s a command
    command = typer.main.get_command(importlib.import_module("novacron_tui.startup.command_line").app)
    typer.main.get_command = lambda typer_instance: command  # which builds all commands, in 0.1 s a call


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _import_code()
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        from novacron_tui.startup.start import main

        main()
