"""The forms of the account screen; each sends its requests itself, because no operation follows them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.suggester import Suggester
from textual.widgets import Input

from novacron_core.api import access, api_tokens, second_factor
from novacron_core.api.access import Membership
from novacron_core.api.api_tokens import MAX_DAYS, CreateApiToken, CreatedApiToken
from novacron_core.errors import NovaCronError
from novacron_core.rules.filters.language import FilterError
from novacron_core.rules.filters.vms import scope_test
from novacron_core.values.names import MIN_PASSWORD, why_not_password, why_not_vm_name
from novacron_core.values.roles import GRANTABLE, Permission, allows
from novacron_tui.connection.form_request import build_request, refused_by
from novacron_tui.connection.session import Session
from novacron_tui.people.forms import Prove, call_proven
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Refused, Values, choice
from novacron_tui.widgets.text_bar import Piece

READING, ALL = "read-only", "all"
DAYS = 90
_SAME = "The two passwords differ"


def change_password(session: Session, prove: Prove) -> Form[bool]:
    """Change the own password; every session of the account ends."""
    username = session.user.username
    fields = {
        "old": FormField("Old password", secret=True),
        "new": FormField(
            "New password",
            secret=True,
            advice=f"At least {MIN_PASSWORD} characters",
            why_not=lambda text: why_not_password(text, username),
        ),
        "again": FormField("Again", secret=True),
    }

    async def submit(values: Values, key: str) -> bool:
        if fields["new"].value != fields["again"].value:
            raise Refused(_SAME, {"again": _SAME})
        body = access.PasswordChange(old=fields["old"].value, new=fields["new"].value)
        await call_proven(session, prove, access.CHANGE_PASSWORD, body, key)
        return True

    intro = [[Piece("Every session of your account ends: sign in again with the new password.", "quiet")]]
    return Form("Change your password", fields, "Change", submit, intro)


def switch_tenant(session: Session, tenants: Sequence[str]) -> Form[str]:
    """Choose another tenant; dismissed with its name."""
    roles = {each.tenant: f"{each.role}" for each in session.user.memberships}
    options = [
        (f"{one_line(each)}  {roles.get(each, '')}".rstrip(), each) for each in tenants if each != session.user.tenant
    ]
    fields = {"tenant": FormField("Tenant", choice(options))}

    async def submit(values: Values, key: str) -> str:
        return values["tenant"]

    intro = [[Piece(f"You work in {one_line(session.user.tenant)}.", "quiet")]]
    return Form("Switch to another tenant", fields, "Switch", submit, intro)


def join(session: Session) -> Form[Membership]:
    """Take up an invitation to one more tenant; dismissed with the membership."""
    fields = {"code": FormField("Code", why_not=lambda text: None if text.strip() else "Enter the code")}

    async def submit(values: Values, key: str) -> Membership:
        try:
            return await session.client.call(access.JOIN, body=build_request(access.Join, code=values["code"]))
        except NovaCronError as e:
            raise refused_by(e) from e

    intro = [[Piece("The code of an invitation makes you a member of its tenant too.", "quiet")]]
    return Form("Join a tenant", fields, "Join", submit, intro)


def turn_off_second_factor(session: Session, *, required: bool) -> Form[bool]:
    """Turn the second factor off; dismissed with True."""
    fields = {
        "password": FormField("Password", secret=True),
        "code": FormField("Code", advice="Of your authenticator app, or a recovery code"),
    }

    async def submit(values: Values, key: str) -> bool:
        body = second_factor.EndTotp(password=fields["password"].value, code=values["code"])
        try:
            await session.client.call(second_factor.END, body=body)
        except NovaCronError as e:
            raise refused_by(e) from e
        return True

    tenant = one_line(session.user.tenant)
    after = (
        f"{tenant} requires one: without it you can do nothing there but set it up again."
        if required
        else "Your password alone signs you in then, and the recovery codes end."
    )
    return Form("Turn the second factor off", fields, "Turn off", submit, [[Piece(after, "warn")]])


class _Words(Suggester):
    """Completes the last of several words."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(use_cache=False)
        self._words = words

    async def get_suggestion(self, value: str) -> str | None:
        *before, last = value.split(" ")
        found = next((word for word in self._words if last and word.startswith(last) and word != last), None)
        return None if found is None else " ".join([*before, found])


def create_token(session: Session, prove: Prove) -> Form[CreatedApiToken]:
    """Create an API token; dismissed with it."""
    user = session.user
    grantable = sorted(each for each in GRANTABLE if allows(user.role, each, user.limits))
    limits = Input(value=READING, suggester=_Words([READING, ALL, *grantable]), select_on_focus=True)
    fields = {
        "name": FormField("Name", advice="What uses it, like ci or backup", why_not=_why_not_name),
        "limits": FormField(
            "Limited to",
            limits,
            advice=f"{READING}, {ALL}, or permissions like {_example(grantable)} (right completes)",
            why_not=lambda text: _why_not_limits(text, grantable),
        ),
        "filter": FormField(
            "Only VMs", placeholder="all", advice='A filter by name, tag, owner, like tag:"ci"', why_not=_why_not_filter
        ),
        "expires_in_days": FormField(
            "Expires in", value=str(DAYS), advice=f"days, at most {MAX_DAYS}", why_not=_why_not_days
        ),
    }

    async def submit(values: Values, key: str) -> CreatedApiToken:
        words = values["limits"].split()
        named = None if words in ([READING], [ALL]) else words
        body = build_request(
            CreateApiToken,
            name=values["name"],
            permissions=named,
            read_only=words == [READING],
            filter=values["filter"],
            expires_in_days=int(values["expires_in_days"]),
        )
        try:
            made: CreatedApiToken = await call_proven(session, prove, api_tokens.CREATE, body, key)
        except Refused as e:
            of_limits = ("permissions", "read_only")
            raise Refused(
                e.sentence, {"limits" if name in of_limits else name: why for name, why in e.fields.items()}
            ) from e
        return made

    intro = [[Piece(f"It acts for you in {one_line(user.tenant)}, with at most the rights that you have.", "quiet")]]
    return Form("Create an API token", fields, "Create", submit, intro)


def _example(grantable: Sequence[Permission]) -> str:
    return Permission.VM_CHANGE if Permission.VM_CHANGE in grantable else Permission.VM_READ


def _why_not_name(text: str) -> str | None:
    refused = why_not_vm_name(text.strip())
    return refused.replace("VM name", "name") if refused else None


def _why_not_limits(text: str, grantable: Sequence[str]) -> str | None:
    words = text.split()
    if not words:
        return f"Enter {READING}, {ALL} or permissions"
    if words in ([READING], [ALL]):
        return None
    wrong = next((word for word in words if word not in grantable), None)
    if wrong is None:
        return None
    if wrong in (READING, ALL):
        return f"{wrong} stands alone"
    if wrong in set(GRANTABLE):
        return f"You do not have {wrong} yourself"
    return f"{one_line(wrong)} is none of {', '.join(grantable)}"


def _why_not_filter(text: str) -> str | None:
    try:
        scope_test(text.strip())
    except FilterError as e:
        return f"{e}"
    return None


def _why_not_days(text: str) -> str | None:
    days = text.strip()
    if days.isascii() and days.isdigit() and len(days) < 6 and 1 <= int(days) <= MAX_DAYS:
        return None
    return f"Enter a number of days from 1 to {MAX_DAYS}"
