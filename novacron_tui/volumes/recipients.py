"""To whom VMs and volumes may be handed over, and the form that asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from textual.suggester import SuggestFromList
from textual.widgets import Input

from novacron_core.api import people, tenants
from novacron_core.api.base import ListQuery
from novacron_core.errors import NovaCronError
from novacron_core.values.names import FORMER_OWNER, why_not_username
from novacron_core.values.roles import Permission, allows
from novacron_tui.connection.session import Session
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Values, choice
from novacron_tui.widgets.text_bar import Piece

STAYS = ""
"""The tenant of the form when the tenant does not change."""
_ALL = ListQuery(page_size=1000)
Send = Callable[[str | None, str | None, str], Awaitable[None]]
"""Sends (owner, tenant) under an idempotency key; None for what stays. Raises Refused."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """User names, for completion, and the tenants that this user may choose: none without the right to."""

    names: Sequence[str] = ()
    tenants: Sequence[str] = field(default=())


async def read_recipients(session: Session) -> Recipients:
    """What this user may read of people and tenants; at least the owners of what is seen."""
    user, store = session.user, session.store
    known = {vm.owner for vm in store.vms.values()} | {volume.owner for volume in store.volumes.values()}
    names = {name for name in known if name and not name.startswith(FORMER_OWNER)} | {user.username}
    found: list[str] = []
    if allows(user.role, Permission.PEOPLE_READ, user.limits):
        with suppress(NovaCronError):  # names can be typed without completion
            listed = (await session.client.call(people.LIST, query=_ALL)).items
            names = {person.username for person in listed if not person.disabled}
    if allows(user.role, Permission.ACCESS_ADMIN, user.limits):
        with suppress(NovaCronError):
            found = [each.id for each in (await session.client.call(tenants.LIST, query=_ALL)).items]
    return Recipients(sorted(names), found)


def owner_field(recipients: Recipients, label: str = "To", value: str = "", *, advice: str = "") -> FormField:
    """A user name with completion."""
    typed = Input(value=value, placeholder="user name (right completes)", suggester=SuggestFromList(recipients.names))
    return FormField(label, typed, why_not=lambda name: why_not_username(name.strip()), advice=advice)


def tenant_field(recipients: Recipients, *, value: str = STAYS) -> FormField:
    """One of the tenants; without a `value` also none, so that it stays."""
    options = [(one_line(each), each) for each in recipients.tenants]
    return FormField("Tenant", choice(options if value else [("stays where it is", STAYS), *options], value))


def hand_over_form(title: str, intro: Sequence[Sequence[Piece]], recipients: Recipients, send: Send) -> Form[None]:
    """Ask to whom something goes."""
    chooses = len(recipients.tenants) > 1
    advice = "A member of its tenant, or of the one below" if chooses else "A member of its tenant"
    fields = {"owner": owner_field(recipients, advice=advice)}
    if chooses:
        fields["tenant"] = tenant_field(recipients)

    async def submit(values: Values, key: str) -> None:
        await send(values["owner"] or None, values.get("tenant") or None, key)

    return Form(title, fields, "Hand over", submit, intro)
