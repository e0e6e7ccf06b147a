"""Builds the services for accounts, sessions and tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from novacron_server.access import routes as access_routes
from novacron_server.access.attempts import Attempts
from novacron_server.access.one_time_codes import routes as one_time_code_routes
from novacron_server.access.one_time_codes.invitations import Invitations
from novacron_server.access.one_time_codes.password_resets import PasswordResets
from novacron_server.access.own_password import OwnPassword
from novacron_server.access.passwords import Passwords
from novacron_server.access.people import routes as people_routes
from novacron_server.access.people.service import People
from novacron_server.access.service import Access
from novacron_server.access.tenants import routes as tenant_routes
from novacron_server.access.tenants.service import Tenants
from novacron_server.database.transactions import Database
from novacron_server.http.call import Served
from novacron_server.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class AccessServices:
    """They share the hashing of passwords, the counts of attempts and the cache of sessions."""

    access: Access
    own_password: OwnPassword
    people: People
    invitations: Invitations
    password_resets: PasswordResets
    tenants: Tenants

    def routes(self) -> list[Served]:
        return [
            *access_routes.routes(self.access, self.own_password),
            *people_routes.routes(self.people),
            *one_time_code_routes.routes(self.invitations, self.password_resets),
            *tenant_routes.routes(self.tenants),
        ]


def build_access(
    settings: Settings, database: Database, wake: Callable[[], None], on_session_end: Callable[[str], object]
) -> AccessServices:
    """`wake` and `on_session_end` are those of Access."""
    passwords, attempts = Passwords(), Attempts(settings.sign_ins_per_minute)
    access = Access(
        database,
        settings.data_dir,
        wake,
        open_registration=settings.open_registration,
        sessions_per_user=settings.sessions_per_user,
        passwords=passwords,
        attempts=attempts,
        on_session_end=on_session_end,
    )
    return AccessServices(
        access=access,
        own_password=OwnPassword(database, passwords, attempts, access.end_tokens),
        people=People(database, passwords, access.end_tokens),
        invitations=Invitations(database, passwords, attempts, access.end_tokens),
        password_resets=PasswordResets(database, passwords, attempts, access.end_tokens),
        tenants=Tenants(database, access.end_tokens),
    )
