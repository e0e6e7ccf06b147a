"""Where the last boot begins: by a mark, and without one by the first lines of firmware, boot loaders and kernels."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from novacron_server.console_logs.boots import BootMark, last_boot
from tests.support.console_logs import RotatedLog

KERNEL = b"[    0.000000] Linux version 6.1.0-37-cloud-amd64 (debian-kernel@lists.debian.org)\r\n"
MORE = b"[    1.234567] virtio_blk virtio2: [vda] 4194304 512-byte logical blocks\r\n" * 40
SEABIOS = b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n\r\n"
IPXE = b"\r\n\r\niPXE (http://ipxe.org) 00:02.0 CA00 PCI2.10 PnP PMM+0EFD0C20+0EF30C20 CA00\r\n"
DISK = b"\x1b[0mBooting from Hard Disk...\r\n"
GRUB = b"\x1b[H\x1b[J\x1b[1;1H\x1b[?25l\x1b[m\x1b[2;29HGNU GRUB  version 2.06\r\n"
UEFI = (
    b'\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)\r\n'
    b'BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot(0x0)\r\n'
)
LOGIN = b"\r\nDebian GNU/Linux 12 web-01 ttyS0\r\n\r\nweb-01 login: "
DOWN = b"[   99.000000] reboot: Restarting system\r\n"
BOOTS = {
    "kernel": KERNEL + MORE,
    "bios": SEABIOS + IPXE + DISK + GRUB + KERNEL + MORE,
    "uefi": UEFI + b"EFI stub: Loaded initrd from command line option\r\n" + KERNEL + MORE,
    "stuck in iPXE": SEABIOS + IPXE + b"No bootable device.\r\n",
    "no time stamps": b"Linux version 6.6.1 (gcc)\r\n" + b"virtio\r\n" * 50,
    "FreeBSD": b"Copyright (c) 1992-2023 The FreeBSD Project.\r\nFreeBSD 14\r\n",
}


@pytest.fixture
def log(tmp_path: Path) -> RotatedLog:
    return RotatedLog(tmp_path)


def begin(log: RotatedLog, mark: BootMark | None = None) -> int | None:
    with log.opened() as files:
        return last_boot(files, mark)


def end(log: RotatedLog) -> tuple[int, int]:
    with log.opened() as files:
        return files.place(files.size_bytes)


@pytest.mark.parametrize("boot", BOOTS.values(), ids=BOOTS)
def test_last_boot_is_found_by_its_first_lines(log: RotatedLog, boot: bytes) -> None:
    log.write(boot + LOGIN)
    assert begin(log) == 0
    log.write(DOWN)
    second = len(log.written)
    log.write(boot + LOGIN)
    assert begin(log) == second


@pytest.mark.parametrize("boot", [BOOTS["kernel"], BOOTS["bios"], BOOTS["uefi"]])
def test_boot_after_a_reset_in_mid_line(log: RotatedLog, boot: bytes) -> None:
    log.write(boot + LOGIN)
    second = len(log.written)
    log.write(boot)
    assert begin(log) == second


def test_boot_across_a_rotation(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path, limit_bytes=300)
    log.write(BOOTS["bios"][:2000] + LOGIN)
    kept = log.kept
    log.write(DOWN + SEABIOS + IPXE + DISK + KERNEL)
    found = begin(log)
    assert found is not None
    assert log.kept[found:].startswith(SEABIOS)
    del kept


@pytest.mark.parametrize(
    "text",
    [b"web-01 login: ", b"audit: Linux version 6.1\r\n", b"root@web:~# cat README: GNU GRUB is a boot loader\r\n", b""],
)
def test_text_within_a_line_is_no_boot(log: RotatedLog, text: bytes) -> None:
    log.write(text)
    assert begin(log) is None


def test_mark_shows_the_boot_of_a_quiet_kernel(log: RotatedLog) -> None:
    log.write(LOGIN + b"root\r\n")
    mark = BootMark(*end(log), before=(0, 0))
    second = len(log.written)
    log.write(LOGIN)
    assert begin(log) is None
    assert begin(log, mark) == second
    for _ in range(2):
        log.rotate()
    assert begin(log, mark) == second, "a rotation moves no mark"


def test_mark_is_not_misled_by_dmesg(log: RotatedLog) -> None:
    log.write(KERNEL + MORE + LOGIN)
    mark = BootMark(*end(log), before=(0, 0))
    second = len(log.written)
    log.write(KERNEL + MORE + LOGIN + b"dmesg\r\n" + KERNEL + MORE)
    assert begin(log, mark) == second
    assert begin(log) != second


def test_mark_that_came_late_gives_way_to_the_first_line_before_it(log: RotatedLog) -> None:
    log.write(KERNEL + MORE + DOWN)
    second = len(log.written)
    log.write(KERNEL + b"[    0.000000] Command line: quiet\r\n")
    mark = BootMark(*end(log), before=(0, 0))
    log.write(LOGIN)
    assert begin(log, mark) == second


def test_late_mark_does_not_reach_into_the_boot_before(log: RotatedLog) -> None:
    log.write(KERNEL)
    before = end(log)
    log.write(LOGIN)
    mark = BootMark(*end(log), before=before)
    assert begin(log, mark) == len(log.written)


def test_boot_that_went_unnoticed_is_found_by_its_first_lines(log: RotatedLog) -> None:
    log.write(KERNEL)
    mark = BootMark(*end(log), missed=True)
    log.write(LOGIN)
    assert begin(log, mark) is not None
    second = len(log.written)
    log.write(KERNEL + MORE)
    assert begin(log, mark) == second


def test_first_mark_before_there_was_a_log(log: RotatedLog) -> None:
    assert begin(log, BootMark(0, 0)) == 0
    log.write(LOGIN)
    assert begin(log, BootMark(0, 0)) == 0
    log.rotate()
    assert begin(log, BootMark(0, 0)) is None, "the begin may be gone by now"


@pytest.mark.parametrize(
    "flood", [b"\r", b"\n", b" ", b"\x1b", b"\x1b[", b"SeaBIOS (version", b"\nBooting from ", b"\x1b[0m", b"\0"]
)
def test_hostile_floods_are_searched_in_time(log: RotatedLog, flood: bytes) -> None:
    log.write((flood * (8 << 20))[: 8 << 20])
    started = time.process_time()
    begin(log)
    assert time.process_time() - started < 1.0
