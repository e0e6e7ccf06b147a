"""The full command line of `novacron`, built with typer. The plain console starts in `start`, without loading typer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import CompletionItem, TyperCommand  # type: ignore[attr-defined]  # a name of click's, for all shells

from novacron_core import __version__
from novacron_tui.cli import commands
from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.args import ProfileFlag
from novacron_tui.cli.runtime.exit_codes import exit_code_of_run
from novacron_tui.cli.serve_flags import SERVE_FLAGS
from novacron_tui.startup.launch import open_console, open_demo

_HELP = "The terminal control room for virtual machines. Opens the console when no command is given."
MAX_VMS = 2000
app = typer.Typer(
    help=_HELP,
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"novacron {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def console(
    context: typer.Context,
    server: Annotated[
        str, typer.Option(envvar="NOVACRON_SERVER", help="Server URL. Default: the bundled server.")
    ] = "",
    profile: ProfileFlag = "",
    token: Annotated[
        str, typer.Option(envvar="NOVACRON_TOKEN", help="Sign in with this token.", show_envvar=True)
    ] = "",
    data_dir: Annotated[
        Path | None, typer.Option(envvar="NOVACRON_DATA_DIR", help="Data directory of the bundled server.")
    ] = None,
    hypervisor: Annotated[
        list[str] | None,
        typer.Option(envvar="NOVACRON_HYPERVISOR", help="libvirt URI for the bundled server; may be repeated."),
    ] = None,
    theme: Annotated[
        str,
        typer.Option(
            envvar="NOVACRON_THEME",
            help="Theme: dark, light, contrast, colour-blind or mono.",
            autocompletion=completion.theme_names,
        ),
    ] = "",
    ascii_only: Annotated[
        bool | None,
        typer.Option(
            "--ascii/--no-ascii",
            envvar="NOVACRON_ASCII",
            help="Draw with ASCII characters only. Default: where the locale or the terminal has no others.",
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", envvar="NOVACRON_READ_ONLY", help="Refuse all changes from this console."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Open the console."""
    if context.invoked_subcommand is not None:
        return
    _require_terminal()
    from novacron_tui.cli.runtime.choice import chosen_server

    try:
        open_console(chosen_server(context), hypervisor or [], theme, ascii_only)
    except ValueError as e:
        typer.echo(f"novacron: --theme: {e}", err=True)
        raise typer.Exit(2) from e


def _require_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        typer.echo("novacron: the console needs a terminal; run `novacron --help` to list the commands", err=True)
        raise typer.Exit(2)


class _Serve(TyperCommand):
    """`novacron serve`, which passes its flags on unparsed, and completes them."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        found = {flag: text for flag, text in SERVE_FLAGS.items() if flag.startswith(incomplete)}
        return [CompletionItem(flag, help=text) for flag, text in found.items()]


@app.command(
    cls=_Serve,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    help="Run the server without a console (see `novacron serve --help` for its flags).",
)
def serve(context: typer.Context) -> None:
    """Replace this process with the server; the console never imports the server's code."""
    from novacron_tui.servers.bundled import is_installed

    if not is_installed():
        typer.echo("novacron: the server is not installed. Run: pip install 'novacron[server]'", err=True)
        raise typer.Exit(1)
    os.execv(sys.executable, [sys.executable, "-m", "novacron_server", *context.args])  # noqa: S606 - replacing the process is intended


@app.command()
def demo(
    context: typer.Context,
    vms: Annotated[int, typer.Option("--vms", min=1, max=MAX_VMS, metavar="N", help="Number of VMs.")] = 200,
) -> None:
    """Open the console on a simulated fleet that is removed on exit. Needs no libvirt daemon and no QEMU."""
    root = context.find_root()
    for name in ("server", "profile", "token", "data_dir", "hypervisor"):
        source = root.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            flag = name.replace("_", "-")
            typer.echo(f"novacron: --{flag} cannot be used with demo, which has a server of its own", err=True)
            raise typer.Exit(2)
    _require_terminal()
    flags = root.params
    try:
        open_demo(vms, flags["theme"], flags["ascii_only"])
    except ValueError as e:
        typer.echo(f"novacron: --theme: {e}", err=True)
        raise typer.Exit(2) from e


commands.mount(app)


def main() -> None:
    """Entry point of the `novacron` script."""
    sys.exit(exit_code_of_run(lambda: app(prog_name="novacron", standalone_mode=False)))


if __name__ == "__main__":
    main()
