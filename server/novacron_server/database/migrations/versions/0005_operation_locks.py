"""Rename to `locks` what an operation locks besides its target, in the table and in the stored events."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

CHANGES = """
ALTER TABLE operations RENAME COLUMN holds TO locks;
UPDATE events SET row = (row - 'holds') || jsonb_build_object('locks', row -> 'holds') WHERE row ? 'holds';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
