"""Performing actions on the own account: show the form or the question, send once, and report the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from novacron_core.api import access, api_tokens, sessions
from novacron_core.api.api_tokens import ApiToken, CreatedApiToken
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.sessions import AccountSession
from novacron_core.errors import NotFound, NovaCronError
from novacron_core.values.ages import age_s, age_text, moment_text
from novacron_core.values.counts import counted
from novacron_core.values.roles import SET_UP_ONLY, limits_words
from novacron_tui.account import forms
from novacron_tui.account.reading import AccountData, reachable_tenants
from novacron_tui.actions import MANY, ActionContext
from novacron_tui.connection.form_request import build_request
from novacron_tui.people.forms import proven
from novacron_tui.people.perform import prover
from novacron_tui.second_factor import set_up
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.form import Refused
from novacron_tui.widgets.shown_once import ShownOnce
from novacron_tui.widgets.text_bar import Piece

_NAMED = 6
Lines = list[list[Piece]]


class AccountContext(ActionContext, Protocol):
    """The account screen."""

    data: AccountData

    def read_again(self) -> None:
        """Read the account from the server now."""

    def chosen(self) -> Sequence[Any]:
        """The marked rows, or else the one under the cursor."""

    def show_tokens(self, token_id: str) -> None:
        """Show the API tokens, with the cursor on this one."""


# -- tenants -------------------------------------------------------------------------------------------------------------


async def choose_tenant(context: ActionContext, _subject: object = None) -> None:
    """Show the form that chooses another tenant of this user, and go on there."""
    try:
        tenants = await reachable_tenants(context.session)
    except NovaCronError as e:
        context.say(one_line(e.detail), "bad")
        return
    if len(tenants) < 2:
        context.say("you belong to one tenant: an owner of another one can invite you", "warn")
        return
    chosen = await context.show_dialog(forms.switch_tenant(context.session, tenants))
    if chosen is not None:
        await switch_to(context, chosen)


async def switch_to(context: ActionContext, tenant: str) -> None:
    """Go on in another tenant. The session says so; where a second factor is required, it is set up."""
    session = context.session
    if tenant == session.user.tenant:
        context.say(f"you work in {one_line(tenant)} already")
        return
    try:
        body = build_request(access.SwitchTenant, tenant=tenant)
        tokens = await proven(prover(context), lambda: session.client.call(access.SWITCH_TENANT, body=body))
    except Refused as e:
        context.say(one_line(e.sentence), "warn")
        return
    except NovaCronError as e:
        context.say(f"{one_line(tenant)}: {one_line(e.detail)}", "bad")
        return
    session.client.credentials.take(tokens)
    if session.user.limits == SET_UP_ONLY:
        await set_up_second_factor(context)


async def join(context: ActionContext, _subject: object = None) -> None:
    """Take up an invitation to one more tenant."""
    joined = await context.show_dialog(forms.join(context.session))
    if joined is None:
        return
    tenant = one_line(joined.tenant)
    context.say(f"you are {joined.role} of {tenant} now: :tenant {tenant} goes there", "good")
    try:
        context.session.take_user((await context.session.client.call(access.VALIDATE)).user)
    except NovaCronError:
        return  # the screen reads it again soon


# -- password and second factor ------------------------------------------------------------------------------------------


async def change_password(context: ActionContext, _subject: object = None) -> None:
    """Show the form that changes the own password; the sign-in screen follows, because every session ends."""
    await context.show_dialog(forms.change_password(context.session, prover(context)))


async def set_up_second_factor(context: ActionContext, _subject: object = None) -> None:
    """Set a second factor up in dialogs."""
    session = context.session
    done = await set_up.set_up(context, session.client, session.user.username, ascii_only=context.glyphs.ascii)
    if not done:
        return
    context.say("your second factor is on: signing in takes a code too. Your other sessions have ended.", "good")
    try:
        session.take_user(await set_up.admitted(session.client))
    except NovaCronError as e:
        context.say(one_line(e.detail), "bad")


async def turn_off_second_factor(context: AccountContext, _subject: object = None) -> None:
    """Show the form that turns the second factor off."""
    required = context.data.factor is not None and context.data.factor.required
    if await context.show_dialog(forms.turn_off_second_factor(context.session, required=required)) is not None:
        context.say("your second factor is off, and your other sessions have ended", "good")
        context.read_again()


# -- sessions and API tokens ---------------------------------------------------------------------------------------------


async def create_token(context: AccountContext, _subject: object = None) -> None:
    """Show the form that creates an API token, and then the token, this once."""
    made = await context.show_dialog(forms.create_token(context.session, prover(context)))
    if made is None:
        return
    context.show_tokens(made.api_token.id)
    await context.show_dialog(_token(context, made))


async def end_others(context: AccountContext, _subject: object = None) -> None:
    """End all sessions but that of this console."""
    await _end_sessions(context, context.data.others)


async def end_or_revoke(context: AccountContext, _subject: object) -> None:
    """End the chosen sessions, or revoke the chosen API tokens."""
    rows = context.chosen()
    ending = [row for row in rows if isinstance(row, AccountSession)]
    if ending:
        await _end_sessions(context, ending)
    else:
        await _revoke_tokens(context, [row for row in rows if isinstance(row, ApiToken)])


async def _end_sessions(context: AccountContext, ending: Sequence[AccountSession]) -> None:
    now = context.session.now
    names = [
        f"{one_line(each.address) or 'unknown address'}, used {age_text(age_s(each.last_used_at, now))} ago, "
        f"{one_line(each.user_agent)}"
        for each in ending
    ]
    after = (
        "Whoever uses it is signed out within two seconds." if len(ending) == 1 else "Whoever uses them is signed out."
    )
    if any(each.current for each in ending):
        after = "This console uses it: you sign in again then."
    what = counted(len(ending), "session")
    title = "End this session?" if len(ending) == 1 else f"End {what}?"
    calls = [_call(context, sessions.END, session_id=each.id) for each in ending]
    await _ask_and_call(context, _question(title, names, after, "End"), calls, f"{what} ended")


async def _revoke_tokens(context: AccountContext, tokens: Sequence[ApiToken]) -> None:
    names = [
        f"{one_line(each.name)}, limited to {one_line(limits_words(each.permissions, each.filter))}" for each in tokens
    ]
    what = one_line(tokens[0].name) if len(tokens) == 1 else counted(len(tokens), "API token")
    after = (
        "What uses it is refused within two seconds, for good." if len(tokens) == 1 else "What uses them is refused."
    )
    calls = [_call(context, api_tokens.REVOKE, token_id=each.id) for each in tokens]
    await _ask_and_call(context, _question(f"Revoke {what}?", names, after, "Revoke"), calls, f"{what}: revoked")


def _question(title: str, names: Sequence[str], after: str, yes: str) -> Question:
    lines: Lines = [[Piece(name, "strong")] for name in names[:_NAMED]]
    if len(names) > _NAMED:
        lines.append([Piece(f"and {len(names) - _NAMED} more", "quiet")])
    many = len(names) > MANY
    return Question(title, [*lines, [Piece(after)]], yes, typed=str(len(names)) if many else "", typed_always=many)


def _call(context: ActionContext, endpoint: Endpoint[Any, Any, Any], **path: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: context.session.client.call(endpoint, **path)


async def _ask_and_call(
    context: AccountContext, question: Question, calls: Sequence[Callable[[], Awaitable[Any]]], done: str
) -> None:
    """Ask, and make all calls. What has gone meanwhile is done; the first other failure is told."""
    if await context.ask(question) is None:
        return
    failed: list[NovaCronError] = []
    for call in calls:
        try:
            await proven(prover(context), call)
        except NotFound:
            continue
        except NovaCronError as e:
            failed.append(e)
    if failed:
        of = f"{len(failed)} of {len(calls)} failed: " if len(calls) > 1 else ""
        context.say(f"{of}{one_line(failed[0].detail)}", "bad")
    else:
        context.say(done, "good")
    context.read_again()


def _token(context: AccountContext, made: CreatedApiToken) -> ShownOnce:
    token = made.api_token
    command = f"novacron vm ls --server {one_line(context.session.server.url)}"
    return ShownOnce(
        f"API token {one_line(token.name)}",
        [
            [Piece(one_line(made.token), "strong")],
            [],
            [Piece(f"It acts for {one_line(token.username)} in {one_line(token.tenant)}, limited to ", "quiet"),
             Piece(one_line(limits_words(token.permissions, token.filter))),
             Piece(f", until {moment_text(token.expires_at)}.", "quiet")],
            [Piece("It is shown only now. A script uses it in the environment:", "quiet")],
            [Piece("NOVACRON_TOKEN=nvt_… ", "accent"), Piece(command, "accent")],
        ],
        made.token,
    )  # fmt: skip
