"""The filter of the volume list."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.language import compile_filter
from novacron_core.rules.filters.volumes import volume_fields
from novacron_tui.connection.store import Store
from novacron_tui.volumes.entries import VolumeEntry, heat_of


def volume_filter(
    text: str, store: Store, cost_of: Callable[[Volume], float | None] = lambda _: None
) -> Callable[[VolumeEntry], bool]:
    """Raises FilterError. `cost_of` is what a volume costs in a month."""
    hosts = {host.id: host.name for host in store.hosts.values()}
    vms = {vm.id: vm.name for vm in store.vms.values()}
    test = compile_filter(text, volume_fields(hosts, vms, lambda volume: heat_of(store, volume), store.now, cost_of))
    return lambda entry: test(entry.volume)
