"""The console tab of a VM: its terminal, and below it a line that says who types and how to leave."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from novacron_core.api import consoles as api
from novacron_core.api.vms import VM
from novacron_core.errors import NovaCronError
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.consoles.detach_keys import DetachKey, detach_key
from novacron_tui.consoles.status import ConsoleStatus
from novacron_tui.consoles.terminal_view import TerminalView
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.once import once
from novacron_tui.widgets.text_bar import Piece, TextBar

if TYPE_CHECKING:  # the client imports httpx: not before the first paint
    from novacron_core.client.consoles import ConsoleClient, ConsoleOutput, ConsoleUpdate

_TOLD_LOST_BYTES = 64
"""More lost bytes than this are no keys but pasted text, and their number is told."""
LEAVE, TYPE = "leave-console", "type-console"
_NOTHING_TO_TYPE_INTO = (api.LineState.OFF, api.LineState.NONE, api.LineState.UNAVAILABLE)
"""What is typed then is meant for the VM's page, such as the key that starts it."""
_BELL_S = 1.0
_LOOKED_AT_S = 0.5
"""Who passes this tab on the way to another does not open the console: others could not open it meanwhile."""


class ConsolePane(Vertical):
    """Follows the console from when it is first looked at until the page is closed. `Said` are messages for the operator."""

    DEFAULT_CSS = """
    ConsolePane { height: 1fr; }
    ConsolePane > #console-line { background: $surface; }
    """

    class Said(Message):
        """Something to tell in the status line."""

        def __init__(self, text: str, tone: str) -> None:
            super().__init__()
            self.text, self.tone = text, tone

    class Changed(Message):
        """The console types now, or no longer; or who types has changed."""

    class TakeOverWanted(Message):
        """The key that takes over was pressed, while keys go nowhere."""

    def __init__(self, session: Session, glyphs: Glyphs, vm: VM) -> None:
        super().__init__()
        self._session, self._glyphs, self._vm = session, glyphs, vm
        self.status = ConsoleStatus()
        self.detach: DetachKey = detach_key()
        self.terminal = TerminalView(self._typed, glyphs=glyphs, detach_keys=(self.detach.name, "f12"))
        self.terminal.answers = False
        self.find = FilterLine(id="find")
        self._line = TextBar(margin=1, id="console-line")
        self._client: ConsoleClient | None = None
        self._replayed_until = 0
        self._rang_at, self._bells = 0.0, 0
        self._wants_typing = self._connected = False

    def compose(self) -> ComposeResult:
        yield self.terminal
        yield self.find
        yield self._line

    def on_mount(self) -> None:
        once(self, _LOOKED_AT_S, self._looked_at)

    def _looked_at(self) -> None:
        if self.display and not self._connected:
            self.connect()

    def connect(self) -> None:
        """Follow the console, also again after it has ended."""
        self.status.ended, self._connected = False, True
        self.run_worker(self._follow(), group="console", exclusive=True)

    # -- the connection --------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        from novacron_core.client.consoles import ConsoleClient

        writes = not self._session.server.read_only
        self._client = ConsoleClient(self._session.client, self._vm.id, write=writes)
        try:
            async for update in self._client.updates():
                self._take(update)
        except NovaCronError as e:
            self.status.trouble, self.status.ended = one_line(e.detail), True
            self._lose_typing()
            self._refresh()

    def _take(self, update: ConsoleUpdate) -> None:
        from novacron_core.client.consoles import ConsoleOutput
        from novacron_core.client.stream import Disconnected

        if isinstance(update, ConsoleOutput):
            self._show(update)
            return
        if isinstance(update, api.ConsoleSkipped):
            self.terminal.note_skipped(update.bytes)
            return
        if isinstance(update, api.ConsoleProblem):
            lost = update.lost + (self.terminal.stop_paste() if update.lost else 0)
            more = f"; {size_text(lost)} were dropped" if lost > _TOLD_LOST_BYTES else ""
            self.post_message(self.Said(one_line(update.problem.sentence) + more, "warn"))
            return
        if isinstance(update, Disconnected):
            self.status.trouble = one_line(update.reason)
            if stopped := self.terminal.stop_paste():  # the guest may be at another prompt when the console is back
                self.post_message(self.Said(f"{size_text(stopped)} of the pasted text were not typed", "warn"))
        else:
            self._note(update)
        self.terminal.answers = False
        self._refresh()

    def _note(self, frame: api.ConsoleHello | api.ConsoleLine | api.ConsoleWriter) -> None:
        was_mine = self.status.is_mine
        self.status.take(frame)
        if isinstance(frame, api.ConsoleHello):
            self._replayed_until = frame.end
            self._wants_typing = self._wants_typing or self.terminal.typing  # it was lost while typing
        if isinstance(frame, api.ConsoleWriter) and frame.taken_by:
            if was_mine and not self.status.is_mine:
                self._lose_typing()
                self.post_message(self.Said(f"{one_line(frame.taken_by)} has taken over the console", "warn"))
            elif self.status.is_mine:
                self.post_message(self.Said(f"you type now instead of {one_line(frame.taken_from)}", "good"))
        if self._wants_typing:
            self.start_typing()

    def _show(self, output: ConsoleOutput) -> None:
        assert self._client is not None
        # What a guest asked before this console was there is answered already, or of no use: an answer is typed.
        before = output.at - len(output.data)
        if not self.terminal.answers and before >= self._replayed_until and self.terminal.idle:
            self.terminal.answers = self.status.is_mine
        self.terminal.feed(output.data)
        self._client.confirm(output.at)
        self._ring()

    def _ring(self) -> None:
        """Pass on the guest's bell, at most once a second."""
        bells, self._bells = self._bells, self.terminal.emulator.bells
        now = monotonic()
        if self._bells > bells and self.terminal.typing and now - self._rang_at > _BELL_S:
            self._rang_at = now
            self.app.bell()

    # -- typing ----------------------------------------------------------------------------------------------------

    def start_typing(self) -> None:
        """Send keys to the guest from now on, as soon as that is possible."""
        self._wants_typing = True
        if self.status.ended or not self._connected:
            self.connect()
        if (why := self.status.why_not_type()) is not None:
            if self.status.other:
                self._lose_typing()
                self.post_message(self.Said(why, "warn"))
            else:
                self.terminal.withheld = bool(self.status.trouble) or self.status.state not in _NOTHING_TO_TYPE_INTO
                self.terminal.focus()
                self._refresh()
            return
        if self.status.writer is None and self._client is not None:
            self._client.take()  # so that others see who types before the first key
        self._wants_typing = self.terminal.withheld = False
        self.terminal.typing = True
        self.terminal.focus()
        self._refresh()

    def stop_typing(self) -> None:
        """Let keys act on the console again."""
        self._wants_typing = False
        self.terminal.typing = self.terminal.withheld = False
        if self._client is not None and self.status.is_mine and not self.pasting and not self.terminal.pasting:
            self._client.release()  # or the next one had to take over from somebody who has left
        self._refresh()

    def _lose_typing(self) -> None:
        """Keys do not reach the guest any more. Until the operator says so they do not act on the VM either: somebody who
        types `exit` would shut it down."""
        if self.terminal.typing or self._wants_typing:
            self.terminal.withheld = True
            self.terminal.focus()
        self._wants_typing = self.terminal.typing = False
        self._refresh()

    @on(TerminalView.Withheld)
    def _key_withheld(self, event: TerminalView.Withheld) -> None:
        event.stop()
        if event.character == "W" and (self.status.other or self.status.state is api.LineState.HELD):
            self.post_message(self.TakeOverWanted())  # as the line below says; it asks
            return
        why = self.status.why_not_type() or "esc, then . types into the guest again"
        self.post_message(self.Said(f"not typed: {why}", "warn"))

    def _typed(self, data: bytes) -> None:
        why = self.status.why_not_type()
        if why is None and self._client is not None and self._client.type(data):
            return
        self.post_message(self.Said(why or "not typed: too much is waiting to be typed already", "warn"))

    def take_over(self) -> None:
        """Type instead of the one who types, or take the console from another program; the operator was asked."""
        if self._client is None:
            return
        if self.status.state is api.LineState.HELD:
            self._client.force()
        else:
            self._client.take(self.status.writer.follower if self.status.writer else "")
        self._wants_typing = True

    def send_size(self) -> None:
        """Tell the guest how large this terminal is: a serial line carries no size."""
        self._typed(self.terminal.size_command().encode())

    @property
    def pasting(self) -> int:
        """Bytes that wait to be typed."""
        return self._client.waiting if self._client else 0

    def stop_pasting(self) -> None:
        """Type nothing more of what was pasted."""
        dropped = self.terminal.stop_paste() + (self._client.stop_typing() if self._client else 0)
        self.post_message(self.Said(f"stopped: {size_text(dropped)} were not typed", "warn"))

    @on(TerminalView.Detached)
    def _detached(self, event: TerminalView.Detached) -> None:
        event.stop()
        self.stop_typing()

    def on_show(self) -> None:
        once(self, _LOOKED_AT_S, self._looked_at)

    def on_key(self, event: events.Key) -> None:
        """The detach key once more: it is meant for the guest."""
        if event.key == self.detach.name and not self.terminal.typing and not self.find.editing:
            event.stop()
            if (why := self.status.why_not_type()) is not None:
                self.post_message(self.Said(why, "warn"))
            else:
                self.terminal.send_detach_key()
                self._refresh()

    @on(TextBar.Pressed)
    def _pressed(self, event: TextBar.Pressed) -> None:
        if event.name in (LEAVE, TYPE):
            event.stop()
            self.stop_typing() if event.name == LEAVE else self.start_typing()

    def mark(self) -> None:
        """Begin copy mode; in it, begin or end a selection."""
        if self.terminal.copying:
            self.terminal.mark()
        else:
            self.terminal.start_copy()
        self.refresh_line()

    def narrow_back(self) -> bool:
        """End copy mode or the search. Returns whether there was something to end."""
        if self.terminal.copying or self.terminal.selected_text():
            self.terminal.end_copy()
        elif self.find.text:
            self.find.action_clear()
        else:
            return False
        self.refresh_line()
        return True

    # -- finding ---------------------------------------------------------------------------------------------------

    @on(FilterLine.Changed)
    def _find(self, event: FilterLine.Changed) -> None:
        event.stop()
        if not event.text:
            self.terminal.end_search()
            self.find.show_note("")
            return
        self._find_next(event.text)

    def _find_next(self, text: str) -> None:
        at, found = self.terminal.search(text)
        self.find.show_note(f"{at} of {found}" if found else "not found", "quiet" if found else "warn")

    @on(FilterLine.Closed)
    def _found(self, event: FilterLine.Closed) -> None:
        event.stop()
        if event.kept:
            self._find_next(self.find.text)  # enter: the next one further up
        else:
            self.terminal.focus()

    # -- drawing ---------------------------------------------------------------------------------------------------

    @on(TerminalView.Scrolled)
    def _scrolled(self, event: TerminalView.Scrolled) -> None:
        event.stop()
        self.refresh_line()

    def _refresh(self) -> None:
        if self.is_mounted:
            self.refresh_line()
            self.post_message(self.Changed())

    def refresh_line(self) -> None:
        """Draw the line below the terminal."""
        typing, detach = self.terminal.typing, self.detach.label
        left = self.status.pieces(self._glyphs, typing=typing)
        if typing:
            right = [Piece(f" {detach} ", "key", 0, LEAVE), Piece("or F12 leaves the guest ", "plain", 0, LEAVE)]
        elif self.terminal.withheld:
            may_take = self.status.other or self.status.state is api.LineState.HELD
            over = [Piece("W ", "key", 2), Piece("takes over  ", "plain", 2)] if may_take else []
            right = [*over, Piece("esc ", "key", 0, LEAVE), Piece("lets keys act on the VM again ", "plain", 0, LEAVE)]
        elif self.status.ended:
            right = [Piece(" . ", "key", 1, TYPE), Piece("tries again ", "plain", 1, TYPE)]
        elif not self.status.trouble and (self.status.other or self.status.state is api.LineState.HELD):
            right = [Piece("W ", "key", 1), Piece("takes over ", "plain", 1)]
        elif self.status.state is api.LineState.NONE and not self._vm.simulated:
            right = [Piece(":set-up-console ", "key", 1), Piece("adds one from the next start on ", "plain", 1)]
        elif self.status.trouble or self.status.state is not api.LineState.OPEN:
            right = []
        elif self.terminal.copying:
            right = [
                Piece("space ", "key", 2),
                Piece("marks  ", "plain", 2),
                Piece("y ", "key", 2),
                Piece("copies ", "plain", 2),
            ]
        else:
            right = [
                Piece(" . ", "key", 1, TYPE),
                Piece("types into the guest  ", "plain", 1, TYPE),
                Piece(f"{detach} ", "key", 3),
                Piece("again sends that key ", "plain", 3),
            ]
        self._line.show(left, right)
