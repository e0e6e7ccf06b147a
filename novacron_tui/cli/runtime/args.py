"""The flags that commands have in common, and the way from flags to a connected client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from novacron_tui.cli.runtime.output import Output as Format

if TYPE_CHECKING:
    from novacron_core.client import Client
    from novacron_tui.servers.server_choice import ServerChoice

ServerFlag = Annotated[str, typer.Option("--server", envvar="NOVACRON_SERVER", help="URL of a server.")]
ProfileFlag = Annotated[
    str, typer.Option("--profile", envvar="NOVACRON_PROFILE", help="A server by its profile's name.")
]
OutputFlag = Annotated[Format, typer.Option("--output", "-o", help="For people or for programs.")]
NoWaitFlag = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the operation's end.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="VMs, by name or id.")]


def named(context: typer.Context) -> ServerChoice:
    """What was said, here or before the command: `novacron --server URL vm ls` and `novacron vm ls --server URL`."""
    from novacron_tui.servers.server_choice import ServerChoice

    server, server_meant = _said(context, "server")
    profile, profile_meant = _said(context, "profile")
    if server_meant and not profile_meant:
        profile = ""  # a flag beats a variable
    root = context.find_root().params
    data_dir: Path | None = root.get("data_dir")
    return ServerChoice(server, profile, root.get("token") or "", data_dir, server_meant)


def _said(context: typer.Context, name: str) -> tuple[str, bool]:
    """A flag's value, nearest first, and whether it stood on the command line."""
    found = ""
    place: Any = context
    while place is not None:
        value, source = place.params.get(name), place.get_parameter_source(name)
        if value and source is not None and source.name == "COMMANDLINE":
            return value, True
        found = found or value or ""
        place = place.parent
    return found, False


def called(context: typer.Context, output: Format, work: Callable[[Client], Awaitable[int | None]]) -> None:
    """Connect to the server that is meant, do the work, and leave with its exit code."""
    import asyncio

    from novacron_tui.cli.runtime.connect import any_server, connect
    from novacron_tui.servers.profiles import Profiles

    target = any_server(named(context), Profiles())

    async def run() -> int | None:
        async with connect(target, output) as client:
            return await work(client)

    if code := asyncio.run(run()):
        raise typer.Exit(code)
