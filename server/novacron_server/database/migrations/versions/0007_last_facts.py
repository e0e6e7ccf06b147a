"""The last facts of managed VMs, shown while a host has not responded since the server's start; and the operations that
did not succeed, but whose change is in effect."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

CHANGES = """
ALTER TABLE vms ADD COLUMN IF NOT EXISTS last_facts jsonb;
ALTER TABLE hosts ADD COLUMN IF NOT EXISTS read_at timestamptz;
ALTER TABLE operations ADD COLUMN IF NOT EXISTS completed boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
