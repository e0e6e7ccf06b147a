"""The last lines that a VM has printed before it stopped."""

from __future__ import annotations

from datetime import datetime

from novacron_core.api import console_logs as api
from novacron_core.api.console_logs import ConsoleLog, ConsoleLogQuery
from novacron_core.api.vms import VM, State
from novacron_core.errors import NovaCronError
from novacron_core.values.ages import age_s, age_text
from novacron_tui.connection.session import Session
from novacron_tui.terminal.printed import printed_lines
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece

MAX_LINES = 20
_TAIL_BYTES = 16 << 10
_OFF = frozenset({State.STOPPED, State.CRASHED, State.FAILED})


class LastWords:
    """They are read once for each time that a VM stops; while it runs there are none."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of: tuple[object, ...] = ()
        self._log: ConsoleLog | None = None
        self._problem = ""

    def wanted(self, vm: VM) -> bool:
        """Whether they must be read now."""
        return self.shown(vm) and self._key(vm) != self._of

    def shown(self, vm: VM) -> bool:
        """Whether there is a section for them: the VM is off, and the caller may read its console."""
        return vm.state in _OFF and not vm.simulated and self._session.may(api.READ)

    async def read(self, vm: VM) -> None:
        """Read them. Raises nothing."""
        self._of, self._log, self._problem = self._key(vm), None, ""
        try:
            query = ConsoleLogQuery(boot="last", tail=_TAIL_BYTES)
            self._log = await self._session.client.call(api.READ, vm_id=vm.id, query=query)
        except NovaCronError as e:
            self._problem = one_line(e.detail)

    def _key(self, vm: VM) -> tuple[object, ...]:
        return vm.host, vm.id, vm.state, vm.state_since

    def lines(self, vm: VM, now: datetime) -> list[list[Piece]]:
        """What the section shows."""
        if self._of != self._key(vm) or (self._log is None and not self._problem):
            return [[Piece("reading…", "quiet")]]
        if self._log is None:
            return [[Piece(self._problem, "warn")]]
        if not self._log.recorded:
            offer = ": `:set-up-console` changes that" if self._log.may_set_up else ""
            return [[Piece(f"{one_line(self._log.note) or 'its console is not logged'}{offer}", "quiet")]]
        printed = [line for line in printed_lines(self._log.text) if line.strip()][-MAX_LINES:]
        if not printed:
            return [[Piece("It printed nothing since it booted last", "quiet")]]
        age = f"{age_text(age_s(self._log.at, now))} ago; " if self._log.at else ""
        return [*([Piece(line)] for line in printed), [Piece(f"printed {age}L shows all", "quiet")]]
