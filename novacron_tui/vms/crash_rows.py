"""When and why a VM crashed, as labels with their texts, for the console and for commands."""

from __future__ import annotations

from datetime import datetime

from novacron_core.api.vms import Crash
from novacron_core.values.ages import age_s, age_text


def crash_rows(crash: Crash, now: datetime) -> list[tuple[str, str]]:
    """When and why, as labels with their texts."""
    rows = [("reason", crash.reason), ("crashed", _when(crash.at, now))]
    if crash.at is None:
        rows[1:] = [("crashed", "while no server was running"), ("found", _when(crash.found_at, now))]
    by = f", by {crash.acknowledged_by}" if crash.acknowledged_by else ""
    return [*rows, ("acknowledged", f"{_when(crash.acknowledged_at, now)}{by}" if crash.acknowledged_at else "")]


def _when(at: datetime | None, now: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {age_text(age_s(at, now))} ago" if at else ""
