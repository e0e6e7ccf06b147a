"""Where in a console log the guest has booted last. The log itself has no marks.

A mark is where the log ended when libvirt reported a start or a restart: exact to a few lines, whatever the guest prints,
and also for a kernel that is `quiet`. There is none for what happened while no server looked. Then it is where firmware,
boot loaders and kernels print their first lines, the later of two if the one before belongs to an earlier boot. That is
the weaker of the two: `dmesg`, typed on the console, prints the kernel's first line too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from novacron_server.hypervisor.vms.serial_logs import SerialLog

_SEARCHED_BYTES = 8 << 20
"""What is searched, from the end: virtlogd keeps as much by default."""
_LATE_BYTES = 1 << 10
"""How much a guest may have printed before its restart was noticed."""
_EARLY_BYTES = 4 << 10
_BETWEEN_BYTES = 16 << 10
"""How much is between two first lines of one boot, at most."""
_STAGES = (
    ("SeaBIOS (version", "UEFI firmware (version", "BdsDxe: ", "SLOF **", "U-Boot 20", "EFI stub: "),
    ("iPXE (http", "iPXE 1.", "iPXE initialising"),
    ("GNU GRUB", "Welcome to GRUB", "GRUB loading", "ISOLINUX ", "SYSLINUX ", "Booting from ", "Booting `"),
    (
        "[    0.000000] Linux version",
        "[    0.000000] Booting Linux",
        "Linux version ",
        "Copyright (c) 1992",
        "OpenBSD ",
        "NetBSD ",
    ),
)
"""The first lines of firmware, network boot, boot loader and kernel."""
_KNOWN = [(text.encode(), stage) for stage, texts in enumerate(_STAGES) for text in texts]
_MAX_EACH = 500
"""How many lines of one kind are looked at, from the end: a guest can print nothing else."""
_BEFORE_BYTES = 96
_LINE_BEGINS = re.compile(
    rb"(?:\A|[\r\n]|(?=\x1b))((?:\x1b(?:\[[0-9;?=]{0,16}[A-Za-z]|c)|[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x20]){0,64})\Z"
)
"""What stands before them on a line: firmware clears the screen first, in mid-line if the guest was reset, and ends lines
with a bare CR."""
_STAMP = b"[    0.000000] "
"""Also in mid-line, after the prompt of a guest that was reset."""


@dataclass(frozen=True, slots=True)
class BootMark:
    """Where a log ended when a boot was noticed: (0, 0) if there was no log. `before` is that of the boot before it.

    `missed`: since then a boot may have gone unnoticed.
    """

    inode: int
    offset: int
    before: tuple[int, int] | None = None
    missed: bool = False


def last_boot(log: SerialLog, mark: BootMark | None) -> int | None:
    """The position where the guest booted last, None if that is unknown. Raises OSError."""
    marked = _position(log, (mark.inode, mark.offset)) if mark is not None else None
    if mark is None or marked is None:
        return _printed_boot(log, max(0, log.size_bytes - _SEARCHED_BYTES))
    if mark.missed and (later := _printed_boot(log, max(marked, log.size_bytes - _SEARCHED_BYTES))) is not None:
        return later
    if _first_lines(log.read(marked, marked + _EARLY_BYTES)):
        return marked
    earlier = _position(log, mark.before) if mark.before is not None else None
    begin = max(0, marked - _LATE_BYTES, earlier or 0)
    late = _first_lines(log.read(begin, marked))
    return begin + late[0][0] if late else marked


def _position(log: SerialLog, place: tuple[int, int]) -> int | None:
    if place == (0, 0):  # before there was a log: it is not known any more once that may have been rotated away
        return 0 if len(log.files) <= 1 else None
    return log.position(*place)


def _printed_boot(log: SerialLog, begin: int) -> int | None:
    """Where the last group of first lines begins."""
    found = _first_lines(log.read(begin, log.size_bytes))
    if not found:
        return None
    at, stage = found.pop()
    while found and at - found[-1][0] <= _BETWEEN_BYTES and _is_earlier(found[-1][1], stage):
        at, stage = found.pop()
    return begin + at


def _is_earlier(before: int, stage: int) -> bool:
    """Whether both are of one boot: firmware prints several such lines, a kernel one."""
    return before < stage or before == stage < len(_STAGES) - 1


def _first_lines(data: bytes) -> list[tuple[int, int]]:
    """The (position, stage) pairs of such lines, in order. Searched by plain text: on 8 MiB a regex takes too long."""
    found: list[tuple[int, int]] = []
    for text, stage in _KNOWN:
        at = len(data)
        for _ in range(_MAX_EACH):
            if (at := data.rfind(text, 0, at)) < 0:
                break
            if text.startswith(_STAMP):
                found.append((at, stage))
                continue
            before = data[max(0, at - _BEFORE_BYTES) : at]
            if (begins := _LINE_BEGINS.search(before if at <= _BEFORE_BYTES else b"." + before)) is not None:
                found.append((at - len(begins[1]), stage))
    return sorted(found)
