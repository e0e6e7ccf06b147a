"""The commands of the audit log with their flags; the code of a command is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from novacron_tui.cli.runtime.args import OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output

audit = typer.Typer(help="Show and verify the audit log.", no_args_is_help=True, rich_markup_mode=None)
TenantFlag = Annotated[
    str | None, typer.Option("--tenant", help="Only the log of this tenant; empty for that of the installation.")
]


def mount(app: typer.Typer) -> None:
    """Add them to `novacron`."""
    app.add_typer(audit, name="audit")


@audit.command("ls")
def audit_ls(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILTER]", help="Filter text, e.g. 'action:stop target:db-01 since:22:00'."),
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="List at most N entries; 0 = all.")] = 500,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """List who did what, from where, and with what result, newest first."""
    from novacron_tui.cli import audit as code

    run_with_client(context, lambda client: code.ls(client, output, " ".join(words or ()), at_most=count))


@audit.command("verify")
def audit_verify(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export. Default: the log of the server.")
    ] = None,
    tenant: TenantFlag = None,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Verify that no entry was changed, moved or deleted; exit code 1 if one was."""
    from novacron_tui.cli import audit as code

    if file is not None:
        raise typer.Exit(code.verify_file(output, file))
    run_with_client(context, lambda client: code.verify(client, output, tenant))


@audit.command("export")
def audit_export(
    context: typer.Context, tenant: TenantFlag = None, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """Print the log as JSON lines, with the signed hash of the last entry."""
    from novacron_tui.cli import audit as code

    run_with_client(context, lambda client: code.export(client, tenant))
