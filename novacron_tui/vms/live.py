"""The current usage of a VM, as cells of the list and lines of its page. An unknown value is a dash, never 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from novacron_core.api.samples import VMSample
from novacron_core.api.vms import VM, State
from novacron_core.values.ages import age_text
from novacron_core.values.sizes import rate_text, short_size, size_text
from novacron_tui.connection.samples import SampleStore
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.sparkline import sparkline
from novacron_tui.widgets.text_bar import Piece

Read = Callable[[VMSample], float | None]
SPARK = 6
LIVE = frozenset({"cpu", "memory", "io", "net"})
"""Columns whose order changes with every sample."""
_WARM, _HOT = 70.0, 90.0
_RUNS = frozenset({State.RUNNING, State.PAUSED, State.STOPPING, State.MIGRATING})
_LABEL = 16
_BAR = 10


def heat(percent: float | None) -> str:
    """The tone of a usage in percent."""
    if percent is None:
        return "quiet"
    return "bad" if percent >= _HOT else "warn" if percent >= _WARM else "plain"


class LiveColumns:
    """The columns that show samples."""

    def __init__(self, glyphs: Glyphs, samples: SampleStore) -> None:
        self._glyphs = glyphs
        self._samples = samples
        self._none: Cell = ((glyphs.no, "quiet"),)

    def columns(self) -> list[Column[VM]]:
        """The columns in order of priority: on a narrow terminal the last ones are dropped first."""
        return [
            self._live("cpu", "CPU", SPARK + 5, self._cpu, lambda s: s.cpu_percent, rank=1),
            self._live("memory", "MEM USED", 10, self._memory, lambda s: s.memory_used_bytes, rank=1),
            self._live("io", "DISK R/W", 10, self._disk, lambda s: s.disk_bytes_s, rank=2),
            self._live("net", "NET R/T", 10, self._net, lambda s: s.net_bytes_s, rank=4),
        ]

    def _live(
        self, key: str, title: str, width: int, cell: Callable[[VM], Cell], read: Read, *, rank: int
    ) -> Column[VM]:
        return Column(key, title, width, cell, self._by(read), right=True, rank=rank, largest_first=True)

    def _by(self, read: Read) -> Callable[[VM], float | None]:
        """The sort key of a column: its value, None if it is unknown."""

        def key(vm: VM) -> float | None:
            sample = self._of(vm)
            return None if sample is None else read(sample)

        return key

    def _of(self, vm: VM) -> VMSample | None:
        return self._samples.of(vm) if vm.state in _RUNS else None

    def _cpu(self, vm: VM) -> Cell:
        sample = self._of(vm)
        if sample is None or sample.cpu_percent is None:
            return self._missing(vm)
        spark = sparkline(self._samples.past(vm), SPARK, plain=self._glyphs.ascii)
        return ((spark, "accent"), (f"{sample.cpu_percent:4.0f}%", heat(sample.cpu_percent)))

    def _memory(self, vm: VM) -> Cell:
        sample = self._of(vm)
        if sample is None or sample.memory_used_bytes is None:
            given = short_size(vm.memory_bytes)
            return ((f"{self._glyphs.no}/{given}" if vm.state in _RUNS else given, "quiet"),)
        given = short_size(sample.memory_given_bytes)
        used = short_size(sample.memory_used_bytes)
        return ((used, heat(sample.memory_percent)), (f"/{given}", "quiet"))

    def _disk(self, vm: VM) -> Cell:
        sample = self._of(vm)
        return self._pair(vm, *((sample.disk_read_bytes_s, sample.disk_write_bytes_s) if sample else (None, None)))

    def _net(self, vm: VM) -> Cell:
        sample = self._of(vm)
        return self._pair(vm, *((sample.net_received_bytes_s, sample.net_sent_bytes_s) if sample else (None, None)))

    def _pair(self, vm: VM, first: int | None, second: int | None) -> Cell:
        if first is None and second is None:
            return self._missing(vm)
        return ((f"{short_size(first)}/{short_size(second)}", "plain" if first or second else "quiet"),)

    def _missing(self, vm: VM) -> Cell:
        """The cell of an unknown value: empty when the VM is not running, else a dash."""
        return self._none if vm.state in _RUNS or vm.last_state in _RUNS else ()


def usage_lines(vm: VM, samples: SampleStore, glyphs: Glyphs) -> list[list[Piece]]:
    """The current usage for the VM page: each value with its total, or why it is unknown."""
    sample = samples.of(vm)
    if vm.state not in _RUNS:
        why = "the host does not respond" if vm.state is State.UNKNOWN else f"VM is {vm.state}"
        return [[Piece(f"No metrics: {why}", "quiet")]]
    if sample is None:
        return [[Piece("No recent metrics", "quiet")]]
    return [
        _row("CPU", _cpu(vm, sample, samples.past(vm), glyphs)),
        _row("memory", _memory(sample, glyphs)),
        _row("disk", _rates("read", sample.disk_read_bytes_s, "written", sample.disk_write_bytes_s, glyphs)
             + _requests(sample) + _age_note(sample.disk_age_s)),
        _row("network", _rates("in", sample.net_received_bytes_s, "out", sample.net_sent_bytes_s, glyphs)),
        _row("sampled", [Piece(f"{age_text(samples.age_s(vm))} ago", "quiet")]),
    ]  # fmt: skip


def _row(label: str, pieces: Sequence[Piece]) -> list[Piece]:
    return [Piece(label.ljust(_LABEL), "quiet"), *pieces]


def _cpu(vm: VM, sample: VMSample, past: Sequence[float | None], glyphs: Glyphs) -> list[Piece]:
    if sample.cpu_percent is None or sample.cpu_cores is None:
        return [Piece(f"{glyphs.no}  waiting for the first sample", "quiet")]
    return [
        Piece(f"{sample.cpu_percent:3.0f} %  ", heat(sample.cpu_percent)),
        Piece(sparkline(past, _BAR, plain=glyphs.ascii), "accent"),
        Piece(f"  {sample.cpu_cores:.2f} of {vm.vcpus} vCPU", "quiet"),
    ]


def _memory(sample: VMSample, glyphs: Glyphs) -> list[Piece]:
    percent = sample.memory_percent
    if percent is None:
        given = size_text(sample.memory_given_bytes)
        return [Piece(f"{glyphs.no} of {given}"), Piece(f"  {one_line(sample.memory_note)}", "quiet")]
    return [
        Piece(f"{percent:3.0f} %  ", heat(percent)),
        Piece(glyphs.bar(percent / 100, _BAR), heat(percent) if percent >= _WARM else "accent"),
        Piece(f"  {size_text(sample.memory_used_bytes)} of {size_text(sample.memory_given_bytes)}", "quiet"),
        *_age_note(sample.memory_age_s),
    ]


def _rates(first: str, one: int | None, second: str, two: int | None, glyphs: Glyphs) -> list[Piece]:
    if one is None and two is None:
        return [Piece(glyphs.no, "quiet")]
    return [
        Piece(f"{rate_text(one)} "),
        Piece(f"{first}  ", "quiet"),
        Piece(f"{rate_text(two)} "),
        Piece(second, "quiet"),
    ]


def _requests(sample: VMSample) -> list[Piece]:
    if sample.disk_reads_s is None or sample.disk_writes_s is None:
        return []
    return [Piece(f"  {sample.disk_reads_s + sample.disk_writes_s:.0f} IOPS", "quiet")]


def _age_note(age_s: float | None) -> list[Piece]:
    return [Piece(f"  {age_text(age_s)} old", "quiet")] if age_s is not None and age_s >= 10 else []
