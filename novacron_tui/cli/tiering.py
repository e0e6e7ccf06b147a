"""`storage …`: heat and advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from novacron_core import errors
from novacron_core.api import tiering, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation
from novacron_core.api.tiering import (
    AdviceQuery,
    HeatQuery,
    PlacementChange,
    Recommendation,
)
from novacron_core.api.volumes import VolumeMove
from novacron_core.client import Client
from novacron_core.rules.tiering.classes import cost_text
from novacron_core.rules.tiering.words import operations_text
from novacron_core.rules.validation import explain
from novacron_core.values.ages import age_text, moment_text, parse_duration
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.cli.runtime.exit_codes import DONE, UsageError
from novacron_tui.cli.runtime.lookup import find_volume, list_all
from novacron_tui.cli.runtime.output import Output, cell, distinct_names, print_line, show_data, show_pairs, show_table
from novacron_tui.cli.runtime.prompts import confirm
from novacron_tui.cli.runtime.wait import report, run_change


async def heat(client: Client, output: Output, q: str) -> None:
    """List volumes, the hottest per GiB first."""
    found = await list_all(client, tiering.LIST, ListQuery(q=q))
    if output.is_data:
        show_data(output, found)
        return
    names = {vm.id: vm.name for vm in await list_all(client, vms.LIST, vms.VMQuery())} if found else {}
    priced = any(v.cost_month is not None for v in found)
    rows = (
        (name, v.tier or "-", operations_text(v.fast), operations_text(v.slow), operations_text(v.heat),
         age_text((v.as_of - v.accessed_at).total_seconds()) if v.accessed_at else "never",
         size_text(v.allocated_bytes), *((cost_text(v.cost_month) or "-",) if priced else ()),
         names.get(v.vm, v.vm) if v.vm else "-")
        for v, name in zip(found, distinct_names([v.name for v in found]), strict=True)
    )  # fmt: skip
    cost = ("A MONTH",) if priced else ()
    show_table(("NAME", "TIER", "OPS/S DAY", "OPS/S WEEK", "PER GIB", "IDLE", "ON DISK", *cost, "VM"), rows)


async def history(client: Client, output: Output, name_or_id: str, days: int) -> None:
    """Show the heat of one volume, and how it was in the hours of the day."""
    volume = await find_volume(client, name_or_id)
    try:
        query = msgspec.convert({"days": days}, HeatQuery)
    except msgspec.ValidationError as e:
        raise UsageError(f"--days: {explain(str(e))[0]}") from e
    found = await client.call(tiering.OF_VOLUME, query=query, volume_id=volume.id)
    if output.is_data:
        show_data(output, found)
        return
    now = found.now
    seen = [value for value in found.weighted_s if value is not None]
    hours = [(value, hour) for hour, value in enumerate(found.hours) if value is not None]
    show_pairs(
        (
            ("name", volume.name),
            ("tier", volume.tier),
            ("operations/s", f"{operations_text(now.fast)} over a day, {operations_text(now.slow)} over a week"),
            ("per GiB", operations_text(now.heat)),
            ("last use", moment_text(now.accessed_at) if now.accessed_at else "never seen"),
            ("as of", moment_text(now.as_of)),
            ("watched", age_text(now.observed_s)),
            ("seen", f"{now.reads:,} reads, {now.writes:,} writes"),
            ("most", f"{operations_text(max(seen))} operations/s in {days} days" if seen else None),
            ("busiest hour", f"{max(hours)[1]:02}:00 UTC" if hours and max(hours)[0] else None),
        )
    )


async def moves(client: Client, output: Output, name_or_id: str) -> None:
    """List the moves of a volume between tiers, newest first."""
    volume = await find_volume(client, name_or_id)
    found = (await client.call(volumes.MOVES, volume_id=volume.id)).moves
    if output.is_data:
        show_data(output, found)
        return
    rows = (
        (moment_text(m.started_at), f"{m.source or '-'} to {m.target}", m.actor or "-",
         age_text((m.finished_at - m.started_at).total_seconds()) if m.finished_at else "-", str(m.state), m.reason or "-")
        for m in found
    )  # fmt: skip
    show_table(("STARTED", "MOVE", "BY", "TOOK", "RESULT", "REASON"), rows)


async def advice(client: Client, output: Output, *, why: bool) -> None:
    """List the moves that would pay, in the order in which to make them; with `why` all numbers of each."""
    found = await client.call(tiering.ADVICE)
    if output.is_data:
        show_data(output, found)
        return
    moves = found.recommendations
    if moves:
        rows = (
            (name, f"{m.source} to {m.target}", m.why, operations_text(min(m.fast, m.slow)), size_text(m.size_bytes),
             age_text(m.copy_s), m.refused or "-")
            for m, name in zip(moves, distinct_names([m.name for m in moves]), strict=True)
        )  # fmt: skip
        show_table(("VOLUME", "MOVE", "WHY", "OPS/S", "COPIES", "TAKES", "REFUSED"), rows)
    else:
        print_line("Nothing should move now.")
    for move in moves if why else ():
        print_line(f"{cell(move.name)}: {cell(move.text)}")
    for note in found.notes:
        print_line(cell(note))
    if found.cost_month is not None:
        saves = f", {found.saves_month:,.2f} less with these moves" if found.saves_month else ""
        print_line(f"These volumes cost {found.cost_month:,.2f} a month{saves}.")


async def follow(
    client: Client, output: Output, names: Sequence[str], *, everything: bool, sure: bool, wait: bool
) -> int:
    """Move volumes as advised, one after another. Returns the exit code."""
    if bool(names) == everything:
        raise UsageError("name volumes, or give --all")
    wanted = [(await find_volume(client, name)).id for name in names]
    query = AdviceQuery(volumes=",".join(wanted))
    moves = (await client.call(tiering.ADVICE, query=query)).recommendations
    ready = [move for move in moves if not move.refused]
    if missing := [name for name, each in zip(names, wanted, strict=False) if each not in {m.volume for m in moves}]:
        raise errors.Conflict(f"there is no advice about {cell(missing[0])}: novacron storage advice lists it")
    if not everything and (refused := next((move for move in moves if move.refused), None)):
        raise errors.Conflict(refused.refused)
    if not ready:
        print_line("Nothing should move now.")
        return DONE
    if not sure:
        size = size_text(sum(move.size_bytes for move in ready))
        confirm(f"move {counted(len(ready), 'volume')}, {size}", str(len(ready)))
    results, code = [], DONE
    for move in ready:
        result, ended = await run_change(client, move.volume, move.name, _sender(client, move), wait=wait)
        results.append(result)
        code = max(code, ended)
    report(output, results)
    return code


def _sender(client: Client, move: Recommendation) -> Any:
    async def send(key: str) -> Operation:
        body = msgspec.convert({"tier": move.target}, VolumeMove)
        return await client.call(volumes.MOVE, body=body, idempotency_key=key, volume_id=move.volume)

    return send


async def dismiss(client: Client, output: Output, name_or_id: str, time: str, reason: str) -> None:
    """Give no advice about a volume for a time; 0 gives it again."""
    try:
        body = msgspec.convert(
            {"dismiss_s": int(parse_duration(time)) if time != "0" else 0, "reason": reason}, PlacementChange
        )
    except ValueError as e:
        raise UsageError(f"--for: {explain(str(e))[0] if isinstance(e, msgspec.ValidationError) else e}") from e
    await _place(client, output, name_or_id, body, "advice is given again" if time == "0" else f"no advice for {time}")


async def pin(client: Client, output: Output, name_or_id: str, *, pinned: bool) -> None:
    words = "pinned to its tier" if pinned else "may move again"
    await _place(client, output, name_or_id, PlacementChange(pinned=pinned), words)


async def together(client: Client, output: Output, names: Sequence[str], *, joined: bool) -> None:
    """Let each of these volumes move only with those others of its VM that do, or alone."""
    words = "moves with the other disks of its VM that do" if joined else "moves alone"
    for name in names:
        await _place(client, output, name, PlacementChange(together=joined), words)


async def _place(client: Client, output: Output, name_or_id: str, body: PlacementChange, words: str) -> None:
    volume = await find_volume(client, name_or_id)
    changed = await client.call(tiering.PLACE, body=body, volume_id=volume.id)
    if output.is_data:
        show_data(output, changed)
        return
    print_line(f"{cell(volume.name)}: {words}")
