"""The audit log, and the checkpoints that retention leaves of what it deletes.

The application's role may insert entries, and delete the old ones of a chain's beginning, for which it leaves a signed
checkpoint: by a function of the owner. It may not update entries, nor delete others.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

CHANGES = """
CREATE TABLE IF NOT EXISTS audit_entries (
    tenant text NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,
    actor_id text NOT NULL DEFAULT '',
    actor text NOT NULL DEFAULT '',
    role text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    session_id text NOT NULL DEFAULT '',
    token text NOT NULL DEFAULT '',
    action text NOT NULL,
    target_type text NOT NULL DEFAULT '',
    target_id text NOT NULL DEFAULT '',
    target_name text NOT NULL DEFAULT '',
    result text NOT NULL,
    status integer NOT NULL DEFAULT 0,
    code text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    times integer NOT NULL DEFAULT 1,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant, seq),
    CONSTRAINT audit_entries_result_check CHECK (result IN ('done', 'accepted', 'refused', 'failed'))
);
CREATE INDEX IF NOT EXISTS audit_entries_time_idx ON audit_entries (time DESC, tenant, seq DESC);
CREATE INDEX IF NOT EXISTS audit_entries_tenant_time_idx ON audit_entries (tenant, time DESC, seq DESC);
CREATE TABLE IF NOT EXISTS audit_checkpoints (
    tenant text NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    time timestamptz NOT NULL,
    key text NOT NULL,
    signature text NOT NULL,
    PRIMARY KEY (tenant, seq)
);
"""

LOCK = """
CREATE OR REPLACE FUNCTION lock_audit(chain text) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql VOLATILE SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('novacron.audit/' || chain, 0));
    RETURN QUERY SELECT e.seq, e.hash FROM audit_entries e WHERE e.tenant = chain ORDER BY e.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN QUERY SELECT c.seq, c.hash FROM audit_checkpoints c WHERE c.tenant = chain ORDER BY c.seq DESC LIMIT 1;
    END IF;
END $$;
REVOKE ALL ON FUNCTION lock_audit(text) FROM PUBLIC;
"""

PRUNE = """
CREATE OR REPLACE FUNCTION prune_audit(chain text, upto bigint, digest bytea, made timestamptz, public_key text, signed text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE pruned bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('novacron.audit/' || chain, 0));
    IF EXISTS (SELECT FROM audit_entries e WHERE e.tenant = chain AND e.seq <= upto
               AND e.time > now() - interval '29 days') THEN
        RAISE EXCEPTION 'audit entries are kept for 30 days' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM audit_entries e WHERE e.tenant = chain AND e.seq = upto AND e.hash = digest) THEN
        RETURN 0;
    END IF;
    DELETE FROM audit_entries e WHERE e.tenant = chain AND e.seq <= upto;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    DELETE FROM audit_checkpoints c WHERE c.tenant = chain;
    INSERT INTO audit_checkpoints VALUES (chain, upto, digest, made, public_key, signed);
    RETURN pruned;
END $$;
REVOKE ALL ON FUNCTION prune_audit(text, bigint, bytea, timestamptz, text, text) FROM PUBLIC;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(CHANGES)
    # As in 0001: a SECURITY DEFINER function must not be redirected to tables of the same name.
    schema = connection.execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.exec_driver_sql(LOCK.format(schema=schema))
    connection.exec_driver_sql(PRUNE.format(schema=schema))
