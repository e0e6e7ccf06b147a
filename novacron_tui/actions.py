"""What an operator can do, as data: one row feeds the footer, the `?` help, the palette and the refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from novacron_core.api.endpoint import Endpoint
from novacron_core.values.roles import why_not_role
from novacron_tui.connection.session import Session

T = TypeVar("T")


class Danger(StrEnum):
    """How much is asked before it is done. A reversible act is not asked about."""

    NONE = "none"
    REVERSIBLE = "reversible"
    LOSES_WORK = "loses work"
    DESTROYS = "destroys"


def never(_: Any) -> str | None:
    """Nothing stands against it."""
    return None


@dataclass(frozen=True)
class Action(Generic[T]):
    """One key. `label` is for the footer, `help` one sentence for `?`, `endpoint` what it calls, if anything.

    `why_not` answers the sentence that refuses it for a thing. `needs_one`: it acts on the thing under the cursor.
    `opens`: a form or a page comes, for which the next keys are meant.
    """

    name: str
    key: str
    label: str
    help: str
    endpoint: Endpoint[Any, Any, Any] | None = None
    why_not: Callable[[T], str | None] = never
    danger: Danger = Danger.NONE
    needs_one: bool = True
    group: str = ""
    opens: bool = False

    @property
    def leads_on(self) -> bool:
        """Whether what is typed after it is meant for what it opens: a form, a page or a question."""
        return self.opens or self.danger in (Danger.LOSES_WORK, Danger.DESTROYS)

    @property
    def changes(self) -> bool:
        return self.endpoint is not None and self.endpoint.changes


def refusal(action: Action[T], session: Session, subject: T | None) -> str | None:
    """The sentence that refuses an action here and now, or None: no subject, offline, role, then the thing's state."""
    if action.changes and (offline := session.store.why_no_change()):
        return offline
    if action.endpoint and (role := why_not_role(session.who.role, action.endpoint.permission)):
        return role
    if not action.needs_one:
        return None
    return "nothing is selected" if subject is None else action.why_not(subject)
