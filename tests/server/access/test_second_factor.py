"""The second factor: codes are used once, and an account with one is entered by no password alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pyotp
import pytest

from novacron_core.api import access, api_tokens, second_factor, vms
from novacron_core.api.base import ListQuery
from novacron_core.client import Client, Credentials
from novacron_core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    NovaCronError,
    ReauthenticationRequired,
    TotpRequired,
    Unauthenticated,
    ValidationFailed,
)
from novacron_core.values.roles import Role
from novacron_server.access.second_factor import codes
from tests.support.access import execute
from tests.support.accounts import PASSWORD
from tests.support.api_tokens import create
from tests.support.event_stream import open_with, until_frame
from tests.support.server import LiveServer
from tests.support.waiting import until


class Phone:
    """An authenticator app. Each call shows the next code, as if half a minute had passed."""

    def __init__(self, secret: str) -> None:
        self.totp = pyotp.TOTP(secret)
        self.step = int(time.time()) // codes.STEP_S - 1

    def code(self) -> str:
        self.step += 1
        return self.totp.generate_otp(self.step)


@pytest.fixture
async def bob(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A viewer, on a server whose clock may be three minutes off, so that a test need not wait for codes."""
    monkeypatch.setattr(codes, "DRIFT", 6)
    async with await server.member("bob", Role.VIEWER) as client:
        yield client


async def turn_on(client: Client) -> tuple[Phone, list[str]]:
    begun = await client.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=PASSWORD))
    phone = Phone(begun.secret)
    confirmed = await client.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code=phone.code()))
    return phone, confirmed.recovery_codes


async def sign_in(server: LiveServer, code: str = "", password: str = PASSWORD, name: str = "bob") -> access.Tokens:
    async with Client(server.url) as client:
        return await client.sign_in(name, password, code)


async def test_set_up_begins_with_the_password_and_ends_with_a_code(server: LiveServer, bob: Client) -> None:
    with pytest.raises(Forbidden, match="The password is wrong"):
        await bob.call(second_factor.BEGIN, body=second_factor.BeginTotp(password="wrong"))
    with pytest.raises(Conflict, match="Begin to set up"):
        await bob.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code="000000"))
    begun = await bob.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=PASSWORD))
    assert pyotp.parse_uri(begun.uri).secret == begun.secret
    assert "bob" in begun.uri and "NovaCron" in begun.uri
    with pytest.raises(ValidationFailed, match="This code is wrong"):
        await bob.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code="12345x"))
    assert (await sign_in(server)).user.username == "bob", "codes are not required before the first right one"
    _, recovery = await turn_on(bob)
    assert len(set(recovery)) == 10
    shown = await bob.call(second_factor.GET)
    assert (shown.enabled, shown.required, shown.recovery_codes_left) == (True, False, 10)
    with pytest.raises(Conflict, match="on already"):
        await bob.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=PASSWORD))
    with pytest.raises(Conflict):
        await bob.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code="000000"))


async def test_change_of_it_ends_the_other_sessions_of_its_user(server: LiveServer, bob: Client) -> None:
    other = await sign_in(server)
    phone, _ = await turn_on(bob)
    await expect_ended(server, other)
    assert (await bob.call(access.VALIDATE)).user.username == "bob", "the session at hand goes on"
    other = await sign_in(server, phone.code())
    await bob.call(second_factor.END, body=second_factor.EndTotp(password=PASSWORD, code=phone.code()))
    await expect_ended(server, other)
    phone, _ = await turn_on(bob)
    own = await sign_in(server, phone.code())
    await server.admin.call(second_factor.END_OF_USER, user_id=own.user.id)
    await expect_ended(server, own)


async def expect_ended(server: LiveServer, tokens: access.Tokens) -> None:
    async with Client(server.url, Credentials(tokens.token)) as client:
        with pytest.raises(Unauthenticated):
            await client.call(access.VALIDATE)
        with pytest.raises(Unauthenticated):
            await client.call(access.REFRESH, body=access.Refresh(refresh_token=tokens.refresh_token))


async def test_password_alone_enters_no_account_with_a_second_factor(server: LiveServer, bob: Client) -> None:
    phone, _ = await turn_on(bob)
    for code in ("", "000000", "x" * 64, "１２３４５６", phone.code()[:-1]):
        with pytest.raises(TotpRequired) as refused:
            await sign_in(server, code)
        assert (refused.value.status, refused.value.code) == (401, "totp_required")
        await execute_forget(server)
    assert (
        await sign_in(server, f" {phone.code()[:3]} {phone.totp.generate_otp(phone.step)[3:]} ")
    ).user.username == "bob"


async def execute_forget(server: LiveServer) -> None:
    """Forget wrong sign-ins, which slow further ones down."""
    await server.parts.database.run(lambda conn: conn.exec_driver_sql("DELETE FROM login_failures"))


async def test_wrong_password_tells_nothing_of_a_second_factor(server: LiveServer, bob: Client) -> None:
    phone, recovery = await turn_on(bob)
    answers = set()
    for name, password, code in (
        ("bob", "wrong", ""),
        ("bob", "wrong", "000000"),
        ("bob", "wrong", phone.code()),
        ("bob", "wrong", recovery[0]),
        ("ann", "wrong", ""),
        ("nobody", PASSWORD, ""),
        ("nobody", PASSWORD, "000000"),
    ):
        with pytest.raises(NovaCronError) as refused:
            await sign_in(server, code, password, name)
        e = refused.value
        answers.add((e.status, e.code, e.detail, e.fields, e.retry_after_s))
        await execute_forget(server)
    assert len(answers) == 1, answers
    assert (await sign_in(server, recovery[0])).token, "a wrong password uses no code up"


async def test_code_signs_in_once(server: LiveServer, bob: Client) -> None:
    phone, _ = await turn_on(bob)
    confirmed = phone.totp.generate_otp(phone.step)
    with pytest.raises(TotpRequired, match="used already"):
        await sign_in(server, confirmed)
    code = phone.code()
    results = await asyncio.gather(*(sign_in(server, code) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(each, access.Tokens) for each in results) == 1, results
    with pytest.raises(TotpRequired):
        await sign_in(server, code)
    await execute_forget(server)
    later = phone.code()
    assert (await sign_in(server, phone.code())).token
    with pytest.raises(TotpRequired):
        await sign_in(server, later)  # the code of a time before that of the last one


async def test_recovery_code_signs_in_once_and_is_stored_hashed(
    server: LiveServer, bob: Client, owner_url: str
) -> None:
    _, recovery = await turn_on(bob)
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        for table in ("recovery_codes", "events", "users"):
            rows = str(await (await conn.execute(f"SELECT * FROM {table}")).fetchall())
            assert not any(code in rows or code.replace("-", "") in rows for code in recovery)
    typed = recovery[3].upper().replace("-", " ")
    results = await asyncio.gather(*(sign_in(server, typed) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, access.Tokens) for each in results) == 1, results
    assert (await bob.call(second_factor.GET)).recovery_codes_left == 9
    await execute_forget(server)
    with pytest.raises(TotpRequired):
        await sign_in(server, recovery[3])
    assert (await sign_in(server, recovery[4])).token


async def test_one_account_s_codes_open_no_other(server: LiveServer, bob: Client) -> None:
    phone, recovery = await turn_on(bob)
    async with await server.member("carol", Role.VIEWER) as carol:
        await turn_on(carol)
        for code in (phone.code(), recovery[0]):
            with pytest.raises(TotpRequired):
                await sign_in(server, code, name="carol")


async def test_guesses_of_codes_are_slowed_down(server: LiveServer, bob: Client) -> None:
    await turn_on(bob)
    outcomes = []
    for guess in range(12):
        with pytest.raises(NovaCronError) as refused:
            await sign_in(server, f"{guess:06}")
        outcomes.append(refused.value.code)
    assert outcomes[:4] == ["totp_required"] * 4 and "rate_limited" in outcomes


async def test_turning_off_needs_password_and_code(server: LiveServer, bob: Client) -> None:
    phone, recovery = await turn_on(bob)
    for password, code in (("wrong", phone.code()), (PASSWORD, "000000"), (PASSWORD, "")):
        with pytest.raises(Forbidden, match="The password or the code is wrong"):
            await bob.call(second_factor.END, body=second_factor.EndTotp(password=password, code=code))
    await bob.call(second_factor.END, body=second_factor.EndTotp(password=PASSWORD, code=recovery[0]))
    assert not (await bob.call(second_factor.GET)).enabled
    assert (await sign_in(server)).token
    with pytest.raises(Conflict):
        await bob.call(second_factor.END, body=second_factor.EndTotp(password=PASSWORD, code=""))


async def test_administrator_turns_it_off_for_who_has_lost_it(server: LiveServer, bob: Client, owner_url: str) -> None:
    bob_id = (await bob.call(access.VALIDATE)).user.id
    with pytest.raises(Conflict, match="bob has no second factor"):
        await server.admin.call(second_factor.END_OF_USER, user_id=bob_id)
    await turn_on(bob)
    with pytest.raises(Forbidden):
        await bob.call(second_factor.END_OF_USER, user_id=bob_id)
    for missing in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFound):
            await server.admin.call(second_factor.END_OF_USER, user_id=missing)
    await execute(owner_url, "UPDATE sessions SET proved_at = now() - interval '11 minutes'")
    with pytest.raises(ReauthenticationRequired):
        await server.admin.call(second_factor.END_OF_USER, user_id=bob_id)
    await server.admin.call(second_factor.PROVE, body=second_factor.Prove(password=PASSWORD))
    await server.admin.call(second_factor.END_OF_USER, user_id=bob_id)
    assert (await sign_in(server)).token


async def test_proof_needs_a_code_too(server: LiveServer, bob: Client, owner_url: str) -> None:
    phone, _ = await turn_on(bob)
    await execute(owner_url, "UPDATE sessions SET proved_at = now() - interval '11 minutes'")
    for code in ("", "000000", phone.totp.generate_otp(phone.step)):
        with pytest.raises(Forbidden, match="The password or the code is wrong"):
            await bob.call(second_factor.PROVE, body=second_factor.Prove(password=PASSWORD, totp=code))
    with pytest.raises(Forbidden, match="needs your password again"):
        await create(bob)
    await bob.call(second_factor.PROVE, body=second_factor.Prove(password=PASSWORD, totp=phone.code()))
    assert (await create(bob)).token


async def test_tenant_that_requires_it_admits_nobody_without(server: LiveServer, bob: Client, owner_url: str) -> None:
    script = Client(server.url, Credentials((await create(bob)).token))
    ticket = (await bob.call(access.WS_TICKET)).ticket
    async with open_with(bob, server) as by_header, open_with(Client(server.url), server, f"?ticket={ticket}") as other:
        for socket in (by_header, other):
            await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        await execute(owner_url, "UPDATE tenants SET totp_required = true")
        for socket in (by_header, other):
            await asyncio.wait_for(socket.wait_closed(), 5)

    async def limited() -> bool | None:
        return True if (await bob.call(access.VALIDATE)).user.scope else None

    await until(limited)
    fresh = await sign_in(server)
    assert set(fresh.user.scope or []) == {"public", "signed_in", "self:sign_in"}
    for client in (bob, Client(server.url, Credentials(fresh.token))):
        with pytest.raises(Forbidden, match="this tenant requires a second factor"):
            await client.call(vms.LIST, query=vms.VMQuery())
        with pytest.raises(Forbidden, match="this tenant requires a second factor"):
            await client.call(api_tokens.CREATE, body=api_tokens.CreateApiToken(name="more"))
    with pytest.raises(Forbidden):
        await script.call(vms.LIST, query=vms.VMQuery())
    with pytest.raises(Forbidden):
        await script.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=PASSWORD))
    assert (await bob.call(second_factor.GET)).required
    phone, _ = await turn_on(bob)

    async def admitted() -> bool | None:
        try:
            await bob.call(vms.LIST, query=vms.VMQuery())
            await script.call(vms.LIST, query=vms.VMQuery())
        except Forbidden:
            return None
        return True

    assert await until(admitted)
    assert (await sign_in(server, phone.code())).user.scope is None
    assert (await bob.call(api_tokens.LIST, query=ListQuery())).total == 1


@pytest.mark.parametrize(("off_by", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clock_of_a_phone_may_be_one_step_off(off_by: int, right: bool) -> None:
    secret, now = codes.new_secret(), 1_800_000_015.0
    code = pyotp.TOTP(secret).generate_otp(int(now) // 30 + off_by)
    assert (codes.step_of(secret, code, now) == int(now) // 30 + off_by) is right
    assert len(secret) == 32 and codes.step_of(codes.new_secret(), code, now) is None


async def test_session_that_ended_proves_nothing(server: LiveServer, bob: Client) -> None:
    await bob.call(access.LOGOUT)
    with pytest.raises(Unauthenticated):
        await bob.call(second_factor.PROVE, body=second_factor.Prove(password=PASSWORD))
