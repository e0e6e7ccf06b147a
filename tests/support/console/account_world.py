"""A fixed account for the console's tests: its sessions, API tokens and second factor, and a server that keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from novacron_core.api import access, second_factor
from novacron_core.api.access import Membership, User
from novacron_core.api.api_tokens import ApiToken, CreatedApiToken
from novacron_core.api.base import Page
from novacron_core.api.sessions import AccountSession
from novacron_core.values.roles import GRANTABLE, READ_ONLY, Role
from tests.support.console.wire import Wire, ok, refuse
from tests.support.console.world import NOW, PASSWORD

OLGA = User(
    id="u3",
    username="olga",
    email="olga@example.org",
    role=Role.OPERATOR,
    tenant="default",
    memberships=[Membership(tenant="default", role=Role.OPERATOR), Membership(tenant="red", role=Role.VIEWER)],
)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
URI = f"otpauth://totp/NovaCron:olga?secret={SECRET}&issuer=NovaCron"
CODE = "123456"
RECOVERY = [f"abcd-efgh-ijkl-mn{n:02d}" for n in range(10)]
TOKEN = "nvt_n0t-a-real-token-but-as-long-as-one-0123"


def session(number: int, **changes: Any) -> AccountSession:
    fields: dict[str, Any] = {
        "id": f"s-{number}",
        "tenant": "default",
        "created_at": NOW - timedelta(hours=3 * number),
        "last_used_at": NOW - timedelta(minutes=11 * (number - 1) + 2),
        "expires_at": NOW + timedelta(hours=24 - 3 * number),
        "address": f"192.0.2.{number}",
        "user_agent": "novacron/1.0.0",
        "proved_at": NOW - timedelta(minutes=8),
    }
    return AccountSession(**{**fields, **changes})


def token(name: str, number: int, **changes: Any) -> ApiToken:
    fields: dict[str, Any] = {
        "id": f"t-{number}",
        "name": name,
        "username": "olga",
        "tenant": "default",
        "created_at": NOW - timedelta(days=number),
        "expires_at": NOW + timedelta(days=90 - number),
        "permissions": sorted(READ_ONLY & GRANTABLE),
    }
    return ApiToken(**{**fields, **changes})


@dataclass
class Account:
    """What the server knows of olga. `factor` is that of her second factor."""

    user: User = OLGA
    factor: second_factor.SecondFactor = field(
        default_factory=lambda: second_factor.SecondFactor(enabled=False, required=False)
    )
    sessions: list[AccountSession] = field(
        default_factory=lambda: [
            session(1, current=True),
            session(2, address="2001:db8::17", user_agent="curl/8 [red]x[/red]"),
            session(3, tenant="red"),
        ]
    )
    tokens: list[ApiToken] = field(
        default_factory=lambda: [
            token("ci", 1, last_used_at=NOW - timedelta(minutes=4), last_address="198.51.100.7"),
            token("deploy", 86, permissions=["vm:read", "vm:change"]),
            token("backup", 30, permissions=None, tenant="red"),
        ]
    )

    def wire(self, **routes: Callable[[httpx.Request], httpx.Response]) -> Wire:
        answers: dict[str, Callable[[httpx.Request], httpx.Response]] = {
            "GET /auth/validate": lambda _: ok(access.Validation(valid=True, user=self.user, expires_at=NOW)),
            "GET /auth/totp": lambda _: ok(self.factor),
            "GET /auth/sessions": lambda _: page(*self.sessions),
            "GET /auth/tokens": lambda _: page(*self.tokens),
            "POST /auth/tokens": self._create,
            "POST /auth/totp": self._begin,
            "POST /auth/totp/confirm": self._confirm,
            "DELETE /auth/totp": self._turn_off,
            **{f"DELETE /auth/sessions/s-{n}": self._end for n in range(1, 40)},
            **{f"DELETE /auth/tokens/t-{n}": self._revoke for n in range(1, 100)},
        }
        return Wire(user=self.user, routes={**answers, **routes})

    def _end(self, request: httpx.Request) -> httpx.Response:
        wanted = request.url.path.rsplit("/", 1)[1]
        if wanted not in [each.id for each in self.sessions]:
            return refuse(404, "not_found", "session not found")
        self.sessions = [each for each in self.sessions if each.id != wanted]
        return httpx.Response(204)

    def _revoke(self, request: httpx.Request) -> httpx.Response:
        wanted = request.url.path.rsplit("/", 1)[1]
        self.tokens = [each for each in self.tokens if each.id != wanted]
        return httpx.Response(204)

    def _create(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        permissions = sorted(READ_ONLY & GRANTABLE) if sent.get("read_only") else sent.get("permissions")
        days = sent.get("expires_in_days", 90)
        made = token(sent["name"], 99, permissions=permissions, expires_at=NOW + timedelta(days=days))
        self.tokens.append(made)
        return ok(CreatedApiToken(token=TOKEN, api_token=made), 201)

    def _begin(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["password"] != PASSWORD:
            return refuse(403, "forbidden", "The password is wrong")
        return ok(second_factor.TotpSecret(secret=SECRET, uri=URI))

    def _confirm(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["code"] != CODE:
            return refuse(422, "validation_failed", "This code is wrong. Enter the six digits that your app shows now.")
        self.factor = second_factor.SecondFactor(
            enabled=True, required=self.factor.required, since=NOW, recovery_codes_left=len(RECOVERY)
        )
        return ok(second_factor.RecoveryCodes(recovery_codes=RECOVERY))

    def _turn_off(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        if (sent["password"], sent["code"]) != (PASSWORD, CODE):
            return refuse(403, "forbidden", "The password or the code is wrong")
        self.factor = second_factor.SecondFactor(enabled=False, required=self.factor.required)
        return httpx.Response(204)


def page(*items: Any) -> httpx.Response:
    return ok(Page(items=list(items), total=len(items), page=1, page_size=1000))
