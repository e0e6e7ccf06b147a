"""`novacron events`: streams events until interrupted, one per line; with `-o json` one JSON object per line. With a flag
of a list, like `--since 8h`, it lists stored events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import msgspec

from novacron_core import errors
from novacron_core.api import stored_events as api
from novacron_core.api.events import Event, GoneFrame
from novacron_core.api.health import INFO
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.client import Client, Disconnected, Update, stream
from novacron_core.rules.event_words import event_words, operation_words
from novacron_core.rules.filters.events import NOTABLE, with_moments
from novacron_core.rules.filters.language import FilterError
from novacron_core.values.ages import parse_moment
from novacron_tui.cli.runtime.exit_codes import print_error
from novacron_tui.cli.runtime.lookup import explain_filter
from novacron_tui.cli.runtime.output import Output, cell, data_text, print_line_now, show_data, show_table

_PAGE_SIZE = 1000


@dataclass(frozen=True)
class Range:
    """What to list: times as they were typed, and filter text. `every`: also what is not worth a line."""

    since: str = ""
    until: str = ""
    q: str = ""
    every: bool = False


async def list_stored(client: Client, output: Output, chosen: Range, *, at_most: int) -> None:
    """List stored events, newest first; at most so many unless it is 0. Raises ValidationFailed for what was typed."""
    await client.call(INFO)  # tells the server's time, in which ages are meant
    now = client.now()
    try:
        q = with_moments(chosen.q, now)
    except FilterError as e:
        raise errors.ValidationFailed(f'invalid filter "{chosen.q}": {e}') from e
    if not chosen.every:
        q = f"is:{NOTABLE} {q}".strip()
    query = EventQuery(q=q, from_=_moment("--since", chosen.since, now), to=_moment("--until", chosen.until, now))
    found = await _pages(client, query, chosen.q, at_most)
    if output.is_data:
        show_data(output, found)
    else:
        show_table(("TIME", "WHAT", "TARGET", "BY", "REASON"), (_row(event) for event in found))


def _moment(flag: str, text: str, now: datetime) -> datetime | None:
    try:
        return parse_moment(text, now) if text else None
    except ValueError as e:
        raise errors.InvalidSetting(f"{flag} {text}: {e}") from e


async def _pages(client: Client, query: EventQuery, typed: str, at_most: int) -> list[StoredEvent]:
    """All pages, each continued below the last event, so that new events shift nothing."""
    found: list[StoredEvent] = []
    while not at_most or len(found) < at_most:
        size = min(_PAGE_SIZE, at_most - len(found)) if at_most else _PAGE_SIZE
        before = found[-1].seq if found else None
        try:
            page = await client.call(api.LIST, query=msgspec.structs.replace(query, before=before, page_size=size))
        except errors.ValidationFailed as e:
            raise explain_filter(typed, e) from e
        found += page.items
        if len(page.items) < size:
            break
    return found


def _row(event: StoredEvent) -> tuple[object, ...]:
    op = event.operation
    what = operation_words(op.child_kind or op.kind, op.state) if op else event_words(event.type)
    target = op.target if op else event.target
    reason = event.reason if op else event.reason or event.note
    return f"{_day(event)} {_time(event)}", what, target.name or target.id, event.actor, reason


def _day(event: StoredEvent) -> str:
    try:
        return event.time.astimezone().strftime("%Y-%m-%d")
    except (OverflowError, ValueError):
        return ""


async def watch(client: Client, output: Output, *, after: int | None, count: int) -> None:
    """Print events from now on, or after event number `after`; stop after `count` of them, unless it is 0.

    Raises Unauthenticated, and why the first connection failed; later disconnects are reported on stderr and retried.
    """
    try:
        await _watch(client, output, after=after, count=count)
    except errors.Unauthenticated:
        await client.call(INFO)  # says so when not the session is the reason, but a path that NovaCron does not have
        raise


async def _watch(client: Client, output: Output, *, after: int | None, count: int) -> None:
    remaining, connected = count, False
    async with aclosing(_updates(client, after)) as updates:
        async for update in updates:
            if isinstance(update, Disconnected) and not connected:
                raise update.error or errors.ServerUnreachable(update.reason)
            connected = True
            _print(output, update)
            remaining -= isinstance(update, Event)
            if count and remaining <= 0:
                return


async def _updates(client: Client, after: int | None) -> AsyncGenerator[Update, None]:
    async for update in stream(client, after=after):
        yield update


def _print(output: Output, update: Update) -> None:
    if isinstance(update, Event):
        print_line_now(data_text(output, update, stream=True) if output.is_data else line(update))
    elif isinstance(update, GoneFrame):
        print_error(f"events after {update.after} are no longer available; showing new ones")
    elif isinstance(update, Disconnected):
        print_error(f"{update.reason}; retrying in {update.retry_s:.0f} s")


def _time(event: Event | StoredEvent) -> str:
    """In this machine's time zone; a year that has none there is shown as it came."""
    try:
        return event.time.astimezone().strftime("%H:%M:%S")
    except (OverflowError, ValueError):
        return event.time.isoformat()


def line(event: Event) -> str:
    """An event as one line for a reader."""
    words = (_time(event), str(event.seq), event.type, cell(event.target.name or event.target.id), event.note)
    return "  ".join(cell(word) for word in words if word)
