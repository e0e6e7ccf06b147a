"""The current time in tests of the metrics history."""

from __future__ import annotations

from datetime import UTC, datetime

NOW = datetime.now(UTC).replace(second=30, microsecond=0)
