"""Memberships of tenants, one-time codes, second factors, API tokens and quotas.

The role of each account becomes a membership of its tenant. An administrator becomes one of the installation, and an
owner of the tenant that the account was in. `users.tenant` is the tenant in which a sign-in begins.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

CHANGES = """
CREATE TABLE IF NOT EXISTS memberships (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant text NOT NULL REFERENCES tenants (id),
    role text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, tenant),
    CONSTRAINT memberships_role_check CHECK (role IN ('owner', 'operator', 'viewer'))
);
CREATE INDEX IF NOT EXISTS memberships_tenant_idx ON memberships (tenant);
ALTER TABLE users
    ADD COLUMN IF NOT EXISTS administrator boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS totp_secret text, ADD COLUMN IF NOT EXISTS totp_since timestamptz, ADD COLUMN IF NOT EXISTS totp_step bigint NOT NULL DEFAULT 0,
    ALTER COLUMN tenant DROP NOT NULL;
DO $$ BEGIN
IF EXISTS (SELECT FROM information_schema.columns
           WHERE table_schema = current_schema() AND table_name = 'users' AND column_name = 'role') THEN
    UPDATE users SET administrator = (role = 'administrator');
    INSERT INTO memberships (user_id, tenant, role, created_at)
        SELECT id, tenant, CASE role WHEN 'administrator' THEN 'owner' ELSE role END, created_at FROM users;
    ALTER TABLE users DROP COLUMN role;
END IF;
END $$;
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS tenant text REFERENCES tenants (id), ADD COLUMN IF NOT EXISTS proved_at timestamptz;
UPDATE sessions SET tenant = users.tenant, proved_at = sessions.created_at
    FROM users WHERE users.id = sessions.user_id AND sessions.tenant IS NULL;
ALTER TABLE sessions ALTER COLUMN tenant SET NOT NULL,
    ALTER COLUMN proved_at SET NOT NULL, ALTER COLUMN proved_at SET DEFAULT now();
ALTER TABLE tenants
    ADD COLUMN IF NOT EXISTS max_vms integer, ADD COLUMN IF NOT EXISTS max_vcpus integer, ADD COLUMN IF NOT EXISTS max_memory_bytes bigint,
    ADD COLUMN IF NOT EXISTS max_disk_bytes jsonb NOT NULL DEFAULT '{}', ADD COLUMN IF NOT EXISTS totp_required boolean NOT NULL DEFAULT false;
CREATE TABLE IF NOT EXISTS one_time_codes (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    tenant text REFERENCES tenants (id),
    role text,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    email text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    used_by text NOT NULL DEFAULT '',
    revoked_at timestamptz,
    CONSTRAINT one_time_codes_kind_check CHECK (kind IN ('invitation', 'password-reset'))
);
CREATE INDEX IF NOT EXISTS one_time_codes_tenant_idx ON one_time_codes (tenant);
CREATE INDEX IF NOT EXISTS one_time_codes_user_id_idx ON one_time_codes (user_id);
CREATE TABLE IF NOT EXISTS recovery_codes (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (user_id, hash)
);
CREATE TABLE IF NOT EXISTS api_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant text NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    permissions jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    last_address text NOT NULL DEFAULT '',
    revoked_at timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS api_tokens_name_idx ON api_tokens (user_id, name) WHERE revoked_at IS NULL;
CREATE INDEX IF NOT EXISTS api_tokens_tenant_idx ON api_tokens (tenant);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)
