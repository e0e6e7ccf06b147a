"""`novacron user …`: people, their roles, invitations to a tenant, and codes for a new password."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from novacron_core import errors
from novacron_core.api import access, people, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.ownership import HandOverAll
from novacron_core.api.people import Invitation, Person, PersonChange
from novacron_core.client import Client
from novacron_core.rules.validation import explain
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.counts import counted
from novacron_core.values.names import why_not_username
from novacron_core.values.roles import Role
from novacron_tui.cli.bulk import follow_bulk
from novacron_tui.cli.runtime.exit_codes import UsageError, print_error
from novacron_tui.cli.runtime.lookup import list_all, named, one_of
from novacron_tui.cli.runtime.output import Output, cell, print_line, show_data, show_pairs, show_table
from novacron_tui.cli.runtime.prompts import confirm, new_password
from novacron_tui.cli.runtime.proof import call_proven
from novacron_tui.cli.runtime.wait import send_with_retries

MEMBERS = ("owner", "operator", "viewer")
NONE, ADMINISTRATOR, NOT_ADMINISTRATOR = "none", "administrator", "not-administrator"
ROLES = (*MEMBERS, NONE, ADMINISTRATOR, NOT_ADMINISTRATOR)


async def user_ls(client: Client, output: Output, q: str) -> None:
    """List people by name; `q` is filter text."""
    found = await list_all(client, people.LIST, ListQuery(q=q))
    if output.is_data:
        show_data(output, found)
        return
    now = client.now()
    show_table(("NAME", "ROLE", "TENANTS", "STATE", "SEEN", "EMAIL", "ID"), (_row(person, now) for person in found))


async def user_show(client: Client, output: Output, name_or_id: str) -> None:
    """Show one person."""
    person = await find_person(client, name_or_id)
    if output.is_data:
        show_data(output, person)
        return
    seen = f"{_age(person.last_seen_at, client.now())} ago" if person.last_seen_at else None
    pairs = [
        ("name", person.username),
        ("id", person.id),
        ("e-mail", person.email),
        ("role", person.role),
        *((f"tenant {each.tenant}", each.role) for each in person.memberships),
        ("state", _state(person)),
        ("second factor", "yes" if person.second_factor else "no"),
        ("created", person.created_at),
        ("seen", seen),
    ]
    show_pairs(pairs)


async def user_create(
    client: Client, output: Output, name: str, *, email: str, tenant: str, role: str, administrator: bool
) -> None:
    """Create an account with a password that is typed, or read from the first line of stdin."""
    if refused := why_not_username(name):
        raise UsageError(refused)
    body = people.PersonCreate(
        username=name,
        password=new_password(f"Password for {name}: "),
        email=email,
        tenant=tenant or None,
        role=member_role(role),
        administrator=administrator,
    )
    person = await call_proven(client, people.CREATE, body=body)
    _done(output, person, f"{person.username}: created as {person.role} of {person.tenant}")


async def user_invite(client: Client, output: Output, *, email: str, tenant: str, role: str, hours: int) -> None:
    """Create an invitation and print its code, which is shown this once."""
    body = people.InvitationCreate(role=member_role(role), tenant=tenant or None, email=email, expires_in_hours=hours)
    made = await call_proven(client, people.INVITE, body=body)
    if output.is_data:
        show_data(output, made)
        return
    invitation = made.invitation
    print_line(
        f"Invitation to {invitation.tenant} as {invitation.role}, until {invitation.expires_at:%Y-%m-%d %H:%M} UTC"
    )
    print_line(f"Code: {made.code}")
    print_line(f"To take it up: novacron join --server {client.base_url}, with --user NAME for a new account")


async def user_invitations(client: Client, output: Output, words: str) -> None:
    """List invitations."""
    found = await list_all(client, people.INVITATIONS, ListQuery(q=words))
    if output.is_data:
        show_data(output, found)
        return
    now = client.now()
    head = ("STATE", "TENANT", "ROLE", "FOR", "BY", "AGE", "USED BY", "ID")
    show_table(head, (_invitation_row(each, now) for each in found))


async def user_uninvite(client: Client, invitation_id: str) -> None:
    """Revoke an invitation."""
    await call_proven(client, people.REVOKE_INVITATION, invitation_id=invitation_id)
    print_line(f"{cell(invitation_id)}: revoked")


async def user_disable(client: Client, output: Output, names: Sequence[str], *, disabled: bool) -> None:
    """Disable or enable accounts."""
    for person in [await find_person(client, name) for name in names]:
        now = await call_proven(client, people.CHANGE, body=PersonChange(disabled=disabled), user_id=person.id)
        _done(output, now, f"{person.username}: {'disabled' if disabled else 'enabled'}")


async def user_delete(client: Client, name_or_id: str, *, sure: bool) -> None:
    """Delete an account after a confirmation."""
    person = await find_person(client, name_or_id)
    if not sure:
        owned, name = await _owned(client, person.username), cell(person.username)
        what = f"what it owns ({owned}) becomes that of a former user" if owned else "it owns no VMs and no volumes"
        if owned:
            print_error(f"`novacron user hand-over {name} --to USER` gives them to somebody first")
        confirm(f"delete the account {name}; {what}", person.username)
    await call_proven(client, people.DELETE, user_id=person.id)
    print_line(f"{cell(person.username)}: deleted")


async def _owned(client: Client, username: str) -> str:
    """`3 VMs and 1 volume`: what a user owns; empty for nothing."""
    query = f'owner:"{username}"'
    found = [vm for vm in await list_all(client, vms.LIST, vms.VMQuery(q=query)) if vm.owner == username]
    disks = await list_all(client, volumes.LIST, ListQuery())
    free = [volume for volume in disks if volume.owner == username and volume.vm is None]
    counts = ((len(found), "VM"), (len(free), "volume"))
    return " and ".join(counted(count, word) for count, word in counts if count)


async def user_hand_over(client: Client, output: Output, name_or_id: str, *, to: str, tenant: str, wait: bool) -> int:
    """Hand over all VMs and volumes of a person. Returns the exit code: 1 when one was refused or failed."""
    person, body = await find_person(client, name_or_id), HandOverAll(to=to, tenant=tenant or None)
    bulk = await send_with_retries(
        lambda key: client.call(people.HAND_OVER, body=body, idempotency_key=key, user_id=person.id)
    )
    return await follow_bulk(client, output, bulk, wait=wait)


async def user_role(client: Client, output: Output, name_or_id: str, role: str, *, tenant: str) -> None:
    """Give a person a role in a tenant, remove it from there, or make it administrator."""
    if role not in ROLES:
        raise UsageError(f"unknown role {role!r}; choose one of {', '.join(ROLES)}")
    if tenant and role not in (*MEMBERS, NONE):
        raise UsageError("administrators are those of the whole installation: leave out --tenant")
    person = await find_person(client, name_or_id)
    if role in (ADMINISTRATOR, NOT_ADMINISTRATOR):
        change = PersonChange(administrator=role == ADMINISTRATOR)
        now = await call_proven(client, people.CHANGE, body=change, user_id=person.id)
        said = "is administrator" if now.administrator else "is no longer administrator"
        _done(output, now, f"{person.username}: {said}")
        return
    tenant = tenant or (await client.call(access.VALIDATE)).user.tenant
    if role == NONE:
        await call_proven(client, people.REMOVE_MEMBER, tenant=tenant, user_id=person.id)
        print_line(f"{cell(person.username)}: removed from {tenant}")
        return
    body = people.MemberRole(role=Role(role))
    now = await call_proven(client, people.SET_ROLE, body=body, tenant=tenant, user_id=person.id)
    still = ", and still administrator" if now.administrator else ""
    _done(output, now, f"{person.username}: {role} of {tenant}{still}")


async def user_reset_password(client: Client, output: Output, name_or_id: str) -> None:
    """Create a code that sets a new password, and print it this once."""
    person = await find_person(client, name_or_id)
    made = await call_proven(client, people.CREATE_RESET_CODE, user_id=person.id)
    if output.is_data:
        show_data(output, made)
        return
    print_line(f"Code for {cell(person.username)}, until {made.expires_at:%Y-%m-%d %H:%M} UTC: {made.code}")
    print_line(f"To use it: novacron passwd --reset --user {cell(person.username)} --server {client.base_url}")


async def find_person(client: Client, name_or_id: str) -> Person:
    """The person with this user name or id. Raises NotFound."""
    q = f'name:"{name_or_id}"' if why_not_username(name_or_id) is None else ""
    everybody = await list_all(client, people.LIST, ListQuery(q=q))
    found = named(name_or_id, everybody, lambda person: person.username)
    found = found or [person for person in everybody if person.id == name_or_id.lower()]
    if not found and q:
        return await _by_id(client, name_or_id)
    return one_of(found, name_or_id, "user", lambda person: person.id)


async def _by_id(client: Client, user_id: str) -> Person:
    try:
        return await client.call(people.GET, user_id=user_id.lower())
    except errors.NotFound:
        return one_of([], user_id, "user", lambda person: person.id)


def member_role(text: str) -> Role:
    """Raises UsageError."""
    if text not in MEMBERS:
        raise UsageError(f"{explain(f'Invalid enum value {text!r}')[0]}; the roles are {', '.join(MEMBERS)}")
    return Role(text)


def _done(output: Output, person: Person, sentence: str) -> None:
    if output.is_data:
        show_data(output, person)
    else:
        print_line(sentence)


def _row(person: Person, now: datetime) -> Sequence[object]:
    tenants = ", ".join(f"{each.tenant} ({each.role})" for each in person.memberships)
    seen = _age(person.last_seen_at, now)
    return person.username, person.role, tenants, _state(person), seen, person.email, person.id


def _state(person: Person) -> str:
    return "disabled" if person.disabled else "enabled"


def _invitation_row(each: Invitation, now: datetime) -> Sequence[object]:
    age = _age(each.created_at, now)
    return each.state, each.tenant, each.role, each.email, each.created_by, age, each.used_by, each.id


def _age(since: datetime | None, now: datetime) -> str:
    return age_text(age_s(since, now)) if since else "-"
