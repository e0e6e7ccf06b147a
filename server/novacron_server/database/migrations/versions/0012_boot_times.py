"""When the guest of each VM was started or restarted last, and the run in which it was."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

CHANGES = """
ALTER TABLE vms ADD COLUMN IF NOT EXISTS booted_at timestamptz, ADD COLUMN IF NOT EXISTS boot_run text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
