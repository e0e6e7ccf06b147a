"""The rows of the people screen: accounts, and invitations that nobody has taken up yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from novacron_core.api.people import Invitation, InvitationState, Person
from novacron_core.rules.filters.language import FilterField


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """One row. `person` or `invitation` is what it is about; `role` is that in the tenant that is shown."""

    id: str
    name: str
    role: str
    state: str
    tenants: str
    email: str
    seen_at: datetime | None
    person: Person | None = None
    invitation: Invitation | None = None


FIELDS: dict[str, FilterField[PersonEntry]] = {
    "name": FilterField(lambda entry: f"{entry.name} {entry.email}"),
    "role": FilterField(lambda entry: entry.role),
    "state": FilterField(lambda entry: entry.state),
    "tenant": FilterField(lambda entry: entry.tenants),
    "email": FilterField(lambda entry: entry.email),
}
"""The filter fields; plain words are searched in all texts of a row."""


def of_person(person: Person) -> PersonEntry:
    tenants = ", ".join(f"{each.tenant}" for each in person.memberships) or person.tenant
    return PersonEntry(
        id=person.id,
        name=person.username,
        role=str(person.role),
        state="disabled" if person.disabled else "active",
        tenants=tenants,
        email=person.email,
        seen_at=person.last_seen_at,
        person=person,
    )


def of_invitation(invitation: Invitation) -> PersonEntry:
    """The row of an open or expired invitation."""
    expired = invitation.state is InvitationState.EXPIRED
    return PersonEntry(
        id=invitation.id,
        name=invitation.email or "invited",
        role=str(invitation.role),
        state="expired" if expired else "invited",
        tenants=invitation.tenant,
        email=invitation.email,
        seen_at=None,
        invitation=invitation,
    )
