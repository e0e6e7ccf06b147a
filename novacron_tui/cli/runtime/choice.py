"""The server that the flags of a command choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from novacron_tui.servers.server_choice import ServerChoice


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
    return checked(
        ServerChoice(server, profile, root.get("token") or "", data_dir, server_is_flag, bool(root.get("read_only")))
    )


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
