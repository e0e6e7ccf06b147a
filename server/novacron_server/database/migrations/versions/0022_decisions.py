"""What the server decided about advised moves: which it made by itself, which it held back, and why; and which disks of a VM
move together."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"

TABLE = """
CREATE TABLE IF NOT EXISTS storage_decisions (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    host uuid NOT NULL REFERENCES hosts (id),
    volume uuid NOT NULL,
    name text NOT NULL,
    tenant text REFERENCES tenants (id) ON DELETE SET NULL,
    source text NOT NULL,
    target text NOT NULL,
    result text NOT NULL,
    cause text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    text text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL DEFAULT 0,
    operation uuid
);
CREATE INDEX IF NOT EXISTS storage_decisions_last_at_idx ON storage_decisions (last_at DESC, id);
ALTER TABLE volumes ADD COLUMN IF NOT EXISTS together boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS storage_decisions_moving_idx ON storage_decisions (at) WHERE result = 'moving';
CREATE INDEX IF NOT EXISTS storage_decisions_tenant_idx ON storage_decisions (tenant, last_at DESC);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLE)
