"""API tokens that are limited to the VMs of a filter, and which operations each of these has begun."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("ALTER TABLE api_tokens ADD COLUMN IF NOT EXISTS vm_filter text NOT NULL DEFAULT ''")
    connection.exec_driver_sql("ALTER TABLE operations ADD COLUMN IF NOT EXISTS api_token text NOT NULL DEFAULT ''")
