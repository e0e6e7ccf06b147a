"""Account: who one is, where one is signed in, one's API tokens, second factor and password."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from textual import events
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from novacron_core.api import access, api_tokens, second_factor, sessions
from novacron_core.api.api_tokens import ApiToken
from novacron_core.api.sessions import AccountSession
from novacron_core.values.ages import age_s, age_text, moment_text
from novacron_core.values.roles import limits_words
from novacron_tui.account import perform, summary
from novacron_tui.account.panes import SessionPane, TokenPane
from novacron_tui.account.reading import AccountData
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.session import Session
from novacron_tui.screens.global_actions import ACCOUNT, EVERYWHERE, bindings
from novacron_tui.screens.help import KeyRow
from novacron_tui.screens.list_screen import BACK, MARK, MARK_ALL, REVERSE, SORT, filter_action, open_action
from novacron_tui.screens.read_screen import READ_EVERY_S, ReadScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Detail, Lines, labelled
from novacron_tui.widgets.text_bar import Piece, TextBar

_OLD_S = 3 * READ_EVERY_S
_GROUP = "Your account"
OPEN = open_action("Show details.")
FILTER = filter_action("a word, address:10.0.* tenant:red, of tokens name:ci may:reading, -not.")
SWITCH = Action[Any](
    "switch", "tab", "switch", "Switch between your sessions and your API tokens.", needs_one=False,
    group="List", run=lambda screen, _: screen.switch(),
)  # fmt: skip


# fmt: off
CREATE = Action[Any](
    "create", "c", "new token", "Create an API token, with which a script acts for you.", api_tokens.CREATE,
    danger=Danger.REVERSIBLE, needs_one=False, group=_GROUP, opens=True, run=perform.create_token,
    command="token create NAME",
)
END = Action[Any](
    "delete", "D", "end", "End the session: whoever uses it is signed out.", sessions.END,
    danger=Danger.LOSES_WORK, group=_GROUP, run=perform.end_or_revoke, command="session end {names}",
)
REVOKE = Action[Any](
    "delete", "D", "revoke", "Revoke the API token: what uses it is refused for good.", api_tokens.REVOKE,
    danger=Danger.DESTROYS, group=_GROUP, run=perform.end_or_revoke, command="token revoke {names}",
)
END_OTHERS = Action[Any](
    "end-others", "", "end all others", "End all sessions but that of this console.", sessions.END,
    danger=Danger.LOSES_WORK, needs_one=False, group=_GROUP, run=perform.end_others, command="session end",
)
SET_UP = Action[Any](
    "second-factor", "", "second factor", "Set a second factor up: signing in takes a code of your phone too.",
    second_factor.BEGIN, danger=Danger.REVERSIBLE, needs_one=False, group=_GROUP, opens=True,
    run=perform.set_up_second_factor, command="totp set-up",
)
TURN_OFF = Action[Any](
    "second-factor-off", "", "no second factor", "Turn the second factor off.", second_factor.END,
    danger=Danger.LOSES_WORK, needs_one=False, group=_GROUP, opens=True, run=perform.turn_off_second_factor,
    command="totp off",
)
PASSWORD = Action[Any](
    "password", "", "your password", "Change your password; every session of yours ends.", access.CHANGE_PASSWORD,
    danger=Danger.REVERSIBLE, needs_one=False, group=_GROUP, opens=True, run=perform.change_password, command="passwd",
)
JOIN = Action[Any](
    "join", "", "join a tenant", "Take up an invitation to one more tenant.", access.JOIN, danger=Danger.REVERSIBLE,
    needs_one=False, group=_GROUP, opens=True, run=perform.join, command="join",
)
COPY_ID = Action[Any](
    "copy-id", "y", "copy id", "Copy the ids to the terminal's clipboard.", group=_GROUP,
    run=lambda screen, _: screen.copy_ids([row.id for row in screen.chosen()]),
)
# fmt: on
NAMED = (SET_UP, TURN_OFF, PASSWORD, JOIN, END_OTHERS)


class AccountScreen(ReadScreen):
    """The own account."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        OPEN, SWITCH, CREATE, END, REVOKE, FILTER, MARK, SORT, *NAMED, COPY_ID, MARK_ALL, REVERSE, BACK, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    HERE = ACCOUNT
    DEFAULT_CSS = """
    AccountScreen #tabs { height: 1; }
    """

    data: AccountData

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.data = AccountData()
        self.session_pane = SessionPane(session, glyphs, self.data)
        self.token_pane = TokenPane(session, glyphs, self.data)
        self._summary = summary.Summary()
        self._tabs = TextBar(margin=1, id="tabs")
        self._on_tokens = False

    def body(self) -> Widget:
        return Vertical(self._summary, self._tabs, self.session_pane, self.token_pane)

    def on_mount(self) -> None:
        self._show_pane()

    def restore_from(self, before: Self) -> None:
        self.data = self.session_pane.data = self.token_pane.data = before.data
        self._on_tokens = before._on_tokens
        self.session_pane.restore_from(before.session_pane)
        self.token_pane.restore_from(before.token_pane)

    # -- rows and actions ------------------------------------------------------------------------------------------

    @property
    def pane(self) -> SessionPane | TokenPane:
        return self.token_pane if self._on_tokens else self.session_pane

    def lists(self) -> Sequence[SessionPane | TokenPane]:
        return self.session_pane, self.token_pane

    def chosen(self) -> Sequence[Any]:
        """The marked rows, or else the one under the cursor."""
        return self.table.marked() or ([self.row] if self.row is not None else [])

    def subjects(self, action: Action[Any]) -> Sequence[Any]:
        return self.chosen() if action.needs_one else ()

    def why_not(self, action: Action[Any]) -> str | None:
        refused = super().why_not(action)
        factor = self.data.factor
        if refused is not None or action not in (SET_UP, TURN_OFF, END_OTHERS):
            return refused
        if action is END_OTHERS:
            return None if self.data.others else "you have no other session"
        if factor is None:
            return self.data.error or "not read yet"
        if action is SET_UP:
            return f"your second factor is on: :{TURN_OFF.name} turns it off" if factor.enabled else None
        return None if factor.enabled else f"your second factor is off: :{SET_UP.name} sets it up"

    def present(self) -> Sequence[Action[Any]]:
        away = END if self._on_tokens else REVOKE
        return [action for action in self.ACTIONS if action is not away]

    def help_rows(self) -> list[KeyRow]:
        away = END if self._on_tokens else REVOKE
        return [row for row in super().help_rows() if row.label != away.label]

    def crumbs(self) -> Sequence[str]:
        return [ACCOUNT.label, "API tokens" if self._on_tokens else "sessions"]

    def list_hint(self) -> Sequence[Piece]:
        if marked := self.marked_hint("D revokes them" if self._on_tokens else "D ends them"):
            return marked
        read_s = age_s(self.data.read_at, self.session.now)
        if self.data.error and read_s is not None:
            old = f"  what is shown is {age_text(read_s)} old"
            return [Piece(f"{self.glyphs.bad} {self.data.error}", "bad"), Piece(old, "quiet")]
        row = self.row
        if isinstance(row, ApiToken):
            return [
                Piece(one_line(row.name), "strong"),
                Piece(f"  limited to {one_line(limits_words(row.permissions, row.filter))}", "quiet"),
            ]
        if isinstance(row, AccountSession) and row.current:
            return [Piece("the session of this console", "quiet")]
        return ()

    # -- drawing ---------------------------------------------------------------------------------------------------

    def refresh_body(self) -> None:
        super().refresh_body()
        self._summary.show(summary.lines(self.data, self.session.user, self.session.now, self.glyphs))
        counts = (("sessions", len(self.data.sessions), False), ("API tokens", len(self.data.tokens), True))
        pieces = []
        for label, count, tokens in counts:
            tone = "brand" if tokens is self._on_tokens else "quiet"
            pieces += [Piece(f" {label} {count} ", tone, 0, SWITCH.key), Piece(" ")]
        self._tabs.show(pieces, self._age())

    def _age(self) -> list[Piece]:
        """The age of what is shown, once it is older than it should be."""
        read_s = age_s(self.data.read_at, self.session.now)
        return [] if read_s is None or read_s < _OLD_S else [Piece(f"read {age_text(read_s)} ago ", "warn", 1)]

    def on_resize(self, _: events.Resize) -> None:
        self.refresh_body()

    # -- what the actions run --------------------------------------------------------------------------------------

    def switch(self) -> None:
        """Show the other list; each keeps its filter."""
        self._on_tokens = not self._on_tokens
        self._show_pane()
        self.refresh_body()

    def show_tokens(self, token_id: str) -> None:
        """Show the API tokens, with the cursor on this one."""
        if not self._on_tokens:
            self.switch()
        self.token_pane.table.select(token_id)
        self.read_again()

    def _show_pane(self) -> None:
        self.session_pane.display, self.token_pane.display = not self._on_tokens, self._on_tokens
        self.pane.focus_list()

    def go_back(self) -> None:
        """Clear the filter and the marks; then go back to the sessions; then leave."""
        if self._on_tokens and not self.filter.text and not self.table.marks:
            self.clear_message()
            self.switch()
        else:
            super().go_back()

    def open_row(self) -> None:
        row = self.row
        if isinstance(row, AccountSession):
            self.app.push_screen(Detail("Session", _session_lines(row)))
        elif isinstance(row, ApiToken):
            self.app.push_screen(Detail(one_line(row.name), _token_lines(row)))


def _session_lines(row: AccountSession) -> Lines:
    return labelled(
        [
            ("address", one_line(row.address)),
            ("client", one_line(row.user_agent)),
            ("tenant", one_line(row.tenant)),
            ("begun", moment_text(row.created_at)),
            ("last used", moment_text(row.last_used_at)),
            ("password", f"given {moment_text(row.proved_at)}" if row.proved_at else ""),
            ("ends", f"{moment_text(row.expires_at)} at the latest"),
            ("id", row.id),
            ("", "This console uses it." if row.current else ""),
        ]
    )


def _token_lines(row: ApiToken) -> Lines:
    used = f"{moment_text(row.last_used_at)} from {one_line(row.last_address)}" if row.last_used_at else "never"
    return labelled(
        [
            ("limited to", one_line(limits_words(row.permissions, row.filter))),
            ("permissions", ", ".join(map(one_line, row.permissions or []))),
            ("tenant", one_line(row.tenant)),
            ("created", moment_text(row.created_at)),
            ("expires", moment_text(row.expires_at)),
            ("last used", used),
            ("id", row.id),
        ]
    )
