"""The commands that change whose a VM or a volume is, and `quota`, with their flags."""

from __future__ import annotations

from typing import Annotated

import typer

from novacron_core.api.ownership import Adopt, HandOver
from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output

VM = Annotated[str, typer.Argument(metavar="VM", help="VM name or id.", autocompletion=completion.vm_names)]
Volume = Annotated[
    str, typer.Argument(metavar="VOLUME", help="Volume name or id.", autocompletion=completion.volume_names)
]
ToFlag = Annotated[str, typer.Option("--to", metavar="USER", help="New owner. Default: the owner stays.")]
TenantFlag = Annotated[str, typer.Option("--tenant", help="New tenant (administrators). Default: the tenant stays.")]


def mount(app: typer.Typer, vm: typer.Typer, volume: typer.Typer) -> None:
    """Add them to `novacron`, `novacron vm` and `novacron volume`."""
    vm.command("hand-over")(vm_hand_over)
    vm.command("adopt")(vm_adopt)
    vm.command("release")(vm_release)
    volume.command("hand-over")(volume_hand_over)
    app.command("quota")(quota)


def vm_hand_over(
    context: typer.Context, name: VM, to: ToFlag = "", tenant: TenantFlag = "", no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give a VM and its disks another owner, or another tenant."""
    from novacron_tui.cli import ownership

    body = _recipient(to, tenant)
    run_with_client(context, lambda client: ownership.hand_over_vm(client, output, name, body, wait=not no_wait))


def vm_adopt(
    context: typer.Context, name: VM, tenant: Annotated[str, typer.Option(help="Tenant that gets the VM.")],
    to: Annotated[str, typer.Option("--to", metavar="USER", help="Its owner. Default: you.")] = "",
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Manage an unmanaged VM and the disks that it writes, for a tenant (administrators)."""
    from novacron_tui.cli import ownership

    body = Adopt(tenant=tenant, owner=to or None)
    run_with_client(context, lambda client: ownership.adopt(client, output, name, body, wait=not no_wait))


def vm_release(
    context: typer.Context, name: VM, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Stop managing a VM and its disks: they stay as they are (administrators)."""
    from novacron_tui.cli import ownership

    run_with_client(context, lambda client: ownership.release(client, output, name, sure=yes, wait=not no_wait))


def volume_hand_over(
    context: typer.Context, name: Volume, to: ToFlag = "", tenant: TenantFlag = "", no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give a volume that no VM has another owner, or another tenant."""
    from novacron_tui.cli import ownership

    body = _recipient(to, tenant)
    run_with_client(context, lambda client: ownership.hand_over_volume(client, output, name, body, wait=not no_wait))


def quota(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="[TENANT]", help="Tenant (administrators). Default: yours.")] = "",
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Show what a tenant uses of its quotas."""
    from novacron_tui.cli import ownership

    run_with_client(context, lambda client: ownership.show_quota(client, output, tenant))


def _recipient(to: str, tenant: str) -> HandOver:
    if not to and not tenant:
        raise typer.BadParameter("say to whom: --to USER, --tenant TENANT or both")
    return HandOver(owner=to or None, tenant=tenant or None)
