"""People and their memberships: owners manage their tenant, administrators everything, and one of them is left."""

from __future__ import annotations

import asyncio

import pytest

from novacron_core.api.access import Membership, Refresh
from novacron_core.api.base import ListQuery
from novacron_core.api.people import InvitationCreate, Person, PersonChange, PersonCreate
from novacron_core.api.tenants import TenantChange, TenantCreate
from novacron_core.errors import Conflict, Forbidden, NotFound, NovaCronError, Unauthenticated, ValidationFailed
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.access import new_accounts
from novacron_server.database.transactions import Database
from tests.support.access import (
    PASSWORD,
    AccessUnderTest,
    OpenAccess,
    TwoTenants,
    events,
    execute,
    expect_refused,
    open_connections,
    until_true,
)

MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def two(ready_access: AccessUnderTest) -> TwoTenants:
    return await ready_access.two_tenants()


async def names(access: AccessUnderTest, who: Principal, q: str = "", **more: str) -> list[str]:
    return [person.username for person in (await access.people.page(who, ListQuery(q=q, **more))).items]  # type: ignore[arg-type]


async def test_owner_lists_the_members_of_his_tenant_and_an_administrator_everybody(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    assert await names(ready_access, two.ada) == ["ada", "bea", "bo", "rita", "ron"]
    assert await names(ready_access, two.rita) == ["rita", "ron"]
    assert await names(ready_access, two.ada, sort="-username") == ["ron", "rita", "bo", "bea", "ada"]
    for q, found in (
        ("role:owner", ["ada", "bo", "rita"]),
        ("tenant:red", ["rita", "ron"]),
        ("is:administrator", ["ada"]),
        ("b -bo", ["bea"]),
        ("seen<1h name:r*", ["rita", "ron"]),
        ("is:disabled", []),
    ):
        assert await names(ready_access, two.ada, q) == found
    for query in (ListQuery(q="colour:red"), ListQuery(sort="password")):
        with pytest.raises(ValidationFailed):
            await ready_access.people.page(two.ada, query)


async def test_owner_learns_nothing_of_the_other_tenants_of_a_member(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    await ready_access.people.set_role(two.ada, "blue", two.ron.user_id, Role.VIEWER)
    whole = await ready_access.people.get(two.ada, two.ron.user_id)
    assert [each.tenant for each in whole.memberships] == ["blue", "red"]
    seen = await ready_access.people.get(two.bo, two.ron.user_id)
    assert seen.memberships == [Membership(tenant="blue", role=Role.VIEWER)]
    assert (seen.tenant, seen.role, seen.last_seen_at) == ("blue", Role.VIEWER, None)  # he was only in red
    assert whole.last_seen_at is not None
    listed = (await ready_access.people.page(two.bo, ListQuery(q="ron"))).items
    assert listed == [seen]
    for change in (
        await ready_access.people.set_role(two.bo, "blue", two.ron.user_id, Role.OPERATOR),
        await ready_access.people.set_role(two.bo, "blue", two.ron.user_id, Role.OPERATOR),
    ):
        assert (change.tenant, [each.tenant for each in change.memberships]) == ("blue", ["blue"])


async def test_people_of_others_are_missing_for_an_owner(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    people = ready_access.people

    async def answers(user_id: str, tenant: str) -> list[tuple[type[NovaCronError], str]]:
        found = []
        for call in (
            people.get(two.rita, user_id),
            people.change(two.rita, user_id, PersonChange(email="a@b.c")),
            people.change(two.rita, user_id, PersonChange(disabled=True)),
            people.change(two.rita, user_id, PersonChange(administrator=True)),
            people.set_role(two.rita, "red", user_id, Role.VIEWER),
            people.set_role(two.rita, tenant, user_id, Role.VIEWER),
            people.remove_member(two.rita, "red", user_id),
            people.remove_member(two.rita, tenant, user_id),
            ready_access.resets.create(two.rita, user_id),
        ):
            with pytest.raises(NovaCronError) as refused:
                await call
            found.append((type(refused.value), refused.value.detail))
        return found

    missing = await answers(MISSING, "nowhere")
    assert {kind for kind, _ in missing} == {NotFound}
    for foreign in (two.bo, two.bea, two.ada):
        assert await answers(foreign.user_id, "blue") == missing
    assert await answers("no-id", "nowhere") == missing
    body = PersonCreate(username="eve", password=PASSWORD, tenant="blue")
    with pytest.raises(NotFound, match="tenant not found"):
        await people.create(two.rita, body)


async def test_accounts_are_created_in_the_own_tenant_and_by_administrators_in_any(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    body = PersonCreate(username="eve", password=PASSWORD, email="e@x.y", role=Role.OWNER)
    eve = await ready_access.people.create(two.rita, body)
    assert (eve.tenant, eve.role, eve.email) == ("red", Role.OWNER, "e@x.y")
    assert (await ready_access.login("eve")).user.tenant == "red"
    created = next(e for e in await events(database) if e.target.name == "eve")
    assert (created.type, created.actor, created.tenant) == ("access.user_created", "rita", "red")
    with pytest.raises(Forbidden):
        await ready_access.people.create(two.rita, PersonCreate(username="mal", password=PASSWORD, administrator=True))
    second = PersonCreate(username="al", password=PASSWORD, tenant="blue", administrator=True)
    assert (await ready_access.people.create(two.ada, second)).role is Role.ADMINISTRATOR
    assert (await ready_access.principal("al")).role is Role.ADMINISTRATOR
    for wrong, error in (
        (PersonCreate(username="eve", password=PASSWORD), Conflict),
        (PersonCreate(username="x", password="short"), ValidationFailed),
        (PersonCreate(username="x", password=PASSWORD, email="x"), ValidationFailed),
        (PersonCreate(username="x", password=PASSWORD, role=Role.ADMINISTRATOR), ValidationFailed),
        (PersonCreate(username="x", password=PASSWORD, tenant="nowhere"), NotFound),
    ):
        with pytest.raises(error):
            await ready_access.people.create(two.ada, wrong)


async def test_owner_makes_no_more_accounts_than_a_tenant_may_have(
    ready_access: AccessUnderTest, two: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_accounts, "MAX_MEMBERS", 4)
    made = await asyncio.gather(
        *(ready_access.people.create(two.rita, PersonCreate(username=f"r{n}", password=PASSWORD)) for n in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Person) for each in made) == 2
    refused = {str(each) for each in made if not isinstance(each, Person)}
    assert len(refused) == 1
    assert "red has 4 members, the most that a tenant may have" in refused.pop()
    await ready_access.people.create(two.bo, PersonCreate(username="b1", password=PASSWORD))


async def test_removed_members_keep_their_places_until_they_are_deleted(
    ready_access: AccessUnderTest, two: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_accounts, "MAX_MEMBERS", 3)
    people = ready_access.people
    made = await people.create(two.rita, PersonCreate(username="r1", password=PASSWORD))
    await people.remove_member(two.rita, "red", made.id)
    with pytest.raises(Conflict, match="Removed ones count"):
        await people.create(two.rita, PersonCreate(username="r2", password=PASSWORD))
    bo = next(person for person in (await people.page(two.ada, ListQuery())).items if person.username == "bo")
    with pytest.raises(Conflict, match="red has 3 members"):
        await people.set_role(two.ada, "red", bo.id, Role.VIEWER)
    await people.delete(two.ada, made.id)
    await people.create(two.rita, PersonCreate(username="r2", password=PASSWORD))


async def test_disabled_account_is_out_at_once_and_comes_back_when_enabled(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    issued = await ready_access.login("ron")
    ron = await ready_access.access.authenticate(issued.token)
    for who, error in ((two.rita, Forbidden), (two.bo, NotFound)):
        with pytest.raises(error):
            await ready_access.people.change(who, ron.user_id, PersonChange(disabled=True))
    assert (await ready_access.people.change(two.ada, ron.user_id, PersonChange(disabled=True))).disabled
    assert ron.session_id in ready_access.ended
    assert await expect_refused(ready_access, issued.token)
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    with pytest.raises(Unauthenticated):
        await ready_access.login("ron")
    await ready_access.people.change(two.ada, ron.user_id, PersonChange(disabled=False))
    assert await expect_refused(ready_access, issued.token)
    assert (await ready_access.login("ron")).user.role is Role.OPERATOR
    found = [(e.type, e.actor) for e in await events(database) if e.target.name == "ron" and "abled" in e.type]
    assert found == [("access.user_disabled", "ada"), ("access.user_enabled", "ada")]


async def test_deleted_account_is_out_at_once(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    token, ron = await ready_access.token_of("ron")
    with pytest.raises(Forbidden):
        await ready_access.people.delete(two.rita, ron.user_id)
    await ready_access.people.delete(two.ada, ron.user_id)
    assert ron.session_id in ready_access.ended
    assert await expect_refused(ready_access, token)
    with pytest.raises(NotFound):
        await ready_access.people.get(two.ada, ron.user_id)
    last = (await events(database))[-1]
    assert (last.type, last.target.name, last.actor) == ("access.user_deleted", "ron", "ada")


async def test_owner_changes_roles_in_his_tenant_and_the_tokens_there_end(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    token, ron = await ready_access.token_of("ron")
    person = await ready_access.people.set_role(two.rita, "red", ron.user_id, Role.VIEWER)
    assert person.role is Role.VIEWER
    assert await expect_refused(ready_access, token)
    last = (await events(database))[-1]
    assert (last.type, last.before, last.after, last.actor, last.tenant) == (
        "access.role_changed",
        "operator",
        "viewer",
        "rita",
        "red",
    )
    count = len(await events(database))
    await ready_access.people.set_role(two.rita, "red", ron.user_id, Role.VIEWER)
    assert len(await events(database)) == count  # nothing changed
    for role in (Role.ADMINISTRATOR, Role("emperor")):
        with pytest.raises(ValidationFailed):
            await ready_access.people.set_role(two.rita, "red", ron.user_id, role)


async def test_removed_member_goes_on_in_the_next_tenant_or_not_at_all(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    await ready_access.people.set_role(two.ada, "blue", two.ron.user_id, Role.VIEWER)
    issued = await ready_access.login("ron")
    await ready_access.people.remove_member(two.rita, "red", two.ron.user_id)
    assert await expect_refused(ready_access, issued.token)
    renewed = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    ron = await ready_access.access.authenticate(renewed.token)
    assert (ron.tenant, ron.role) == ("blue", Role.VIEWER)
    await ready_access.people.remove_member(two.bo, "blue", two.ron.user_id)
    assert await expect_refused(ready_access, renewed.token)
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=renewed.refresh_token))
    with pytest.raises(Forbidden, match="belongs to no tenant"):
        await ready_access.login("ron")
    with pytest.raises(NotFound):
        await ready_access.people.remove_member(two.ada, "blue", two.ron.user_id)


async def test_account_of_several_tenants_is_changed_by_administrators_alone(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    own = await ready_access.people.change(two.rita, two.ron.user_id, PersonChange(email="ron@red.example"))
    assert own.email == "ron@red.example"
    with pytest.raises(ValidationFailed):
        await ready_access.people.change(two.rita, two.ron.user_id, PersonChange(email="nobody"))
    await ready_access.people.set_role(two.ada, "blue", two.ron.user_id, Role.VIEWER)
    await ready_access.people.set_role(two.ada, "red", two.ada.user_id, Role.VIEWER)
    for person in (two.ron, two.ada):
        with pytest.raises(Forbidden, match="not of your tenant alone"):
            await ready_access.people.change(two.rita, person.user_id, PersonChange(email="x@y.z"))
        with pytest.raises(Forbidden, match="not of your tenant alone"):
            await ready_access.resets.create(two.rita, person.user_id)
    assert (await ready_access.resets.create(two.ada, two.ron.user_id)).code


async def test_every_change_of_others_asks_for_a_fresh_proof_and_reading_does_not(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    count = len(await events(database))
    ready_access.unproved = {"ada"}
    people, tenants, ada, ron = ready_access.people, ready_access.tenants, two.ada, two.ron.user_id
    for change in (
        people.create(ada, PersonCreate(username="eve", password=PASSWORD)),
        people.change(ada, ron, PersonChange(disabled=True)),
        people.delete(ada, ron),
        people.set_role(ada, "red", ron, Role.OWNER),
        people.remove_member(ada, "red", ron),
        ready_access.resets.create(ada, ron),
        ready_access.invitations.create(ada, InvitationCreate()),
        tenants.create(ada, TenantCreate(id="green")),
        tenants.change(ada, "red", TenantChange(name="x")),
        tenants.delete(ada, "red"),
    ):
        with pytest.raises(Forbidden, match="prove it"):
            await change
    assert len(await events(database)) == count
    assert await names(ready_access, ada) == ["ada", "bea", "bo", "rita", "ron"]
    assert (await tenants.get(ada, "red")).name == "red"
    await people.set_role(two.rita, "red", ron, Role.VIEWER)


# -- the last administrator ----------------------------------------------------------------------------------------------


async def demote(access: AccessUnderTest, by: Principal, who: Principal) -> Person:
    return await access.people.change(by, who.user_id, PersonChange(administrator=False))


async def test_last_administrator_stays(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    people, ada = ready_access.people, two.ada
    for attempt in (
        demote(ready_access, ada, ada),
        people.change(ada, ada.user_id, PersonChange(disabled=True)),
        people.delete(ada, ada.user_id),
    ):
        with pytest.raises(Conflict, match="last administrator"):
            await attempt
    with pytest.raises(Conflict, match="belongs to no other tenant"):
        await people.remove_member(ada, "default", ada.user_id)
    assert await ready_access.principal()


async def test_disabled_administrator_does_not_count(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(administrator=True))
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(disabled=True))
    with pytest.raises(Conflict, match="last administrator"):
        await demote(ready_access, two.ada, two.ada)
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(disabled=False))
    assert not (await demote(ready_access, two.ada, two.ada)).administrator


async def test_administrator_always_has_a_tenant_to_sign_in_to(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    people = ready_access.people
    await people.remove_member(two.ada, "red", two.ron.user_id)
    with pytest.raises(Conflict, match="belongs to no tenant"):
        await people.change(two.ada, two.ron.user_id, PersonChange(administrator=True))
    await people.set_role(two.ada, "red", two.ada.user_id, Role.OWNER)
    await people.set_role(two.ada, "blue", two.ada.user_id, Role.OWNER)
    both = [people.remove_member(two.ada, tenant, two.ada.user_id) for tenant in ("default", "red", "blue")]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert await ready_access.principal()


@pytest.mark.parametrize("way", ["demote", "disable", "delete", "each another"])
async def test_administrators_who_remove_each_other_at_once_leave_one(
    ready_access: AccessUnderTest, database: Database, owner_url: str, way: str
) -> None:
    ada = await ready_access.principal()
    everybody = [ada]
    for number in range(5):
        body = PersonCreate(username=f"admin{number}", password=PASSWORD, administrator=True)
        await ready_access.people.create(ada, body)
        everybody.append(await ready_access.principal(f"admin{number}"))
    await open_connections(database)

    async def remove(by: Principal, who: Principal, how: str) -> None:
        if how == "delete":
            await ready_access.people.delete(by, who.user_id)
        else:
            change = PersonChange(disabled=True) if how == "disable" else PersonChange(administrator=False)
            await ready_access.people.change(by, who.user_id, change)

    ways = ["demote", "disable", "delete"] * 2 if way == "each another" else [way] * 6
    pairs = zip(everybody, [*everybody[1:], ada], ways, strict=True)
    results = await asyncio.gather(*(remove(*pair) for pair in pairs), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Conflict]
    left = (await ready_access.people.page(ada, ListQuery(q="is:administrator is:enabled"))).items
    assert len(left) == 1


async def test_demoted_administrator_goes_on_as_member_where_he_belongs(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    await ready_access.people.change(two.ada, two.ron.user_id, PersonChange(administrator=True))
    issued = await ready_access.login("ron")
    ron = await ready_access.access.authenticate(issued.token)
    away = (await ready_access.access.switch_tenant(ron, "blue")).token
    assert (await ready_access.access.authenticate(away)).tenant == "blue"
    await demote(ready_access, two.ada, ron)
    assert await expect_refused(ready_access, away)
    renewed = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    now = await ready_access.access.authenticate(renewed.token)
    assert (now.tenant, now.role) == ("red", Role.OPERATOR)


async def test_change_on_one_server_ends_the_tokens_on_the_other(
    ready_access: AccessUnderTest, open_access: OpenAccess, two: TwoTenants
) -> None:
    issued = await ready_access.login("ron")
    ron = await ready_access.access.authenticate(issued.token)
    async with open_access("b") as other:
        await other.people.set_role(two.rita, "red", ron.user_id, Role.VIEWER)
        assert await until_true(lambda: ron.session_id in ready_access.ended) < 2.5
        assert await expect_refused(ready_access, issued.token)


async def test_row_that_was_changed_by_hand_counts_too(
    ready_access: AccessUnderTest, two: TwoTenants, owner_url: str
) -> None:
    token, ron = await ready_access.token_of("ron")
    await execute(owner_url, f"DELETE FROM memberships WHERE user_id = '{ron.user_id}'")
    assert await until_true(lambda: ron.session_id in ready_access.ended) < 2.5
    assert await expect_refused(ready_access, token)
