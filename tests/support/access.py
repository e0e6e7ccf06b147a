"""The access service on a fresh database, for its tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from novacron_core.api.access import Login, Register, Tokens, User
from novacron_core.api.people import PersonCreate
from novacron_core.api.tenants import TenantCreate
from novacron_core.errors import Forbidden, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.access.attempts import Attempts
from novacron_server.access.one_time_codes.invitations import Invitations
from novacron_server.access.one_time_codes.password_resets import PasswordResets
from novacron_server.access.own_password import OwnPassword
from novacron_server.access.passwords import Passwords
from novacron_server.access.people.service import People
from novacron_server.access.service import Access
from novacron_server.access.tenants.service import Tenants
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.records import EventRecord
from novacron_server.outbox.repository import read_after
from tests.support.fair_clock import fair_now

PASSWORD = "quiet otters paint maps"


HERE, THERE = "192.0.2.1", "192.0.2.2"


class AccessUnderTest:
    """An Access with the actions that its tests share."""

    def __init__(
        self,
        database: Database,
        access: Access,
        data_dir: Path,
        passwords: Passwords,
        attempts: Attempts,
        wakes: list[int],
        ended: list[str],
    ) -> None:
        self.access = access
        self.own_password = OwnPassword(database, passwords, attempts, access.end_tokens)
        self.unproved: set[str] = set()
        """The names of users who must prove again who they are."""
        self.people = People(database, passwords, access.end_tokens, self._require_proof)
        self.invitations = Invitations(database, passwords, attempts, access.end_tokens, self._require_proof)
        self.resets = PasswordResets(database, passwords, attempts, access.end_tokens, self._require_proof)
        self.tenants = Tenants(database, access.end_tokens, self._require_proof)
        self.data_dir = data_dir
        self.passwords = passwords
        self.ended = ended
        self.wakes = wakes

    async def _require_proof(self, conn: Connection, principal: Principal) -> None:
        if principal.username in self.unproved:
            raise Forbidden("prove it")

    @property
    def setup_token(self) -> str:
        return (self.data_dir / "setup-token").read_text().strip()

    async def register_first(self, username: str = "ada") -> User:
        request = Register(username=username, password=PASSWORD, email="a@b.c", setup_token=self.setup_token)
        return await self.access.register(request, None)

    async def login(self, username: str = "ada", password: str = PASSWORD, address: str = HERE) -> Tokens:
        return await self.access.login(Login(username=username, password=password), address, "test")

    async def principal(self, username: str = "ada") -> Principal:
        return await self.access.authenticate((await self.login(username)).token)

    async def token_of(self, username: str) -> tuple[str, Principal]:
        token = (await self.login(username)).token
        return token, await self.access.authenticate(token)

    async def two_tenants(self) -> TwoTenants:
        """The tenants red and blue beside the default one, with an owner and an operator or viewer each."""
        ada = await self.principal()
        for tenant in ("red", "blue"):
            await self.tenants.create(ada, TenantCreate(id=tenant))
        members = [
            ("rita", "red", Role.OWNER),
            ("ron", "red", Role.OPERATOR),
            ("bo", "blue", Role.OWNER),
            ("bea", "blue", Role.VIEWER),
        ]
        for username, tenant, role in members:
            body = PersonCreate(username=username, password=PASSWORD, tenant=tenant, role=role)
            await self.people.create(ada, body)
        return TwoTenants(ada, *[await self.principal(username) for username, _, _ in members])


@dataclass(frozen=True)
class TwoTenants:
    """`ada` is the administrator; `rita` owns red, where `ron` is operator, and `bo` blue, where `bea` is viewer."""

    ada: Principal
    rita: Principal
    ron: Principal
    bo: Principal
    bea: Principal


OpenAccess = Callable[..., AbstractAsyncContextManager[AccessUnderTest]]


async def expect_refused(fresh_access: AccessUnderTest, token: str) -> bool:
    with pytest.raises(Unauthenticated):
        await fresh_access.access.authenticate(token)
    return True


async def until_true(what: Callable[[], bool], timeout_s: float = 10.0) -> float:
    began = fair_now()
    async with asyncio.timeout(timeout_s):
        while not what():
            await asyncio.sleep(0.02)
    return fair_now() - began


async def events(database: Database) -> list[EventRecord]:
    return await database.run(lambda conn: read_after(conn, 0))


async def execute(url: str, sql: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(sql)


async def open_connections(database: Database) -> None:
    """Open connections in advance, so that concurrent work really runs concurrently."""
    await asyncio.gather(*(database.run(lambda conn: conn.exec_driver_sql("SELECT pg_sleep(0.1)")) for _ in range(8)))
