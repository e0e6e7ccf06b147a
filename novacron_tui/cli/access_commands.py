"""The commands for one's own access, with their flags; the code of a command is imported when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from novacron_tui.cli.runtime.args import OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output

session = typer.Typer(help="List and end sessions.", no_args_is_help=True, rich_markup_mode=None)
token = typer.Typer(help="Manage API tokens.", no_args_is_help=True, rich_markup_mode=None)
totp = typer.Typer(help="Manage your second factor.", no_args_is_help=True, rich_markup_mode=None)
UserFlag = Annotated[str, typer.Option("--user", metavar="ID", help="Of another user, by id.")]


def mount(app: typer.Typer) -> None:
    """Add them to `novacron`."""
    for name, group in (("session", session), ("token", token), ("totp", totp)):
        app.add_typer(group, name=name)
    app.command("rotate-keys")(rotate_keys)


@session.command("ls")
def session_ls(
    context: typer.Context, user: UserFlag = "", output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List the sessions in which you are signed in."""
    from novacron_tui.cli import access

    run_with_client(context, lambda client: access.session_ls(client, output, user))


@session.command("end")
def session_end(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Session ids, as `session ls` lists them.")],
    user: UserFlag = "", server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """End sessions. Their consoles and scripts are signed out within seconds."""
    from novacron_tui.cli import access

    run_with_client(context, lambda client: access.session_end(client, ids, user))


@token.command("ls")
def token_ls(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="List those of all users that you look after.")] = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List your API tokens. What they are is shown once, when they are created."""
    from novacron_tui.cli import access

    run_with_client(context, lambda client: access.token_ls(client, output, every=every))


@token.command("create")
def token_create(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of the token.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Limit it to reading.")] = False,
    permission: Annotated[list[str] | None, typer.Option(
        "--permission", metavar="NAME", help="Limit it to this permission, e.g. vm:read; may be repeated.",
    )] = None,
    vm_filter: Annotated[str, typer.Option(
        "--filter", metavar="FILTER", help="Limit it to the VMs that match, by name, tag, owner or id, e.g. tag:ci.",
    )] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it expires.")] = 90,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Create an API token and print it, this once. Use it as NOVACRON_TOKEN."""
    from novacron_tui.cli import access

    run_with_client(context, lambda client: access.token_create(
        client, output, name, permissions=permission, read_only=read_only, vm_filter=vm_filter, days=days,
    ))  # fmt: skip


@token.command("revoke")
def token_revoke(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names or ids of your tokens.")],
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Revoke API tokens. What uses them is signed out within seconds."""
    from novacron_tui.cli import access

    run_with_client(context, lambda client: access.token_revoke(client, names))


@totp.command("show")
def totp_show(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """Show whether you have a second factor."""
    from novacron_tui.cli import second_factor

    run_with_client(context, lambda client: second_factor.show(client, output))


@totp.command("set-up")
def totp_set_up(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """Set up an authenticator app as your second factor. Shows a QR code, and prints recovery codes at the end.

    Prompts for the password and a code, or reads each from a line of stdin."""
    from novacron_tui.cli import second_factor

    run_with_client(context, lambda client: second_factor.set_up(client, output))


@totp.command("off")
def totp_off(context: typer.Context, server: ServerFlag = "", profile: ProfileFlag = "") -> None:
    """Turn your second factor off. Prompts for the password and a code, or reads each from a line of stdin."""
    from novacron_tui.cli import second_factor

    run_with_client(context, second_factor.turn_off)


def rotate_keys(
    data_dir: Annotated[
        Path | None, typer.Option(envvar="NOVACRON_DATA_DIR", help="Data directory of the server.")
    ] = None,
) -> None:
    """Sign access tokens with a new key, on the server's machine. Those of the previous key stay valid."""
    from novacron_tui.servers.bundled import is_installed

    if not is_installed():
        typer.echo("novacron: the server is not installed. Run: pip install 'novacron[server]'", err=True)
        raise typer.Exit(1)
    words = ["--data-dir", str(data_dir)] if data_dir else []
    os.execv(sys.executable, [sys.executable, "-m", "novacron_server.access.rotate_keys", *words])  # noqa: S606 - replacing the process is intended
