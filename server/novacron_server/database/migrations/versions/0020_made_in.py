"""In which tenant an account was made: those that belong to none any more count against its limit."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE users ADD COLUMN IF NOT EXISTS made_in text")
    op.get_bind().exec_driver_sql("UPDATE users SET made_in = tenant WHERE made_in IS NULL")
