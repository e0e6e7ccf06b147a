"""The ids in the paths of access endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from novacron_core.errors import NotFound


def id_in(path: Mapping[str, str], name: str, what: str = "") -> str:
    """The id in a path, in its usual form. Raises NotFound for a malformed one, as for a missing `what`."""
    try:
        return str(UUID(path[name]))
    except ValueError as e:
        raise NotFound(f"{what or name.removesuffix('_id').replace('_', ' ')} not found") from e
