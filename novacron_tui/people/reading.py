"""What the people screen shows, read from the server: it is not part of the event stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from novacron_core.api import people, quotas, tenants
from novacron_core.api.access import Membership, User
from novacron_core.api.base import ListQuery
from novacron_core.api.people import InvitationState, Person
from novacron_core.errors import NovaCronError
from novacron_core.values.roles import Permission, allows
from novacron_tui.connection.session import Session
from novacron_tui.people.entries import PersonEntry, of_invitation, of_person
from novacron_tui.terminal.safe_text import one_line

_SHOWN = (InvitationState.OPEN, InvitationState.EXPIRED)


@dataclass
class PeopleData:
    """`version` rises with every change; `error` is why the last read failed."""

    rows: list[PersonEntry] = field(default_factory=list)
    quota: quotas.Quota | None = None
    tenants: list[str] = field(default_factory=list)
    error: str = ""
    version: int = 0
    loaded: bool = False

    async def read(self, session: Session) -> None:
        """Read everything that this user may see. What cannot be read leaves the last known rows."""
        user, client = session.user, session.client
        try:
            rows = [of_person(_self(user))]
            if allows(user.role, Permission.PEOPLE_READ, user.limits):
                query = ListQuery(page_size=1000)
                rows = [of_person(person) for person in (await client.call(people.LIST, query=query)).items]
                invited = (await client.call(people.INVITATIONS, query=query)).items
                rows += [of_invitation(each) for each in invited if each.state in _SHOWN]
            quota = await client.call(quotas.GET)
            names = [each.tenant for each in user.memberships] or [user.tenant]
            if allows(user.role, Permission.ACCESS_ADMIN, user.limits):
                names = [each.id for each in (await client.call(tenants.LIST, query=ListQuery(page_size=1000))).items]
        except NovaCronError as e:
            self._take(error=one_line(e.detail))
        else:
            self._take(rows=rows, quota=quota, tenants=names, error="", loaded=True)

    def _take(self, **values: object) -> None:
        if any(getattr(self, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(self, name, value)
            self.version += 1


def _self(user: User) -> Person:
    """What a user who may not see others knows of people: the own account."""
    return Person(
        id=user.id,
        username=user.username,
        role=user.role,
        email=user.email,
        tenant=user.tenant,
        memberships=user.memberships or [Membership(tenant=user.tenant, role=user.role)],
        created_at=user.created_at,
    )
