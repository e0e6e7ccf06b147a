"""Opens the console on the server that is meant: the bundled one, or one that a URL or a profile names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from novacron_tui.servers.server_choice import ServerChoice
    from novacron_tui.servers.server_ref import ServerRef

    OpenPlace = Callable[[], Awaitable[ServerRef]]


def open_console(named: ServerChoice, hypervisors: list[str], theme: str, ascii_only: bool) -> None:
    """Run the console until the operator leaves. Raises ValueError, listing the choices, for a theme that is not there, and
    Fault when the console itself failed."""
    from novacron_tui.app import Console
    from novacron_tui.terminal import themes

    full_name = themes.named(theme) if theme else ""
    open_place = _far(named) if named.server or named.profile else _here(named.data_dir, hypervisors)
    app = Console(open_place, token=named.token, theme=full_name, ascii=ascii_only)
    app.run()
    if app.fault is not None:
        from novacron_tui.startup.crash_report import write_crash_report

        raise write_crash_report(app.fault) from app.fault


def _here(data_dir: Path | None, hypervisors: list[str]) -> OpenPlace:
    """The bundled server of this machine. What finds it is imported behind the first paint."""

    async def open_place() -> ServerRef:
        from novacron_core.local_server import default_data_dir
        from novacron_tui.servers.bundled import Bundled

        arguments = tuple(word for uri in hypervisors for word in ("--hypervisor", uri))
        return await Bundled(data_dir or default_data_dir(), arguments).open()

    return open_place


def _far(named: ServerChoice) -> OpenPlace:
    """The server that a URL or a profile names."""
    from novacron_tui.cli import remote_server
    from novacron_tui.servers.profiles import LOCAL

    local = named.profile == LOCAL and not (named.server and named.server_meant)
    return _here(named.data_dir, []) if local else remote_server.place(named)
