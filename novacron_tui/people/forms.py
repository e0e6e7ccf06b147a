"""The forms of the people screen; each sends its requests itself, because no operation follows them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from novacron_core.api import people, second_factor
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.people import MemberRole, NewInvitation, Person, PersonChange
from novacron_core.errors import NovaCronError, ReauthenticationRequired
from novacron_core.values.roles import TENANT_ROLES, Permission, Role, allows
from novacron_tui.connection.form_request import build_request, refused_by
from novacron_tui.connection.session import Session
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Refused, Values, choice
from novacron_tui.widgets.text_bar import Piece

T = TypeVar("T")
Prove = Callable[[], Awaitable[bool]]
"""Asks the user to prove who they are; whether they have."""


async def call_proven(
    session: Session, prove: Prove, endpoint: Endpoint[Any, Any, Any], body: Any, key: str, **path: Any
) -> Any:
    """Call an endpoint that changes access; when the server wants a proof of who asks, ask for it first.

    Raises Refused.
    """
    if (offline := session.store.why_no_change()) is not None:
        raise Refused(offline)
    try:
        return await proven(prove, lambda: session.client.call(endpoint, body=body, idempotency_key=key, **path))
    except ReauthenticationRequired as e:
        raise Refused("nothing was changed: the server needs your password for this") from e
    except NovaCronError as e:
        raise refused_by(e) from e


async def proven(prove: Prove, change: Callable[[], Awaitable[T]]) -> T:
    """Do `change`; when the server wants a proof of who asks, ask for it and do it again. Raises NovaCronError."""
    try:
        return await change()
    except ReauthenticationRequired:
        if not await prove():
            raise
        return await change()


def prove_again(session: Session, *, has_second_factor: bool) -> Form[bool]:
    """Prove who one is; dismissed with True."""
    fields = {"password": FormField("Password", secret=True)}
    if has_second_factor:
        fields["totp"] = FormField("Code", advice="Of your authenticator app, or a recovery code")

    async def submit(values: Values, key: str) -> bool:
        body = second_factor.Prove(password=fields["password"].value, totp=values.get("totp", ""))
        try:
            await session.client.call(second_factor.PROVE, body=body)
        except NovaCronError as e:
            raise refused_by(e) from e
        return True

    intro = [[Piece(f"You signed in as {one_line(session.user.username)} more than ten minutes ago. ", "quiet"),
              Piece("Changing who may do what needs your password again.", "quiet")]]  # fmt: skip
    return Form("Prove that it is you", fields, "Prove", submit, intro)


def _role_options(*, administrator: bool = False) -> list[tuple[str, str]]:
    words = {
        Role.OWNER: "owner: also manages people",
        Role.OPERATOR: "operator: changes VMs and volumes",
        Role.VIEWER: "viewer: reads",
    }
    options = [(words[role], str(role)) for role in reversed(TENANT_ROLES)]  # a key too many gives the least
    return (
        [*options, ("administrator: everything, of all tenants", str(Role.ADMINISTRATOR))] if administrator else options
    )


def invite(session: Session, prove: Prove, tenants: Sequence[str]) -> Form[NewInvitation]:
    """Invite somebody to a tenant; dismissed with the invitation and its code."""
    fields = {
        "email": FormField("E-mail", advice="Who it is for. No email is sent"),
        "role": FormField("Role", choice(_role_options(), str(Role.VIEWER))),
    }
    if len(tenants) > 1 and allows(session.user.role, Permission.ACCESS_ADMIN, session.user.limits):
        fields["tenant"] = FormField(
            "Tenant", choice([(one_line(each), each) for each in tenants], session.user.tenant)
        )
    fields["expires_in_hours"] = FormField(
        "Expires", choice([("in a day", "24"), ("in three days", "72"), ("in a week", "168")], "72")
    )

    async def submit(values: Values, key: str) -> NewInvitation:
        words = {**values, "expires_in_hours": int(values["expires_in_hours"])}
        body = build_request(people.InvitationCreate, **words)
        invited: NewInvitation = await call_proven(session, prove, people.INVITE, body, key)
        return invited

    return Form("Invite a person", fields, "Invite", submit)


def edit(session: Session, prove: Prove, person: Person, tenant: str) -> Form[str]:
    """Change a role, an address or whether the account may sign in; dismissed with what was changed, in words."""
    administers = allows(session.user.role, Permission.ACCESS_ADMIN, session.user.limits)
    role_here = next((str(each.role) for each in person.memberships if each.tenant == tenant), str(person.role))
    role_now = str(Role.ADMINISTRATOR) if person.administrator else role_here
    fields = {
        "role": FormField("Role", choice(_role_options(administrator=administers or person.administrator), role_now)),
        "email": FormField("E-mail", value=person.email),
    }
    if administers:
        fields["state"] = FormField(
            "Account",
            choice(
                [("active", "active"), ("disabled: cannot sign in", "disabled")],
                "disabled" if person.disabled else "active",
            ),
        )

    async def submit(values: Values, key: str) -> str:
        done = []
        changes: dict[str, Any] = {}
        if values["email"] != person.email:
            changes["email"] = values["email"]
            done.append("e-mail address changed")
        disabled = values.get("state") == "disabled"
        if administers and disabled is not person.disabled:
            changes["disabled"] = disabled
            done.append("disabled: its sessions have ended" if disabled else "enabled")
        administrator = values["role"] == Role.ADMINISTRATOR
        if administrator is not person.administrator:
            changes["administrator"] = administrator
            done.append("now administrator" if administrator else "no longer administrator")
        if changes:
            body = build_request(PersonChange, **changes)
            await call_proven(session, prove, people.CHANGE, body, key, user_id=person.id)
        if not administrator and values["role"] != role_here:
            role = build_request(MemberRole, role=values["role"])
            await call_proven(session, prove, people.SET_ROLE, role, key, tenant=tenant, user_id=person.id)
            done.append(f"now {values['role']} of {tenant}")
        if not done:
            raise Refused("nothing was changed: change a field, or press esc")
        return ", ".join(done)

    intro = [[Piece(one_line(person.username), "strong"), Piece(f" in the tenant {one_line(tenant)}", "quiet")]]
    return Form(f"Change {one_line(person.username)}", fields, "Save", submit, intro)
