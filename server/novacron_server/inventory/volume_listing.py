"""What a read of a host's volumes tells beside the one before. Pure: of many thousands it is found out in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.inventory.storage_changes import VolumeKey


@dataclass(frozen=True, slots=True)
class VolumeListing:
    """The volumes of one read. `unchanged` are the keys of those whose facts are as in the listing `before`."""

    facts: dict[VolumeKey, VolumeFacts]
    before: Mapping[VolumeKey, VolumeFacts]
    unchanged: frozenset[VolumeKey]


def compare(volumes: Iterable[VolumeFacts], before: Mapping[VolumeKey, VolumeFacts]) -> VolumeListing:
    """The listing of these volumes. `before` is not changed by anyone any more."""
    facts = {(each.pool, each.name): each for each in volumes}
    return VolumeListing(facts, before, frozenset(key for key, each in facts.items() if before.get(key) == each))
