"""Every command with its flags. The code of a command is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from novacron_tui.cli import (
    access_commands,
    audit_commands,
    console_log_commands,
    ownership_commands,
    people_commands,
    storage_commands,
    tenant_commands,
    tiering_commands,
)
from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import (
    Names,
    NoWaitFlag,
    OutputFlag,
    ProfileFlag,
    ServerFlag,
    run_with_client,
)
from novacron_tui.cli.runtime.choice import chosen_server
from novacron_tui.cli.runtime.output import Output

vm = typer.Typer(help="Manage VMs.", no_args_is_help=True, rich_markup_mode=None)
host = typer.Typer(help="List hosts.", no_args_is_help=True, rich_markup_mode=None)
image = typer.Typer(help="Manage images.", no_args_is_help=True, rich_markup_mode=None)
op = typer.Typer(help="List and cancel operations.", no_args_is_help=True, rich_markup_mode=None)


def mount(app: typer.Typer) -> None:
    """Add all commands to `novacron`."""
    for name, group in (("vm", vm), ("host", host), ("image", image), ("op", op)):
        app.add_typer(group, name=name)
    for command in (login, logout, console, events, doctor):
        app.command()(command)
    storage_commands.mount(app, image)
    tiering_commands.mount(app)
    ownership_commands.mount(app, vm, storage_commands.volume)
    console_log_commands.mount(vm)
    people_commands.mount(app)
    tenant_commands.mount(app)
    access_commands.mount(app)
    audit_commands.mount(app)
    for verb, help_text in _POWER:
        vm.command(verb, help=help_text)(_power)


def login(
    context: typer.Context,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
    user: Annotated[str, typer.Option("--user", "-u", envvar="NOVACRON_USER", help="User name.")] = "",
    certificate: Annotated[
        str, typer.Option(help="SHA-256 fingerprint of the server's certificate, if it is self-signed.")
    ] = "",
) -> None:
    """Sign in and save the session. Prompts for the password, or reads it from the first line of stdin.

    An account with a second factor is asked for a code, or it is read from the second line."""
    from novacron_tui.cli.runtime.connect import resolve_server
    from novacron_tui.cli.sign_in import login
    from novacron_tui.servers.profiles import Profiles

    profiles = Profiles()
    target = resolve_server(chosen_server(context), profiles)
    login(target, profiles, username=user, certificate=certificate)


def logout(context: typer.Context, server: ServerFlag = "", profile: ProfileFlag = "") -> None:
    """End the saved session for every console and script that shares it."""
    import asyncio

    from novacron_tui.cli.runtime.connect import resolve_server
    from novacron_tui.cli.sign_in import logout
    from novacron_tui.servers.profiles import Profiles

    asyncio.run(logout(resolve_server(chosen_server(context), Profiles())))


def console(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="VM name or id.", autocompletion=completion.vm_names)],
    read_only: Annotated[bool, typer.Option("--read-only", help="Type nothing into the guest.")] = False,
    take_over: Annotated[bool, typer.Option("--take-over", help="Type instead of somebody who types now.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take the console from another program, such as virsh console.")
    ] = False,
    send_size: Annotated[
        bool, typer.Option("--send-size", help="Type `stty rows … cols …` first: a serial line carries no size.")
    ] = False,
    log: Annotated[Path | None, typer.Option("--log", help="Append what is printed to this file.")] = None,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Open the serial console of a VM in this terminal. Ctrl+] leaves it; pressed twice it is typed.

    NOVACRON_DETACH_KEY sets another key, like ctrl+a. With piped input it types that, and ends when the guest is quiet."""
    from novacron_tui.cli import raw_console

    options = raw_console.ConsoleOptions(
        read_only=read_only, take_over=take_over, force=force, send_size=send_size, log=log
    )
    run_with_client(context, lambda client: raw_console.run(client, name, options))


def events(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stream new events (the default without a flag of a list).")
    ] = False,
    since: Annotated[str, typer.Option(help="List stored events since a time: 8h, 22:00, 2026-11-26T22:00.")] = "",
    until: Annotated[str, typer.Option(help="List stored events before a time.")] = "",
    q: Annotated[str, typer.Option("--filter", help="List stored events that match, e.g. state:failed.")] = "",
    every: Annotated[
        bool, typer.Option("--all", help="List also events that only refresh or report progress.")
    ] = False,
    after: Annotated[int | None, typer.Option(min=0, help="Start after this event number.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Stop after N events; 0 = never.")] = 0,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Stream events, one per line, or list those of the last 30 days, newest first."""
    from novacron_tui.cli import events as event_stream

    lists = bool(since or until or q or every)
    if lists and (watch or after is not None):
        given = "--watch" if watch else "--after"
        raise typer.BadParameter(f"{given} streams events: leave it out, or leave out the flags of a list")
    if lists:
        chosen = event_stream.Range(since=since, until=until, q=q, every=every)
        run_with_client(context, lambda client: event_stream.list_stored(client, output, chosen, at_most=count))
    else:
        run_with_client(context, lambda client: event_stream.watch(client, output, after=after, count=count))


def doctor(context: typer.Context, output: OutputFlag = Output.TABLE) -> None:
    """Check whether this machine can run VMs, and how to fix what is missing."""
    from novacron_tui.cli.doctor import doctor
    from novacron_tui.cli.doctor_checks import Machine

    data_dir = context.find_root().params.get("data_dir")
    raise typer.Exit(doctor(output, Machine(data_dir=data_dir) if data_dir else Machine()))


@vm.command("ls")
def vm_ls(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text, e.g. state:running.")
    ] = None,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """List VMs."""
    from novacron_tui.cli import lists

    run_with_client(context, lambda client: lists.vm_ls(client, output, " ".join(words or ())))


@vm.command("show")
def vm_show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="VM name or id.", autocompletion=completion.vm_names)],
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Show one VM."""
    from novacron_tui.cli import lists

    run_with_client(context, lambda client: lists.vm_show(client, output, name))


_POWER = (
    ("start", "Start VMs."),
    ("power-off", "Power off VMs immediately (unsaved guest data is lost)."),
    ("pause", "Pause VMs."),
    ("resume", "Resume paused VMs."),
    ("restart", "Restart VMs: ask the guest to reboot."),
    ("discard-saved", "Discard the saved memory of VMs: they start afresh (unsaved guest data is lost)."),
    ("acknowledge", "Acknowledge the crashes of VMs: they are shown as stopped."),
    ("reset", "Hard-reset VMs (unsaved guest data is lost)."),
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
    run_with_client(context, lambda client: changes.act(client, output, verb, names, wait=not no_wait))


@vm.command("stop")
def vm_stop(
    context: typer.Context,
    names: Names,
    force_after: Annotated[
        int | None,
        typer.Option(
            min=1, max=3600, metavar="SECONDS", help="Power off a VM that is not off by then (unsaved data is lost)."
        ),
    ] = None,
    no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Shut down VMs: ask the guest, and wait until it is off."""
    from novacron_tui.cli import changes

    run_with_client(
        context,
        lambda client: changes.act(client, output, "stop", names, wait=not no_wait, force_after_s=force_after),
    )


@vm.command("delete")
def vm_delete(
    context: typer.Context,
    names: Names,
    disks: Annotated[bool, typer.Option("--disks", help="Also delete the VMs' own disks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Delete VMs that are off. Asks for confirmation unless --yes is given."""
    from novacron_tui.cli import changes

    run_with_client(
        context,
        lambda client: changes.delete(client, output, names, disks=disks, sure=yes, wait=not no_wait),
    )


@vm.command("create")
def vm_create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="VM name.")],
    image: Annotated[
        str, typer.Option(help="Image to copy the first disk from.", autocompletion=completion.image_names)
    ],
    vcpus: Annotated[int, typer.Option(help="Number of vCPUs.")] = 1,
    memory: Annotated[str, typer.Option(help="Memory size, e.g. 512M or 2GiB.")] = "256M",
    disk: Annotated[str, typer.Option(help="Disk size, e.g. 20G. Default: the size of the image.")] = "",
    tier: Annotated[
        str,
        typer.Option(help="Storage tier of the disk: hot, warm or cold.", autocompletion=completion.tier_names),
    ] = "hot",
    on_host: Annotated[
        str,
        typer.Option(
            "--host", help="Host name or id. Default: chosen by the server.", autocompletion=completion.host_names
        ),
    ] = "",
    network: Annotated[str, typer.Option(help="libvirt network, or `user` for outbound-only NAT.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Tag as key=value; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="Free-text description.")] = "",
    no_start: Annotated[bool, typer.Option("--no-start", help="Do not start the VM after creation.")] = False,
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
    run_with_client(context, lambda client: changes.create(client, output, body, wait=not no_wait))


@host.command("ls")
def host_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List hosts."""
    from novacron_tui.cli import lists

    run_with_client(context, lambda client: lists.host_ls(client, output))


@image.command("ls")
def image_ls(
    context: typer.Context, output: OutputFlag = Output.TABLE, server: ServerFlag = "", profile: ProfileFlag = ""
) -> None:
    """List images."""
    from novacron_tui.cli import lists

    run_with_client(context, lambda client: lists.image_ls(client, output))


@op.command("ls")
def op_ls(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[FILTER]", help="Filter text.")] = None,
    at_most: Annotated[int, typer.Option("--limit", min=0, help="Show only the newest N; 0 = all.")] = 50,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """List operations, newest first."""
    from novacron_tui.cli import lists

    run_with_client(context, lambda client: lists.op_ls(client, output, " ".join(words or ()), at_most))


@op.command("cancel")
def op_cancel(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(metavar="ID", help="Operation id, as `op ls` lists it.")],
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Cancel an operation. Of one on several VMs, stop the VMs that have not begun."""
    from novacron_tui.cli import bulk

    run_with_client(context, lambda client: bulk.cancel(client, operation))
