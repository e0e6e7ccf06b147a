"""The flags that commands have in common, and how they become a connected client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.choice import chosen_server
from novacron_tui.cli.runtime.output import Output as Format

if TYPE_CHECKING:
    from novacron_core.client import Client

ServerFlag = Annotated[str, typer.Option("--server", envvar="NOVACRON_SERVER", help="URL of a server.")]
ProfileFlag = Annotated[
    str,
    typer.Option(
        "--profile",
        envvar="NOVACRON_PROFILE",
        help="Name of a saved server profile.",
        autocompletion=completion.profile_names,
    ),
]
OutputFlag = Annotated[Format, typer.Option("--output", "-o", help="Output format.")]
NoWaitFlag = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the operation to finish.")]
Names = Annotated[
    list[str], typer.Argument(metavar="NAME…", help="VM names or ids.", autocompletion=completion.vm_names)
]


def run_with_client(context: typer.Context, work: Callable[[Client], Awaitable[int | None]]) -> None:
    """Connect to the chosen server, do the work, and exit with the code it returns. Raises typer.Exit."""
    import asyncio

    from novacron_tui.cli.runtime.connect import connect, resolve_server
    from novacron_tui.servers.profiles import Profiles

    target = resolve_server(chosen_server(context), Profiles())

    async def run() -> int | None:
        async with connect(target) as client:
            return await work(client)

    if code := asyncio.run(run()):
        raise typer.Exit(code)
