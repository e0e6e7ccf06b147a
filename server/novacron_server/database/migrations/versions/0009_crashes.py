"""The last crash of each VM, managed or not: libvirt forgets it when libvirtd restarts."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

CHANGES = """
CREATE TABLE IF NOT EXISTS crashes (
    host_id uuid NOT NULL REFERENCES hosts (id),
    vm_id uuid NOT NULL,
    at timestamptz,
    found_at timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    PRIMARY KEY (host_id, vm_id)
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
