"""`novacron tenant …` with its flags; the code of a command is imported when it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output

tenant = typer.Typer(help="Manage tenants.", no_args_is_help=True, rich_markup_mode=None)
Tenant = Annotated[str, typer.Argument(metavar="TENANT", autocompletion=completion.tenant_names)]
NameFlag = Annotated[str | None, typer.Option("--name", help="Name for people. Default: the id.")]
VMsFlag = Annotated[str | None, typer.Option("--max-vms", metavar="N", help="Number of VMs, or none for no limit.")]
CPUsFlag = Annotated[str | None, typer.Option("--max-vcpus", metavar="N", help="vCPUs of all VMs, or none.")]
MemoryFlag = Annotated[
    str | None, typer.Option("--max-memory", metavar="SIZE", help="Memory of all VMs, e.g. 64G, or none.")
]
DiskFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--max-disk", metavar="TIER=SIZE", help="Disk space on a tier, e.g. hot=1T or hot=none; may be repeated."
    ),
]
SecondFactorFlag = Annotated[
    bool | None,
    typer.Option("--second-factor/--no-second-factor", help="Whether its members need a second factor to sign in."),
]


def mount(app: typer.Typer) -> None:
    """Add them to `novacron`."""
    app.add_typer(tenant, name="tenant")


@tenant.command("ls")
def tenant_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List your tenants, for an administrator all."""
    from novacron_tui.cli import tenants

    run_with_client(context, lambda client: tenants.tenant_ls(client, output))


@tenant.command("show")
def tenant_show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="[TENANT]", help="Default: that of your session.", autocompletion=completion.tenant_names
        ),
    ] = "",
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Show a tenant with its quotas."""
    from novacron_tui.cli import tenants

    run_with_client(context, lambda client: tenants.tenant_show(client, output, name))


@tenant.command("create")
def tenant_create(
    context: typer.Context, name_: Annotated[str, typer.Argument(metavar="TENANT", help="Id of the new tenant.")],
    name: NameFlag = None, max_vms: VMsFlag = None, max_vcpus: CPUsFlag = None, max_memory: MemoryFlag = None,
    max_disk: DiskFlag = None, second_factor: SecondFactorFlag = None,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Create a tenant."""
    from novacron_tui.cli import tenants

    given = _given(name, max_vms, max_vcpus, max_memory, max_disk, second_factor)
    run_with_client(context, lambda client: tenants.tenant_create(client, output, name_, given))


@tenant.command("edit")
def tenant_edit(
    context: typer.Context, name_: Tenant,
    name: NameFlag = None, max_vms: VMsFlag = None, max_vcpus: CPUsFlag = None, max_memory: MemoryFlag = None,
    max_disk: DiskFlag = None, second_factor: SecondFactorFlag = None,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Change a tenant: only what is given changes."""
    from novacron_tui.cli import tenants

    given = _given(name, max_vms, max_vcpus, max_memory, max_disk, second_factor)
    run_with_client(context, lambda client: tenants.tenant_edit(client, output, name_, given))


@tenant.command("delete")
def tenant_delete(
    context: typer.Context, name: Tenant,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Delete a tenant without members, VMs and volumes. Asks for confirmation unless --yes is given."""
    from novacron_tui.cli import tenants

    run_with_client(context, lambda client: tenants.tenant_delete(client, name, sure=yes))


@tenant.command("switch")
def tenant_switch(context: typer.Context, name: Tenant, server: ServerFlag = "", profile: ProfileFlag = "") -> None:
    """Go on with the saved session in another tenant of yours."""
    from novacron_tui.cli import tenants

    run_with_client(context, lambda client: tenants.tenant_switch(client, name))


def _given(
    name: str | None,
    max_vms: str | None,
    max_vcpus: str | None,
    max_memory: str | None,
    max_disk: list[str] | None,
    second_factor: bool | None,
) -> dict[str, Any]:
    """The flags that were given, by the names that `cli.tenants` knows."""
    flags = {
        "name": name,
        "max_vms": max_vms,
        "max_vcpus": max_vcpus,
        "max_memory": max_memory,
        "max_disk": max_disk or None,
        "totp_required": second_factor,
    }
    return {flag: value for flag, value in flags.items() if value is not None}
