"""The first tables: accounts, the data about VMs and volumes that libvirt cannot store, operations, and the outbox."""

from __future__ import annotations

import json
import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE tenants (
    id text PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenants (id, name) VALUES ('default', 'Default');

CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text NOT NULL DEFAULT '',
    password_hash text NOT NULL,
    role text NOT NULL CONSTRAINT users_role_check CHECK (role IN ('viewer', 'operator', 'administrator')),
    tenant text NOT NULL REFERENCES tenants (id),
    disabled boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    password_changed_at timestamptz NOT NULL DEFAULT now(),
    token_epoch integer NOT NULL DEFAULT 0
);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    user_agent text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

CREATE TABLE login_failures (
    account text NOT NULL,
    address text NOT NULL,
    failures integer NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (account, address)
);
CREATE INDEX login_failures_last_at_idx ON login_failures (last_at);

CREATE TABLE hosts (
    id uuid PRIMARY KEY,
    uri text NOT NULL UNIQUE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE vms (
    host_id uuid NOT NULL REFERENCES hosts (id),
    id uuid NOT NULL,
    name text NOT NULL,
    tenant text NOT NULL REFERENCES tenants (id),
    owner text NOT NULL,
    tags jsonb NOT NULL DEFAULT '{}',
    tier text,
    protected boolean NOT NULL DEFAULT false,
    description text NOT NULL DEFAULT '',
    generation integer NOT NULL DEFAULT 1,
    spec jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, id)
);
CREATE INDEX vms_id_idx ON vms (id);
CREATE INDEX vms_tenant_idx ON vms (tenant);

CREATE TABLE volumes (
    id uuid PRIMARY KEY,
    host_id uuid NOT NULL REFERENCES hosts (id),
    pool text NOT NULL,
    name text NOT NULL,
    tenant text NOT NULL REFERENCES tenants (id),
    owner text NOT NULL,
    tier text,
    vm_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (host_id, pool, name)
);
CREATE INDEX volumes_vm_id_idx ON volumes (vm_id);
CREATE INDEX volumes_tenant_idx ON volumes (tenant);

CREATE TABLE operations (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    target_name text NOT NULL DEFAULT '',
    host_id uuid,
    tenant text REFERENCES tenants (id),
    actor text NOT NULL DEFAULT '',
    actor_id text NOT NULL DEFAULT '',
    state text NOT NULL CONSTRAINT operations_state_check
        CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    step text NOT NULL DEFAULT '',
    progress double precision,
    request jsonb NOT NULL DEFAULT '{}',
    steps jsonb NOT NULL DEFAULT '[]',
    problem jsonb,
    may_cancel boolean NOT NULL DEFAULT false,
    idempotency_key text,
    request_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);
CREATE UNIQUE INDEX operations_one_per_target ON operations (target_type, target_id)
    WHERE state IN ('pending', 'running');
CREATE UNIQUE INDEX operations_idempotency ON operations (tenant, actor_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX operations_created_at_idx ON operations (created_at DESC, id);
CREATE INDEX operations_tenant_idx ON operations (tenant, created_at DESC);
CREATE INDEX operations_target_idx ON operations (target_type, target_id, created_at DESC);

CREATE TABLE events (
    seq bigint PRIMARY KEY,
    id uuid NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    target_name text NOT NULL DEFAULT '',
    tenant text,
    priority text NOT NULL,
    time timestamptz NOT NULL,
    "row" jsonb,
    gone boolean NOT NULL DEFAULT false,
    note text NOT NULL DEFAULT ''
);
CREATE INDEX events_time_idx ON events (time);

CREATE TABLE event_counter (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT event_counter_one_check CHECK (one),
    last bigint NOT NULL
);
INSERT INTO event_counter (last) VALUES (0);

CREATE TABLE settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL
);
"""

PRUNE = """
CREATE FUNCTION prune_events(older_than timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    WITH pruned AS (
        DELETE FROM events WHERE time < least(older_than, now() - interval '1 hour') RETURNING 1
    ) SELECT count(*) FROM pruned
$$;
REVOKE ALL ON FUNCTION prune_events(timestamptz) FROM PUBLIC;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    # Schema set, temporary tables last: a SECURITY DEFINER function must not be redirected to another `events` table.
    schema = connection.execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.exec_driver_sql(PRUNE.format(schema=schema))
    connection.execute(
        sa.text("INSERT INTO settings (key, value) VALUES ('instance', CAST(:value AS jsonb))"),
        {"value": json.dumps(str(uuid.uuid4()))},
    )
