"""The ids in requests about access."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from novacron_core.errors import NotFound


def id_in(path: Mapping[str, str], name: str, what: str = "") -> str:
    """The id in a path, in its usual form. Raises NotFound for a malformed one, as for a missing `what`."""
    return parse_id(path[name], f"{what or name.removesuffix('_id').replace('_', ' ')} not found")


def parse_id(text: str, missing: str) -> str:
    """The id in its usual form. Raises NotFound with `missing` for a malformed one."""
    try:
        return str(UUID(text))
    except ValueError:
        raise NotFound(missing) from None
