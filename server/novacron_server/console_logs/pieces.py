"""One piece of a console log, and the cursor after it. Blocking calls."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from novacron_server.console_logs.boots import BootMark, last_boot
from novacron_server.hypervisor.vms.serial_logs import SerialLog

_KNOWN_BYTES = 64
_MAX_HELD_BYTES = 3


@dataclass(frozen=True, slots=True)
class LogWish:
    """What is asked for, as in `ConsoleLogQuery`. `over`: the guest is off, and completes no character any more."""

    last_boot: bool
    cursor: str
    max_bytes: int
    tail_bytes: int | None = None
    over: bool = False


@dataclass(frozen=True, slots=True)
class LogPiece:
    """As in `ConsoleLog`. `modified_s` is in seconds since 1970. `cut`: the cursor's file is gone, or was cut."""

    text: str
    cursor: str
    begins_at_boot: bool
    skipped_bytes: int | None
    more: bool
    size_bytes: int
    modified_s: float | None
    boot_unknown: bool = False
    cut: bool = False


def read_piece(log: SerialLog, wish: LogWish, mark: BootMark | None) -> LogPiece:
    """Raises OSError."""
    boot_unknown = begins_at_boot = cut = False
    skipped: int | None = 0
    if wish.cursor:
        found = _find(log, wish.cursor)
        cut = found is None
        begin, skipped = (found, 0) if found is not None else (0, None)
    else:
        boot = last_boot(log, mark) if wish.last_boot else None
        boot_unknown = wish.last_boot and boot is None
        begins_at_boot = boot is not None
        begin = boot or 0
    if wish.tail_bytes is not None and (late := max(begin, log.size_bytes - wish.tail_bytes)) > begin:
        skipped = None if skipped is None else skipped + late - begin
        begin, begins_at_boot = late, False
    data = log.read(begin, begin + wish.max_bytes)
    end = begin + len(data)
    more = end < log.size_bytes and bool(data)
    held = 0 if wish.over and not more else incomplete(data)
    data = data[: len(data) - held]
    return LogPiece(
        text=data.decode(errors="replace"),
        cursor=_cursor(log, end - held),
        begins_at_boot=begins_at_boot,
        skipped_bytes=skipped,
        more=more,
        size_bytes=log.size_bytes,
        modified_s=log.modified_s,
        boot_unknown=boot_unknown,
        cut=cut,
    )


def incomplete(data: bytes) -> int:
    """How many bytes at the end are the begin of a character of UTF-8 (RFC 3629) that goes on: 0 to 3."""
    for held in range(1, min(_MAX_HELD_BYTES, len(data)) + 1):
        byte = data[-held]
        if byte & 0xC0 != 0x80:
            length = 4 if 0xF0 <= byte < 0xF5 else 3 if 0xE0 <= byte < 0xF0 else 2 if 0xC2 <= byte < 0xE0 else 1
            return held if length > held else 0
    return 0


def _cursor(log: SerialLog, position: int) -> str:
    """Inode and offset survive a rotation. An inode is used again, so what is before the offset is part of it."""
    inode, offset = log.place(position)
    return f"{inode:x}-{offset:x}-{_known(log, position, offset)}"


def _known(log: SerialLog, position: int, offset: int) -> str:
    data = log.read(position - min(offset, _KNOWN_BYTES), position)
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _find(log: SerialLog, cursor: str) -> int | None:
    """The position to continue at; None if the log no longer has the bytes that the cursor was taken after."""
    inode, offset, known = cursor.split("-")
    place = int(inode, 16), int(offset, 16)
    position = 0 if place == (0, 0) else log.position(*place)
    if position is None or _known(log, position, place[1]) != known:
        return None
    return position
