"""What was known of a transient VM that has crashed: libvirt has forgotten it."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

CHANGES = """
ALTER TABLE crashes ADD COLUMN IF NOT EXISTS facts jsonb;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
