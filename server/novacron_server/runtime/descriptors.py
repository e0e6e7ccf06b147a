"""File descriptors: as many as the system allows, and some left for everything that is no client's connection."""

from __future__ import annotations

import resource

_WANTED = 65_536
_RESERVE = 256
"""For PostgreSQL, libvirt, images and logs."""


def raise_limit() -> None:
    """Raise this process's limit of open files as far as it may. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limit() -> int:
    """How many connections clients may have open, so that _RESERVE descriptors, or half of a few, are left."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = _WANTED
    return max(soft - _RESERVE, soft // 2)
