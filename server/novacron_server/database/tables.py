"""The tables as SQLAlchemy objects, for the repositories. migrations/ defines the schema; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from novacron_server.database import columns, heat_tables  # noqa: F401 - heat's tables are of METADATA too
from novacron_server.database.columns import ID, moment, tenant, word

METADATA = columns.METADATA

tenants = Table(
    "tenants",
    METADATA,
    Column("id", Text, primary_key=True),
    word("name"),
    moment("created_at", default=True),
    Column("max_vms", Integer),
    Column("max_vcpus", Integer),
    Column("max_memory_bytes", BigInteger),
    Column("max_disk_bytes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("totp_required", Boolean, nullable=False, server_default=text("false")),
)

users = Table(
    "users",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    word("email", ""),
    word("password_hash"),
    tenant(null=True),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    moment("created_at", default=True),
    moment("password_changed_at", default=True),
    Column("token_epoch", Integer, nullable=False, server_default=text("0")),
    Column("administrator", Boolean, nullable=False, server_default=text("false")),
    word("totp_secret", null=True),
    moment("totp_since", null=True),
    Column("totp_step", BigInteger, nullable=False, server_default=text("0")),
    word("made_in", null=True),
)

memberships = Table(
    "memberships",
    METADATA,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    tenant(),
    word("role"),
    moment("created_at", default=True),
    moment("gained_at", null=True),
    Column("gained_by", ID),
    PrimaryKeyConstraint("user_id", "tenant"),
    CheckConstraint("role IN ('owner', 'operator', 'viewer')", name="memberships_role_check"),
    Index("memberships_tenant_idx", "tenant"),
)

one_time_codes = Table(
    "one_time_codes",
    METADATA,
    Column("id", ID, primary_key=True),
    word("kind"),
    Column("hash", LargeBinary, nullable=False, unique=True),
    tenant(null=True),
    word("role", null=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE")),
    word("email", ""),
    word("created_by"),
    moment("created_at", default=True),
    moment("expires_at"),
    moment("used_at", null=True),
    word("used_by", ""),
    moment("revoked_at", null=True),
    CheckConstraint("kind IN ('invitation', 'password-reset')", name="one_time_codes_kind_check"),
    Index("one_time_codes_tenant_idx", "tenant"),
    Index("one_time_codes_user_id_idx", "user_id"),
)

recovery_codes = Table(
    "recovery_codes",
    METADATA,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    moment("used_at", null=True),
    PrimaryKeyConstraint("user_id", "hash"),
)

api_tokens = Table(
    "api_tokens",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    tenant(),
    word("name"),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("permissions", JSONB(none_as_null=True)),
    word("vm_filter", ""),
    moment("created_at", default=True),
    moment("expires_at"),
    moment("last_used_at", null=True),
    word("last_address", ""),
    moment("revoked_at", null=True),
    Index("api_tokens_name_idx", "user_id", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    Index("api_tokens_tenant_idx", "tenant"),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    moment("created_at", default=True),
    moment("expires_at"),
    moment("last_used_at", default=True),
    moment("revoked_at", null=True),
    word("user_agent", ""),
    word("address", ""),
    tenant(),
    moment("proved_at", default=True),
    Index("sessions_user_id_idx", "user_id"),
    Index("sessions_expires_at_idx", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    moment("created_at", default=True),
    moment("used_at", null=True),
    Index("refresh_tokens_session_id_idx", "session_id"),
)

login_failures = Table(
    "login_failures",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    moment("last_at"),
    Index("login_failures_last_at_idx", "last_at"),
)

hosts = Table(
    "hosts",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("uri", Text, nullable=False, unique=True),
    word("name"),
    moment("created_at", default=True),
    moment("read_at", null=True),
)

vms = Table(
    "vms",
    METADATA,
    Column("host_id", ID, ForeignKey("hosts.id"), nullable=False),
    Column("id", ID, nullable=False),
    word("name"),
    tenant(),
    word("owner"),
    Column("tags", JSONB, nullable=False, server_default=text("'{}'")),
    word("tier", null=True),
    Column("protected", Boolean, nullable=False, server_default=text("false")),
    word("description", ""),
    Column("generation", Integer, nullable=False, server_default=text("1")),
    Column("spec", JSONB, nullable=False, server_default=text("'{}'")),
    moment("created_at", default=True),
    moment("updated_at", default=True),
    Column("last_facts", JSONB),
    moment("booted_at", null=True),
    word("boot_run", ""),
    PrimaryKeyConstraint("host_id", "id"),
    Index("vms_id_idx", "id"),
    Index("vms_tenant_idx", "tenant"),
)

crashes = Table(
    "crashes",
    METADATA,
    Column("host_id", ID, ForeignKey("hosts.id"), nullable=False),
    Column("vm_id", ID, nullable=False),
    moment("at", null=True),
    moment("found_at"),
    word("reason", ""),
    moment("acknowledged_at", null=True),
    word("acknowledged_by", ""),
    Column("facts", JSONB(none_as_null=True)),
    PrimaryKeyConstraint("host_id", "vm_id"),
)

volumes = Table(
    "volumes",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("host_id", ID, ForeignKey("hosts.id"), nullable=False),
    word("pool"),
    word("name"),
    tenant(),
    word("owner"),
    word("tier", null=True),
    Column("vm_id", ID),
    word("format", null=True),
    moment("created_at", default=True),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    moment("moved_at", null=True),
    word("came_from", null=True),
    Column("pinned", Boolean, nullable=False, server_default=text("false")),
    Column("together", Boolean, nullable=False, server_default=text("false")),
    moment("dismissed_until", null=True),
    word("dismissed_reason", ""),
    UniqueConstraint("host_id", "pool", "name"),
    Index("volumes_vm_id_idx", "vm_id"),
    Index("volumes_tenant_idx", "tenant"),
)

pools = Table(
    "pools",
    METADATA,
    Column("host_id", ID, ForeignKey("hosts.id"), nullable=False),
    Column("uuid", ID, nullable=False),
    word("name"),
    word("tier"),
    moment("created_at", default=True),
    PrimaryKeyConstraint("host_id", "uuid"),
    CheckConstraint("tier IN ('hot', 'warm', 'cold')", name="pools_tier_check"),
)

_OPEN = text("state IN ('pending', 'running')")

operations = Table(
    "operations",
    METADATA,
    Column("id", ID, primary_key=True),
    word("kind"),
    word("target_type"),
    word("target_id"),
    word("target_name", ""),
    Column("host_id", ID),
    tenant(null=True),
    word("actor", ""),
    word("actor_id", ""),
    word("state"),
    word("step", ""),
    Column("progress", Float),
    Column("request", JSONB, nullable=False, server_default=text("'{}'")),
    Column("steps", JSONB, nullable=False, server_default=text("'[]'")),
    Column("problem", JSONB(none_as_null=True)),
    Column("may_cancel", Boolean, nullable=False, server_default=text("false")),
    word("idempotency_key", null=True),
    word("request_hash", null=True),
    moment("created_at", default=True),
    moment("started_at", null=True),
    moment("finished_at", null=True),
    Column("locks", JSONB, nullable=False, server_default=text("'[]'")),
    Column("completed", Boolean, nullable=False, server_default=text("false")),
    Column("parent", ID),
    Column("counts", JSONB(none_as_null=True)),
    word("api_token", ""),
    CheckConstraint(
        "state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted', 'refused')",
        name="operations_state_check",
    ),
    Index("operations_one_per_target", "target_type", "target_id", unique=True, postgresql_where=_OPEN),
    Index(
        "operations_idempotency",
        "tenant",
        "actor_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index("operations_created_at_idx", text("created_at DESC"), "id"),
    Index("operations_tenant_idx", "tenant", text("created_at DESC")),
    Index("operations_target_idx", "target_type", "target_id", text("created_at DESC")),
)

bulk_items = Table(
    "bulk_items",
    METADATA,
    Column("operation_id", ID, ForeignKey("operations.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    word("vm_id"),
    Column("host_id", ID),
    word("name"),
    Column("generation", Integer),
    word("state"),
    Column("child_id", ID),
    word("reason", ""),
    moment("started_at", null=True),
    moment("finished_at", null=True),
    word("type", "vm"),
    PrimaryKeyConstraint("operation_id", "position"),
    CheckConstraint(
        "state IN ('queued', 'running', 'succeeded', 'refused', 'failed', 'cancelled')", name="bulk_items_state_check"
    ),
)

_OF_OPERATION = text("target_type = 'operation'")
NOTABLE = (
    "CASE WHEN target_type = 'operation'"
    " THEN type IN ('operation.succeeded', 'operation.failed', 'operation.cancelled', 'operation.interrupted',"
    " 'operation.refused')"
    " ELSE note <> '' OR right(type, 8) <> '.updated' END"
)
"""`event_words.is_notable` in SQL. A query that has it as it is here is answered from the index."""

events = Table(
    "events",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", ID, nullable=False),
    word("type"),
    word("source"),
    word("target_type"),
    word("target_id"),
    word("target_name", ""),
    word("tenant", null=True),
    word("priority"),
    moment("time"),
    Column("row", JSONB(none_as_null=True)),
    Column("gone", Boolean, nullable=False, server_default=text("false")),
    word("note", ""),
    word("before", null=True),
    word("after", null=True),
    word("reason", ""),
    word("actor", ""),
    Index("events_time_idx", "time"),
    Index("events_target_idx", "target_id", "seq"),
    Index("events_operation_target_idx", text("(\"row\" #>> '{target,id}')"), "seq", postgresql_where=_OF_OPERATION),
    Index("events_notable_idx", "seq", postgresql_where=text(NOTABLE)),
)

event_counter = Table(
    "event_counter",
    METADATA,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("last", BigInteger, nullable=False),
    CheckConstraint("one", name="event_counter_one_check"),
)

jobs = Table(
    "jobs",
    METADATA,
    Column("name", Text, primary_key=True),
    moment("due_at"),
    Column("runs", BigInteger, nullable=False, server_default=text("0")),
    Column("missed", BigInteger, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    word("owner", null=True),
    moment("lease_until", null=True),
    moment("started_at", null=True),
    moment("finished_at", null=True),
    word("last_error", ""),
)

audit_entries = Table(
    "audit_entries",
    METADATA,
    word("tenant"),
    Column("seq", BigInteger, nullable=False),
    moment("time"),
    *(word(name, "") for name in ("actor_id", "actor", "role", "address", "session_id", "token")),
    word("action"),
    *(word(name, "") for name in ("target_type", "target_id", "target_name")),
    word("result"),
    Column("status", Integer, nullable=False, server_default=text("0")),
    *(word(name, "") for name in ("code", "request_id", "detail")),
    Column("times", Integer, nullable=False, server_default=text("1")),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "seq"),
    CheckConstraint("result IN ('done', 'accepted', 'refused', 'failed')", name="audit_entries_result_check"),
    Index("audit_entries_time_idx", text("time DESC"), "tenant", text("seq DESC")),
    Index("audit_entries_tenant_time_idx", "tenant", text("time DESC"), text("seq DESC")),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    METADATA,
    word("tenant"),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    moment("time"),
    word("key"),
    word("signature"),
    PrimaryKeyConstraint("tenant", "seq"),
)

settings = Table("settings", METADATA, Column("key", Text, primary_key=True), Column("value", JSONB, nullable=False))

METRICS = (
    "cpu_cores",
    "cpu_percent",
    "memory_used_bytes",
    "memory_given_bytes",
    "disk_read_bytes_s",
    "disk_write_bytes_s",
    "disk_reads_s",
    "disk_writes_s",
    "net_received_bytes_s",
    "net_sent_bytes_s",
)
"""The metrics of a sample, in the order of its columns."""
METRICS_WITH_LEAST = METRICS[:4]
"""The metrics whose minimum per minute is stored too, besides average and maximum."""


def _reals(*names: str) -> list[Column[float]]:
    return [Column(name, REAL) for name in names]


samples = Table(
    "samples",
    METADATA,
    moment("time"),
    Column("subject", ID, nullable=False),
    *_reals(*METRICS),
    Index("samples_subject_time_idx", "subject", "time"),
    Index("samples_time_idx", "time", postgresql_using="brin"),
    postgresql_partition_by="RANGE (time)",
)

sample_minutes = Table(
    "sample_minutes",
    METADATA,
    moment("time"),
    Column("subject", ID, nullable=False),
    *_reals(*METRICS, *(f"{name}_most" for name in METRICS), *(f"{name}_least" for name in METRICS_WITH_LEAST)),
    PrimaryKeyConstraint("subject", "time"),
    postgresql_partition_by="RANGE (time)",
)
