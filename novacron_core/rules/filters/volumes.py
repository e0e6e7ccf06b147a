"""The filter fields of a volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from novacron_core.api.samples import HeatSample
from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.language import FilterField


def volume_fields(
    host_names: Mapping[str, str],
    vm_names: Mapping[str, str],
    heat_of: Callable[[Volume], HeatSample | None] = lambda _: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    cost_of: Callable[[Volume], float | None] = lambda _: None,
) -> dict[str, FilterField[Volume]]:
    """The filter fields of a volume. The mappings give names by id; a filter may use either. `heat` is in operations per
    second, the lower of the averages of a day and a week; `idle` how long no operation was seen; `cost` is that of a month."""

    def heat(volume: Volume) -> float | None:
        sample = heat_of(volume)
        return None if sample is None else min(sample.fast, sample.slow)

    def idle(volume: Volume) -> float | None:
        sample = heat_of(volume)
        return None if sample is None or sample.accessed_at is None else (now() - sample.accessed_at).total_seconds()

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
        "heat": FilterField(heat, "number"),
        "idle": FilterField(idle, "age"),
        "cost": FilterField(cost_of, "number"),
        "is": FilterField(_volume_marks, "texts"),
    }


def _volume_marks(volume: Volume) -> list[str]:
    marks = {
        "unmanaged": volume.unmanaged,
        "free": volume.vm is None,
        "busy": volume.operation_id is not None,
        "overlay": bool(volume.backing_file),
        "simulated": volume.simulated,
        "pinned": volume.pinned,
    }
    return [name for name, is_set in marks.items() if is_set]
