"""The only place that opens connections to PostgreSQL: the pool, the server lock, LISTEN and NOTIFY, and migrations.

Limits are set after connecting, not as startup options: connection poolers refuse or ignore those. The options of the
URL itself are sent as they are, and set again behind a pooler.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_dumps, set_json_loads

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database import refusals

Session: TypeAlias = psycopg.AsyncConnection[Any]
BlockingSession: TypeAlias = psycopg.Connection[Any]

APPLICATION = "novacron"
POOL = 16
DEDICATED = 3
"""Beside the pool: the server lock, LISTEN and NOTIFY. During the start, migrations use two instead of the last two."""
NEEDED = POOL + DEDICATED
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=(\S*)")
_FIXED_AT_START = ("55P02", "42501")
"""cant_change_runtime_param, insufficient_privilege: an option that only takes effect when a connection starts."""
_IDLE_IN_TRANSACTION_MS = 10_000


def parse_url(url: str) -> dict[str, Any]:
    """The parameters of a URL or a libpq connection string, with those that only environment variables give.

    SQLAlchemy's spelling of a URL is accepted too. Raises DatabaseUnavailable for an invalid one.
    """
    for spelling in ("postgresql+psycopg://", "postgres://"):
        if url.startswith(spelling):
            url = "postgresql://" + url.removeprefix(spelling)
    try:
        found: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise DatabaseUnavailable("the database URL is not a valid PostgreSQL URL") from None
    for name, variable in (("options", "PGOPTIONS"), ("application_name", "PGAPPNAME"), ("user", "PGUSER")):
        if value := os.environ.get(variable):
            found.setdefault(name, value)
    return found


def parse_options(options: str) -> dict[str, str]:
    """The settings in libpq's `options`: words like `-c name=value`, with a backslash before a space in a value."""
    held = options.replace("\\\\", "\x00").replace("\\ ", "\x01")
    found = {}
    for name, value in _OPTION.findall(held):
        found[name.replace("-", "_").lower()] = value.replace("\x01", " ").replace("\x00", "\\")
    return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What one connection must have once it is open."""

    settings: dict[str, str]
    name: str


class Connector:
    """Opens connections to the database of one URL.

    `budget_s` limits the time for opening one. `search_path`, in SQL, is used unless the URL gives one.
    `needed` is how many connections a server opens at most, for the sentence that says there are too few.
    """

    def __init__(self, url: str, *, budget_s: float, search_path: str = "", needed: int = NEEDED) -> None:
        self.parameters = parse_url(url)
        self.budget_s = budget_s
        self._needed = needed
        self._own_options = parse_options(str(self.parameters.get("options", "")))
        self._search_path = "" if "search_path" in self._own_options else search_path
        self._options_refused = False
        self.last_open_s = 0.0
        """How long opening the last connection took."""

    @property
    def search_path(self) -> str:
        """The search path that the URL gives, in SQL; empty when it gives none."""
        return self._own_options.get("search_path", "")

    @property
    def application_name(self) -> str:
        """The name that the URL gives its connections; empty when it gives none."""
        return str(self.parameters.get("application_name", ""))

    async def open(
        self,
        *,
        application: str = "",
        autocommit: bool = False,
        limited: bool = True,
        settings: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Session:
        """Open a connection within the budget. `application` names it unless the URL does; `limited` ends statements
        after the budget; `settings` are of the session; `more` are libpq's parameters.

        Raises refusals.ConnectionFailure with a sentence, which is a psycopg.OperationalError.
        """
        wanted = self._wanted(application, limited, settings or {})
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.budget_s):
                opened = await self._open(wanted, autocommit, more)
                self.last_open_s = time.monotonic() - began
                return opened
        except TimeoutError as exc:
            raise refusals.too_slow(self.budget_s) from exc
        except psycopg.Error as exc:
            raise self._explained(exc) from exc

    def open_blocking(self, *, application: str = "", autocommit: bool = False) -> BlockingSession:
        """A connection for migrations, whose statements may take long; otherwise like `open`."""
        wanted = self._wanted(application, False, {"statement_timeout": "0"})
        try:
            return self._open_blocking(wanted, autocommit)
        except psycopg.errors.ConnectionTimeout as exc:
            raise refusals.too_slow(self.budget_s) from exc
        except psycopg.Error as exc:
            raise self._explained(exc) from exc

    def _explained(self, exc: psycopg.Error) -> psycopg.Error:
        if isinstance(exc, refusals.ConnectionFailure):
            return exc
        return refusals.explain(exc, self.parameters, self._needed)

    def _wanted(self, application: str, limited: bool, settings: Mapping[str, str]) -> _Wanted:
        limits = {
            "statement_timeout": str(int(self.budget_s * 1000)),
            "idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_MS),
        }
        path = {"search_path": self._search_path} if self._search_path else {}
        return _Wanted(
            {**(limits if limited else {}), **path, **settings}, self.application_name or application or APPLICATION
        )

    def _arguments(self, wanted: _Wanted) -> dict[str, Any]:
        found = {**self.parameters, "application_name": wanted.name, "client_encoding": "UTF8"}
        found.setdefault("connect_timeout", max(2, math.ceil(self.budget_s)))
        if self._options_refused:
            found.pop("options", None)
        return found

    async def _open(self, wanted: _Wanted, autocommit: bool, more: dict[str, Any]) -> Session:
        try:
            conn = await _connect(**self._arguments(wanted) | more)
        except psycopg.OperationalError as exc:
            if not self._may_do_without_options(exc):
                raise
            conn = await _connect(**self._arguments(wanted) | more)
        try:
            refusals.check_encoding(conn)
            query, values = _configuration(wanted)
            found = await (await conn.execute(query, values)).fetchone()
            if found is not None and found[0] != conn.info.backend_pid:
                for name, value in self._own_options.items():
                    try:
                        await conn.execute("SELECT set_config(%s, %s, false)", (name, value))
                    except psycopg.Error as exc:
                        self._admit(exc, name)
            await conn.set_autocommit(autocommit)
        except BaseException:
            await conn.close()
            raise
        _use_msgspec(conn)
        return conn

    def _open_blocking(self, wanted: _Wanted, autocommit: bool) -> BlockingSession:
        try:
            conn = psycopg.connect(**self._arguments(wanted), autocommit=True)
        except psycopg.OperationalError as exc:
            if not self._may_do_without_options(exc):
                raise
            conn = psycopg.connect(**self._arguments(wanted), autocommit=True)
        try:
            refusals.check_encoding(conn)
            query, values = _configuration(wanted)
            found = conn.execute(query, values).fetchone()
            if found is not None and found[0] != conn.info.backend_pid:
                for name, value in self._own_options.items():
                    try:
                        conn.execute("SELECT set_config(%s, %s, false)", (name, value))
                    except psycopg.Error as exc:
                        self._admit(exc, name)
            conn.set_autocommit(autocommit)
        except BaseException:
            conn.close()
            raise
        return conn

    def _may_do_without_options(self, exc: psycopg.Error) -> bool:
        """Whether a pooler refused the options of the URL, which can then be set after connecting."""
        refused = not self._options_refused and bool(self._own_options) and refusals.refuses_options(exc)
        self._options_refused = self._options_refused or refused
        return refused

    def _admit(self, exc: psycopg.Error, name: str) -> None:
        """Pass over an option that had its effect when the connection started. Raises ConnectionFailure otherwise."""
        if self._options_refused or exc.sqlstate not in _FIXED_AT_START:
            raise refusals.option_refused(name) from exc


async def _connect(**arguments: Any) -> Session:
    try:
        return await psycopg.AsyncConnection.connect(**arguments, autocommit=True)
    except asyncio.CancelledError as exc:
        # The frames hold the half-open connection until the garbage is collected, and PostgreSQL would wait for its
        # sign-in for a minute (authentication_timeout): with a process less, and with no database dropped meanwhile.
        traceback.clear_frames(exc.__traceback__)
        raise


def _configuration(wanted: _Wanted) -> tuple[sql.Composed, list[str]]:
    """One query that sets everything, and answers with the process of PostgreSQL that really serves the connection."""
    calls = [sql.SQL("set_config(%s, %s, false)")] * len(wanted.settings)
    query = sql.SQL("SELECT {}").format(sql.SQL(", ").join([sql.SQL("pg_backend_pid()"), *calls]))
    return query, [word for setting in wanted.settings.items() for word in setting]


def _use_msgspec(conn: Session) -> None:
    set_json_dumps(_to_json, conn)
    set_json_loads(msgspec.json.decode, conn)


def _to_json(value: object) -> str:
    """JSON without NUL, which PostgreSQL's jsonb rejects: untrusted text must never make a row impossible to write."""
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")
