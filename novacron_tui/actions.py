"""The operator's actions as data: each one feeds the footer, the `?` help, the palette and the refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from novacron_core.api.endpoint import Endpoint
from novacron_core.values.roles import why_not_role
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import Store

T = TypeVar("T")


class Danger(StrEnum):
    """How an action is confirmed. A reversible action needs no confirmation."""

    NONE = "none"
    REVERSIBLE = "reversible"
    LOSES_WORK = "loses work"
    DESTROYS = "destroys"


def never(_subject: Any, _store: Store) -> str | None:
    """The `why_not` of an action that is always allowed."""
    return None


@dataclass(frozen=True)
class Action(Generic[T]):
    """An action with its key. `label` is shown in the footer, `help` in the `?` help; `endpoint` is the call, if any.

    `why_not` returns the sentence that refuses the action for a subject, given what else the store knows. `needs_one`: it acts on the row under the
    cursor. `opens`: it opens a form or page, which the next keys are meant for.
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

    @property
    def takes_input(self) -> bool:
        """Whether the keys typed next are meant for what it opens: a form, a page or a question."""
        return self.opens or self.danger in (Danger.LOSES_WORK, Danger.DESTROYS)

    @property
    def changes(self) -> bool:
        return self.endpoint is not None and self.endpoint.changes


def refusal(action: Action[T], session: Session, subject: T | None) -> str | None:
    """The sentence that refuses an action now, or None. Checks offline, role, no subject, then the subject's state."""
    if action.changes and (offline := session.store.why_no_change()):
        return offline
    if action.endpoint and (role := why_not_role(session.user.role, action.endpoint.permission)):
        return role
    if not action.needs_one:
        return None
    return "nothing is selected" if subject is None else action.why_not(subject, session.store)
