"""`novacron serve` / `python -m novacron_server`: the server's command line."""

from __future__ import annotations

import asyncio
import signal
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.exceptions

from novacron_core import errors
from novacron_core.local_server import default_data_dir
from novacron_server.runtime.listening import check_certificate, parse_host
from novacron_server.runtime.settings import Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_V = "NOVACRON_"


def _defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Load the settings file as defaults, with keys named like the flags; flags and variables override it."""
    if path is not None:
        try:
            context.default_map = {k.replace("-", "_"): v for k, v in tomllib.loads(path.read_text()).items()}
        except (OSError, tomllib.TOMLDecodeError) as e:
            raise typer.BadParameter(f"cannot read {path}: {e}") from e
    return path


@app.command()
def serve(
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            envvar=_V + "SETTINGS",
            callback=_defaults,
            is_eager=True,
            help="TOML file with these flags as keys.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(envvar=_V + "HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar=_V + "PORT", min=0, max=65535, help="Port to listen on; 0 = any free port.")
    ] = 8090,
    data_dir: Annotated[Path | None, typer.Option(envvar=_V + "DATA_DIR", help="Data directory.")] = None,
    database_url: Annotated[
        str, typer.Option(envvar=_V + "DATABASE_URL", help="PostgreSQL URL. Default: an embedded PostgreSQL.")
    ] = "",
    database_owner_url: Annotated[
        str,
        typer.Option(envvar=_V + "DATABASE_OWNER_URL", help="URL with the role that may change tables, if different."),
    ] = "",
    database_budget_s: Annotated[
        float, typer.Option(envvar=_V + "DATABASE_BUDGET_S", min=0.5, help="Time limit of a transaction in seconds.")
    ] = 2.2,
    hypervisor: Annotated[
        list[str] | None,
        typer.Option(envvar=_V + "HYPERVISOR", help="libvirt URI; may be repeated. Default: automatic."),
    ] = None,
    virtualization: Annotated[
        str, typer.Option(envvar=_V + "VIRTUALIZATION", help="Override the detection of KVM: kvm or qemu.")
    ] = "",
    tls_cert: Annotated[Path | None, typer.Option(envvar=_V + "TLS_CERT", help="TLS certificate (PEM file).")] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar=_V + "TLS_KEY", help="TLS private key (PEM file).")] = None,
    behind_proxy: Annotated[
        str, typer.Option(envvar=_V + "BEHIND_PROXY", help="Addresses or networks of a proxy that terminates TLS.")
    ] = "",
    origin: Annotated[
        list[str] | None, typer.Option(envvar=_V + "ORIGIN", help="Browser origin to allow; may be repeated.")
    ] = None,
    open_registration: Annotated[
        bool, typer.Option(envvar=_V + "OPEN_REGISTRATION", help="Allow anyone to register as viewer.")
    ] = False,
    production: Annotated[bool, typer.Option(envvar=_V + "PRODUCTION", help="Disable test-only features.")] = False,
    bundled: Annotated[bool, typer.Option(hidden=True)] = False,
    idle_stop_s: Annotated[float, typer.Option(hidden=True, envvar=_V + "IDLE_STOP_S")] = 30.0,
    requests_per_minute: Annotated[
        int, typer.Option(envvar=_V + "REQUESTS_PER_MINUTE", help="Requests per minute per client address.")
    ] = 6000,
    sign_ins_per_minute: Annotated[
        int, typer.Option(envvar=_V + "SIGN_INS_PER_MINUTE", help="Sign-ins per minute per client address.")
    ] = 60,
    prometheus: Annotated[
        str,
        typer.Option(
            envvar=_V + "PROMETHEUS",
            help="Who may scrape /metrics: loopback, token (see the file metrics-token) or off.",
        ),
    ] = "loopback",
    samples_kept_hours: Annotated[
        int, typer.Option(envvar=_V + "SAMPLES_KEPT_HOURS", min=2, help="Hours to keep metric samples.")
    ] = 24,
    minutes_kept_days: Annotated[
        int, typer.Option(envvar=_V + "MINUTES_KEPT_DAYS", min=1, help="Days to keep metrics per minute.")
    ] = 14,
    sockets_per_minute: Annotated[
        int, typer.Option(envvar=_V + "SOCKETS_PER_MINUTE", help="WebSocket connections per minute per client address.")
    ] = 60,
    unfinished_connections: Annotated[
        int,
        typer.Option(envvar=_V + "UNFINISHED_CONNECTIONS", min=1, help="Connections per address without a request."),
    ] = 100,
) -> None:
    """Run the NovaCron server, which manages libvirt and PostgreSQL and serves consoles and scripts."""
    values: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("settings_file", "hypervisor", "origin")}
    _run(values, tuple(hypervisor or ()), tuple(origin or ()))


def _run(values: dict[str, Any], hypervisors: tuple[str, ...], origins: tuple[str, ...]) -> None:
    from novacron_server.operations.failpoints import active

    values["data_dir"] = (values["data_dir"] or default_data_dir()).absolute()
    try:
        values["host"] = parse_host(values["host"])
        settings = Settings(**values, hypervisors=hypervisors, origins=origins, failpoints=active())
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
