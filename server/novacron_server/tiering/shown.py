"""The heat of volumes as the event stream sends it: rounded, and only what has changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from novacron_core.api.samples import HeatSample
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.tiering.book import HeatBook, KnownHeat
from novacron_server.tiering.rounding import significant

EVERY_S = 15.0
_ACCESS_S = 600
"""To how many seconds the time of the last access is rounded: that of a disk in use always changes."""
_OLD_S = 900.0


class ShownHeat:
    """`version` rises when something has changed. Computed only while somebody asks, at most every EVERY_S."""

    def __init__(self, book: HeatBook) -> None:
        self._book = book
        self._samples: dict[str, HeatSample] = {}
        self._changed_in: dict[str, int] = {}
        self._refreshed_at = float("-inf")
        self.version = 0

    def refresh(self) -> int:
        """Look what has changed. Returns the version."""
        if clock() - self._refreshed_at < EVERY_S:
            return self.version
        self._refreshed_at, now = clock(), self._book.clock.now()
        samples = {volume_id: self._sample(known, now) for volume_id, known in self._book.volumes.items()}
        changed = [volume_id for volume_id, sample in samples.items() if self._samples.get(volume_id) != sample]
        if changed:
            self.version += 1
            self._changed_in |= dict.fromkeys(changed, self.version)
        for gone in self._samples.keys() - samples.keys():
            del self._changed_in[gone]
        self._samples = samples
        return self.version

    def since(self, version: int) -> Iterator[tuple[str, HeatSample]]:
        """What has changed after a version, by volume id."""
        return ((each, self._samples[each]) for each, changed in self._changed_in.items() if changed > version)

    def _sample(self, known: KnownHeat, now: float) -> HeatSample:
        heat, rates = self._book.heat_and_rates(known)
        accessed_s = heat.accessed_at
        return HeatSample(
            fast=significant(rates.fast, 2),
            slow=significant(rates.slow, 2),
            accessed_at=None if accessed_s is None else _time(accessed_s // _ACCESS_S * _ACCESS_S),
            as_of=_time(heat.at) if now - heat.at > _OLD_S * self._book.clock.speed else None,
        )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
