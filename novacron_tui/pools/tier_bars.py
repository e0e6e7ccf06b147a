"""The three tiers side by side: used, free and provisioned space, and disk activity. What is provisioned has the colour of
a warning where it is more than the disks hold."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from novacron_core.api.samples import TierSample
from novacron_core.api.tiering import StoragePolicy, TierClass
from novacron_core.api.tiers import Tier
from novacron_core.rules.room import overcommitted
from novacron_core.rules.tiering.classes import class_of, class_text
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import TIERS
from novacron_tui.pools.columns import part_used, tone_of
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece, spread

Lines = list[list[Piece]]
_GAP = 3
HEIGHT = 5
_WIDE = 36


def lines(tiers: dict[str, Tier], width: int, glyphs: Glyphs, policy: StoragePolicy | None = None) -> Lines:
    """HEIGHT lines of `width` cells with the tiers in three columns; with the marks and classes of the policy, if known."""
    each = (width - 2 * _GAP) // 3
    columns = [_tier(name, tiers, each, glyphs, policy) for name in TIERS]
    return [_joined([column[row] for column in columns], each) for row in range(HEIGHT)]


def with_rates(tier: Tier, sample: TierSample) -> Tier:
    """The tier with the rates of a sample: events do not carry rates, and an inventory's are of its time."""
    return msgspec.structs.replace(
        tier,
        read_bytes_s=sample.read_bytes_s,
        write_bytes_s=sample.write_bytes_s,
        reads_s=sample.reads_s,
        writes_s=sample.writes_s,
        rates_at=sample.at,
    )


def _joined(cells: Sequence[list[Piece]], width: int) -> list[Piece]:
    pieces: list[Piece] = []
    for at, cell in enumerate(cells):
        if at:
            pieces.append(Piece(" " * _GAP))
        pieces += _cut(cell, width)
    return pieces


def _cut(cell: list[Piece], width: int) -> list[Piece]:
    """The cell in exactly `width` characters (all are one cell wide here)."""
    kept, room = [], width
    for piece in cell:
        text = piece.text if len(piece.text) <= room else piece.text[: max(0, room - 1)] + ("…" if room else "")
        kept.append(Piece(text, piece.tone))
        room -= len(text)
    return [*kept, Piece(" " * room)] if room > 0 else kept


def _tier(name: str, tiers: dict[str, Tier], width: int, glyphs: Glyphs, policy: StoragePolicy | None) -> Lines:
    tier = tiers.get(name)
    title = Piece(name.upper(), "strong")
    if tier is None or not tier.pools:
        notes = [Piece(one_line(note), "warn") for note in (tier.notes if tier else ())][:1]
        return [[title], [Piece("no pool in this tier", "quiet")], notes, [], []]
    part = part_used(tier.used_bytes, tier.capacity_bytes)
    rates = _rates(tier)
    head = spread([title, *_count(tier)], rates, width)
    free = [Piece(size_text(tier.free_bytes), "strong"), Piece(f" free of {size_text(tier.capacity_bytes)}", "plain")]
    return [
        head,
        _bar(part, width, glyphs, policy),
        spread(free, _requests(tier), width),
        [Piece(_provisioned(tier, wide=width >= _WIDE), "warn" if overcommitted(name, tiers) else "quiet")],
        _footer_pieces(
            tier, glyphs, [] if head[-1:] == rates else rates, class_of(policy, name) if policy else None, width
        ),
    ]


def _provisioned(tier: Tier, *, wide: bool) -> str:
    provisioned = f"{size_text(tier.provisioned_bytes)} provisioned"
    return f"{size_text(tier.allocated_bytes)} used, {provisioned}" if wide else provisioned


def _count(tier: Tier) -> list[Piece]:
    volumes, pools = tier.volumes, len(tier.pools)
    words = [Piece(f"  {counted(volumes, 'volume')}", "quiet")]
    return [*words, Piece(f" in {counted(pools, 'pool')}", "quiet", 1)] if pools > 1 else words


def _bar(part: float | None, width: int, glyphs: Glyphs, policy: StoragePolicy | None) -> list[Piece]:
    """The used part, with a tick at each mark."""
    if part is None:
        return [Piece(f"{glyphs.no} size unknown", "quiet")]
    room = max(4, width - 5)
    tone, bar = tone_of(part, policy), glyphs.bar(part, room)
    marks = {_cell(policy.high_mark, room): "warn", _cell(1 - policy.spare, room): "bad"} if policy else {}
    runs: list[Piece] = []
    for at, char in enumerate(bar):
        piece = Piece(char, "quiet" if char == glyphs.rest else tone)
        if at in marks:
            piece = Piece(glyphs.tick, marks[at])
        if runs and runs[-1].tone == piece.tone:
            runs[-1] = Piece(runs[-1].text + piece.text, piece.tone)
        else:
            runs.append(piece)
    return [*runs, Piece(f"{part:>5.0%}", tone)]


def _cell(part: float, room: int) -> int:
    """The cell of a bar in which this part of it ends."""
    return min(room - 1, max(0, round(part * room) - 1))


def _footer_pieces(
    tier: Tier, glyphs: Glyphs, rates: list[Piece], declared: TierClass | None, width: int
) -> list[Piece]:
    """The first note; else the rates, if they did not fit above; else which tiers share its disk, and what is declared of
    it, or at least its redundancy, if that fits."""
    if tier.notes:
        return [Piece(f"{glyphs.bad} {one_line(tier.notes[0])}", "warn")]
    if rates:
        return rates
    shared = f"shares disk: {', '.join(tier.shares_disk_with)}" if tier.shares_disk_with else ""
    words = (one_line(class_text(declared, short=True)), one_line(declared.redundancy) if declared else "", "")
    lines = [f" {glyphs.dot} ".join(filter(None, (shared, each))) for each in words]
    return [Piece(next((line for line in lines if len(line) <= width), shared), "quiet")]


def _rates(tier: Tier) -> list[Piece]:
    if tier.read_bytes_s is None or tier.write_bytes_s is None:
        return []
    return [Piece(f"r {_rate(tier.read_bytes_s)}  w {_rate(tier.write_bytes_s)}", rank=2)]


def _requests(tier: Tier) -> list[Piece]:
    if tier.reads_s is None or tier.writes_s is None:
        return []
    return [Piece(f"{tier.reads_s + tier.writes_s:.0f} IOPS", "quiet", 1)]


def _rate(bytes_s: float) -> str:
    """`12.5M/s`: short, because three tiers are side by side."""
    return size_text(bytes_s).replace(" ", "").replace("iB", "") + "/s"
