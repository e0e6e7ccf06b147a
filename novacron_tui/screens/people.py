"""People: who may do what in a tenant, who is invited, and what the tenant uses of its quotas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual import events
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from novacron_core.api import people
from novacron_core.values.ages import moment_text
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import Store
from novacron_tui.people import perform, quota_bars
from novacron_tui.people.entries import PersonEntry
from novacron_tui.people.pane import PeoplePane
from novacron_tui.people.reading import PeopleData
from novacron_tui.screens.global_actions import EVERYWHERE, PEOPLE, bindings
from novacron_tui.screens.list_screen import BACK, REVERSE, SORT, filter_action, open_action
from novacron_tui.screens.read_screen import ReadScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Detail, labelled
from novacron_tui.widgets.lines import LinesView
from novacron_tui.widgets.text_bar import Piece

_GROUP = "People"
OPEN = open_action("Show details.")
FILTER = filter_action("a word, role:owner, state:invited, tenant:red, -not.")


def _only_people(entry: PersonEntry, _store: Store) -> str | None:
    return None if entry.person is not None else f"{entry.name} is an invitation: D revokes it"


# fmt: off
INVITE = Action[PersonEntry](
    "create", "c", "invite", "Invite a person: a one-time code makes an account in this tenant.", people.INVITE,
    danger=Danger.REVERSIBLE, needs_one=False, group=_GROUP, opens=True, run=perform.invite, command="user invite",
)
EDIT = Action[PersonEntry](
    "edit", "e", "role", "Change the role, the e-mail address, or whether the account may sign in.", people.CHANGE, _only_people,
    Danger.REVERSIBLE, group=_GROUP, opens=True, run=perform.edit, command="user role {names} ROLE",
)
DELETE = Action[PersonEntry](
    "delete", "D", "delete", "Delete the account, or remove it from the tenant; revoke an invitation.",
    people.REMOVE_MEMBER, danger=Danger.DESTROYS, group=_GROUP, run=perform.delete, command="user delete {names}",
)
HAND_OVER = Action[PersonEntry](
    "hand-over", "", "hand over everything", "Give all VMs and volumes of the person to somebody else.", people.HAND_OVER,
    _only_people, Danger.REVERSIBLE, group=_GROUP, opens=True, run=perform.hand_over,
    command="user hand-over {names} --to USER",
)
RESET = Action[PersonEntry](
    "reset-password", "", "reset the password", "Create a one-time code that sets a new password.", people.CREATE_RESET_CODE,
    _only_people, Danger.LOSES_WORK, group=_GROUP, run=perform.reset_password, command="user reset-password {names}",
)
COPY_ID = Action[PersonEntry](
    "copy-id", "y", "copy id", "Copy the id to the terminal's clipboard.", group=_GROUP,
    run=lambda screen, entry: screen.copy(entry.id),
)
# fmt: on


class PeopleScreen(ReadScreen):
    """The people and what they may do."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN, FILTER, INVITE, EDIT, DELETE, SORT, HAND_OVER, RESET, COPY_ID, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = PEOPLE
    DEFAULT_CSS = """
    PeopleScreen #quota { height: auto; padding: 0 2; border-bottom: solid $rule; }
    """

    data: PeopleData

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.data = PeopleData()
        self._told = session.store.access_seq
        self._pane = PeoplePane(session, glyphs, self.data)
        self._quota = LinesView(id="quota")

    def body(self) -> Widget:
        return Vertical(self._quota, self._pane)

    @property
    def pane(self) -> PeoplePane:
        return self._pane

    def restore_from(self, before: Self) -> None:
        self.data = self._pane.data = before.data
        self._pane.restore_from(before._pane)

    def list_hint(self) -> Sequence[Piece]:
        if self.data.error and self.data.loaded:
            return [Piece(f"{self.glyphs.bad} {self.data.error}", "bad"), Piece("  what is shown may be old", "quiet")]
        entry = self.row
        if entry is None:
            return ()
        return [Piece(one_line(entry.name), "strong"), Piece(f"  {entry.role} of {one_line(entry.tenants)}", "quiet")]

    def open_row(self) -> None:
        entry = self.row
        if entry is None:
            return
        self.app.push_screen(Detail(one_line(entry.name), _details(entry)))

    def refresh_body(self) -> None:
        super().refresh_body()
        if (told := self.session.store.access_seq) != self._told:  # somebody was invited, joined, changed, …
            self._told = told
            self.read_again()
        if self.data.quota is not None:
            self._quota.show(quota_bars.lines(self.data.quota, self.glyphs, max(1, self.size.width - 4)))

    def on_resize(self, _: events.Resize) -> None:
        self.refresh_body()


def _details(entry: PersonEntry) -> list[list[Piece]]:
    person, invitation = entry.person, entry.invitation
    if invitation is not None:
        return labelled(
            [
                ("invited to", f"{one_line(invitation.tenant)} as {invitation.role}"),
                ("for", one_line(invitation.email)),
                ("by", one_line(invitation.created_by)),
                ("created", moment_text(invitation.created_at)),
                ("expires", moment_text(invitation.expires_at)),
            ]
        )
    if person is None:
        return []
    lines = labelled(
        [
            ("role", f"{person.role}"),
            ("state", entry.state),
            ("e-mail", one_line(person.email)),
            ("second factor", "yes" if person.second_factor else "no"),
            ("created", moment_text(person.created_at) if person.created_at else ""),
            ("last seen", moment_text(person.last_seen_at) if person.last_seen_at else "never"),
        ]
    )
    return lines + labelled([(one_line(each.tenant), f"{each.role}") for each in person.memberships])
