"""Following advice, dismissing it, and pinning volumes: ask, send, and say what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from novacron_core.api import tiering, volumes
from novacron_core.api.operations import Operation
from novacron_core.api.tiering import (
    AdviceQuery,
    PlacementChange,
    Recommendation,
    StorageAdvice,
    StoragePolicy,
    TierForecast,
)
from novacron_core.api.volumes import VolumeMove
from novacron_core.errors import NovaCronError
from novacron_core.values.ages import age_text, parse_duration
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.actions import ActionContext
from novacron_tui.connection.form_request import build_request, call_from_form, refused_by
from novacron_tui.pools.columns import tone_of
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.tiering.entries import AdviceEntry, why_not_move
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.perform import change_each
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.detail import Lines, labelled
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Refused, Values
from novacron_tui.widgets.text_bar import Piece

_NAMED = 4
_BAR = 18


async def follow(context: ActionContext, chosen: Sequence[AdviceEntry]) -> None:
    """Show the tiers before and after the moves, ask, and begin them."""
    ready = [row for row in chosen if why_not_move(row, context.session.store) is None]
    try:
        query = AdviceQuery(volumes=",".join(row.id for row in ready))
        dry = await context.session.client.call(tiering.ADVICE, query=query)
    except NovaCronError as e:
        context.say(f"cannot try the moves: {one_line(e.detail)}", "bad")
        return
    wanted = {row.id for row in ready}
    moves = [each for each in dry.recommendations if each.volume in wanted and not each.refused]
    if not moves:
        context.say("the advice has changed: these moves would not pay any more", "warn")
        return
    if await context.ask(_question(dry, len(moves), len(chosen) - len(moves), context)) is None:
        return

    async def begin(move: Recommendation) -> Operation:
        body, client = build_request(VolumeMove, tier=move.target), context.session.client
        return await client.call(volumes.MOVE, body=body, idempotency_key=str(uuid4()), volume_id=move.volume)

    await change_each(context, [(move.name, move) for move in moves], begin, "moving")


def _question(dry: StorageAdvice, count: int, left_out: int, context: ActionContext) -> Question:
    glyphs, store = context.glyphs, context.session.store
    moves = [each for each in dry.recommendations if not each.refused]
    size, takes_s = sum(each.size_bytes for each in moves), sum(each.copy_s for each in moves)
    lines: Lines = [[Piece(one_line(part))] for part in moves[0].text.split("; ")[:-2]] if count == 1 else []
    if count > 1:
        names = ", ".join(one_line(each.name) for each in moves[:_NAMED])
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        lines.append([Piece(f"{names}{more}", "strong")])
        lines.append([Piece(f"Copies {size_text(size)} in about {age_text(max(1.0, takes_s))}; the VMs keep running.")])
    else:
        lines.append([Piece("The VM keeps running; the old copy goes when both are the same.", "quiet")])
    if left_out:
        lines.append([Piece(f"{counted(left_out, 'move')} left out: refused now", "warn")])
    lines.append([Piece("")])
    touched = {(each.host, tier) for each in moves for tier in (each.source, each.target)}
    lines += [
        _bar(tier, glyphs, store.host_name(tier.host) if len(store.hosts) > 1 else "", context.session.policy.value)
        for tier in dry.tiers
        if (tier.host, tier.tier) in touched
    ]
    if (saves := dry.saves_month) is not None:
        lines.append([Piece(f"Costs {abs(saves):,.2f} {'less' if saves >= 0 else 'more'} a month")])
    what = one_line(moves[0].name) if count == 1 else counted(count, "volume")
    return Question(title=f"Move {what}?", lines=lines, yes="Move")


def _bar(tier: TierForecast, glyphs: Glyphs, host: str, policy: StoragePolicy | None) -> list[Piece]:
    """A tier before and after; with its host where there are several."""
    before, after = tier.used_bytes / tier.capacity_bytes, tier.used_after_bytes / tier.capacity_bytes
    return [
        Piece(f"{tier.tier:5}", "strong"),
        Piece(glyphs.bar(before, _BAR), tone_of(before, policy)),
        Piece(f"{before:>5.0%} {glyphs.arrow}{after:>4.0%} ", "plain"),
        Piece(glyphs.bar(after, _BAR), tone_of(after, policy)),
        Piece(f"  {one_line(host)}" if host else "", "quiet"),
    ]


async def dismiss(context: ActionContext, row: AdviceEntry) -> None:
    """Show the form that dismisses the advice about a volume for a time."""
    session = context.session

    def why_not(text: str) -> str | None:
        try:
            seconds = parse_duration(text)
        except ValueError as e:
            return str(e)
        return None if 60 <= seconds <= 365 * 86_400 else "Enter from 1m to 365d"

    fields = {
        "time": FormField("For", value="30d", why_not=why_not, advice="a duration: 12h, 30d"),
        "reason": FormField("Reason", value="", advice="others read it"),
    }

    async def submit(values: Values, key: str) -> None:
        body = PlacementChange(dismiss_s=int(parse_duration(values["time"])), reason=values["reason"].strip()[:200])
        await call_from_form(session, tiering.PLACE, body, key, volume_id=row.id)
        context.say(f"{one_line(row.advice.name)}: no advice for {values['time']}", "good")

    await context.show_dialog(Form(f"Dismiss the advice about {one_line(row.advice.name)}", fields, "Dismiss", submit))


async def pin(context: ActionContext, chosen: Sequence[VolumeEntry]) -> None:
    """Pin volumes to their tier, or release them if all are pinned."""
    pinned = not all(entry.volume.pinned for entry in chosen)
    await _place_each(
        context, chosen, PlacementChange(pinned=pinned), "pinned to the tier" if pinned else "may move again"
    )


async def join(context: ActionContext, chosen: Sequence[VolumeEntry]) -> None:
    """Let volumes move with the other disks of their VM that do, or alone if all do already."""
    together = not all(entry.volume.together for entry in chosen)
    words = "moves with the other disks of its VM that do" if together else "moves alone"
    await _place_each(context, chosen, PlacementChange(together=together), words)


async def _place_each(context: ActionContext, chosen: Sequence[VolumeEntry], body: PlacementChange, words: str) -> None:
    """Change what is said of each volume, until one is refused."""
    for entry in chosen:
        try:
            await call_from_form(context.session, tiering.PLACE, body, str(uuid4()), volume_id=entry.id)
        except (NovaCronError, Refused) as e:
            refused = e if isinstance(e, Refused) else refused_by(e)
            context.say(f"{one_line(entry.volume.name)}: {refused}", "bad")
            return
    what = one_line(chosen[0].volume.name) if len(chosen) == 1 else counted(len(chosen), "volume")
    context.say(f"{what}: {words}", "good")


def details(row: AdviceEntry) -> Lines:
    """All numbers of a recommendation."""
    advice = row.advice
    parts = advice.text.split("; ")
    rows = [
        ("move", f"{advice.source} to {advice.target}"),
        ("why", parts[0]),
        *(("", part) for part in parts[1:]),
        ("waits", f"{age_text(abs(advice.saved_s))} {'less' if advice.saved_s >= 0 else 'more'} in a week"),
        ("refused", advice.refused),
        ("risk", "a copy under way slows both tiers; it can be cancelled until the last moment"),
        ("id", advice.volume),
    ]
    return labelled((label, one_line(text)) for label, text in rows)
