"""The last facts of managed VMs, shown by a server whose host has not responded since its start."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

CHANGES = """
ALTER TABLE vms ADD COLUMN last_facts jsonb;
ALTER TABLE hosts ADD COLUMN read_at timestamptz;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
