"""Reads a console log piece by piece, and keeps it as lines that are safe to show."""

from __future__ import annotations

from novacron_core.api import console_logs as api
from novacron_core.api.console_logs import ConsoleLog, ConsoleLogQuery
from novacron_core.errors import NovaCronError
from novacron_tui.connection.session import Session
from novacron_tui.terminal.printed import Printed
from novacron_tui.terminal.safe_text import one_line

MAX_LINES = 200_000
"""The oldest ones go: the server keeps 8 MiB of a log by default."""
_MAX_PIECES = 16


class LogText:
    """A log, from the last boot (`last_boot`) or all of it. `lines` and `rest`, the line that is not complete, are safe.

    `problem` is why the last read failed, `note` what the server says of the log; both empty for nothing.
    """

    def __init__(self, session: Session, vm_id: str, *, last_boot: bool = True) -> None:
        self._session, self._vm_id = session, vm_id
        self.last_boot = last_boot
        self._printed = Printed()
        self._cursor = ""
        self.lines: list[str] = []
        self.dropped = 0
        self.answer: ConsoleLog | None = None
        self.note = self.problem = ""
        self.reading = False

    @property
    def rest(self) -> list[str]:
        return self._printed.rest

    async def read(self) -> bool:
        """Read what is new. Returns whether anything was. Raises nothing."""
        changed = False
        for _ in range(_MAX_PIECES):
            boot = "last" if self.last_boot else "all"
            query = ConsoleLogQuery(from_=self._cursor, boot=boot)  # type: ignore[arg-type]
            try:
                answer = await self._session.client.call(api.READ, vm_id=self._vm_id, query=query)
            except NovaCronError as e:
                changed = changed or self.problem != e.detail
                self.problem = one_line(e.detail)
                return changed
            changed = changed or bool(answer.text) or self.answer is None or bool(self.problem)
            changed = changed or answer.recorded != self.answer.recorded if self.answer else changed
            self._take(answer)
            if not answer.more:
                break
        return changed

    def _take(self, answer: ConsoleLog) -> None:
        self.answer, self.problem = answer, ""
        if answer.note or not self.note:
            self.note = one_line(answer.note)
        self._cursor = answer.next or self._cursor
        if answer.skipped_bytes is None:
            self.lines.append("--- lines are missing here: the log was rotated or cut ---")
        self.lines += self._printed.feed(answer.text)
        if (over := len(self.lines) - MAX_LINES) > 0:
            del self.lines[:over]
            self.dropped += over
