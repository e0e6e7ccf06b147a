"""The newest numbers on the console's side: kept by host and id, with an age, and no more than a bounded number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from novacron_core.api.events import SamplesFrame as Frame
from novacron_core.api.samples import HostSample, VMSample
from novacron_core.api.vms import VM, State
from novacron_tui.connection.samples import HISTORY_LENGTH, STALE_S, SampleStore

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = WHEN

    def __call__(self) -> datetime:
        return self.now


def vm(vm_id: str = "1", host: str = "a") -> VM:
    return VM(id=vm_id, name="web", host=host, state=State.RUNNING, vcpus=1, memory_bytes=1)


def frame(host: str = "a", period_s: float = 5.0, **cpu: float | None) -> Frame:
    numbers = {vm_id.removeprefix("vm"): VMSample(cpu_percent=percent) for vm_id, percent in cpu.items()}
    return Frame(time=WHEN, host=host, vms=numbers, hosts={host: HostSample(period_s=period_s)})


def test_twins_on_two_hosts_do_not_mix() -> None:
    samples = SampleStore(Clock())
    samples.apply(frame("a", vm1=10))
    samples.apply(frame("b", vm1=90))
    both = [samples.of(vm("1", host)) for host in "ab"]
    assert [sample.cpu_percent for sample in both if sample is not None] == [10, 90]


def test_a_number_grows_old_and_is_none_in_the_end() -> None:
    clock = Clock()
    samples = SampleStore(clock)
    samples.apply(frame(vm1=10))
    clock.now += timedelta(seconds=STALE_S - 1)
    assert (samples.of(vm()) is not None, samples.age_s(vm())) == (True, STALE_S - 1)
    clock.now += timedelta(seconds=2)
    assert samples.of(vm()) is None
    samples.apply(frame(period_s=60.0, vm1=10))  # a host that is read once a minute
    clock.now += timedelta(seconds=STALE_S * 3)
    assert samples.of(vm()) is not None
    samples.apply(frame(period_s=1e300, vm1=10))  # no host is, whatever a server says
    clock.now += timedelta(days=2)
    assert samples.of(vm()) is None


def test_the_past_is_short_and_keeps_its_gaps() -> None:
    samples = SampleStore(Clock())
    for number in range(HISTORY_LENGTH + 5):
        samples.apply(frame(vm1=None if number == HISTORY_LENGTH else number))
    past = samples.past(vm())
    assert (len(past), past[-1], past[-5]) == (HISTORY_LENGTH, HISTORY_LENGTH + 4, None)
    assert samples.past(vm("2")) == ()


def test_memory_is_bounded() -> None:
    samples = SampleStore(Clock(), max_vms=10)
    for number in range(50):
        cpu: dict[str, Any] = {f"vm{number}": 1.0}
        samples.apply(frame(**cpu))
    known = [number for number in range(50) if samples.of(vm(str(number))) is not None]
    assert known == list(range(50 - len(known), 50))
    assert 9 <= len(known) <= 10
    assert samples.version == 50


def test_a_vm_that_was_paused_since_its_sample_uses_no_cpu_and_its_rates_are_unknown() -> None:
    clock = Clock()
    samples = SampleStore(clock)
    busy = VMSample(cpu_percent=80.0, cpu_cores=0.8, memory_used_bytes=5, disk_read_bytes_s=7, net_sent_bytes_s=9)
    busy_frame = msgspec.structs.replace(frame(), vms={"1": busy})
    samples.apply(busy_frame)
    clock.now += timedelta(seconds=1)
    paused = msgspec.structs.replace(vm(), state=State.PAUSED, state_since=clock.now)
    known = VMSample(cpu_percent=0.0, cpu_cores=0.0, memory_used_bytes=5)
    assert samples.of(paused) == known
    assert samples.of(vm()) == busy, "one that runs is shown as it was read"
    clock.now += timedelta(seconds=4)
    samples.apply(busy_frame)
    assert samples.of(paused) == known, "this sample is of a time in which it still ran"
    clock.now += timedelta(seconds=5)
    samples.apply(busy_frame)
    assert samples.of(paused) == busy, "and this one is of the paused VM"
