"""What a filter can ask of a VM."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from novacron_core.api.samples import VMSample
from novacron_core.api.vms import VM
from novacron_core.rules.filters.language import Field

LIVE_FIELDS = ("cpu", "mem", "used", "disk", "net")
"""What is asked of a VM's newest sample, and changes every few seconds."""


def vm_fields(
    host_names: Mapping[str, str], sample_of: Callable[[VM], VMSample | None] = lambda vm: None
) -> dict[str, Field[VM]]:
    """What can be asked of a VM. `host_names` maps host ids to names; a host is found by either.

    `sample_of` gives its newest numbers: `cpu>80` is percent of its vCPUs, `mem>90` percent of its memory, `used>2G` its
    used memory, `disk>10M` and `net>1M` bytes per second both ways. A VM without the number never passes.
    """

    def live(read: Callable[[VMSample], float | None]) -> Callable[[VM], float | None]:
        return lambda vm: None if (sample := sample_of(vm)) is None else read(sample)

    return {
        "cpu": Field(live(lambda sample: sample.cpu_percent), "number"),
        "mem": Field(live(lambda sample: sample.memory_percent), "number"),
        "used": Field(live(lambda sample: sample.memory_used_bytes), "size"),
        "disk": Field(live(lambda sample: sample.disk_bytes_s), "size"),
        "net": Field(live(lambda sample: sample.net_bytes_s), "size"),
        "name": Field(lambda vm: vm.name),
        "state": Field(lambda vm: str(vm.state)),
        "host": Field(lambda vm: (host_names.get(vm.host, vm.host), vm.host), "texts"),
        "tag": Field(_tags, "texts"),
        "tier": Field(lambda vm: vm.tier),
        "owner": Field(lambda vm: vm.owner),
        "tenant": Field(lambda vm: vm.tenant),
        "id": Field(lambda vm: vm.id),
        "ip": Field(lambda vm: [address for nic in vm.nics for address in nic.addresses], "texts"),
        "vcpus": Field(lambda vm: vm.vcpus, "number"),
        "memory": Field(lambda vm: vm.memory_bytes, "size"),
        "is": Field(_marks, "texts"),
    }


def _tags(vm: VM) -> list[str]:
    """A tag is found by its key, its value, or both."""
    return [text for key, value in vm.tags.items() for text in (key, value, f"{key}={value}")]


def _marks(vm: VM) -> list[str]:
    marks = {
        "foreign": vm.foreign,
        "protected": vm.protected,
        "busy": vm.operation is not None,
        "simulated": vm.simulated,
        "shared": bool(vm.also_on),
    }
    return [name for name, true in marks.items() if true]
