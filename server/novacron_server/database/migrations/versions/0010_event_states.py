"""The states before and after an event, why, and by whom; and indexes for lists of events."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

CHANGES = """
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS before text, ADD COLUMN IF NOT EXISTS after text,
    ADD COLUMN IF NOT EXISTS reason text NOT NULL DEFAULT '', ADD COLUMN IF NOT EXISTS actor text NOT NULL DEFAULT '';
UPDATE events SET
    after = "row" ->> 'state', reason = coalesce("row" #>> '{problem,detail}', ''), actor = coalesce("row" ->> 'actor', '')
    WHERE target_type = 'operation';
CREATE INDEX IF NOT EXISTS events_target_idx ON events (target_id, seq);
CREATE INDEX IF NOT EXISTS events_operation_target_idx ON events (("row" #>> '{target,id}'), seq) WHERE target_type = 'operation';
CREATE INDEX IF NOT EXISTS events_notable_idx ON events (seq) WHERE
    CASE WHEN target_type = 'operation'
    THEN type IN ('operation.succeeded', 'operation.failed', 'operation.cancelled', 'operation.interrupted')
    ELSE note <> '' OR right(type, 8) <> '.updated' END;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
