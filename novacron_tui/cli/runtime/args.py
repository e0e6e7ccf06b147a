"""The flags that commands have in common, and how flags become a connected client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.output import Output as Format

if TYPE_CHECKING:
    from novacron_core.client import Client
    from novacron_tui.servers.server_choice import ServerChoice

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


def chosen_server(context: typer.Context) -> ServerChoice:
    """The server flags, before or after the command: `novacron --server URL vm ls` or `novacron vm ls --server URL`."""
    from novacron_tui.cli.runtime.text_checks import checked
    from novacron_tui.servers.server_choice import ServerChoice

    server, server_is_flag = _find_flag(context, "server")
    profile, profile_is_flag = _find_flag(context, "profile")
    if server_is_flag and not profile_is_flag:
        profile = ""  # a flag overrides an environment variable
    root = context.find_root().params
    data_dir: Path | None = root.get("data_dir")
    _refuse_undecodable(context)
    return checked(ServerChoice(server, profile, root.get("token") or "", data_dir, server_is_flag))


def _refuse_undecodable(context: typer.Context) -> None:
    """Check every argument and flag of the command but its paths."""
    from novacron_tui.cli.runtime.text_checks import refuse_undecodable

    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        texts = value if isinstance(value, list | tuple) else (value,)
        refuse_undecodable(_name_of(parameter), [text for text in texts if isinstance(text, str)])


def _name_of(parameter: Any) -> str:
    """An argument's name, or an option's with its variable."""
    if parameter.param_type_name != "option":
        return (parameter.metavar or parameter.name or "").strip("[]…")
    flag = max(parameter.opts, key=len)
    return f"{flag} or {parameter.envvar}" if parameter.envvar else str(flag)


def _find_flag(context: typer.Context, name: str) -> tuple[str, bool]:
    """A flag's value, from the innermost command outwards, and whether it was given on the command line."""
    found = ""
    current: Any = context
    while current is not None:
        value, source = current.params.get(name), current.get_parameter_source(name)
        if value and source is not None and source.name == "COMMANDLINE":
            return value, True
        found = found or value or ""
        current = current.parent
    return found, False


def run_with_client(context: typer.Context, output: Format, work: Callable[[Client], Awaitable[int | None]]) -> None:
    """Connect to the chosen server, do the work, and exit with the code it returns. Raises typer.Exit."""
    import asyncio

    from novacron_tui.cli.runtime.connect import connect, resolve_server
    from novacron_tui.servers.profiles import Profiles

    target = resolve_server(chosen_server(context), Profiles())

    async def run() -> int | None:
        async with connect(target, output) as client:
            return await work(client)

    if code := asyncio.run(run()):
        raise typer.Exit(code)
