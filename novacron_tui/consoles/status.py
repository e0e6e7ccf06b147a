"""What a console says about itself, as the line below its terminal shows it: whether it is open, and who types."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.consoles import ConsoleHello, ConsoleLine, ConsoleWriter, LineState, Writer
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece

_TONES = {LineState.OPEN: "good", LineState.OPENING: "busy", LineState.HELD: "warn", LineState.UNAVAILABLE: "bad"}
_WORDS = {
    LineState.OPENING: "opening…",
    LineState.OFF: "off: it shows the console when the VM runs",
    LineState.HELD: "held by another program",
    LineState.UNAVAILABLE: "not available",
    LineState.NONE: "no serial console",
}


@dataclass(slots=True)
class ConsoleStatus:
    """`me` is the follower that this console is. `trouble` is why there is no connection, empty if there is one."""

    state: LineState = LineState.OPENING
    detail: str = ""
    writer: Writer | None = None
    followers: int = 1
    me: str = ""
    trouble: str = ""
    ended: bool = False
    """It is not tried again: `trouble` says why."""

    def take(self, frame: ConsoleHello | ConsoleLine | ConsoleWriter) -> None:
        """Note what the server has told."""
        if isinstance(frame, ConsoleHello):
            self.me, self.trouble = frame.follower, ""
        if isinstance(frame, ConsoleHello | ConsoleLine):
            self.state, self.detail = frame.state, frame.detail
        if isinstance(frame, ConsoleHello | ConsoleWriter):
            self.writer, self.followers = frame.writer, frame.followers

    @property
    def is_mine(self) -> bool:
        """Whether this console types."""
        return self.writer is not None and self.writer.follower == self.me

    @property
    def other(self) -> str:
        """The name of another who types, empty if nobody else does."""
        return "" if self.writer is None or self.is_mine else one_line(self.writer.name)

    def why_not_type(self) -> str | None:
        """The sentence that refuses a typed key, None if it can be sent."""
        if self.trouble:
            return f"not connected: {self.trouble}"
        if self.state is not LineState.OPEN:
            return f"the console is not open: {one_line(self.detail) or self.words()}"
        if self.other:
            return f"{self.other} is typing: press W to take over"
        return None

    def words(self) -> str:
        """The state in words."""
        return _WORDS.get(self.state, "")

    def pieces(self, glyphs: Glyphs, *, typing: bool) -> list[Piece]:
        """The left part of the line."""
        if self.trouble:
            again = "" if self.ended else "; reconnecting…"
            return [Piece(f"{glyphs.bad} {self.trouble}{again}", "bad")]
        if self.state is not LineState.OPEN:
            detail = one_line(self.detail)
            words = self.words() if self.state is LineState.OFF or not detail else detail
            return [Piece(f"{glyphs.work} {words}", _TONES.get(self.state, "quiet"))]
        if typing:
            shown = [Piece(" TYPING ", "brand")]
        elif self.other:
            shown = [Piece(f"{glyphs.ok} {self.other} is typing", "warn")]
        else:
            shown = [Piece(f"{glyphs.ok} connected", "good")]
        if self.followers > 1:
            shown.append(Piece(f"  {self.followers} follow it", "quiet", 3))
        return shown
