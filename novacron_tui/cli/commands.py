"""Every command with its flags. What a command does is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from novacron_tui.cli import storage_commands
from novacron_tui.cli.runtime.args import Names, NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, called, named
from novacron_tui.cli.runtime.output import Output

vm = typer.Typer(help="List, show, run, create and delete VMs.", no_args_is_help=True, rich_markup_mode=None)
host = typer.Typer(help="Hosts: the machines that run VMs.", no_args_is_help=True, rich_markup_mode=None)
image = typer.Typer(help="Images: what new VMs are made from.", no_args_is_help=True, rich_markup_mode=None)
op = typer.Typer(help="Operations: accepted work and its end.", no_args_is_help=True, rich_markup_mode=None)


def mount(app: typer.Typer) -> None:
    """Put all commands below `novacron`."""
    for name, group in (("vm", vm), ("host", host), ("image", image), ("op", op)):
        app.add_typer(group, name=name)
    for command in (login, logout, events, doctor):
        app.command()(command)
    storage_commands.mount(app, image)
    for verb, does in _POWER:
        vm.command(verb, help=does)(_power)


def login(
    context: typer.Context,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
    user: Annotated[str, typer.Option("--user", "-u", envvar="NOVACRON_USER", help="Who signs in.")] = "",
    certificate: Annotated[
        str, typer.Option(help="SHA-256 fingerprint of the server's certificate, where no authority vouches for it.")
    ] = "",
) -> None:
    """Sign in and keep the session. The password is asked for, or is the first line of stdin."""
    import asyncio

    from novacron_tui.cli.runtime.connect import any_server
    from novacron_tui.cli.sign_in import login
    from novacron_tui.servers.profiles import Profiles

    profiles = Profiles()
    target = any_server(named(context), profiles)
    asyncio.run(login(target, profiles, username=user, certificate=certificate))


def logout(context: typer.Context, server: ServerFlag = "", profile: ProfileFlag = "") -> None:
    """End the kept session, for every console and script that shares it."""
    import asyncio

    from novacron_tui.cli.runtime.connect import any_server
    from novacron_tui.cli.sign_in import logout
    from novacron_tui.servers.profiles import Profiles

    asyncio.run(logout(any_server(named(context), Profiles())))


def events(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on for ever; events are always watched.")] = True,
    after: Annotated[int | None, typer.Option(min=0, help="Begin after the event of this number.")] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0 never.")] = 0,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Everything that happens, as it happens, a line each."""
    from novacron_tui.cli import events as work

    called(context, output, lambda client: work.watch(client, output, after=after, count=count))


def doctor(context: typer.Context, output: OutputFlag = Output.TABLE) -> None:
    """What this machine has and lacks to run VMs, and the line that mends it."""
    from novacron_tui.cli.doctor import doctor
    from novacron_tui.cli.doctor_checks import Machine

    data_dir = context.find_root().params.get("data_dir")
    raise typer.Exit(doctor(output, Machine(data_dir=data_dir) if data_dir else Machine()))


@vm.command("ls")
def vm_ls(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text, like state:running.")
    ] = None,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """List VMs."""
    from novacron_tui.cli import lists

    called(context, output, lambda client: lists.vm_ls(client, output, " ".join(words or ())))


@vm.command("show")
def vm_show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A VM, by name or id.")],
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Show one VM."""
    from novacron_tui.cli import lists

    called(context, output, lambda client: lists.vm_show(client, output, name))


_POWER = (
    ("start", "Start VMs."),
    ("stop", "Ask guests to shut down, and wait until they have."),
    ("power-off", "Pull the plug: what a guest has not written is lost."),
    ("pause", "Hold the processors of VMs."),
    ("resume", "Let paused VMs go on."),
    ("restart", "Ask guests to restart."),
    ("reset", "Press the reset button: what a guest has not written is lost."),
)


def _power(
    context: typer.Context,
    names: Names,
    no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    from novacron_tui.cli import changes

    verb = context.info_name or ""
    called(context, output, lambda client: changes.act(client, output, verb, names, wait=not no_wait))


@vm.command("delete")
def vm_delete(
    context: typer.Context,
    names: Names,
    disks: Annotated[bool, typer.Option("--disks", help="Delete their own disks too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Delete VMs that are off. Without --yes it asks."""
    from novacron_tui.cli import changes

    called(
        context,
        output,
        lambda client: changes.delete(client, output, names, disks=disks, sure=yes, wait=not no_wait),
    )


@vm.command("create")
def vm_create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Its name.")],
    image: Annotated[str, typer.Option(help="The image its first disk is copied from.")],
    vcpus: Annotated[int, typer.Option(help="Processors.")] = 1,
    memory: Annotated[str, typer.Option(help="Like 512M or 2GiB.")] = "256M",
    disk: Annotated[str, typer.Option(help="Size of the disk; without it the image's own.")] = "",
    tier: Annotated[str, typer.Option(help="Where its disk goes: hot, warm or cold.")] = "hot",
    on_host: Annotated[str, typer.Option("--host", help="A host, by name or id; without it the server chooses.")] = "",
    network: Annotated[str, typer.Option(help="A network, or `user`.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="key=value; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    no_start: Annotated[bool, typer.Option("--no-start", help="Leave it off.")] = False,
    no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Create a VM from an image."""
    from novacron_tui.cli import changes, drafts

    body = drafts.vm(
        name=name, image=image, vcpus=vcpus, memory=memory, disk=disk, tier=tier, host=on_host,
        network=network, tags=tag or [], description=description, start=not no_start,
    )  # fmt: skip
    called(context, output, lambda client: changes.create(client, output, body, wait=not no_wait))


@host.command("ls")
def host_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List hosts."""
    from novacron_tui.cli import lists

    called(context, output, lambda client: lists.host_ls(client, output))


@image.command("ls")
def image_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List images."""
    from novacron_tui.cli import lists

    called(context, output, lambda client: lists.image_ls(client, output))


@op.command("ls")
def op_ls(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text.")] = None,
    at_most: Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0 all.")] = 50,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """List operations, the newest first."""
    from novacron_tui.cli import lists

    called(context, output, lambda client: lists.op_ls(client, output, " ".join(words or ()), at_most))
