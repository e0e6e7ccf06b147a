"""The filter fields of an audit entry: a console reads them from entries, the server with SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from novacron_core.api.audit import AuditEntry
from novacron_core.rules.filters.language import FilterField
from novacron_core.values.ages import parse_moment

HELP = "plain words, user:ada, action:stop, target:db-*, from:10.0.*, result:refused, since:22:00, age<8h, -not."
"""The fields in one line, for an operator."""


def audit_fields(now: Callable[[], datetime], zone: tzinfo | None = UTC) -> dict[str, FilterField[AuditEntry]]:
    """The filter fields. Plain words are searched in each text of an entry. `now` is the server's time; a
    `since:22:00` is meant in `zone` (None: that of this machine)."""

    def since(text: str) -> float:
        return parse_moment(text, now(), zone).timestamp()

    return {
        "name": FilterField(lambda e: (e.actor, e.action, e.target.name, e.address, str(e.result), e.detail), "texts"),
        "who": FilterField(lambda e: (e.actor, e.actor_id), "texts"),
        "user": FilterField(lambda e: (e.actor, e.actor_id), "texts"),
        "by": FilterField(lambda e: (e.actor, e.actor_id), "texts"),
        "role": FilterField(lambda e: e.role),
        "action": FilterField(lambda e: (e.action, verb_of(e.action)), "texts"),
        "target": FilterField(lambda e: (e.target.name, e.target.id), "texts"),
        "type": FilterField(lambda e: e.target.type),
        "from": FilterField(lambda e: e.address),
        "result": FilterField(lambda e: str(e.result)),
        "tenant": FilterField(lambda e: e.tenant),
        "token": FilterField(lambda e: e.token),
        "session": FilterField(lambda e: e.session_id),
        "request": FilterField(lambda e: e.request_id),
        "since": FilterField(lambda e: e.time.timestamp(), "since", since),
        "age": FilterField(lambda e: (now() - e.time).total_seconds(), "age"),
    }


def verb_of(action: str) -> str:
    """`vm.stop` as `stop`; an action without a noun as it is."""
    return action.partition(".")[2] or action
