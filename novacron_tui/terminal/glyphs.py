"""The symbols shown beside words, so that no state depends on colour alone. Every symbol is one cell wide."""

from __future__ import annotations

from dataclasses import dataclass, field

from novacron_core.api.vms import State
from novacron_tui.terminal.safe_text import one_line

_PLAIN: dict[State, str] = {
    State.PROVISIONING: "+",
    State.STARTING: "^",
    State.RUNNING: "*",
    State.PAUSED: "=",
    State.STOPPING: "v",
    State.STOPPED: "-",
    State.SAVED: "s",
    State.MIGRATING: ">",
    State.CRASHED: "x",
    State.FAILED: "!",
    State.UNKNOWN: "?",
}
_FINE: dict[State, str] = {
    State.PROVISIONING: "◌",
    State.STARTING: "◔",
    State.RUNNING: "●",
    State.PAUSED: "‖",
    State.STOPPING: "◕",
    State.STOPPED: "○",
    State.SAVED: "◇",
    State.MIGRATING: "»",
    State.CRASHED: "×",
    State.FAILED: "▲",
    State.UNKNOWN: "?",
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of symbols. `done` and `rest` draw a progress bar; `no` is an unknown value, which is not zero."""

    ascii: bool = False
    states: dict[State, str] = field(default_factory=lambda: _FINE)
    live: str = "●"
    stale: str = "◐"
    offline: str = "○"
    done: str = "━"
    rest: str = "─"
    tick: str = "┃"
    """A place on a bar that means something."""
    up: str = "▴"
    down: str = "▾"
    mark: str = "▌"
    cut: str = "…"
    no: str = "–"
    dot: str = "·"
    ok: str = "✓"
    bad: str = "▲"
    arrow: str = "›"
    work: str = "◔"
    heat: str = "·▁▃▅▇"
    """From idle to hottest."""

    def cell(self, words: str, tone: str = "plain") -> tuple[tuple[str, str], ...]:
        """The words as a table cell; a quiet dash for none."""
        return ((one_line(words), tone),) if words else ((self.no, "quiet"),)

    @property
    def table_signs(self) -> tuple[str, str, str, str]:
        """Mark, sorted upwards, sorted downwards, and a cut text."""
        return self.mark, self.up, self.down, self.cut

    def state(self, state: State) -> str:
        """The symbol of a VM state; for a state of a newer server, that of `unknown`."""
        return self.states.get(state, self.states[State.UNKNOWN])

    def bar(self, part: float, width: int) -> str:
        """A progress bar of `width` cells for `part` in 0..1."""
        full = round(max(0.0, min(1.0, part)) * width)
        return self.done * full + self.rest * (width - full)


FINE = Glyphs()
PLAIN = Glyphs(
    ascii=True,
    states=_PLAIN,
    live="*",
    stale="~",
    offline="x",
    done="#",
    rest=".",
    tick="|",
    up="^",
    down="v",
    mark=">",
    cut="~",
    no="-",
    dot="-",
    ok="+",
    bad="!",
    arrow=">",
    work="o",
    heat=" .:+#",
)

TIER_TONES = {"hot": "warn", "warm": "plain", "cold": "accent"}
STATE_TONES: dict[State, str] = {
    State.PROVISIONING: "busy",
    State.STARTING: "busy",
    State.RUNNING: "good",
    State.PAUSED: "warn",
    State.STOPPING: "busy",
    State.STOPPED: "quiet",
    State.SAVED: "quiet",
    State.MIGRATING: "busy",
    State.CRASHED: "bad",
    State.FAILED: "bad",
    State.UNKNOWN: "warn",
}
"""State → tone. Themes map tones to colours: plain, quiet, strong, good, busy, warn, bad, accent."""


def state_tone(state: State) -> str:
    """The tone of a VM state; for a state of a newer server, that of `unknown`."""
    return STATE_TONES.get(state, STATE_TONES[State.UNKNOWN])
