"""Why a connection to PostgreSQL could not be opened, in sentences for an operator.

libpq gives no error code for a connection that failed, only PostgreSQL's text. Some sentences name the role or the
database; the `reason` of a failure names neither, because anyone may see it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

UTF8 = "UTF8"


class ConnectionFailure(psycopg.OperationalError):
    """A connection could not be opened. The text says why and what to do; `reason` is short and names nothing."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}: {advice}" if advice else reason)
        self.reason = reason


_POOLER = r"unsupported startup parameter"
# (pattern of the text of PostgreSQL, libpq, psycopg or pgbouncer; reason; advice). A host may have several addresses,
# and the text then holds several failures: what a server said comes before what no server said.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"too many clients|slots are reserved|too many connections for|no more connections allowed|max_client_conn",
        "PostgreSQL accepts no more connections",
        "NovaCron needs up to {needed}; lower --database-connections, or raise max_connections or the connection limit of "
        "role {user} or of database {dbname}, or end other programs' connections",
    ),
    (
        r"no password supplied",
        "PostgreSQL asks for a password, and the database URL has none",
        "add the password of role {user} to the URL",
    ),
    (
        r"password authentication failed|wrong password|SASL authentication failed|auth failed|no such user",
        "PostgreSQL refuses the password of the database URL",
        "correct the password of role {user}, or the role",
    ),
    (
        r'role ".*" does not exist|(?:peer|ident) authentication failed|is not permitted to log in',
        "PostgreSQL refuses the role of the database URL",
        "correct the role {user}, or create it with CREATE ROLE {user} LOGIN PASSWORD '...'",
    ),
    (
        r"no pg_hba.conf entry|rejects connection",
        "PostgreSQL does not admit this machine",
        "add a line for role {user} and database {dbname} to its pg_hba.conf, or use TLS (sslmode=require)",
    ),
    (
        r'database ".*" does not exist|no such database',
        "the database of the URL does not exist",
        "create it with CREATE DATABASE {dbname} ENCODING 'UTF8' TEMPLATE template0, or correct the URL",
    ),
    (
        r"permission denied for database",
        "the role of the database URL may not connect to its database",
        "run GRANT CONNECT ON DATABASE {dbname} TO {user}",
    ),
    (
        r"read-only|hot standby|not in hot standby",
        "the database is a read-only standby",
        "give the address of the primary server",
    ),
    (
        r"starting up|in recovery mode|not yet accepting|not accepting connections",
        "PostgreSQL is starting and accepts no connections yet",
        "try again soon",
    ),
    (r"shutting down", "PostgreSQL is shutting down", "start it, or try again soon"),
    (
        _POOLER,
        "the connection pooler refuses a parameter of the database URL",
        "remove the parameter from the URL, or give the address of PostgreSQL itself",
    ),
    (
        r"unrecognized configuration parameter|invalid value for parameter|permission denied to set parameter",
        "PostgreSQL refuses an option of the database URL",
        "correct its options=",
    ),
    (
        r"does not support SSL|SSL error|certificate|SSL was required|sslmode|root certificate",
        "TLS with PostgreSQL failed",
        "check sslmode and sslrootcert of the database URL, and the certificate of the server",
    ),
    (
        r"failed to resolve|could not translate host name|Name or service not known",
        "the host of the database URL is unknown",
        "correct its name, or check the name service",
    ),
    (
        r"No such file or directory|Permission denied",
        "there is no socket of PostgreSQL at the path of the database URL",
        "check that PostgreSQL runs, and the path in host=",
    ),
    (
        r"Connection refused",
        "the database cannot be reached: connection refused",
        "check that PostgreSQL runs, and the host and port of the URL",
    ),
    (
        r"No route to host|Network is unreachable|Host is unreachable|timed? ?out|timeout expired",
        "the database cannot be reached over the network",
        "check the host and port of the URL, and firewalls",
    ),
    (
        r"server closed the connection|Connection reset|connection .*lost|expected authentication request",
        "the database cannot be reached: the connection was closed",
        "check that PostgreSQL listens at the host and port of the URL",
    ),
)


def explain(exc: psycopg.Error, parameters: Mapping[str, Any], needed: int) -> psycopg.Error:
    """The failure with its sentence; an error of a statement (with a code) is returned as it is."""
    if exc.sqlstate and not isinstance(exc, psycopg.errors.ConnectionTimeout):
        return exc
    named = {
        "user": quoted(parameters.get("user")) or "of this account",
        "dbname": quoted(parameters.get("dbname") or parameters.get("user")) or "of this account",
        "needed": needed or "a few",
    }
    for pattern, reason, advice in _KNOWN:
        if re.search(pattern, str(exc), re.IGNORECASE):
            return ConnectionFailure(reason, advice.format(**named))
    return ConnectionFailure("the database cannot be reached", "PostgreSQL refused the connection; its log says why")


def too_slow(budget_s: float) -> ConnectionFailure:
    return ConnectionFailure(
        f"the database did not accept a connection within {budget_s:g} s",
        "if it is far away or starts on demand, raise --database-budget-s; a connection pooler may have none left",
    )


def option_refused(name: str) -> ConnectionFailure:
    return ConnectionFailure(f"PostgreSQL refuses the option {name} of the database URL", "correct its options=")


def refuses_options(exc: psycopg.Error) -> bool:
    """Whether a connection pooler refused a startup parameter."""
    return re.search(_POOLER, str(exc)) is not None


def check_encoding(conn: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> None:
    """Raises ConnectionFailure for a database that cannot store every character."""
    found = conn.info.parameter_status("server_encoding")
    if found is not None and found != UTF8:
        raise ConnectionFailure(
            f"the database has the encoding {found}, and NovaCron needs {UTF8}",
            f"create another with CREATE DATABASE {quoted(f'{conn.info.dbname}_utf8')} ENCODING 'UTF8' TEMPLATE template0",
        )


def quoted(name: object) -> str:
    """A name as SQL takes it, quoted where it must be."""
    text = str(name or "")
    if not text or re.fullmatch(r"[a-z_][a-z0-9_]*", text):
        return text
    return sql.Identifier(text).as_string(None)
