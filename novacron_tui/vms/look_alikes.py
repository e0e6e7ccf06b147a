"""Tells apart the VMs of a list whose names look the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from novacron_core.api.vms import VM
from novacron_tui.terminal.look_alikes import look_alikes, spelled_out


class LookAlikes:
    """`update` with all VMs of the list before `mark` is asked."""

    def __init__(self) -> None:
        self._alike: frozenset[str] = frozenset()
        self._same: frozenset[tuple[str, str]] = frozenset()
        """Host and name of VMs whose names differ only in letters that no terminal may get: a host has no two VMs of
        one name."""

    def update(self, vms: Collection[VM]) -> None:
        """Compare the names of these VMs."""
        odd = [(vm.host, vm.name) for vm in vms if not vm.name.isascii()]
        self._alike = look_alikes([vm.name for vm in vms]) if odd else frozenset()
        self._same = frozenset(place for place, count in Counter(odd).items() if count > 1)

    def mark(self, vm: VM) -> str:
        """What to show after the VM's name; empty when it looks like no other."""
        if vm.name.isascii():
            return ""
        if (vm.host, vm.name) in self._same:
            return f" (id {vm.id[:8]})"
        return f" ({spelled_out(vm.name)})" if vm.name in self._alike else ""
