"""Since when the role of a member has more rights than before: earlier sessions may not use them."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE memberships ADD COLUMN IF NOT EXISTS gained_at timestamptz")
