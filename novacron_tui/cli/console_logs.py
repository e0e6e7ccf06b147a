"""`novacron vm log`: prints what a VM has printed on its serial console, and follows it."""

from __future__ import annotations

import asyncio
import sys

from novacron_core import errors
from novacron_core.api import console_logs as api
from novacron_core.api.console_logs import ConsoleLog, ConsoleLogQuery
from novacron_core.client import Client
from novacron_tui.cli.runtime.exit_codes import ReaderGone, UsageError, print_error
from novacron_tui.cli.runtime.lookup import find_vm
from novacron_tui.cli.runtime.output import Output, print_line_now
from novacron_tui.cli.runtime.wait import report, run_change
from novacron_tui.terminal.printed import Printed
from novacron_tui.terminal.safe_text import one_line

EVERY_S = 1.0


async def show(client: Client, name: str, *, boot: bool, follow: bool, raw: bool) -> None:
    """Print the log, of the last boot if `boot`; go on until Ctrl+C if `follow`. `raw` writes escape sequences too.

    Raises UsageError for `raw` on a terminal, Conflict with the reason when the console is not logged, NotFound.
    """
    if raw and sys.stdout.isatty():
        raise UsageError("--raw writes what the guest has printed, escape sequences too: send it to a file or a pipe")
    vm = await find_vm(client, name)
    output, query = LogWriter(raw=raw), ConsoleLogQuery(boot="last" if boot else "all")
    while True:
        try:
            log = await client.call(api.READ, vm_id=vm.id, query=query)
        except errors.ServerUnreachable as e:
            if not follow or not query.from_:
                raise
            print_error(f"{e.detail}; trying again")
            await asyncio.sleep(EVERY_S)
            continue
        if not log.recorded and not query.from_:
            raise errors.Conflict(one_line(log.note))
        _report(log)
        output.write(log.text)
        query = ConsoleLogQuery(from_=log.next or query.from_)
        if not log.more:
            if not follow:
                break
            await asyncio.sleep(EVERY_S)
    output.end()


async def set_up(client: Client, output: Output, name: str, *, wait: bool) -> int:
    """Give a VM a serial console that is logged. Returns the exit code."""
    vm = await find_vm(client, name)
    result, code = await run_change(
        client, vm.id, vm.name, lambda key: client.call(api.SET_UP, idempotency_key=key, vm_id=vm.id), wait=wait
    )
    report(output, [result])
    return code


def _report(log: ConsoleLog) -> None:
    if log.note:
        print_error(one_line(log.note))


class LogWriter:
    """Writes to stdout: lines that are harmless, or the text as it came."""

    def __init__(self, *, raw: bool) -> None:
        self._raw, self._printed = raw, Printed()

    def write(self, text: str) -> None:
        """Raises ReaderGone."""
        if not self._raw:
            if lines := self._printed.feed(text):
                print_line_now("\n".join(lines))
            return
        try:
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
        except BrokenPipeError as e:
            raise ReaderGone from e

    def end(self) -> None:
        """Print the last line, which has no end."""
        if not self._raw and (rest := self._printed.rest):
            print_line_now("\n".join(rest))
