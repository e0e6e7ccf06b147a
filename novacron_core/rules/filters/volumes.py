"""The filter fields of a volume."""

from __future__ import annotations

from collections.abc import Mapping

from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.language import FilterField


def volume_fields(host_names: Mapping[str, str], vm_names: Mapping[str, str]) -> dict[str, FilterField[Volume]]:
    """The filter fields of a volume. The mappings give names by id; a filter may use either."""
    return {
        "name": FilterField(lambda volume: volume.name),
        "tier": FilterField(lambda volume: volume.tier),
        "pool": FilterField(lambda volume: volume.pool),
        "host": FilterField(lambda volume: (host_names.get(volume.host, volume.host), volume.host), "texts"),
        "vm": FilterField(lambda volume: (vm_names.get(volume.vm, ""), volume.vm) if volume.vm else (), "texts"),
        "format": FilterField(lambda volume: volume.format),
        "tenant": FilterField(lambda volume: volume.tenant),
        "id": FilterField(lambda volume: volume.id),
        "size": FilterField(lambda volume: volume.size_bytes, "size"),
        "used": FilterField(lambda volume: volume.allocated_bytes, "size"),
        "is": FilterField(_volume_marks, "texts"),
    }


def _volume_marks(volume: Volume) -> list[str]:
    marks = {
        "unmanaged": volume.unmanaged,
        "free": volume.vm is None,
        "busy": volume.operation_id is not None,
        "overlay": bool(volume.backing_file),
        "simulated": volume.simulated,
    }
    return [name for name, is_set in marks.items() if is_set]
