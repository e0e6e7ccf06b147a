"""Invitations and codes for a new password: they count once, for a while, and for whom they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import psycopg
import pytest

from novacron_core.api.access import AcceptInvitation, PasswordReset, Refresh
from novacron_core.api.base import ListQuery
from novacron_core.api.people import InvitationCreate, InvitationState, PersonChange
from novacron_core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    NovaCronError,
    RateLimited,
    Unauthenticated,
    ValidationFailed,
)
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.access import backoff, new_accounts
from novacron_server.access.one_time_codes import invitations as module
from novacron_server.access.one_time_codes.code import hash_of, new_code
from novacron_server.database.transactions import Database
from tests.support.access import (
    HERE,
    PASSWORD,
    THERE,
    AccessUnderTest,
    TwoTenants,
    events,
    execute,
    expect_refused,
    open_connections,
)

NEW = "seven calm rivers bend"
EXPIRED = "UPDATE one_time_codes SET expires_at = now() - interval '1 second'"


@pytest.fixture
async def two(ready_access: AccessUnderTest) -> TwoTenants:
    return await ready_access.two_tenants()


async def invite(access: AccessUnderTest, who: Principal, **more: object) -> str:
    return (await access.invitations.create(who, InvitationCreate(**more))).code  # type: ignore[arg-type]


def accepting(code: str, username: str = "eve", password: str = PASSWORD) -> AcceptInvitation:
    return AcceptInvitation(code=code, username=username, password=password)


async def sentence(call: Awaitable[object], kind: type[NovaCronError] = Forbidden) -> str:
    with pytest.raises(kind) as refused:
        await call
    return refused.value.detail


async def state_of(access: AccessUnderTest, who: Principal) -> list[InvitationState]:
    return [each.state for each in (await access.invitations.page(who, ListQuery())).items]


# -- the codes themselves ------------------------------------------------------------------------------------------------


def test_code_can_be_typed_as_people_do() -> None:
    code = new_code()
    assert len(code) == 29 and len({new_code() for _ in range(1000)}) == 1000
    assert hash_of(code.lower().replace("-", " ")) == hash_of(f" {code} ") == hash_of(code)
    assert hash_of("oil10") == hash_of("011IO")
    assert hash_of(code) != hash_of(new_code())


async def test_code_is_stored_as_its_hash_and_stands_in_no_event(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database, owner_url: str
) -> None:
    codes = [await invite(ready_access, two.rita), (await ready_access.resets.create(two.rita, two.ron.user_id)).code]
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        stored = str(await (await conn.execute("SELECT one_time_codes::text FROM one_time_codes")).fetchall())
    told = str(await events(database))
    for code in codes:
        letters = code.replace("-", "")
        for form in (code, letters, letters.encode().hex()):
            assert form not in stored and form not in told


# -- invitations ---------------------------------------------------------------------------------------------------------


async def test_invitation_makes_an_account_in_its_tenant_with_its_role(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    made = await ready_access.invitations.create(two.rita, InvitationCreate(role=Role.OPERATOR, email="eve@x.y"))
    assert (made.invitation.tenant, made.invitation.created_by) == ("red", "rita")
    user = await ready_access.invitations.accept(accepting(made.code), HERE)
    assert (user.tenant, user.role, user.email) == ("red", Role.OPERATOR, "eve@x.y")
    assert (await ready_access.login("eve")).user.role is Role.OPERATOR
    (listed,) = (await ready_access.invitations.page(two.rita, ListQuery())).items
    assert (listed.state, listed.used_by) == (InvitationState.USED, "eve")
    created = next(e for e in await events(database) if e.target.name == "eve")
    assert (created.type, created.note, created.after) == ("access.user_created", "took up an invitation", "operator")


async def test_invitation_adds_a_membership_to_an_account(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    code = await invite(ready_access, two.bo, role=Role.OPERATOR)
    token, ron = await ready_access.token_of("ron")
    joined = await ready_access.invitations.join(ron, code, HERE)
    assert (joined.tenant, joined.role) == ("blue", Role.OPERATOR)
    assert (await ready_access.access.authenticate(token)).tenant == "red"  # the session stays where it is
    last = (await events(database))[-1]
    assert (last.type, last.tenant, last.actor) == ("access.member_added", "blue", "ron")
    validation = await ready_access.access.validate(ron)
    assert [each.tenant for each in validation.user.memberships] == ["blue", "red"]
    again = await invite(ready_access, two.bo)
    assert "member of blue already" in await sentence(ready_access.invitations.join(ron, again, HERE), Conflict)
    assert InvitationState.OPEN in await state_of(ready_access, two.bo)


async def test_invitation_to_a_full_tenant_stays_open(
    ready_access: AccessUnderTest, two: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await invite(ready_access, two.bo)
    _, ron = await ready_access.token_of("ron")
    monkeypatch.setattr(new_accounts, "MAX_MEMBERS", 2)
    assert "blue has 2 members" in await sentence(ready_access.invitations.join(ron, code, HERE), Conflict)
    assert InvitationState.OPEN in await state_of(ready_access, two.bo)
    monkeypatch.setattr(new_accounts, "MAX_MEMBERS", 3)
    assert (await ready_access.invitations.join(ron, code, HERE)).tenant == "blue"


async def test_wrong_used_revoked_and_expired_codes_get_one_answer(
    ready_access: AccessUnderTest, two: TwoTenants, owner_url: str
) -> None:
    used, revoked, expired, reset = [
        await invite(ready_access, two.rita),
        await invite(ready_access, two.rita),
        await invite(ready_access, two.rita),
        (await ready_access.resets.create(two.rita, two.ron.user_id)).code,
    ]
    await ready_access.invitations.accept(accepting(used, "one"), HERE)
    items = (await ready_access.invitations.page(two.rita, ListQuery())).items
    open_ones = sorted((each for each in items if each.state is InvitationState.OPEN), key=lambda each: each.created_at)
    await ready_access.invitations.revoke(two.rita, open_ones[0].id)
    await execute(owner_url, f"{EXPIRED} WHERE id = '{open_ones[1].id}'")
    said = set()
    for number, code in enumerate((used, revoked, expired, reset, new_code(), "", "x" * 128, "\ud800")):
        address = f"192.0.2.{number + 10}"
        said.add(await sentence(ready_access.invitations.accept(accepting(code), address)))
        said.add(await sentence(ready_access.invitations.join(two.bea, code, address)))
    assert said == {"This code is wrong, used up or expired. Ask for a new one."}
    assert sorted(await state_of(ready_access, two.rita)) == ["expired", "revoked", "used"]
    with pytest.raises(Unauthenticated):
        await ready_access.login("eve")


async def test_code_that_is_used_by_many_at_once_makes_one_account(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    code = await invite(ready_access, two.rita)
    await open_connections(database)
    accepts = [
        ready_access.invitations.accept(accepting(code, f"racer{number}"), f"192.0.2.{number}") for number in range(4)
    ]
    joins = [ready_access.invitations.join(who, code, "192.0.2.9") for who in (two.bo, two.bea)]
    results = await asyncio.gather(*accepts, *joins, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert sum(isinstance(result, Forbidden) for result in results) == len(results) - 1


async def test_refused_account_leaves_the_code_open(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    code = await invite(ready_access, two.rita)
    taken = await sentence(ready_access.invitations.accept(accepting(code, "ron"), HERE), Conflict)
    assert "taken" in taken
    assert "member" not in await sentence(
        ready_access.invitations.accept(accepting(code, password="short"), HERE), ValidationFailed
    )
    assert "wrong" in await sentence(ready_access.invitations.accept(accepting(new_code(), "ron"), HERE))
    assert (await ready_access.invitations.accept(accepting(code), HERE)).username == "eve"


async def test_guesses_of_codes_are_slowed_for_their_network_alone(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    code = await invite(ready_access, two.rita)
    for number in range(backoff.FREE):
        guess = accepting(new_code()) if number % 2 else None
        call = ready_access.invitations.accept(guess, HERE) if guess else None
        await sentence(call or ready_access.invitations.join(two.bea, new_code(), HERE))
    for right in (accepting(code), accepting(new_code())):
        with pytest.raises(RateLimited) as refused:
            await ready_access.invitations.accept(right, HERE)
        assert refused.value.retry_after_s
    assert (await ready_access.invitations.accept(accepting(code), THERE)).tenant == "red"


async def test_strangers_everywhere_keep_nobody_from_joining(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    code = await invite(ready_access, two.rita)
    for number in range(backoff.ALL_FREE + 2):
        await sentence(ready_access.invitations.accept(accepting(new_code()), f"198.51.100.{number}"))
    assert (await ready_access.invitations.accept(accepting(code), HERE)).tenant == "red"


async def test_invitation_ends_with_the_right_of_who_made_it(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    """An owner who is removed cannot come back with an invitation that he made for himself."""
    people, rita = ready_access.people, two.rita.user_id
    for end in (
        lambda: people.set_role(two.ada, "red", rita, Role.OPERATOR),
        lambda: people.change(two.ada, rita, PersonChange(disabled=True)),
        lambda: people.remove_member(two.ada, "red", rita),
        lambda: people.delete(two.ada, rita),
    ):
        await people.change(two.ada, rita, PersonChange(disabled=False))
        await people.set_role(two.ada, "red", rita, Role.OWNER)
        code = await invite(ready_access, two.rita, role=Role.OWNER)
        await end()
        assert "wrong" in await sentence(ready_access.invitations.join(two.bea, code, HERE))


async def test_owner_invites_to_his_tenant_and_sees_its_invitations_alone(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    await invite(ready_access, two.bo, email="b@blue.example")
    await invite(ready_access, two.ada, tenant="red")
    assert [each.tenant for each in (await ready_access.invitations.page(two.rita, ListQuery())).items] == ["red"]
    everything = (await ready_access.invitations.page(two.ada, ListQuery())).items
    assert sorted(each.tenant for each in everything) == ["blue", "red"]
    found = (await ready_access.invitations.page(two.ada, ListQuery(q="b@blue"))).items
    assert [each.email for each in found] == ["b@blue.example"]
    said = {await sentence(ready_access.invitations.revoke(two.rita, each), NotFound) for each in (
        found[0].id, "no-id", "00000000-0000-4000-8000-000000000000",
    )}  # fmt: skip
    said.add(await sentence(ready_access.invitations.revoke(two.bo, everything[0].id + "x"), NotFound))
    assert said == {"invitation not found"}
    foreign = {await sentence(ready_access.invitations.create(two.rita, InvitationCreate(tenant=tenant)), NotFound)
               for tenant in ("blue", "nowhere")}  # fmt: skip
    assert foreign == {"tenant not found"}
    with pytest.raises(ValidationFailed):
        await invite(ready_access, two.rita, role=Role.ADMINISTRATOR)
    with pytest.raises(ValidationFailed):
        await invite(ready_access, two.rita, email="x")


async def test_open_invitations_are_bounded(
    ready_access: AccessUnderTest, two: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    for _ in range(2):
        await invite(ready_access, two.rita)
    assert "2 open invitations" in await sentence(invite(ready_access, two.rita), Conflict)
    await invite(ready_access, two.bo)


async def test_open_invitations_are_bounded_also_when_many_are_made_at_once(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    await open_connections(database)
    made = await asyncio.gather(*(invite(ready_access, two.rita) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in made) == 10


# -- codes for a new password --------------------------------------------------------------------------------------------


def resetting(code: str, username: str = "ron", password: str = NEW) -> PasswordReset:
    return PasswordReset(username=username, code=code, new_password=password)


async def test_code_sets_a_new_password_once_and_ends_every_session(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    issued = await ready_access.login("ron")
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    assert await ready_access.access.authenticate(issued.token)  # the code alone changes nothing
    assert "easy to guess" in await sentence(
        ready_access.resets.reset(resetting(code, password="princessprincess1"), HERE), ValidationFailed
    )
    await ready_access.resets.reset(resetting(code.lower(), " Ron "), HERE)
    assert two.ron.session_id in ready_access.ended
    assert await expect_refused(ready_access, issued.token)
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    with pytest.raises(Unauthenticated):
        await ready_access.login("ron")
    assert await ready_access.login("ron", NEW)
    await sentence(ready_access.resets.reset(resetting(code), HERE))
    found = [(e.type, e.actor) for e in await events(database) if e.target.name == "ron" and "reset" in e.type]
    assert found == [("access.reset_code_created", "rita"), ("access.password_reset", "ron")]


async def test_wrong_user_and_wrong_expired_revoked_codes_get_one_answer_after_the_same_work(
    ready_access: AccessUnderTest, two: TwoTenants, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = ready_access.passwords.hash

    async def hash_password(password: str) -> str:
        hashed.append(password)
        return await real(password)

    monkeypatch.setattr(ready_access.passwords, "hash", hash_password)
    revoked = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    invitation = await invite(ready_access, two.rita)
    said = [
        await sentence(ready_access.resets.reset(each, f"192.0.2.{number + 10}"))
        for number, each in enumerate(
            (
                resetting(revoked),
                resetting(new_code()),
                resetting(invitation),
                resetting(code, "rita"),
                resetting(code, "nobody"),
                resetting(code, ""),
            )
        )
    ]
    await execute(owner_url, EXPIRED)
    said.append(await sentence(ready_access.resets.reset(resetting(code), "192.0.2.30")))
    assert len(set(said)) == 1
    assert hashed == [NEW] * len(said)
    assert await ready_access.login("ron")


async def test_reset_codes_are_guessed_no_faster_than_passwords(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    for username in ("ron", "nobody"):
        for _ in range(backoff.FREE):
            await sentence(ready_access.resets.reset(resetting(new_code(), username), THERE))
        with pytest.raises(RateLimited):
            await ready_access.resets.reset(resetting(code, username), THERE)
        with pytest.raises(RateLimited):
            await ready_access.login(username, PASSWORD, THERE)
    await ready_access.resets.reset(resetting(code), HERE)


async def test_of_many_uses_of_a_reset_code_at_once_one_wins(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    await open_connections(database)
    words = [f"{NEW} {number}" for number in range(4)]
    tries = [ready_access.resets.reset(resetting(code, password=word), HERE) for word in words]
    results = await asyncio.gather(*tries, return_exceptions=True)
    (winner,) = [word for word, result in zip(words, results, strict=True) if result is None]
    assert (await ready_access.login("ron", winner)).user.username == "ron"


async def test_owners_code_does_not_open_what_the_account_joined_since(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    """Otherwise the owner of one tenant could enter another one by the password of somebody who works in both."""
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    await ready_access.invitations.join(two.ron, await invite(ready_access, two.bo), HERE)
    await sentence(ready_access.resets.reset(resetting(code), HERE))
    admins = (await ready_access.resets.create(two.ada, two.ron.user_id)).code
    await ready_access.resets.reset(resetting(admins), HERE)


async def test_owners_code_does_not_open_an_administrator_nor_outlive_the_owner(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(administrator=True))
    await sentence(ready_access.resets.reset(resetting(code), HERE))
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(administrator=False))
    code = (await ready_access.resets.create(two.rita, two.ron.user_id)).code
    await ready_access.people.set_role(two.ada, "red", two.rita.user_id, Role.OPERATOR)
    await sentence(ready_access.resets.reset(resetting(code), HERE))
    assert await ready_access.login("ron")


async def test_disabled_account_is_not_opened_by_a_code(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    code = (await ready_access.resets.create(two.ada, two.ron.user_id)).code
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(disabled=True))
    await sentence(ready_access.resets.reset(resetting(code), HERE))
    assert "Enable it first" in await sentence(ready_access.resets.create(two.ada, two.ron.user_id), Conflict)


# -- the own password ----------------------------------------------------------------------------------------------------


async def test_password_change_ends_every_session_and_every_reset_code(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    token, ron = await ready_access.token_of("ron")
    code = (await ready_access.resets.create(two.rita, ron.user_id)).code
    own = ready_access.own_password
    assert "old password" in await sentence(own.change(ron, "wrong", NEW, HERE))
    await sentence(own.change(ron, PASSWORD, "short", HERE), ValidationFailed)
    await own.change(ron, PASSWORD, NEW, HERE)
    assert ron.session_id in ready_access.ended and two.ron.session_id in ready_access.ended
    assert await expect_refused(ready_access, token)
    with pytest.raises(Unauthenticated):
        await ready_access.login("ron")
    assert (await ready_access.login("ron", NEW)).user.username == "ron"
    await sentence(ready_access.resets.reset(resetting(code), HERE))
    assert "access.password_changed" in [event.type for event in await events(database)]


async def test_stolen_token_does_not_find_the_password_out(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    for _ in range(backoff.FREE):
        await sentence(ready_access.own_password.change(two.ron, "wrong", NEW, THERE))
    before = ready_access.passwords.comparisons
    for guess in ("wrong", PASSWORD):
        with pytest.raises(RateLimited):
            await ready_access.own_password.change(two.ron, guess, NEW, THERE)
    assert ready_access.passwords.comparisons == before
    await ready_access.own_password.change(two.ron, PASSWORD, NEW, HERE)
