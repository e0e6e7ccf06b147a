"""The storage commands with their flags; the code of a command is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output

volume = typer.Typer(help="Manage volumes.", no_args_is_help=True, rich_markup_mode=None)
pool = typer.Typer(help="Manage storage pools.", no_args_is_help=True, rich_markup_mode=None)
tier = typer.Typer(help="List storage tiers (hot, warm, cold).", no_args_is_help=True, rich_markup_mode=None)
TierFlag = Annotated[
    str, typer.Option("--tier", help="Storage tier: hot, warm or cold.", autocompletion=completion.tier_names)
]
Volume = Annotated[
    str, typer.Argument(metavar="VOLUME", help="Volume name or id.", autocompletion=completion.volume_names)
]
VM = Annotated[str, typer.Argument(help="VM name or id.", autocompletion=completion.vm_names)]
TargetTier = Annotated[
    str, typer.Argument(help="Target tier: hot, warm or cold.", autocompletion=completion.tier_names)
]
FormatFlag = Annotated[
    str, typer.Option("--format", help="Disk format: qcow2 or raw.", autocompletion=completion.disk_formats)
]
HostFlag = Annotated[
    str,
    typer.Option(
        "--host", help="Host name or id. Default: the first host that is up.", autocompletion=completion.host_names
    ),
]
Words = Annotated[list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text, e.g. tier:cold is:free.")]


def mount(app: typer.Typer, image: typer.Typer) -> None:
    """Add them to `novacron`; the image commands to `image`."""
    for name, group in (("volume", volume), ("pool", pool), ("tier", tier)):
        app.add_typer(group, name=name)
    image.command("upload")(image_upload)
    image.command("delete")(image_delete)


@volume.command("ls")
def volume_ls(
    context: typer.Context, words: Words = None, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """List volumes."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_ls(client, output, " ".join(words or ())))


@volume.command("create")
def volume_create(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of the new volume.")],
    size: Annotated[str, typer.Option(help="Size, e.g. 20G.")], tier: TierFlag = "hot",
    image_format: FormatFlag = "qcow2", on_host: HostFlag = "",
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Create an empty volume."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_create(
        client, output, name=name, size=size, tier=tier, image_format=image_format, host=on_host, wait=not no_wait,
    ))  # fmt: skip


@volume.command("resize")
def volume_resize(
    context: typer.Context, name: Volume, size: Annotated[str, typer.Argument(help="New size.")],
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Grow a volume, even while its VM runs."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_resize(client, output, name, size, wait=not no_wait))


@volume.command("clone")
def volume_clone(
    context: typer.Context, name: Volume, new: Annotated[str, typer.Argument(help="Name of the copy.")],
    tier: TierFlag = "", no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Copy a volume and verify the copy."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_clone(client, output, name, new, tier, wait=not no_wait))


@volume.command("move")
def volume_move(
    context: typer.Context, name: Volume, tier: TargetTier,
    limit: Annotated[str, typer.Option(help="Rate limit per second, e.g. 50M. Default: unlimited.")] = "",
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Move a volume to another tier, even while its VM runs."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_move(client, output, name, tier, limit, wait=not no_wait))


@volume.command("attach")
def volume_attach(
    context: typer.Context, name: Volume, vm: VM,
    read_only: Annotated[bool, typer.Option("--read-only", help="Attach it read-only.")] = False,
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Attach a volume to a VM, even while the VM runs."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_attach(
        client, output, name, vm, read_only=read_only, wait=not no_wait,
    ))  # fmt: skip


@volume.command("detach")
def volume_detach(
    context: typer.Context, name: Volume, no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE,
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Detach a volume from its VM."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_detach(client, output, name, wait=not no_wait))


@volume.command("delete")
def volume_delete(
    context: typer.Context, name: Volume, yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Delete a volume that no VM uses. Asks for confirmation unless --yes is given."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.volume_delete(client, output, name, sure=yes, wait=not no_wait))


@pool.command("ls")
def pool_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List pools."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.pool_ls(client, output))


@pool.command("set-tier")
def pool_set_tier(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Pool name or id.", autocompletion=completion.pool_names)],
    tier: Annotated[str, typer.Argument(
        help="hot, warm, cold, or none to remove it from its tier.", autocompletion=completion.tier_names_or_none,
    )],
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Assign a pool to a tier, or remove it from its tier."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.pool_set_tier(client, output, name, tier, wait=not no_wait))


@tier.command("ls")
def tier_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List tiers, fastest first."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.tier_ls(client, output))


def image_upload(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="Disk image file, qcow2 or raw.")],
    name: Annotated[str, typer.Option(help="Image name. Default: the file name.")] = "",
    image_format: Annotated[str, typer.Option(
        "--format", help="qcow2 or raw. Default: what the file contains.", autocompletion=completion.disk_formats,
    )] = "",
    sha256: Annotated[str, typer.Option(help="Expected checksum; the upload is rejected if it differs.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing image of that name.")] = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Upload a disk image to the server."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.image_upload(
        client, output, file, name=name, image_format=image_format, sha256=sha256, replace=replace,
    ))  # fmt: skip


def image_delete(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Image name.", autocompletion=completion.image_names)], output: OutputFlag = Output.TABLE,
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Delete an uploaded image."""
    from novacron_tui.cli import storage

    run_with_client(context, lambda client: storage.image_delete(client, name))
