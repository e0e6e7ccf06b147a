"""`novacron events --watch`: streams events until interrupted, one per line; with `-o json` one JSON object per line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from novacron_core import errors
from novacron_core.api.events import Event, GoneFrame
from novacron_core.api.health import INFO
from novacron_core.client import Client, Disconnected, Update, stream
from novacron_tui.cli.runtime.exit_codes import print_error
from novacron_tui.cli.runtime.output import Output, cell, json_text, print_line_now


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
        print_line_now(json_text(update, indent=None) if output is Output.JSON else line(update))
    elif isinstance(update, GoneFrame):
        print_error(f"events after {update.after} are no longer available; showing new ones")
    elif isinstance(update, Disconnected):
        print_error(f"{update.reason}; retrying in {update.retry_s:.0f} s")


def _time(event: Event) -> str:
    """In this machine's time zone; a year that has none there is shown as it came."""
    try:
        return event.time.astimezone().strftime("%H:%M:%S")
    except (OverflowError, ValueError):
        return event.time.isoformat()


def line(event: Event) -> str:
    """An event as one line for a reader."""
    words = (_time(event), str(event.seq), event.type, cell(event.target.name or event.target.id), event.note)
    return "  ".join(cell(word) for word in words if word)
