"""Builds the services for accounts, sessions and tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from novacron_server.access import routes as access_routes
from novacron_server.access.api_tokens import routes as api_token_routes
from novacron_server.access.api_tokens.service import ApiTokens
from novacron_server.access.attempts import Attempts
from novacron_server.access.one_time_codes import routes as one_time_code_routes
from novacron_server.access.one_time_codes.invitations import Invitations
from novacron_server.access.one_time_codes.password_resets import PasswordResets
from novacron_server.access.own_password import OwnPassword
from novacron_server.access.passwords import Passwords
from novacron_server.access.people import routes as people_routes
from novacron_server.access.people.service import People
from novacron_server.access.second_factor import routes as second_factor_routes
from novacron_server.access.second_factor.proofs import Proofs
from novacron_server.access.second_factor.service import SecondFactors
from novacron_server.access.service import Access
from novacron_server.access.sessions import routes as session_routes
from novacron_server.access.sessions.service import Sessions
from novacron_server.access.tenants import routes as tenant_routes
from novacron_server.access.tenants.service import Tenants
from novacron_server.database.transactions import Database
from novacron_server.http.call import Served
from novacron_server.runtime.settings import Settings
from novacron_server.vms.ownership.former_users import disown


@dataclass(frozen=True, slots=True)
class AccessServices:
    """They share the hashing of passwords, the counts of attempts and the cache of sessions."""

    access: Access
    own_password: OwnPassword
    people: People
    invitations: Invitations
    password_resets: PasswordResets
    tenants: Tenants
    sessions: Sessions
    api_tokens: ApiTokens
    second_factors: SecondFactors
    proofs: Proofs

    def routes(self) -> list[Served]:
        return [
            *access_routes.routes(self.access, self.own_password),
            *people_routes.routes(self.people),
            *one_time_code_routes.routes(self.invitations, self.password_resets),
            *tenant_routes.routes(self.tenants),
            *session_routes.routes(self.sessions),
            *api_token_routes.routes(self.api_tokens),
            *second_factor_routes.routes(self.second_factors, self.proofs),
        ]


def build_access(
    settings: Settings, database: Database, wake: Callable[[], None], on_session_end: Callable[[str], object]
) -> AccessServices:
    """`wake` and `on_session_end` are those of Access."""
    passwords, attempts = Passwords(), Attempts(settings.sign_ins_per_minute)
    idle = timedelta(hours=settings.session_idle_hours)
    proofs = Proofs(database, passwords, attempts)
    access = Access(
        database,
        settings.data_dir,
        wake,
        open_registration=settings.open_registration,
        sessions_per_user=settings.sessions_per_user,
        idle=idle,
        passwords=passwords,
        attempts=attempts,
        on_session_end=on_session_end,
    )
    return AccessServices(
        access=access,
        own_password=OwnPassword(database, passwords, attempts, access.end_tokens),
        people=People(database, passwords, access.end_tokens, proofs.require, disown),
        invitations=Invitations(database, passwords, attempts, access.end_tokens, proofs.require),
        password_resets=PasswordResets(database, passwords, attempts, access.end_tokens, proofs.require),
        tenants=Tenants(database, access.end_tokens, proofs.require),
        sessions=Sessions(database, idle=idle, ended=access.end_tokens),
        api_tokens=ApiTokens(database, require_proof=proofs.require, ended=access.end_tokens),
        second_factors=SecondFactors(database, proofs, access.end_tokens),
        proofs=proofs,
    )
