"""The last facts of managed volumes, shown while a host has not responded since the server's start."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

CHANGES = "ALTER TABLE volumes ADD COLUMN IF NOT EXISTS last_facts jsonb;"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
