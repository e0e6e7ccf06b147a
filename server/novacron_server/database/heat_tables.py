"""The tables of heat: how hot each volume is, how fast the tiers answer, and what was decided because of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, REAL

from novacron_server.database.columns import ID, METADATA, moment, word


def _volume(**options: Any) -> Column[str]:
    return Column("volume_id", ID, ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, **options)


def _sums(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False, server_default=text("0")) for name in names]


volume_heat = Table(
    "volume_heat",
    METADATA,
    _volume(primary_key=True),
    moment("at"),
    *_sums(Double, "fast", "slow", "observed_s"),
    moment("accessed_at", null=True),
    *_sums(Double, "reads", "writes", "read_bytes", "written_bytes"),
    *_sums(BigInteger, "active", "sequential"),
    *_sums(Integer, "above"),
)

volume_heat_days = Table(
    "volume_heat_days",
    METADATA,
    _volume(),
    Column("day", Date, nullable=False),
    word("tier", ""),
    *(
        Column(name, ARRAY(REAL), nullable=False)
        for name in ("operations", "weighted", "bytes", "took_s", "observed_s")
    ),
    PrimaryKeyConstraint("volume_id", "day"),
    Index("volume_heat_days_day_idx", "day"),
)

tier_latencies = Table(
    "tier_latencies",
    METADATA,
    Column("host_id", ID, ForeignKey("hosts.id"), nullable=False),
    word("tier"),
    moment("hour"),
    Column("counts", ARRAY(Integer), nullable=False),
    PrimaryKeyConstraint("host_id", "tier", "hour"),
)

heat_watches = Table(
    "heat_watches",
    METADATA,
    Column("host_id", ID, ForeignKey("hosts.id"), primary_key=True),
    moment("at"),
)

storage_decisions = Table(
    "storage_decisions",
    METADATA,
    Column("id", ID, primary_key=True),
    moment("at"),
    moment("last_at"),
    Column("times", Integer, nullable=False, server_default=text("1")),
    Column("host", ID, ForeignKey("hosts.id"), nullable=False),
    Column("volume", ID, nullable=False),
    word("name"),
    Column("tenant", Text, ForeignKey("tenants.id", ondelete="SET NULL")),
    *(word(name) for name in ("source", "target", "result")),
    *(word(name, "") for name in ("cause", "reason", "text")),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("operation", ID),
    Index("storage_decisions_last_at_idx", text("last_at DESC"), "id"),
    Index("storage_decisions_moving_idx", "at", postgresql_where=text("result = 'moving'")),
    Index("storage_decisions_tenant_idx", "tenant", text("last_at DESC")),
)
