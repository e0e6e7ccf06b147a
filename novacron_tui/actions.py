"""The operator's actions as data: each one feeds the footer, the `?` help, the palette and the refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from novacron_core.api.endpoint import Endpoint
from novacron_core.values.roles import SET_UP_ONLY, Permission, why_not_role
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import Store

if TYPE_CHECKING:  # the script commands use actions and need no screen
    from textual.screen import ModalScreen

    from novacron_core.api.operations import Operation
    from novacron_tui.terminal.glyphs import Glyphs
    from novacron_tui.widgets.confirm import Confirmation, Question

T = TypeVar("T")
D = TypeVar("D")
MANY = 10
"""An action on more objects than this asks, and has their number typed."""


class ActionContext(Protocol):
    """What an action may use of the screen that offers it."""

    session: Session
    glyphs: Glyphs

    def say(self, text: str, tone: str = "plain") -> None:
        """Show a message in the status line."""

    async def ask(self, question: Question) -> Confirmation | None:
        """Show a question and wait for the answer."""

    async def show_dialog(self, dialog: ModalScreen[D]) -> D | None:
        """Show a dialog and wait for its result."""

    def follow(self, op: Operation, doing: str) -> None:
        """Say that an operation has started, and report its end."""

    async def cancel_operation(self, op: Operation | None, name: str) -> None:
        """Ask the server to cancel an operation on the object with this name."""


class Danger(StrEnum):
    """How an action is confirmed. A reversible action needs no confirmation."""

    NONE = "none"
    REVERSIBLE = "reversible"
    LOSES_WORK = "loses work"
    DESTROYS = "destroys"


def never(_subject: Any, _store: Store) -> str | None:
    """The `why_not` of an action that is always allowed."""
    return None


@dataclass(frozen=True, eq=False)  # an action is itself: footers look it up at every key
class Action(Generic[T]):
    """An action with its key. `label` is shown in the footer, `help` in the `?` help; `endpoint` is the call, if any.
    Without a key it is reached by its name: `:disks`.

    `run` performs it, given the screen that offers it and the subject, when nothing refuses it. `why_not` returns the
    sentence that refuses it for a subject, given what else the store knows. `needs_one`: it acts on the row under the cursor. `opens`: it
    opens a form or page, which the next keys are meant for. `only_view`: it changes nothing but what the screen shows.
    `rare`: the footer leaves it out while it is refused. `command` is what does the same for scripts, after `novacron`;
    `{names}` stands for the objects.
    """

    name: str
    key: str
    label: str
    help: str
    endpoint: Endpoint[Any, Any, Any] | None = None
    why_not: Callable[[T, Store], str | None] = never
    danger: Danger = Danger.NONE
    needs_one: bool = True
    group: str = ""
    opens: bool = False
    rare: bool = False
    only_view: bool = False
    command: str = ""
    run: Callable[[Any, T], Awaitable[None] | None] = field(kw_only=True)

    @property
    def takes_input(self) -> bool:
        """Whether the keys typed next are meant for what it opens: a form, a page or a question."""
        return self.opens or self.danger in (Danger.LOSES_WORK, Danger.DESTROYS)

    @property
    def changes(self) -> bool:
        return self.endpoint is not None and self.endpoint.changes


def refusal(action: Action[T], session: Session, subject: T | None) -> str | None:
    """The sentence that refuses an action now, or None. Checks read-only mode, offline, role, no subject, then the
    subject's state."""
    if action.changes and session.server.read_only:
        return session.server.read_only
    if action.changes and not _sets_up(action, session) and (offline := session.store.why_no_change()):
        return offline
    if action.endpoint and (role := why_not_role(session.user.role, action.endpoint.permission, session.user.limits)):
        return role
    if not action.needs_one:
        return None
    return "nothing is selected" if subject is None else action.why_not(subject, session.store)


def _sets_up(action: Action[Any], session: Session) -> bool:
    """Whether the session may do nothing else yet: it has no event stream, so it is offline until then."""
    own = action.endpoint is not None and action.endpoint.permission is Permission.SELF_SIGN_IN
    return own and session.user.limits == SET_UP_ONLY
