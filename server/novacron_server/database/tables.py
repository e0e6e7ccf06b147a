"""The tables as SQLAlchemy objects, for the repositories. migrations/ defines the schema; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

METADATA = MetaData()
_Id = Uuid(as_uuid=False)  # a string in Python, as in the API


def _time(name: str, *, null: bool = False, default: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null, server_default=func.now() if default else None)


def _word(name: str, default: str | None = None, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null, server_default=None if default is None else text(f"'{default}'"))


def _tenant(*, null: bool = False) -> Column[str]:
    return Column("tenant", Text, ForeignKey("tenants.id"), nullable=null)


tenants = Table(
    "tenants",
    METADATA,
    Column("id", Text, primary_key=True),
    _word("name"),
    _time("created_at", default=True),
    Column("max_vms", Integer),
    Column("max_vcpus", Integer),
    Column("max_memory_bytes", BigInteger),
    Column("max_disk_bytes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("totp_required", Boolean, nullable=False, server_default=text("false")),
)

users = Table(
    "users",
    METADATA,
    Column("id", _Id, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    _word("email", ""),
    _word("password_hash"),
    _tenant(null=True),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    _time("created_at", default=True),
    _time("password_changed_at", default=True),
    Column("token_epoch", Integer, nullable=False, server_default=text("0")),
    Column("administrator", Boolean, nullable=False, server_default=text("false")),
    _word("totp_secret", null=True),
    _time("totp_since", null=True),
    Column("totp_step", BigInteger, nullable=False, server_default=text("0")),
    _word("made_in", null=True),
)

memberships = Table(
    "memberships",
    METADATA,
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _tenant(),
    _word("role"),
    _time("created_at", default=True),
    _time("gained_at", null=True),
    Column("gained_by", _Id),
    PrimaryKeyConstraint("user_id", "tenant"),
    CheckConstraint("role IN ('owner', 'operator', 'viewer')", name="memberships_role_check"),
    Index("memberships_tenant_idx", "tenant"),
)

one_time_codes = Table(
    "one_time_codes",
    METADATA,
    Column("id", _Id, primary_key=True),
    _word("kind"),
    Column("hash", LargeBinary, nullable=False, unique=True),
    _tenant(null=True),
    _word("role", null=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE")),
    _word("email", ""),
    _word("created_by"),
    _time("created_at", default=True),
    _time("expires_at"),
    _time("used_at", null=True),
    _word("used_by", ""),
    _time("revoked_at", null=True),
    CheckConstraint("kind IN ('invitation', 'password-reset')", name="one_time_codes_kind_check"),
    Index("one_time_codes_tenant_idx", "tenant"),
    Index("one_time_codes_user_id_idx", "user_id"),
)

recovery_codes = Table(
    "recovery_codes",
    METADATA,
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    _time("used_at", null=True),
    PrimaryKeyConstraint("user_id", "hash"),
)

api_tokens = Table(
    "api_tokens",
    METADATA,
    Column("id", _Id, primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _tenant(),
    _word("name"),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("permissions", JSONB(none_as_null=True)),
    _word("vm_filter", ""),
    _time("created_at", default=True),
    _time("expires_at"),
    _time("last_used_at", null=True),
    _word("last_address", ""),
    _time("revoked_at", null=True),
    Index("api_tokens_name_idx", "user_id", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    Index("api_tokens_tenant_idx", "tenant"),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("id", _Id, primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _time("created_at", default=True),
    _time("expires_at"),
    _time("last_used_at", default=True),
    _time("revoked_at", null=True),
    _word("user_agent", ""),
    _word("address", ""),
    _tenant(),
    _time("proved_at", default=True),
    Index("sessions_user_id_idx", "user_id"),
    Index("sessions_expires_at_idx", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("session_id", _Id, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _time("created_at", default=True),
    _time("used_at", null=True),
    Index("refresh_tokens_session_id_idx", "session_id"),
)

login_failures = Table(
    "login_failures",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    _time("last_at"),
    Index("login_failures_last_at_idx", "last_at"),
)

hosts = Table(
    "hosts",
    METADATA,
    Column("id", _Id, primary_key=True),
    Column("uri", Text, nullable=False, unique=True),
    _word("name"),
    _time("created_at", default=True),
    _time("read_at", null=True),
)

vms = Table(
    "vms",
    METADATA,
    Column("host_id", _Id, ForeignKey("hosts.id"), nullable=False),
    Column("id", _Id, nullable=False),
    _word("name"),
    _tenant(),
    _word("owner"),
    Column("tags", JSONB, nullable=False, server_default=text("'{}'")),
    _word("tier", null=True),
    Column("protected", Boolean, nullable=False, server_default=text("false")),
    _word("description", ""),
    Column("generation", Integer, nullable=False, server_default=text("1")),
    Column("spec", JSONB, nullable=False, server_default=text("'{}'")),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    Column("last_facts", JSONB),
    _time("booted_at", null=True),
    _word("boot_run", ""),
    PrimaryKeyConstraint("host_id", "id"),
    Index("vms_id_idx", "id"),
    Index("vms_tenant_idx", "tenant"),
)

crashes = Table(
    "crashes",
    METADATA,
    Column("host_id", _Id, ForeignKey("hosts.id"), nullable=False),
    Column("vm_id", _Id, nullable=False),
    _time("at", null=True),
    _time("found_at"),
    _word("reason", ""),
    _time("acknowledged_at", null=True),
    _word("acknowledged_by", ""),
    Column("facts", JSONB(none_as_null=True)),
    PrimaryKeyConstraint("host_id", "vm_id"),
)

volumes = Table(
    "volumes",
    METADATA,
    Column("id", _Id, primary_key=True),
    Column("host_id", _Id, ForeignKey("hosts.id"), nullable=False),
    _word("pool"),
    _word("name"),
    _tenant(),
    _word("owner"),
    _word("tier", null=True),
    Column("vm_id", _Id),
    _word("format", null=True),
    _time("created_at", default=True),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("host_id", "pool", "name"),
    Index("volumes_vm_id_idx", "vm_id"),
    Index("volumes_tenant_idx", "tenant"),
)

pools = Table(
    "pools",
    METADATA,
    Column("host_id", _Id, ForeignKey("hosts.id"), nullable=False),
    Column("uuid", _Id, nullable=False),
    _word("name"),
    _word("tier"),
    _time("created_at", default=True),
    PrimaryKeyConstraint("host_id", "uuid"),
    CheckConstraint("tier IN ('hot', 'warm', 'cold')", name="pools_tier_check"),
)

_OPEN = text("state IN ('pending', 'running')")

operations = Table(
    "operations",
    METADATA,
    Column("id", _Id, primary_key=True),
    _word("kind"),
    _word("target_type"),
    _word("target_id"),
    _word("target_name", ""),
    Column("host_id", _Id),
    _tenant(null=True),
    _word("actor", ""),
    _word("actor_id", ""),
    _word("state"),
    _word("step", ""),
    Column("progress", Float),
    Column("request", JSONB, nullable=False, server_default=text("'{}'")),
    Column("steps", JSONB, nullable=False, server_default=text("'[]'")),
    Column("problem", JSONB(none_as_null=True)),
    Column("may_cancel", Boolean, nullable=False, server_default=text("false")),
    _word("idempotency_key", null=True),
    _word("request_hash", null=True),
    _time("created_at", default=True),
    _time("started_at", null=True),
    _time("finished_at", null=True),
    Column("locks", JSONB, nullable=False, server_default=text("'[]'")),
    Column("completed", Boolean, nullable=False, server_default=text("false")),
    Column("parent", _Id),
    Column("counts", JSONB(none_as_null=True)),
    _word("api_token", ""),
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
    Column("operation_id", _Id, ForeignKey("operations.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    _word("vm_id"),
    Column("host_id", _Id),
    _word("name"),
    Column("generation", Integer),
    _word("state"),
    Column("child_id", _Id),
    _word("reason", ""),
    _time("started_at", null=True),
    _time("finished_at", null=True),
    _word("type", "vm"),
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
    Column("id", _Id, nullable=False),
    _word("type"),
    _word("source"),
    _word("target_type"),
    _word("target_id"),
    _word("target_name", ""),
    _word("tenant", null=True),
    _word("priority"),
    _time("time"),
    Column("row", JSONB(none_as_null=True)),
    Column("gone", Boolean, nullable=False, server_default=text("false")),
    _word("note", ""),
    _word("before", null=True),
    _word("after", null=True),
    _word("reason", ""),
    _word("actor", ""),
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
    _time("due_at"),
    Column("runs", BigInteger, nullable=False, server_default=text("0")),
    Column("missed", BigInteger, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    _word("owner", null=True),
    _time("lease_until", null=True),
    _time("started_at", null=True),
    _time("finished_at", null=True),
    _word("last_error", ""),
)

audit_entries = Table(
    "audit_entries",
    METADATA,
    _word("tenant"),
    Column("seq", BigInteger, nullable=False),
    _time("time"),
    *(_word(name, "") for name in ("actor_id", "actor", "role", "address", "session_id", "token")),
    _word("action"),
    *(_word(name, "") for name in ("target_type", "target_id", "target_name")),
    _word("result"),
    Column("status", Integer, nullable=False, server_default=text("0")),
    *(_word(name, "") for name in ("code", "request_id", "detail")),
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
    _word("tenant"),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    _time("time"),
    _word("key"),
    _word("signature"),
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
    _time("time"),
    Column("subject", _Id, nullable=False),
    *_reals(*METRICS),
    Index("samples_subject_time_idx", "subject", "time"),
    Index("samples_time_idx", "time", postgresql_using="brin"),
    postgresql_partition_by="RANGE (time)",
)

sample_minutes = Table(
    "sample_minutes",
    METADATA,
    _time("time"),
    Column("subject", _Id, nullable=False),
    *_reals(*METRICS, *(f"{name}_most" for name in METRICS), *(f"{name}_least" for name in METRICS_WITH_LEAST)),
    PrimaryKeyConstraint("subject", "time"),
    postgresql_partition_by="RANGE (time)",
)
