"""The filter fields of a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from novacron_core.api.people import Person
from novacron_core.rules.filters.language import FilterField
from novacron_core.values.ages import age_s


def person_fields(now: Callable[[], datetime]) -> dict[str, FilterField[Person]]:
    """The filter fields of a person. `seen>30d` finds who was not here for 30 days."""
    return {
        "name": FilterField(lambda person: person.username),
        "email": FilterField(lambda person: person.email),
        "role": FilterField(lambda person: (person.role, *(each.role for each in person.memberships)), "texts"),
        "tenant": FilterField(lambda person: [each.tenant for each in person.memberships], "texts"),
        "id": FilterField(lambda person: person.id),
        "seen": FilterField(lambda person: age_s(person.last_seen_at, now()) if person.last_seen_at else None, "age"),
        "is": FilterField(_marks, "texts"),
    }


def _marks(person: Person) -> list[str]:
    marks = {
        "disabled": person.disabled,
        "enabled": not person.disabled,
        "administrator": person.administrator,
        "second-factor": person.second_factor,
    }
    return [name for name, is_set in marks.items() if is_set]
