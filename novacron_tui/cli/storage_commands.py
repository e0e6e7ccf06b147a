"""The storage commands with their flags; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from novacron_tui.cli.runtime.args import NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, called
from novacron_tui.cli.runtime.output import Output

volume = typer.Typer(
    help="Volumes: disks of VMs, and disks that wait for one.", no_args_is_help=True, rich_markup_mode=None
)
pool = typer.Typer(help="Pools: where volumes lie.", no_args_is_help=True, rich_markup_mode=None)
tier = typer.Typer(help="Tiers: hot, warm and cold.", no_args_is_help=True, rich_markup_mode=None)
TierFlag = Annotated[str, typer.Option("--tier", help="hot, warm or cold.")]
Volume = Annotated[str, typer.Argument(metavar="VOLUME", help="A volume, by name or id.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text, like tier:cold is:free.")]


def mount(app: typer.Typer, image: typer.Typer) -> None:
    """Put them below `novacron`; what concerns images below `image`."""
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

    called(context, output, lambda client: storage.volume_ls(client, output, " ".join(words or ())))


@volume.command("create")
def volume_create(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Its name.")],
    size: Annotated[str, typer.Option(help="Like 20G.")], tier: TierFlag = "hot",
    image_format: Annotated[str, typer.Option("--format", help="qcow2 or raw.")] = "qcow2",
    on_host: Annotated[str, typer.Option("--host", help="A host; without it the first that is up.")] = "",
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Create an empty volume."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_create(
        client, output, name=name, size=size, tier=tier, image_format=image_format, host=on_host, wait=not no_wait,
    ))  # fmt: skip


@volume.command("resize")
def volume_resize(
    context: typer.Context, name: Volume, size: Annotated[str, typer.Argument(help="The size it is to have.")],
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Grow a volume, also while its VM runs."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_resize(client, output, name, size, wait=not no_wait))


@volume.command("clone")
def volume_clone(
    context: typer.Context, name: Volume, new: Annotated[str, typer.Argument(help="The copy's name.")],
    tier: TierFlag = "", no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Copy a volume whole, and compare the two."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_clone(client, output, name, new, tier, wait=not no_wait))


@volume.command("move")
def volume_move(
    context: typer.Context, name: Volume, tier: Annotated[str, typer.Argument(help="hot, warm or cold.")],
    limit: Annotated[str, typer.Option(help="Not faster than this per second, like 50M.")] = "",
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Move a volume to another tier, also while its VM runs."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_move(client, output, name, tier, limit, wait=not no_wait))


@volume.command("attach")
def volume_attach(
    context: typer.Context, name: Volume, vm: Annotated[str, typer.Argument(help="A VM, by name or id.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="The guest may not write.")] = False,
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give a volume to a VM, at once if that runs."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_attach(
        client, output, name, vm, read_only=read_only, wait=not no_wait,
    ))  # fmt: skip


@volume.command("detach")
def volume_detach(
    context: typer.Context, name: Volume, no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE,
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Take a volume from its VM."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_detach(client, output, name, wait=not no_wait))


@volume.command("delete")
def volume_delete(
    context: typer.Context, name: Volume, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Delete a volume that no VM uses. Without --yes it asks."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.volume_delete(client, output, name, sure=yes, wait=not no_wait))


@pool.command("ls")
def pool_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List pools."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.pool_ls(client, output))


@pool.command("set-tier")
def pool_set_tier(
    context: typer.Context, name: Annotated[str, typer.Argument(help="A pool, by name or id.")],
    tier: Annotated[str, typer.Argument(help="hot, warm, cold, or none.")],
    no_wait: NoWaitFlag = False, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Give a pool to a tier, or take it away."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.pool_set_tier(client, output, name, tier, wait=not no_wait))


@tier.command("ls")
def tier_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List tiers, fastest first."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.tier_ls(client, output))


def image_upload(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="A disk image: qcow2 or raw.")],
    name: Annotated[str, typer.Option(help="Its name; without it the file's.")] = "",
    image_format: Annotated[str, typer.Option("--format", help="qcow2 or raw; else by the file's name.")] = "",
    sha256: Annotated[str, typer.Option(help="What comes must have this checksum.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Over an image of that name.")] = False,
    output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Send a disk image to the server."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.image_upload(
        client, output, file, name=name, image_format=image_format, sha256=sha256, replace=replace,
    ))  # fmt: skip


def image_delete(
    context: typer.Context, name: Annotated[str, typer.Argument(help="An image.")], output: OutputFlag = Output.TABLE,
    server: ServerFlag = "", profile: ProfileFlag = "",
) -> None:  # fmt: skip
    """Delete an uploaded image."""
    from novacron_tui.cli import storage

    called(context, output, lambda client: storage.image_delete(client, name))
