"""Items of bulks that are volumes: all that a person owns is handed over as one bulk."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE bulk_items ADD COLUMN IF NOT EXISTS type text NOT NULL DEFAULT 'vm'")
