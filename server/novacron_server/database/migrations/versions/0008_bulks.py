"""Bulks: the VMs of one operation on many, each with its own result."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

CHANGES = """
ALTER TABLE operations ADD COLUMN IF NOT EXISTS parent uuid, ADD COLUMN IF NOT EXISTS counts jsonb;
CREATE TABLE IF NOT EXISTS bulk_items (
    operation_id uuid NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    position integer NOT NULL,
    vm_id text NOT NULL,
    host_id uuid,
    name text NOT NULL,
    generation integer,
    state text NOT NULL
        CONSTRAINT bulk_items_state_check
        CHECK (state IN ('queued', 'running', 'succeeded', 'refused', 'failed', 'cancelled')),
    child_id uuid,
    reason text NOT NULL DEFAULT '',
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (operation_id, position)
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
