"""In which tenant an account was made: those that belong to none any more count against its limit. And the session that
has brought a role about, by an invitation: it alone need not begin anew to use it."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE users ADD COLUMN IF NOT EXISTS made_in text")
    op.get_bind().exec_driver_sql("ALTER TABLE memberships ADD COLUMN IF NOT EXISTS gained_by uuid")
    op.get_bind().exec_driver_sql("UPDATE users SET made_in = tenant WHERE made_in IS NULL")
