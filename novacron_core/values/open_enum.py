"""Enumerations that a newer server may extend."""

from __future__ import annotations

from enum import StrEnum


class OpenEnum(StrEnum):
    """Accepts a value that this version does not know, as a pseudo-member outside the list of members.

    The console shows such a value unchanged; it equals none of the known members. A request refuses it (see
    `Request`). msgspec calls `_missing_` for every value that is not a member.
    """

    @property
    def known(self) -> bool:
        """Whether this version knows the value."""
        return self._value_ in type(self)._value2member_map_

    @classmethod
    def _missing_(cls, value: object) -> OpenEnum | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value.upper(), value
        return member
