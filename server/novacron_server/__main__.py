"""`novacron serve` / `python -m novacron_server`: the server's command line."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import typer
import typer.exceptions

from novacron_core import errors
from novacron_core.local_server import default_data_dir
from novacron_server.runtime import flags
from novacron_server.runtime.listening import check_certificate, parse_host
from novacron_server.runtime.settings import Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def serve(
    settings_file: flags.SettingsFile = None,
    host: flags.Host = "127.0.0.1",
    port: flags.Port = 8090,
    data_dir: flags.DataDir = None,
    database_url: flags.DatabaseUrl = None,
    database_owner_url: flags.DatabaseOwnerUrl = None,
    database_budget_s: flags.DatabaseBudgetS = 2.2,
    database_connections: flags.DatabaseConnections = 16,
    hypervisor: flags.Hypervisor = None,
    virtualization: flags.Virtualization = "",
    tls_cert: flags.TlsCert = None,
    tls_key: flags.TlsKey = None,
    behind_proxy: flags.BehindProxy = "",
    origin: flags.Origin = None,
    allowed_host: flags.AllowedHost = None,
    open_registration: flags.OpenRegistration = False,
    production: flags.Production = False,
    bundled: flags.Bundled = False,
    idle_stop_s: flags.IdleStopS = 30.0,
    simulated_vms: flags.SimulatedVms = 0,
    requests_per_minute: flags.RequestsPerMinute = 6000,
    sign_ins_per_minute: flags.SignInsPerMinute = 60,
    prometheus: flags.Prometheus = "token",
    samples_kept_hours: flags.SamplesKeptHours = 24,
    minutes_kept_days: flags.MinutesKeptDays = 14,
    heat_kept_days: flags.HeatKeptDays = 90,
    audit_kept_days: flags.AuditKeptDays = 365,
    sockets_per_minute: flags.SocketsPerMinute = 60,
    unfinished_connections: flags.UnfinishedConnections = 100,
    idle_connections: flags.IdleConnections = 200,
    sockets_per_session: flags.SocketsPerSession = 32,
    sessions_per_user: flags.SessionsPerUser = 64,
    session_idle_hours: flags.SessionIdleHours = 12,
    max_virtual_size_gib: flags.MaxVirtualSizeGib = 65536,
) -> None:
    """Run the NovaCron server, which manages libvirt and PostgreSQL and serves consoles and scripts."""
    values: dict[str, Any] = dict(locals())
    del values["settings_file"]
    for flag, field in (("hypervisor", "hypervisors"), ("origin", "origins"), ("allowed_host", "allowed_hosts")):
        values[field] = tuple(values.pop(flag) or ())
    _run(values)


def _run(values: dict[str, Any]) -> None:
    from novacron_server.operations.failpoints import active
    from novacron_server.tiering.clock import speed

    values["data_dir"] = (values["data_dir"] or default_data_dir()).absolute()
    try:
        values["host"] = parse_host(values["host"])
        settings = Settings(**values, failpoints=active(), heat_speed=speed())
        settings.check()
        if settings.tls_cert and settings.tls_key:
            check_certificate(settings.tls_cert, settings.tls_key)
    except errors.InvalidArgument as e:
        typer.echo(f"novacron serve: {e.detail}", err=True)
        raise typer.Exit(2) from e
    import uvloop

    from novacron_server.runtime.server import run

    terminated: list[int] = []

    def terminate(number: int, _frame: object) -> None:
        """End like Ctrl+C, which unwinds: uvicorn alone would end its part and let SIGTERM kill the rest."""
        terminated.append(number)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, terminate)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            sys.exit(runner.run(run(settings)))
        except KeyboardInterrupt:
            if not terminated:
                raise
            sys.exit(0)


def main() -> None:
    """Run the command line. A usage error is printed in one line, like by every `novacron` command: typer would print
    several, and a console that starts this server would only show the last of them."""
    try:
        sys.exit(app(prog_name="novacron serve", standalone_mode=False))
    except typer.exceptions.TyperException as e:
        message = " ".join(e.format_message().split()).rstrip(".")
        typer.echo(f"novacron serve: {message} (see `novacron serve --help`)", err=True)
        sys.exit(2)
    except typer.exceptions.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
