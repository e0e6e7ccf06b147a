"""Opens the console with the chosen server: the bundled one, or one given by URL or profile."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from novacron_tui.servers.server_choice import ServerChoice
    from novacron_tui.servers.server_ref import ServerRef

    OpenServer = Callable[[], Awaitable[ServerRef]]


def open_console(choice: ServerChoice, hypervisors: list[str], theme: str, ascii_only: bool | None) -> None:
    """Run the console until it exits. Raises what `run_console` raises."""
    remote = bool(choice.server or choice.profile)
    open_server = _open_remote(choice) if remote else _open_bundled(choice, hypervisors)
    run_console(open_server, theme, ascii_only, token=choice.token)


def open_demo(vms: int, theme: str, ascii_only: bool | None) -> None:
    """Run the console on a simulated fleet, and remove that afterwards. Raises what `run_console` raises."""
    from novacron_tui.servers.demo import Demo

    demo = Demo(vms)
    try:
        run_console(demo.open, theme, ascii_only)
    finally:
        with suppress(OSError):  # the terminal may be closed
            print("Removing the simulated fleet", file=sys.stderr, flush=True)
        demo.close()


def run_console(open_server: OpenServer, theme: str, ascii_only: bool | None, *, token: str = "") -> None:
    """Run the console until it exits. Without `ascii_only` the terminal decides. Raises UsageError on a terminal that
    cannot show it, ValueError, listing the choices, for an unknown theme, and ReportedCrash after an internal error."""
    from novacron_tui.terminal.capabilities import needs_ascii, why_not_drawable

    if (sentence := why_not_drawable()) is not None:
        from novacron_tui.cli.runtime.exit_codes import UsageError

        raise UsageError(sentence)
    from novacron_tui.app import Console
    from novacron_tui.terminal import themes

    if ascii_only is None:
        ascii_only = needs_ascii(sys.__stderr__)  # Textual draws there
    full_name = themes.resolve_theme(theme) if theme else ""
    app = Console(open_server, token=token, theme=full_name, ascii=ascii_only)
    app.run()
    if app.fault is not None:
        from novacron_tui.startup.crash_report import write_crash_report

        raise write_crash_report(app.fault) from app.fault


def _open_bundled(choice: ServerChoice, hypervisors: list[str]) -> OpenServer:
    """Opens the bundled server of this machine. Imports are delayed until after the first paint."""

    async def open_server() -> ServerRef:
        from novacron_core.local_server import default_data_dir
        from novacron_tui.servers.bundled import Bundled
        from novacron_tui.servers.server_choice import READ_ONLY

        arguments = tuple(word for uri in hypervisors for word in ("--hypervisor", uri))
        server = await Bundled(choice.data_dir or default_data_dir(), arguments).open()
        return replace(server, read_only=READ_ONLY) if choice.read_only else server

    return open_server


def _open_remote(choice: ServerChoice) -> OpenServer:
    """Opens the server given by URL or profile."""
    from novacron_tui.cli import remote_server
    from novacron_tui.servers.profiles import LOCAL

    local = choice.profile == LOCAL and not (choice.server and choice.server_meant)
    return _open_bundled(choice, []) if local else remote_server.place(choice)
