"""Operations may end as refused, and that is notable as every end is."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

CHANGES = """
ALTER TABLE operations
    DROP CONSTRAINT IF EXISTS operations_state_check,
    ADD CONSTRAINT operations_state_check
        CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted', 'refused'));
DROP INDEX IF EXISTS events_notable_idx;
CREATE INDEX events_notable_idx ON events (seq) WHERE
    CASE WHEN target_type = 'operation'
    THEN type IN ('operation.succeeded', 'operation.failed', 'operation.cancelled', 'operation.interrupted', 'operation.refused')
    ELSE note <> '' OR right(type, 8) <> '.updated' END;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
