"""The format a volume was created with: a guest can write anything into a raw disk, even another format's header."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE volumes ADD COLUMN format text")
