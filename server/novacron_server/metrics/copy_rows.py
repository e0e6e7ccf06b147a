"""Packs samples into rows of PostgreSQL's binary COPY format, so that queued samples need little memory.

Source: PostgreSQL, COPY, "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from uuid import UUID, uuid5

from novacron_server.database.tables import METRICS

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = struct.pack(">h", -1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_NAMES = UUID("8f6c2c0e-5d0b-5e0a-9d7e-0d6a3c6b9d51")
_FIELDS = 2 + len(METRICS)
FLEET = uuid5(_NAMES, "fleet").bytes
_NO_NULL = struct.Struct(">hiqi16s" + "if" * len(METRICS))


@lru_cache(50_000)
def vm_subject(host_id: str, vm_id: str) -> bytes:
    """The key of a VM's samples: the same UUID on two hosts is two subjects."""
    return uuid5(_NAMES, f"vm/{host_id}/{vm_id}").bytes


@lru_cache(10_000)
def host_subject(host_id: str) -> bytes:
    return uuid5(_NAMES, f"host/{host_id}").bytes


@lru_cache(10_000)
def tenant_subject(tenant: str) -> bytes:
    """The key of the totals over a tenant's VMs."""
    return uuid5(_NAMES, f"tenant/{tenant}").bytes


def microseconds(time: datetime) -> int:
    """A time as PostgreSQL stores it: microseconds since 2000, UTC."""
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def row(time_us: int, subject: bytes, values: Sequence[float | None]) -> bytes:
    """Pack one row; `values` are in the order of METRICS, None is NULL."""
    if None not in values:
        words: list[float | None] = [4] * (2 * len(METRICS))
        words[1::2] = values
        return _NO_NULL.pack(_FIELDS, 8, time_us, 16, subject, *words)
    words = []
    for value in values:
        if value is None:
            words.append(-1)
        else:
            words += (4, value)
    present = tuple([value is not None for value in values])
    return _layout(present).pack(_FIELDS, 8, time_us, 16, subject, *words)


@cache
def _layout(present: tuple[bool, ...]) -> struct.Struct:
    return struct.Struct(">hiqi16s" + "".join("if" if value else "i" for value in present))
