"""Scheduled jobs: when each is due, and how its runs went."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

CHANGES = """
CREATE TABLE jobs (
    name text PRIMARY KEY,
    due_at timestamptz NOT NULL,
    runs bigint NOT NULL DEFAULT 0,
    missed bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    owner text,
    lease_until timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    last_error text NOT NULL DEFAULT ''
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
