"""The filter fields of a VM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from novacron_core.api.samples import VMSample
from novacron_core.api.vms import VM
from novacron_core.rules.filters.language import FilterError, FilterField, Test, compile_filter

LIVE_FIELDS = ("cpu", "mem", "used", "disk", "net")
"""Fields that are read from a VM's newest sample, which changes every few seconds."""


def vm_fields(
    host_names: Mapping[str, str], sample_of: Callable[[VM], VMSample | None] = lambda vm: None
) -> dict[str, FilterField[VM]]:
    """The filter fields of a VM. `host_names` maps host ids to names; a filter may use either.

    `sample_of` returns the VM's newest sample: `cpu>80` is percent of its vCPUs, `mem>90` percent of its memory,
    `used>2G` its used memory, `disk>10M` and `net>1M` bytes per second in both directions together. A VM without the
    value never matches.
    """

    def live(read: Callable[[VMSample], float | None]) -> Callable[[VM], float | None]:
        return lambda vm: None if (sample := sample_of(vm)) is None else read(sample)

    return {
        "cpu": FilterField(live(lambda sample: sample.cpu_percent), "number"),
        "mem": FilterField(live(lambda sample: sample.memory_percent), "number"),
        "used": FilterField(live(lambda sample: sample.memory_used_bytes), "size"),
        "disk": FilterField(live(lambda sample: sample.disk_bytes_s), "size"),
        "net": FilterField(live(lambda sample: sample.net_bytes_s), "size"),
        "name": FilterField(lambda vm: vm.name),
        "state": FilterField(lambda vm: str(vm.state)),
        "host": FilterField(lambda vm: (host_names.get(vm.host, vm.host), vm.host), "texts"),
        "tag": FilterField(_tags, "texts"),
        "tier": FilterField(lambda vm: vm.tier),
        "owner": FilterField(lambda vm: vm.owner),
        "tenant": FilterField(lambda vm: vm.tenant),
        "id": FilterField(lambda vm: vm.id),
        "ip": FilterField(lambda vm: [address for nic in vm.nics for address in nic.addresses], "texts"),
        "vcpus": FilterField(lambda vm: vm.vcpus, "number"),
        "memory": FilterField(lambda vm: vm.memory_bytes, "size"),
        "is": FilterField(_marks, "texts"),
    }


class Scoped(Protocol):
    """What the scope of an API token reads of a VM: what only people change, never a guest or a moment."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def tags(self) -> dict[str, str]: ...


SCOPE_FIELDS: dict[str, FilterField[Scoped]] = {
    "name": FilterField(lambda vm: vm.name),
    "tag": FilterField(lambda vm: _tags(vm), "texts"),
    "owner": FilterField(lambda vm: vm.owner),
    "id": FilterField(lambda vm: vm.id),
}
"""The fields that the filter of an API token may use. With others, like `state`, a VM would leave the scope by itself."""


@lru_cache(maxsize=1024)
def scope_test(text: str) -> Test[Scoped]:
    """The predicate of an API token's filter. Raises FilterError."""
    return compile_filter(text, SCOPE_FIELDS)


@lru_cache(maxsize=1024)
def stored_scope(text: str) -> Test[Scoped]:
    """The predicate of a filter that was stored. One that this version does not know lets nothing through."""
    try:
        return scope_test(text)
    except FilterError:
        return lambda vm: False


def _tags(vm: Scoped) -> list[str]:
    """Each tag by its key, by its value, and as `key=value`."""
    return [text for key, value in vm.tags.items() for text in (key, value, f"{key}={value}")]


def _marks(vm: VM) -> list[str]:
    marks = {
        "unmanaged": vm.unmanaged,
        "protected": vm.protected,
        "busy": vm.operation_id is not None,
        "simulated": vm.simulated,
        "shared": bool(vm.duplicate_on),
    }
    return [name for name, is_set in marks.items() if is_set]
