"""How hot each volume is, hour by hour for as long as it is kept, and how fast the disks of each tier answer.

A day of a volume is one row with an array of 24 values per measure: about 27 bytes an hour.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"

TABLES = """
CREATE TABLE IF NOT EXISTS volume_heat (
    volume_id uuid PRIMARY KEY REFERENCES volumes (id) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    fast double precision NOT NULL DEFAULT 0,
    slow double precision NOT NULL DEFAULT 0,
    observed_s double precision NOT NULL DEFAULT 0,
    accessed_at timestamptz,
    reads double precision NOT NULL DEFAULT 0,
    writes double precision NOT NULL DEFAULT 0,
    read_bytes double precision NOT NULL DEFAULT 0,
    written_bytes double precision NOT NULL DEFAULT 0,
    active bigint NOT NULL DEFAULT 0,
    sequential bigint NOT NULL DEFAULT 0,
    above integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS volume_heat_days (
    volume_id uuid NOT NULL REFERENCES volumes (id) ON DELETE CASCADE,
    day date NOT NULL,
    tier text NOT NULL DEFAULT '',
    operations real[] NOT NULL,
    weighted real[] NOT NULL,
    bytes real[] NOT NULL,
    took_s real[] NOT NULL,
    observed_s real[] NOT NULL,
    PRIMARY KEY (volume_id, day)
) WITH (fillfactor = 60);
CREATE INDEX IF NOT EXISTS volume_heat_days_day_idx ON volume_heat_days (day);

CREATE TABLE IF NOT EXISTS tier_latencies (
    host_id uuid NOT NULL REFERENCES hosts (id),
    tier text NOT NULL,
    hour timestamptz NOT NULL,
    counts integer[] NOT NULL,
    PRIMARY KEY (host_id, tier, hour)
);

CREATE TABLE IF NOT EXISTS heat_watches (
    host_id uuid PRIMARY KEY REFERENCES hosts (id),
    at timestamptz NOT NULL
);

ALTER TABLE volumes ADD COLUMN IF NOT EXISTS moved_at timestamptz, ADD COLUMN IF NOT EXISTS came_from text,
ADD COLUMN IF NOT EXISTS pinned boolean NOT NULL DEFAULT false, ADD COLUMN IF NOT EXISTS dismissed_until timestamptz,
ADD COLUMN IF NOT EXISTS dismissed_reason text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)
