"""`novacron events --watch`: everything that happens, a line each, for ever; with `-o json` a JSON document each."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from novacron_core import errors
from novacron_core.api.events import Event, GoneFrame
from novacron_core.client import Client, Disconnected, Update, stream
from novacron_tui.cli.runtime.exit_codes import complain
from novacron_tui.cli.runtime.output import Output, cell, json_text, say_now


async def watch(client: Client, output: Output, *, after: int | None, count: int) -> None:
    """Print events from now on, or after a number; end after `count` of them, if it is not 0.

    Raises ServerUnreachable when the first connection fails; later breaks are told on stderr and mended.
    """
    left, reached = count, False
    async with aclosing(_updates(client, after)) as updates:
        async for update in updates:
            if isinstance(update, Disconnected) and not reached:
                raise errors.ServerUnreachable(update.reason)
            reached = True
            _tell(output, update)
            left -= isinstance(update, Event)
            if count and left <= 0:
                return


async def _updates(client: Client, after: int | None) -> AsyncGenerator[Update, None]:
    async for update in stream(client, after=after):
        yield update


def _tell(output: Output, update: Update) -> None:
    if isinstance(update, Event):
        say_now(json_text(update, indent=None) if output is Output.JSON else _line(update))
    elif isinstance(update, GoneFrame):
        complain(f"the events after {update.after} are no longer held: from here on only new ones")
    elif isinstance(update, Disconnected):
        complain(f"{update.reason}; trying again in {update.retry_s:.0f} s")


def _line(event: Event) -> str:
    time = event.time.astimezone().strftime("%H:%M:%S")
    words = (time, str(event.seq), event.type, cell(event.target.name or event.target.id), event.note)
    return "  ".join(cell(word) for word in words if word)
