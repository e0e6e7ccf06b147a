"""The rights that NovaCron's roles need on its schema, and sentences with the line that gives what is missing."""

from __future__ import annotations

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.connector import BlockingSession
from novacron_server.database.refusals import quoted
from novacron_server.database.tables import METADATA

# The rights of the application role beyond SELECT. It can only read tables that are not listed.
_FULL_ACCESS = (
    "tenants", "users", "sessions", "refresh_tokens", "login_failures", "hosts", "vms", "volumes", "pools", "operations",
    "jobs", "bulk_items", "crashes", "memberships", "one_time_codes", "recovery_codes", "api_tokens",
    "volume_heat", "volume_heat_days", "tier_latencies", "heat_watches", "storage_decisions",
)  # fmt: skip
RIGHTS = {
    **dict.fromkeys(_FULL_ACCESS, "INSERT, UPDATE, DELETE"),
    "settings": "INSERT, UPDATE",
    "event_counter": "UPDATE",
    "events": "INSERT",
    "samples": "INSERT",
    "sample_minutes": "INSERT",
    "audit_entries": "INSERT",
}
FUNCTIONS = (
    "prune_events(timestamptz)",
    "lock_audit(text)",
    "prune_audit(text, bigint, bytea, timestamptz, text, text)",
    "make_sample_partitions(timestamptz, timestamptz)",
    "drop_sample_partitions(timestamptz, timestamptz)",
)
_NOT_OURS = """
SELECT c.relname, r.rolname, r.rolsuper FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p', 'S', 'v')
AND NOT pg_has_role(current_user, c.relowner, 'USAGE') ORDER BY c.relname LIMIT 1"""
_EXISTING = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relname = ANY (%s) LIMIT 1"""
_MISSING = """
SELECT wanted.name, string_agg(wanted.privilege, ', ') FROM unnest(%s::text[], %s::text[]) AS wanted (name, privilege)
WHERE NOT has_table_privilege(%s, quote_ident(current_schema()) || '.' || quote_ident(wanted.name), wanted.privilege)
GROUP BY wanted.name ORDER BY wanted.name"""
_MISSING_FUNCTION = """
SELECT wanted FROM unnest(%s::text[]) AS wanted
WHERE NOT has_function_privilege(%s, quote_ident(current_schema()) || '.' || wanted, 'EXECUTE') LIMIT 1"""


def current_role(session: BlockingSession) -> str:
    return str(_value(session, "SELECT current_user"))


def current_schema(session: BlockingSession) -> str:
    """The schema of the tables. Raises DatabaseUnavailable when there is none that the role may use."""
    found = _value(session, "SELECT current_schema()")
    if found is None:
        path = _value(session, "SELECT current_setting('search_path')")
        raise DatabaseUnavailable(f"no schema of the search path {path} exists that the role may use: create one")
    return str(found)


def check_before_upgrade(session: BlockingSession, *, fresh: bool, upgrade: bool, grants: bool) -> None:
    """Before anything is made: raises DatabaseUnavailable for a right that an upgrade or grants need."""
    schema, role = current_schema(session), current_role(session)
    if upgrade and not _value(session, "SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        raise DatabaseUnavailable(
            f"the role {role} may not create tables in the schema {schema}: "
            f"run GRANT USAGE, CREATE ON SCHEMA {quoted(schema)} TO {quoted(role)}"
        )
    if fresh:
        row = session.execute(_EXISTING, (list(METADATA.tables),)).fetchone()
        if row is not None:
            raise DatabaseUnavailable(
                f"the schema {schema} has a table {row[0]} that NovaCron did not make: create a schema or a database for "
                "NovaCron"
            )
        return
    if upgrade or grants:
        row = session.execute(_NOT_OURS).fetchone()
        if row is not None:
            table, owner, is_superuser = row
            run = f"REASSIGN OWNED BY {quoted(owner)} TO {quoted(role)}"
            if is_superuser:  # PostgreSQL reassigns nothing of the role that owns its own tables
                run = (
                    f"ALTER TABLE {quoted(schema)}.{quoted(table)} OWNER TO {quoted(role)}, and so for its other tables"
                )
            raise DatabaseUnavailable(
                f"the table {table} belongs to the role {owner}, not to {role}: give a URL of {owner} as "
                f"--database-owner-url, or run {run}"
            )


def check_reading(session: BlockingSession, table: str) -> None:
    """Raises DatabaseUnavailable when the role of the session may not read the table."""
    _check_tables(session, current_role(session), [(table, "SELECT")])


def check_use(session: BlockingSession, role: str) -> None:
    """Raises DatabaseUnavailable for a right that the role needs for everyday work."""
    schema = current_schema(session)
    if not _value(session, "SELECT has_schema_privilege(%s, current_schema(), 'USAGE')", role):
        raise DatabaseUnavailable(
            f"the role {role} may not use the schema {schema}: run GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}"
        )
    wanted = [(name, "SELECT") for name in METADATA.tables]
    wanted += [(name, right) for name, rights in RIGHTS.items() for right in rights.split(", ")]
    _check_tables(session, role, wanted)
    function = _value(session, _MISSING_FUNCTION, list(FUNCTIONS), role)
    if function is not None:
        raise DatabaseUnavailable(
            f"the role {role} may not call {function}: run GRANT EXECUTE ON FUNCTION {quoted(schema)}.{function} "
            f"TO {quoted(role)}"
        )


def _check_tables(session: BlockingSession, role: str, wanted: list[tuple[str, str]]) -> None:
    names, rights = [name for name, _ in wanted], [right for _, right in wanted]
    missing = session.execute(_MISSING, (names, rights, role)).fetchall()
    if not missing:
        return
    schema = quoted(current_schema(session))
    lines = [f"GRANT {privileges} ON {schema}.{quoted(name)} TO {quoted(role)}" for name, privileges in missing]
    raise DatabaseUnavailable(
        f"the role {role} lacks rights on the table {missing[0][0]}"
        + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")
        + f": as the owner of the tables, run {'; '.join(lines)}"
    )


def _value(session: BlockingSession, query: str, *values: object) -> object:
    row = session.execute(query, values).fetchone()
    return row[0] if row is not None else None
