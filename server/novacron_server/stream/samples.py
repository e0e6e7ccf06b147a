"""Samples on the event stream: those a listener requested and may see, encoded once for all that get the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from novacron_core.api import events as api
from novacron_core.api.nouns import TIERS, VOLUMES
from novacron_core.api.samples import TierSample
from novacron_core.api.vms import VM
from novacron_core.rules.filters.language import FilterError, compile_filter, count_words
from novacron_core.rules.filters.vms import vm_fields
from novacron_core.rules.visibility import Principal, may, may_see_vm
from novacron_core.values.roles import Permission
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.subjects import host_names, sees
from novacron_server.inventory.tables import shown_to
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.meter import HostMeter
from novacron_server.stream.hub import Listener
from novacron_server.tiering.shown import ShownHeat

MAX_WORDS_OF_USER = 128
_PER_FRAME = 1500
"""VMs in one frame: about 170 KiB."""
_BUSY_QUEUE = 50
_EARLY = 0.9
"""Reads are not exactly periodic: one is sent if at least this share of the interval has passed."""

Targets = frozenset[str] | str


@dataclass(frozen=True, slots=True)
class _Audience:
    """Listeners that get the same frames: those who see the same, with the same targets."""

    readers: Hashable
    targets: Targets
    tiers: bool


@dataclass(slots=True)
class _Subscription:
    audience: _Audience
    principal: Principal
    interval_s: float
    heat: bool = False
    sent_at: dict[str, float] = field(default_factory=dict)


class SampleStreamer:
    """Sends each new reading to the listeners that requested samples."""

    def __init__(self, latest: LatestSamples, state: InventoryState, heat: ShownHeat) -> None:
        self._latest = latest
        self._heat = heat
        self._state = state
        self._subscriptions: dict[Listener, _Subscription] = {}
        self._heat_sent: WeakKeyDictionary[Listener, int] = WeakKeyDictionary()
        """The version of the heat that each listener has got, also by an earlier subscription."""
        self._encoded: dict[str, dict[str, msgspec.Raw]] = {}
        self._tiers: dict[Hashable, dict[str, TierSample]] = {}
        """By audience, as of the last reading."""
        self.frames_encoded = 0
        latest.read.listen(self._send_reading)

    def subscribe(self, listener: Listener, request: api.SampleRequest | None) -> None:
        """Set which samples a listener gets, and send it the latest now; None: unsubscribe. Raises FilterError."""
        self.unsubscribe(listener)
        if request is None:
            return
        targets = request.targets if isinstance(request.targets, str) else frozenset(request.targets)
        principal = listener.principal
        if isinstance(targets, str) and targets != "*":
            compile_filter(targets, vm_fields({}))
            self._check_words(principal.user_id, count_words(targets))
        audience = _Audience(principal.audience, targets, request.tiers)
        subscription = _Subscription(audience, principal, request.interval_s, heat=request.heat)
        self._subscriptions[listener] = subscription
        for host_id, host in self._latest.hosts.items():
            if host.time is not None and self._latest.fresh(host):
                self._offer(listener, subscription, host_id, self._frames(subscription, host_id))
                self._send_heat(listener, subscription, host_id)

    def _check_words(self, user_id: str, words: int) -> None:
        """Raises FilterError when the filters of a user's subscriptions, which run at each reading, cost too much."""
        filters = {each.audience.targets for each in self._subscriptions.values() if each.principal.user_id == user_id}
        used = sum(count_words(text) for text in filters if isinstance(text, str) and text != "*")
        if used + words > MAX_WORDS_OF_USER:
            raise FilterError(f"the sample filters of one user must have at most {MAX_WORDS_OF_USER} words together")

    def unsubscribe(self, listener: Listener) -> None:
        """Send no more samples to the listener."""
        self._subscriptions.pop(listener, None)
        listener.samples.clear()

    def _send_reading(self, host_id: str) -> None:
        self._encoded[host_id] = {}
        self._tiers = {}
        now = clock()
        frames: dict[_Audience, list[bytes]] = {}
        for listener, subscription in self._subscriptions.items():
            if now - subscription.sent_at.get(host_id, 0.0) < subscription.interval_s * _EARLY:
                continue
            if subscription.audience not in frames:
                frames[subscription.audience] = self._frames(subscription, host_id)
            self._offer(listener, subscription, host_id, frames[subscription.audience])
            self._send_heat(listener, subscription, host_id)

    def _send_heat(self, listener: Listener, subscription: _Subscription, host_id: str) -> None:
        """Send the heat that has changed since it was sent last, of the volumes that the listener may see."""
        sent = self._heat_sent.get(listener, 0)
        if not subscription.heat or not may(subscription.principal, Permission.VOLUME_READ):
            return
        if sent == self._heat.refresh() or listener.queue.qsize() > _BUSY_QUEUE:
            return  # a slow listener gets it when it has read what waits
        principal, storage = subscription.principal, self._state.storage
        changed = {}
        for volume_id, sample in self._heat.since(sent):
            volume = storage.volume(volume_id)
            if volume is not None and sees(principal, self._state, VOLUMES.type, volume.tenant, volume):
                changed[volume_id] = sample
        self._heat_sent[listener] = self._heat.version
        items = list(changed.items())
        for begin in range(0, len(items), _PER_FRAME):
            part, time = dict(items[begin : begin + _PER_FRAME]), self._latest.hosts[host_id].time
            listener.send(msgspec.json.encode({"frame": "samples", "time": time, "host": host_id, "heat": part}))

    def _offer(self, listener: Listener, subscription: _Subscription, host_id: str, frames: list[bytes]) -> None:
        if frames:
            subscription.sent_at[host_id] = clock()
            listener.offer_samples(host_id, frames)

    def _frames(self, subscription: _Subscription, host_id: str) -> list[bytes]:
        """The frames with a host's last reading for this audience; none if it requested only VMs of other hosts."""
        host = self._latest.hosts[host_id]
        targets, principal = subscription.audience.targets, subscription.principal
        selected = list(self._select(subscription, host_id, host)) if may(principal, Permission.VM_READ) else []
        if targets and not isinstance(targets, str) and not selected:
            return []
        encoded = self._encoded.setdefault(host_id, {})
        hosts = {host_id: host.sample} if may(principal, Permission.HOST_READ) else {}
        frames = []
        for begin in range(0, max(1, len(selected)), _PER_FRAME):
            vms = {vm_id: _encode(encoded, vm_id, host) for vm_id in selected[begin : begin + _PER_FRAME]}
            frame: dict[str, Any] = {"frame": "samples", "time": host.time, "host": host_id, "vms": vms, "hosts": hosts}
            if subscription.audience.tiers and begin == 0 and may(principal, Permission.VOLUME_READ):
                frame["tiers"] = self._tier_samples(principal)
            frames.append(msgspec.json.encode(frame))
        self.frames_encoded += len(frames)
        return frames

    def _tier_samples(self, principal: Principal) -> dict[str, TierSample]:
        """The rates of every tier, of the disks that the reader sees; computed once for each reading and audience."""
        if principal.audience not in self._tiers:
            shown = shown_to(principal, self._state.tables[TIERS.type])
            self._tiers[principal.audience] = {
                tier.name: TierSample(
                    read_bytes_s=tier.read_bytes_s,
                    write_bytes_s=tier.write_bytes_s,
                    reads_s=tier.reads_s,
                    writes_s=tier.writes_s,
                    at=tier.rates_at,
                )
                for tier in map(shown, self._state.storage.tiers())
            }
        return self._tiers[principal.audience]

    def _select(self, subscription: _Subscription, host_id: str, host: HostMeter) -> Iterator[str]:
        targets = subscription.audience.targets
        ids = [vm_id for vm_id in targets if vm_id in host.vms] if not isinstance(targets, str) else list(host.vms)
        passes = self._filter(subscription.principal, targets)
        for vm_id in ids:
            vm = self._state.composed((host_id, vm_id))
            if vm is not None and host.vms[vm_id].counters and may_see_vm(subscription.principal, vm) and passes(vm):
                yield vm_id

    def _filter(self, principal: Principal, targets: Targets) -> Callable[[VM], bool]:
        if not isinstance(targets, str) or targets == "*":
            return lambda vm: True
        names = host_names(principal, self._state)
        return compile_filter(targets, vm_fields(names, lambda vm: self._latest.sample(vm.host, vm.id)))


def _encode(encoded: dict[str, msgspec.Raw], vm_id: str, host: HostMeter) -> msgspec.Raw:
    raw = encoded.get(vm_id)
    if raw is None:
        raw = encoded[vm_id] = msgspec.Raw(msgspec.json.encode(host.vms[vm_id].sample))
    return raw
