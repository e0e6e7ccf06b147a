"""Pools that are assigned to a tier, and the objects that an operation locks besides its target."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

CHANGES = """
CREATE TABLE pools (
    host_id uuid NOT NULL REFERENCES hosts (id),
    uuid uuid NOT NULL,
    name text NOT NULL,
    tier text NOT NULL CONSTRAINT pools_tier_check CHECK (tier IN ('hot', 'warm', 'cold')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, uuid)
);
ALTER TABLE operations ADD COLUMN holds jsonb NOT NULL DEFAULT '[]';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
