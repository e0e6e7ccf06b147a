"""What a filter can ask of a volume."""

from __future__ import annotations

from collections.abc import Mapping

from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.language import Field


def volume_fields(host_names: Mapping[str, str], vm_names: Mapping[str, str]) -> dict[str, Field[Volume]]:
    """What can be asked of a volume. The maps give names by id; a host and a VM are found by either."""
    return {
        "name": Field(lambda volume: volume.name),
        "tier": Field(lambda volume: volume.tier),
        "pool": Field(lambda volume: volume.pool),
        "host": Field(lambda volume: (host_names.get(volume.host, volume.host), volume.host), "texts"),
        "vm": Field(lambda volume: (vm_names.get(volume.vm, ""), volume.vm) if volume.vm else (), "texts"),
        "format": Field(lambda volume: volume.format),
        "tenant": Field(lambda volume: volume.tenant),
        "id": Field(lambda volume: volume.id),
        "size": Field(lambda volume: volume.size_bytes, "size"),
        "used": Field(lambda volume: volume.allocated_bytes, "size"),
        "is": Field(_volume_marks, "texts"),
    }


def _volume_marks(volume: Volume) -> list[str]:
    marks = {
        "foreign": volume.foreign,
        "free": volume.vm is None,
        "busy": volume.operation is not None,
        "overlay": bool(volume.leans_on),
        "simulated": volume.simulated,
    }
    return [name for name, true in marks.items() if true]
