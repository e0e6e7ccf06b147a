"""What a tenant uses of its quotas, as bars."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.quotas import Amount, Quota
from novacron_core.values.sizes import size_text
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece

_BAR = 10
_CELL = 34
_NEAR = 0.85


def lines(quota: Quota, glyphs: Glyphs, width: int) -> list[list[Piece]]:
    """The lines of the bars, as many beside each other as fit in `width` cells."""
    amounts: list[tuple[str, Amount, Callable[[int], str]]] = [
        ("VMs", quota.vms, str),
        ("vCPUs", quota.vcpus, str),
        ("memory", quota.memory_bytes, size_text),
        *((tier, amount, size_text) for tier, amount in quota.disk_bytes.items()),
    ]
    cells = [_cell(label, amount, text, glyphs) for label, amount, text in amounts]
    per_line = max(1, width // _CELL)
    rows = [cells[begin : begin + per_line] for begin in range(0, len(cells), per_line)]
    title = [Piece(f"tenant {one_line(quota.tenant)}", "strong"), Piece(" uses", "quiet")]
    return [title, *([piece for cell in row for piece in cell] for row in rows)]


def _cell(label: str, amount: Amount, text: Callable[[int], str], glyphs: Glyphs) -> list[Piece]:
    name = Piece(f"{one_line(label):<7}", "quiet")
    if amount.limit is None:
        return [name, Piece(f"{text(amount.used)}, no quota".ljust(_CELL - 7), "plain")]
    part = min(1.0, amount.used / amount.limit) if amount.limit else 1.0
    tone = "bad" if amount.used >= amount.limit else "warn" if part >= _NEAR else "good"
    words = f" {text(amount.used)} of {text(amount.limit)}"
    return [name, Piece(glyphs.bar(part, _BAR), tone), Piece(words.ljust(_CELL - 7 - _BAR), "plain")]
