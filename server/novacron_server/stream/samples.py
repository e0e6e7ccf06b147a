"""Samples on the event stream: only those a listener asked for and may see, encoded once for all who get the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from novacron_core.api import events as api
from novacron_core.api.vms import VM
from novacron_core.rules.filters.language import compile_filter
from novacron_core.rules.filters.vms import vm_fields
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.values.roles import Permission, allows
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.inventory.state import InventoryState
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.meter import HostMeter
from novacron_server.stream.hub import Listener

_PER_FRAME = 1500
"""VMs in one frame: some 170 KiB."""
_EARLY = 0.9
"""Rounds do not come to the millisecond: one this much of an interval after the last is not left out."""

Targets = frozenset[str] | str


@dataclass(frozen=True, slots=True)
class _Audience:
    """All who get the same frames: the same right to see, the same wish."""

    role: str
    tenant: str
    targets: Targets


@dataclass(slots=True)
class _Wish:
    audience: _Audience
    principal: Principal
    interval_s: float
    sent_at: dict[str, float] = field(default_factory=dict)


class SampleStreamer:
    """Told by the board of each round; tells those listeners who asked."""

    def __init__(self, board: LatestSamples, state: InventoryState) -> None:
        self._board = board
        self._state = state
        self._wishes: dict[Listener, _Wish] = {}
        self._encoded: dict[str, dict[str, msgspec.Raw]] = {}
        self.frames_made = 0
        board.on_round.append(self._round)

    def want(self, listener: Listener, wants: api.SampleRequest | None) -> None:
        """From now on a listener wants these, and gets the newest at once; None: no more. Raises FilterError."""
        self.forget(listener)
        if wants is None:
            return
        targets = wants.targets if isinstance(wants.targets, str) else frozenset(wants.targets)
        if isinstance(targets, str) and targets != "*":
            compile_filter(targets, vm_fields({}))
        who = listener.principal
        wish = _Wish(_Audience(who.role, who.tenant, targets), who, wants.interval_s)
        self._wishes[listener] = wish
        for host_id, host in self._board.hosts.items():
            if host.time is not None and self._board.fresh(host):
                self._tell(listener, wish, host_id, self._frames(wish, host_id))

    def forget(self, listener: Listener) -> None:
        """The listener wants no samples, or is gone."""
        self._wishes.pop(listener, None)
        listener.samples.clear()

    def _round(self, host_id: str) -> None:
        self._encoded[host_id] = {}
        now = clock()
        made: dict[_Audience, list[bytes]] = {}
        for listener, wish in self._wishes.items():
            if now - wish.sent_at.get(host_id, 0.0) < wish.interval_s * _EARLY:
                continue
            if wish.audience not in made:
                made[wish.audience] = self._frames(wish, host_id)
            self._tell(listener, wish, host_id, made[wish.audience])

    def _tell(self, listener: Listener, wish: _Wish, host_id: str, frames: list[bytes]) -> None:
        if frames:
            wish.sent_at[host_id] = clock()
            listener.offer_samples(host_id, frames)

    def _frames(self, wish: _Wish, host_id: str) -> list[bytes]:
        """What this audience gets of a host's last round; nothing when it asked for others alone."""
        host = self._board.hosts[host_id]
        targets, role = wish.audience.targets, wish.principal.role
        chosen = list(self._chosen(wish, host_id, host)) if allows(role, Permission.VM_READ) else []
        if targets and not isinstance(targets, str) and not chosen:
            return []
        encoded = self._encoded.setdefault(host_id, {})
        hosts = {host_id: host.sample} if allows(role, Permission.HOST_READ) else {}
        frames = []
        for begin in range(0, max(1, len(chosen)), _PER_FRAME):
            vms = {vm_id: _once(encoded, vm_id, host) for vm_id in chosen[begin : begin + _PER_FRAME]}
            frame = {"frame": "samples", "time": host.time, "host": host_id, "vms": vms, "hosts": hosts}
            frames.append(msgspec.json.encode(frame))
        self.frames_made += len(frames)
        return frames

    def _chosen(self, wish: _Wish, host_id: str, host: HostMeter) -> Iterator[str]:
        targets = wish.audience.targets
        ids = [vm_id for vm_id in targets if vm_id in host.vms] if not isinstance(targets, str) else list(host.vms)
        passes = self._filter(targets)
        for vm_id in ids:
            vm = self._state.composed((host_id, vm_id))
            if vm is not None and host.vms[vm_id].counters and may_see(wish.principal, vm.tenant) and passes(vm):
                yield vm_id

    def _filter(self, targets: Targets) -> Callable[[VM], bool]:
        if not isinstance(targets, str) or targets == "*":
            return lambda vm: True
        names = {view.id: view.name for view in self._state.views.values()}
        return compile_filter(targets, vm_fields(names, lambda vm: self._board.sample(vm.host, vm.id)))


def _once(encoded: dict[str, msgspec.Raw], vm_id: str, host: HostMeter) -> msgspec.Raw:
    raw = encoded.get(vm_id)
    if raw is None:
        raw = encoded[vm_id] = msgspec.Raw(msgspec.json.encode(host.vms[vm_id].sample))
    return raw
