"""Performing actions on people: show the form or the question, send once, and report the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from novacron_core.api import people, second_factor
from novacron_core.api.ownership import HandOverAll
from novacron_core.api.people import NewInvitation, ResetCode
from novacron_core.errors import NovaCronError
from novacron_core.values.ages import moment_text
from novacron_core.values.counts import counted
from novacron_core.values.roles import Permission, allows
from novacron_tui.actions import ActionContext
from novacron_tui.connection.form_request import build_request, call_from_form
from novacron_tui.connection.store import Store
from novacron_tui.people import forms
from novacron_tui.people.entries import PersonEntry
from novacron_tui.people.reading import PeopleData
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.recipients import Recipients, hand_over_form, read_recipients
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.form import Refused
from novacron_tui.widgets.shown_once import ShownOnce
from novacron_tui.widgets.text_bar import Piece


class PeopleContext(ActionContext, Protocol):
    """The people screen."""

    data: PeopleData

    def read_again(self) -> None:
        """Read the people from the server now."""


def prover(context: ActionContext) -> forms.Prove:
    """What asks the user to prove who they are."""

    async def prove() -> bool:
        try:
            enabled = (await context.session.client.call(second_factor.GET)).enabled
        except NovaCronError:
            enabled = False
        proved: bool | None = await context.show_dialog(forms.prove_again(context.session, has_second_factor=enabled))
        return proved is True

    return prove


async def invite(context: PeopleContext, _entry: object) -> None:
    """Show the form that invites somebody, and then the code."""
    invited = await context.show_dialog(forms.invite(context.session, prover(context), context.data.tenants))
    if invited is not None:
        context.read_again()
        await context.show_dialog(_invitation(context, invited))


async def edit(context: PeopleContext, entry: PersonEntry) -> None:
    """Show the form that changes a person."""
    if entry.person is None:
        return
    done = await context.show_dialog(
        forms.edit(context.session, prover(context), entry.person, _tenant(context, entry))
    )
    if done is not None:
        context.say(f"{one_line(entry.name)}: {done}", "good")
        context.read_again()


async def delete(context: PeopleContext, entry: PersonEntry) -> None:
    """Ask, and delete an account, remove a member or revoke an invitation."""
    name = one_line(entry.name)
    if entry.invitation is not None:
        invitation_id = entry.invitation.id
        question = Question(
            f"Revoke the invitation for {name}?", [[Piece("Its code is no longer valid then.")]], yes="Revoke"
        )
        call = lambda: context.session.client.call(people.REVOKE_INVITATION, invitation_id=invitation_id)  # noqa: E731
        await _ask_and_call(context, question, call, f"{name}: invitation revoked")
        return
    user = context.session.user
    if allows(user.role, Permission.ACCESS_ADMIN, user.limits):
        owned = owned_text(context.session.store, entry.name)
        if owned and await context.ask(_offer(name, owned)) is not None:
            await hand_over(context, entry)
            return
        question = Question(
            f"Delete the account {name}?",
            [
                [Piece("Its sessions and API tokens end at once. Its VMs and volumes stay in their tenants.")],
                *([[Piece(f"{owned} then belong to “former user {name}”.", "warn")]] if owned else []),
                [Piece("e", "key"), Piece(" can disable the account instead.", "quiet")],
            ],
            yes="Delete",
            typed=entry.name,
            typed_always=True,
        )
        call = lambda: context.session.client.call(people.DELETE, user_id=entry.id)  # noqa: E731
        await _ask_and_call(context, question, call, f"{name}: account deleted")
        return
    tenant = user.tenant
    question = Question(
        f"Remove {name} from {one_line(tenant)}?",
        [[Piece("The account stays, without a role in this tenant. Its VMs and volumes stay in the tenant.")]],
        yes="Remove",
    )
    call = lambda: context.session.client.call(people.REMOVE_MEMBER, tenant=tenant, user_id=entry.id)  # noqa: E731
    await _ask_and_call(context, question, call, f"{name}: removed from {one_line(tenant)}")


def owned_text(store: Store, username: str) -> str:
    """`3 VMs and 1 volume`: what a user owns of what is seen here; empty for nothing. Disks go with their VMs."""
    vms = sum(vm.owner == username for vm in store.vms.values())
    volumes = sum(volume.owner == username and volume.vm is None for volume in store.volumes.values())
    counts = ((vms, "VM"), (volumes, "volume"))
    return " and ".join(counted(count, word) for count, word in counts if count)


def _offer(name: str, owned: str) -> Question:
    return Question(
        f"{name} owns {owned}",
        [
            [Piece("Hand everything over to somebody before the account is deleted?")],
            [Piece("n", "key"), Piece(" goes on to the deletion; everything stays, and belongs to a former user.")],
        ],
        yes="Hand over",
    )


async def hand_over(context: PeopleContext, entry: PersonEntry) -> None:
    """Show the form that gives all VMs and volumes of a person to somebody."""
    if entry.person is None:
        return
    session, user_id, recipients = context.session, entry.person.id, await read_recipients(context.session)
    name, owned = one_line(entry.name), owned_text(session.store, entry.name)
    others = Recipients([each for each in recipients.names if each != entry.name], recipients.tenants)

    async def send(owner: str | None, tenant: str | None, key: str) -> None:
        body = build_request(HandOverAll, to=owner or "", tenant=tenant)
        try:
            op = await call_from_form(session, people.HAND_OVER, body, key, user_id=user_id)
        except Refused as e:
            raise Refused(
                e.sentence, {"owner" if field == "to" else field: why for field, why in e.fields.items()}
            ) from e
        session.followed[op.id] = op
        context.say(f"Handing over {one_line(op.target.name)}…", "busy")
        session.changed()

    intro = [
        [Piece(f"{owned} of {name}" if owned else f"What {name} owns", "strong")],
        [Piece("Disks go with their VMs. Each is checked against the quotas of its new tenant; 7 shows the results.", "quiet")],
    ]  # fmt: skip
    await context.show_dialog(hand_over_form(f"Hand over everything of {name}", intro, others, send))


async def reset_password(context: PeopleContext, entry: PersonEntry) -> None:
    """Ask, and show a one-time code with which the person sets a new password."""
    name = one_line(entry.name)
    question = Question(
        f"Create a code that resets the password of {name}?",
        [[Piece("Whoever has the code can take over the account. Give it to its owner alone.")]],
        yes="Create",
    )
    if await context.ask(question) is None:
        return
    try:
        made: ResetCode = await forms.proven(
            prover(context), lambda: context.session.client.call(people.CREATE_RESET_CODE, user_id=entry.id)
        )
    except NovaCronError as e:
        context.say(f"{name}: {one_line(e.detail)}", "bad")
        return
    command = f"novacron passwd --reset --user {entry.name} --server {context.session.server.url}"
    await context.show_dialog(
        ShownOnce(
            f"Password reset of {name}",
            [
                [Piece(made.code, "strong")],
                [],
                [Piece("It works once, until "), Piece(moment_text(made.expires_at), "strong"), Piece(".")],
                [Piece("It is shown only now. "), Piece(name, "strong"), Piece(" runs this, and types the code:")],
                [Piece(one_line(command), "accent")],
                [Piece("or presses f3 on the sign-in screen.", "quiet")],
            ],
            made.code,
        )
    )  # fmt: skip


def _tenant(context: PeopleContext, entry: PersonEntry) -> str:
    """The tenant whose role is changed: that of the session if the person is a member of it, else the person's own."""
    person, own = entry.person, context.session.user.tenant
    if person is None or any(each.tenant == own for each in person.memberships):
        return own
    return person.tenant or own


async def _ask_and_call(
    context: PeopleContext, question: Question, call: Callable[[], Awaitable[Any]], done: str
) -> None:
    if await context.ask(question) is None:
        return
    try:
        await forms.proven(prover(context), call)
    except NovaCronError as e:
        context.say(one_line(e.detail), "bad")
    else:
        context.say(done, "good")
        context.read_again()


def _invitation(context: PeopleContext, invited: NewInvitation) -> ShownOnce:
    """The code, and what to do with it."""
    invitation = invited.invitation
    whom = one_line(invitation.email) or "the person"
    command = f"novacron join --user NAME --server {context.session.server.url}"
    return ShownOnce(
        f"Invitation to {one_line(invitation.tenant)} as {invitation.role}",
        [
            [Piece(invited.code, "strong")],
            [],
            [Piece("It works once, until "), Piece(moment_text(invitation.expires_at), "strong"), Piece(".")],
            [Piece("It is shown only now. Give it to "), Piece(whom, "strong"), Piece(", who runs this and types it:")],
            [Piece(one_line(command), "accent")],
            [Piece("or presses f2 on the sign-in screen.", "quiet")],
        ],
        invited.code,
    )  # fmt: skip
