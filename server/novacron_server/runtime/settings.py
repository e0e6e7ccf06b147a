"""The settings of a server. Flags, NOVACRON_* variables and the settings file all set the same fields."""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from novacron_core import errors
from novacron_core.values.sizes import GIB
from novacron_server.database.connector import POOL
from novacron_server.database.transactions import DATABASE_BUDGET_S
from novacron_server.images.inspection import MAX_VIRTUAL_BYTES


@dataclass(frozen=True, slots=True)
class Settings:
    """A server's settings, validated by `check`.

    `hypervisors` are libvirt URIs; when empty, the server chooses. `database_url`: None for the embedded PostgreSQL.
    `database_owner_url` is used for migrations when the application's role may not change tables.
    `behind_proxy` lists the addresses or networks of a proxy that terminates TLS; nobody else may connect then.
    `bundled`: stop `idle_stop_s` after the last use.
    `virtualization` overrides the detection of KVM: `kvm` or `qemu`.
    `prometheus`: who may scrape `/metrics`: clients with the token (`token`), also this machine without it (`loopback`),
    nobody (`off`). `allowed_hosts`: names under which clients address this server, besides its addresses and localhost.
    `database_connections`: how many transactions may run at once; three more connections are for other uses.
    `database_budget_s`: how many seconds a transaction may take before it is refused; raise it for a slow database.
    `unfinished_connections`: how many connections of one address may be open without having sent a request;
    `idle_connections`: how many may wait for a further one. `sockets_per_session` may be open; of `sessions_per_user`
    the one used longest ago ends when another one begins. `session_idle_hours`: a session ends that long after its last
    use.
    `max_virtual_size_gib`: the largest disk that an image may be.
    `simulated_vms`: serve a simulated fleet of that many VMs and nothing else (`novacron demo`); 0: do not.
    `audit_kept_days`: entries of the audit log are deleted after that.
    Metrics: samples are kept for `samples_kept_hours`, values per minute for `minutes_kept_days`, the heat of volumes per
    hour for `heat_kept_days`. `heat_speed`: how many times faster than real time heat changes, for tests.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8090
    database_url: str | None = None
    database_owner_url: str | None = None
    database_budget_s: float = DATABASE_BUDGET_S
    database_connections: int = POOL
    hypervisors: tuple[str, ...] = ()
    virtualization: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: str = ""
    bundled: bool = False
    production: bool = False
    open_registration: bool = False
    origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    requests_per_minute: int = 6000
    sign_ins_per_minute: int = 60
    sockets_per_minute: int = 60
    unfinished_connections: int = 100
    idle_connections: int = 200
    sockets_per_session: int = 32
    sessions_per_user: int = 64
    session_idle_hours: int = 12
    max_virtual_size_gib: int = MAX_VIRTUAL_BYTES // GIB
    idle_stop_s: float = 30.0
    simulated_vms: int = 0
    prometheus: str = "token"
    samples_kept_hours: int = 24
    minutes_kept_days: int = 14
    heat_kept_days: int = 90
    audit_kept_days: int = 365
    heat_speed: float = 1.0
    failpoints: dict[str, str] = field(default_factory=dict)

    @property
    def tls(self) -> bool:
        """Whether connections to this server are encrypted, here or at a proxy."""
        return self.tls_cert is not None or bool(self.behind_proxy)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The names that requests may be addressed to; see AllowedHosts."""
        named = () if self.tls and not self.allowed_hosts else (self.host,)
        return (*self.allowed_hosts, *named)

    @property
    def url(self) -> str:
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}"

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks that requests may come from when a proxy terminates TLS. Raises InvalidArgument."""
        found = []
        for word in self.behind_proxy.replace(",", " ").split():
            try:
                network = ip_network(word)
            except ValueError as e:
                raise errors.InvalidArgument(f"--behind-proxy: {word} is not an address or a network") from e
            if network.prefixlen < _WIDEST_PROXY[network.version]:
                raise errors.InvalidArgument(f"--behind-proxy: {word} is half the world; give the address of the proxy")
            found.append(network)
        return tuple(found)

    def check(self) -> None:
        """Raises InvalidArgument for settings that are unsafe or cannot work."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise errors.InvalidArgument("--tls-cert and --tls-key must be given together")
        if not _is_loopback(self.host) and not self.tls:
            raise errors.InvalidArgument(
                f"{self.host} can be reached from other machines, so TLS is required: give --tls-cert and --tls-key, "
                "or --behind-proxy ADDRESS if a proxy terminates TLS"
            )
        if self.behind_proxy and not self.proxies:
            raise errors.InvalidArgument("--behind-proxy: give the address of the proxy")
        if self.tls_key is not None:
            _check_private(self.tls_key)
        if self.production and self.failpoints:
            raise errors.InvalidArgument("NOVACRON_FAILPOINTS is for tests only and cannot be used with --production")
        if self.production and self.heat_speed != 1.0:
            raise errors.InvalidArgument("NOVACRON_HEAT_SPEED is for tests only and cannot be used with --production")
        if self.prometheus not in ("loopback", "token", "off"):
            raise errors.InvalidArgument("--prometheus must be loopback, token or off")
        if self.simulated_vms and (self.hypervisors or self.database_url is not None or self.production):
            raise errors.InvalidArgument(
                "--simulated-vms makes hosts and a database of its own: give no --hypervisor, --database-url or --production"
            )
        _check_database(self.database_url, self.database_owner_url)
        for name, (lowest, highest, meaning) in _RANGES.items():
            if not lowest <= getattr(self, name) <= highest:  # also for NaN
                flag = f"--{name.replace('_', '-')}"
                raise errors.InvalidArgument(f"{flag} must be from {lowest} to {highest}{meaning}")
        if self.virtualization not in ("", "kvm", "qemu"):
            raise errors.InvalidArgument("--virtualization must be kvm or qemu")


MAX_SIMULATED_VMS = 2000
_WIDEST_PROXY = {4: 8, 6: 16}
"""The shortest prefix of a network of proxies: 10.0.0.0/8 is private, and a wider one is not."""
_RANGES: dict[str, tuple[float, int, str]] = {
    "database_budget_s": (0.5, 600, ""),
    "database_connections": (2, 1000, ""),
    "requests_per_minute": (1, 1_000_000_000, ""),
    "sign_ins_per_minute": (1, 1_000_000_000, ""),
    "sockets_per_minute": (1, 1_000_000_000, ""),
    "unfinished_connections": (1, 100_000, ""),
    "idle_connections": (1, 100_000, ""),
    "sockets_per_session": (1, 10_000, ""),
    "sessions_per_user": (1, 10_000, ""),
    "session_idle_hours": (1, 24, " (a session never lasts longer)"),
    "max_virtual_size_gib": (1, 1024**2, " (1 PiB)"),
    "samples_kept_hours": (2, 24 * 366, " (a year)"),
    "minutes_kept_days": (1, 3660, " (ten years)"),
    "heat_kept_days": (2, 3660, " (ten years)"),
    "audit_kept_days": (30, 3660, " (ten years)"),
    "heat_speed": (1, 100_000, ""),
    "simulated_vms": (0, MAX_SIMULATED_VMS, ""),
    "idle_stop_s": (0, 86_400, " (a day)"),
}
"""Lowest and highest value of each number, and what the highest means."""


def _check_database(url: str | None, owner_url: str | None) -> None:
    """Raises InvalidArgument for an empty URL: an unset variable must not start an embedded database in its place."""
    for name, given in (("--database-url", url), ("--database-owner-url", owner_url)):
        if given is not None and not given.strip():
            raise errors.InvalidArgument(f"{name} is empty: give a PostgreSQL URL, or leave it out")
    if owner_url is not None and url is None:
        raise errors.InvalidArgument("--database-owner-url needs --database-url")


def _check_private(key: Path) -> None:
    """Raises InvalidArgument for a key that everybody on this machine can read. A missing file is reported on use."""
    with suppress(OSError):
        if key.stat().st_mode & stat.S_IROTH:
            raise errors.InvalidArgument(f"{key} can be read by every user of this machine: chmod 600 it")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
