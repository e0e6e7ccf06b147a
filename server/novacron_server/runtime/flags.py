"""The flags of `novacron serve`, and what their NOVACRON_* variables and the settings file mean.

Each flag is a field of `Settings`, except for the settings file.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import typer

_V = "NOVACRON_"
_Value = TypeVar("_Value")
_SWITCHES = ("open_registration", "production", "bundled")


def _defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Load the settings file as defaults, with keys named like the flags; flags and variables override it."""
    if path is not None:
        try:
            if not path.is_file():  # a pipe would wait for its writer, a device has no end
                raise typer.BadParameter(f"cannot read {path}: it is not a file")
            given = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
            raise typer.BadParameter(f"cannot read {path}: {e}") from e
        known = {parameter.name for parameter in context.command.params}
        for key in given:
            if key.replace("-", "_") not in known:  # a misspelt flag would silently keep its default
                raise typer.BadParameter(f"{path} has the key {key!r}, which is no flag of novacron serve")
        context.default_map = {key.replace("-", "_"): _fitting(key, value) for key, value in given.items()}
    return path


def _fitting(key: str, value: object) -> object:
    """A value of the settings file as its flag takes it: one text is a list of one."""
    if key in ("hypervisor", "origin", "allowed-host", "allowed_host") and isinstance(value, str):
        return [value]
    if key.replace("-", "_") not in _SWITCHES and isinstance(value, bool):
        raise typer.BadParameter(f"{key} = {str(value).lower()}: this flag is no switch")
    return value


def _refuse_empty(parameter: typer.CallbackParam, value: _Value) -> _Value:
    """Refuse a variable that is set and empty: typer takes it for unset, and another database would be served."""
    variable = str(parameter.envvar)
    if value is None and os.environ.get(variable) == "":
        raise typer.BadParameter(f"{variable} is empty: give it a value, or unset it")
    return value


SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        envvar=_V + "SETTINGS",
        callback=_defaults,
        is_eager=True,
        help="TOML file with these flags as keys.",
    ),
]
Host = Annotated[str, typer.Option(envvar=_V + "HOST", help="Address to listen on.")]
Port = Annotated[int, typer.Option(envvar=_V + "PORT", min=0, max=65535, help="Port to listen on; 0 = any free port.")]
DataDir = Annotated[Path | None, typer.Option(envvar=_V + "DATA_DIR", callback=_refuse_empty, help="Data directory.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar=_V + "DATABASE_URL", callback=_refuse_empty, help="PostgreSQL URL. Default: an embedded PostgreSQL."
    ),
]
DatabaseOwnerUrl = Annotated[
    str | None,
    typer.Option(
        envvar=_V + "DATABASE_OWNER_URL",
        callback=_refuse_empty,
        help="URL with the role that may change tables, if different.",
    ),
]
DatabaseBudgetS = Annotated[
    float, typer.Option(envvar=_V + "DATABASE_BUDGET_S", min=0.5, help="Time limit of a transaction in seconds.")
]
Hypervisor = Annotated[
    list[str] | None,
    typer.Option(envvar=_V + "HYPERVISOR", help="libvirt URI; may be repeated. Default: automatic."),
]
Virtualization = Annotated[
    str, typer.Option(envvar=_V + "VIRTUALIZATION", help="Override the detection of KVM: kvm or qemu.")
]
TlsCert = Annotated[Path | None, typer.Option(envvar=_V + "TLS_CERT", help="TLS certificate (PEM file).")]
TlsKey = Annotated[Path | None, typer.Option(envvar=_V + "TLS_KEY", help="TLS private key (PEM file).")]
BehindProxy = Annotated[
    str, typer.Option(envvar=_V + "BEHIND_PROXY", help="Addresses or networks of a proxy that terminates TLS.")
]
Origin = Annotated[
    list[str] | None, typer.Option(envvar=_V + "ORIGIN", help="Browser origin to allow; may be repeated.")
]
OpenRegistration = Annotated[
    bool, typer.Option(envvar=_V + "OPEN_REGISTRATION", help="Allow anyone to register as viewer.")
]
Production = Annotated[bool, typer.Option(envvar=_V + "PRODUCTION", help="Disable test-only features.")]
Bundled = Annotated[bool, typer.Option(hidden=True)]
IdleStopS = Annotated[float, typer.Option(hidden=True, envvar=_V + "IDLE_STOP_S")]
SimulatedVms = Annotated[int, typer.Option(hidden=True)]
RequestsPerMinute = Annotated[
    int, typer.Option(envvar=_V + "REQUESTS_PER_MINUTE", help="Requests per minute per client address.")
]
SignInsPerMinute = Annotated[
    int,
    typer.Option(
        envvar=_V + "SIGN_INS_PER_MINUTE",
        help="Sign-ins per minute per client address, not counting accounts that have signed in from it before.",
    ),
]
Prometheus = Annotated[
    str,
    typer.Option(
        envvar=_V + "PROMETHEUS",
        help="Who may scrape /metrics: token (see the file metrics-token), loopback (also this machine) or off.",
    ),
]
SamplesKeptHours = Annotated[
    int, typer.Option(envvar=_V + "SAMPLES_KEPT_HOURS", min=2, help="Hours to keep metric samples.")
]
MinutesKeptDays = Annotated[
    int, typer.Option(envvar=_V + "MINUTES_KEPT_DAYS", min=1, help="Days to keep metrics per minute.")
]
HeatKeptDays = Annotated[
    int, typer.Option(envvar=_V + "HEAT_KEPT_DAYS", min=2, help="Days to keep the heat of volumes per hour.")
]
AuditKeptDays = Annotated[int, typer.Option(envvar=_V + "AUDIT_KEPT_DAYS", min=30, help="Days to keep the audit log.")]
SocketsPerMinute = Annotated[
    int, typer.Option(envvar=_V + "SOCKETS_PER_MINUTE", help="WebSocket connections per minute per client address.")
]
UnfinishedConnections = Annotated[
    int,
    typer.Option(envvar=_V + "UNFINISHED_CONNECTIONS", min=1, help="Connections per address without a request."),
]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        envvar=_V + "ALLOWED_HOST", help="Name by which clients address this server; may be repeated. See the docs."
    ),
]
IdleConnections = Annotated[
    int, typer.Option(envvar=_V + "IDLE_CONNECTIONS", min=1, help="Connections per address that wait between requests.")
]
SocketsPerSession = Annotated[
    int, typer.Option(envvar=_V + "SOCKETS_PER_SESSION", min=1, help="Open WebSocket connections per session.")
]
SessionsPerUser = Annotated[
    int, typer.Option(envvar=_V + "SESSIONS_PER_USER", min=1, help="Live sessions per user; then the oldest ends.")
]
SessionIdleHours = Annotated[
    int,
    typer.Option(envvar=_V + "SESSION_IDLE_HOURS", min=1, max=24, help="Hours without use after which a session ends."),
]
DatabaseConnections = Annotated[
    int,
    typer.Option(
        envvar=_V + "DATABASE_CONNECTIONS", min=2, max=100, help="Connections for transactions; three more are opened."
    ),
]
MaxVirtualSizeGib = Annotated[
    int,
    typer.Option(
        envvar=_V + "MAX_VIRTUAL_SIZE_GIB", min=1, max=1024**2, help="Largest disk that an image may be, in GiB."
    ),
]
