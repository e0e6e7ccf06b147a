"""The command that prints a VM's console log; its code is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import NoWaitFlag, OutputFlag, ProfileFlag, ServerFlag, run_with_client
from novacron_tui.cli.runtime.output import Output

_Name = Annotated[str, typer.Argument(help="VM name or id.", autocompletion=completion.vm_names)]


def mount(vm: typer.Typer) -> None:
    """Add them to the VM commands."""
    vm.command("log")(log)
    vm.command("set-up-console")(set_up_console)


def log(
    context: typer.Context,
    name: _Name,
    boot: Annotated[bool, typer.Option("--boot", help="Only since the guest booted last.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what the guest prints, until Ctrl+C.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="As the guest printed it, to a file or a pipe only.")] = False,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Print what a VM has printed on its serial console."""
    from novacron_tui.cli import console_logs

    run_with_client(context, lambda client: console_logs.show(client, name, boot=boot, follow=follow, raw=raw))


def set_up_console(
    context: typer.Context,
    name: _Name,
    no_wait: NoWaitFlag = False,
    output: OutputFlag = Output.TABLE,
    server: ServerFlag = "",
    profile: ProfileFlag = "",
) -> None:
    """Give a VM a serial console that is logged, from its next start on."""
    from novacron_tui.cli import console_logs

    run_with_client(context, lambda client: console_logs.set_up(client, output, name, wait=not no_wait))
