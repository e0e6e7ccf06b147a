"""The parts of the metrics screen: totals, charts and ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from novacron_core.api.history import Curve, History, Metric
from novacron_core.api.samples import VMSample
from novacron_core.api.usage import FleetUsage, HostUsage, UsageTotals
from novacron_core.api.vms import VM
from novacron_core.values.counts import counted
from novacron_core.values.sizes import rate_text, short_size, size_text
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.cells import fit
from novacron_tui.widgets.chart import Lines, Series, chart
from novacron_tui.widgets.text_bar import Piece

METRICS = ",".join(
    (
        Metric.CPU_PERCENT, Metric.MEMORY_USED, Metric.MEMORY_GIVEN, Metric.DISK_READ, Metric.DISK_WRITE,
        Metric.NET_RECEIVED, Metric.NET_SENT,
    )
)  # fmt: skip


Newest = Mapping[Metric, float | None]


@dataclass(frozen=True, slots=True)
class Span:
    """A time range, and how often its history is read."""

    name: str
    seconds: int
    every_s: float
    ages: tuple[str, str, str]


SPANS = (
    Span("5 m", 300, 5.0, ("-5m", "-2m30s", "now")),
    Span("1 h", 3600, 15.0, ("-1h", "-30m", "now")),
    Span("24 h", 86400, 60.0, ("-24h", "-12h", "now")),
)


@dataclass(frozen=True, slots=True)
class Rank:
    """A metric to rank VMs by."""

    name: str
    of: Callable[[VMSample], float | None]
    words: Callable[[VMSample], str]


def _cores(cores: float | None) -> str:
    """At most three digits: `0.67`, `12.4`."""
    return "–" if cores is None else f"{cores:.2f}" if cores < 9.995 else f"{cores:.1f}"


def _percent(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.0f}%"


RANKS = (
    Rank("CPU", lambda s: s.cpu_cores, lambda s: f"{_cores(s.cpu_cores)} cores {_percent(s.cpu_percent):>4}"),
    Rank("memory", lambda s: s.memory_used_bytes, lambda s: size_text(s.memory_used_bytes)),
    Rank(
        "disk", lambda s: s.disk_bytes_s,
        lambda s: f"r {short_size(s.disk_read_bytes_s)} w {short_size(s.disk_write_bytes_s)}",
    ),
    Rank(
        "network", lambda s: s.net_bytes_s,
        lambda s: f"in {short_size(s.net_received_bytes_s)} out {short_size(s.net_sent_bytes_s)}",
    ),
)  # fmt: skip


def totals(now: FleetUsage | None, host: HostUsage | None, glyphs: Glyphs) -> list[Piece]:
    """One line with the current totals of the fleet or of a host."""
    if now is None:
        return [Piece("loading…", "quiet")]
    if host is not None:
        return _of_host(host, glyphs)
    sums = now.fleet
    if not sums.vms:
        return [Piece("No metrics yet: no VM is running or no host has reported", "quiet")]
    return [Piece("fleet ", "strong"), *_sums(sums, glyphs)]


def _of_host(host: HostUsage, glyphs: Glyphs) -> list[Piece]:
    name = Piece(f"{one_line(host.name)} ", "strong")
    if host.cpu_percent is None:
        return [name, Piece(one_line(host.note) or "no metrics yet", "warn" if host.note else "quiet")]
    used, size = size_text(host.memory_used_bytes), size_text(host.memory_bytes)
    own = Piece(f"CPU {host.cpu_percent:.0f}%, memory {used} of {size}")
    return [name, own, *_sums(host.vms, glyphs, "   its ", 1)]


def _sums(sums: UsageTotals, glyphs: Glyphs, lead: str = "", rank: int = 0) -> list[Piece]:
    """The sums over VMs. `rank` is that of their total: on a host's line it is dropped before the host's own values."""
    cpu = glyphs.no if sums.cpu_cores is None else f"{_cores(sums.cpu_cores)} cores"
    return [
        Piece(f"{lead}{counted(sums.vms, 'VM')} ", "quiet", rank, group="use"),
        Piece(
            f"{'use' if sums.vms != 1 else 'uses'} {cpu}, "
            f"memory {size_text(sums.memory_used_bytes)} of {size_text(sums.memory_given_bytes)}",
            "plain",
            rank,
            group="use",
        ),
        Piece(f"  disk r {short_size(sums.disk_read_bytes_s)} w {short_size(sums.disk_write_bytes_s)}", "quiet", 2),
        Piece(f"  net in {short_size(sums.net_received_bytes_s)} out {short_size(sums.net_sent_bytes_s)}", "quiet", 3),
    ]


def newest(now: FleetUsage | None, host: HostUsage | None) -> Newest:
    """The values in the chart titles: those of the totals, since the last point of a curve is older. The memory of a host
    is what it has, as in its history."""
    if now is None:
        return {}
    of = now.fleet if host is None else host
    found: dict[Metric, float | None] = {metric: getattr(of, metric) for metric in Metric if hasattr(of, metric)}
    return found if host is None else found | {Metric.MEMORY_GIVEN: host.memory_bytes}


def newest_of(sample: VMSample | None) -> Newest:
    """The same for one VM."""
    return {metric: getattr(sample, metric) for metric in Metric} if sample is not None else {}


def span_pieces(chosen: int) -> list[Piece]:
    """The time ranges, with the chosen one marked."""
    return [Piece(f" {span.name} ", "brand" if at == chosen else "quiet") for at, span in enumerate(SPANS)]


def charts(
    history: History | None, now: Newest, span: Span, width: int, rows: int, height: int, glyphs: Glyphs
) -> Lines:
    """Charts in pairs, in one or two rows of `height` lines."""
    each = (width - 3) // 2
    drawn = [_draw(history, now, kind, (each, height), span, glyphs) for kind in range(2 * rows)]
    lines: Lines = []
    for left, right in zip(drawn[::2], drawn[1::2], strict=True):
        for one, other in zip(left, right, strict=False):
            room = each + 3 - sum(len(piece.text) for piece in one)
            lines.append([*one, Piece(" " * max(0, room)), *other])
    return lines


def _draw(history: History | None, now: Newest, kind: int, size: tuple[int, int], span: Span, glyphs: Glyphs) -> Lines:
    def curve(metric: Metric) -> Sequence[float | None]:
        item = history.curves.get(metric) if history else None
        return (item or Curve(average=[])).average

    def series(label: str, metric: Metric) -> Series:
        return Series(label, curve(metric), now.get(metric, "as drawn"))

    if kind == 0:
        return chart("CPU", [series("", Metric.CPU_PERCENT)], size, span.ages, top=100, words=_percent, plain=glyphs.ascii)  # fmt: skip
    if kind == 1:
        given = max((v for v in curve(Metric.MEMORY_GIVEN) if v is not None), default=0.0)
        used = replace(series("used", Metric.MEMORY_USED), of=now.get(Metric.MEMORY_GIVEN))
        return chart("Memory", [used], size, span.ages, top=given or None, words=size_text, plain=glyphs.ascii)
    first, second = (Metric.DISK_READ, Metric.DISK_WRITE) if kind == 2 else (Metric.NET_RECEIVED, Metric.NET_SENT)
    names = ("read", "written") if kind == 2 else ("in", "out")
    both = [series(names[0], first), series(names[1], second)]
    return chart("Disk" if kind == 2 else "Network", both, size, span.ages, words=rate_text, plain=glyphs.ascii)


def top(vms: Sequence[tuple[VM, VMSample]], rank: Rank, width: int, height: int, glyphs: Glyphs) -> Lines:
    """The VMs ranked by a metric, highest first."""
    known = [(value, vm, sample) for vm, sample in vms if (value := rank.of(sample)) is not None]
    known.sort(key=lambda item: (-item[0], item[1].name))
    lines: Lines = [[Piece(f"Top by {rank.name}", "accent")]]
    greatest = max((value for value, _, _ in known), default=0.0) or 1.0
    bar = max(4, width // 4)
    room = max(8, width - bar - 18)
    for value, vm, sample in known[: max(0, height - 1)]:
        full = glyphs.bar(value / greatest, bar).rstrip(glyphs.rest)
        rest = glyphs.rest * (bar - len(full))
        name = "".join(text for text, _ in fit(((one_line(vm.name), "strong"),), room, cut=glyphs.cut))
        lines.append(
            [Piece(f"{name} ", "strong"), Piece(full, "accent"), Piece(rest, "quiet"), Piece(f" {rank.words(sample)}")]
        )
    return lines if known else [*lines, [Piece("no VM has this metric now", "quiet")]]


def vm_hint(vm: VM, sample: VMSample | None, host_name: str) -> list[Piece]:
    """The VM under the cursor of the heat map."""
    return [Piece(one_line(vm.name), "strong"), Piece(f" on {one_line(host_name)}: "), *vm_use(vm, sample)]


def vm_use(vm: VM, sample: VMSample | None) -> list[Piece]:
    """What a VM uses now, or why that is not known."""
    if sample is None:
        return [Piece(f"no metrics: VM is {vm.state}", "quiet")]
    return [
        Piece(
            f"CPU {_percent(sample.cpu_percent)}, "
            f"memory {size_text(sample.memory_used_bytes)} of {size_text(sample.memory_given_bytes)}"
        ),
        Piece(f", disk r {short_size(sample.disk_read_bytes_s)} w {short_size(sample.disk_write_bytes_s)}", "quiet"),
    ]
