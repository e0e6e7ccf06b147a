"""The size of each volume that its guest sees, for quotas.

It is 0 for volumes of before, until a server has read them.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE volumes ADD COLUMN IF NOT EXISTS size_bytes bigint NOT NULL DEFAULT 0")
