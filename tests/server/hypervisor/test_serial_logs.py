"""The files of console logs: only libvirt's own, only regular ones; and whether virtlogd limits them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.host_console_logs import ELSEWHERE, SIMULATED
from novacron_server.hypervisor.vms.local_daemon import LocalDaemon
from novacron_server.hypervisor.vms.log_manager import why_unlimited
from novacron_server.hypervisor.vms.serial_logs import NoSerialLog, opened, remove_logs, why_not_path
from novacron_server.hypervisor.xml.document import parse
from novacron_server.hypervisor.xml.serial import read_serial, with_console
from tests.support.console_logs import NAME, UUID

LOGS = "/var/log/libvirt/qemu"
DAEMON = cast(LocalDaemon, SimpleNamespace(logs=LOGS))


def _link(path: Path) -> None:
    secret = path.parent / "secret"
    secret.write_text("root:secret")
    path.symlink_to(secret)


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir], ids=["link", "pipe", "directory"])
@pytest.mark.parametrize("name", [NAME, f"{NAME}.0"])
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    (tmp_path / NAME).write_text("text")
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(NoSerialLog, match=r"is a link|is no regular file"), opened(str(tmp_path), NAME):
        pass


def test_missing_log_is_empty_and_missing_folder_an_error(tmp_path: Path) -> None:
    with opened(str(tmp_path), NAME) as log:
        assert (log.size_bytes, log.read(0, 10), log.modified_s) == (0, b"", None)
    with pytest.raises(FileNotFoundError), opened(str(tmp_path / "no"), NAME):
        pass


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (f"{LOGS}/{NAME}", ""),
        (f"{LOGS}/my serial.txt", ""),
        (f"{LOGS}/other.log.txt", ""),
        ("/etc/shadow", "outside"),
        (f"{LOGS}/../qemu/{NAME}", "outside"),
        (f"{LOGS}/sub/{NAME}", "outside"),
        (f"{LOGS}/..", "outside"),
        (f"{LOGS}/", "outside"),
        ("", "outside"),
        (f"{LOGS}/nul\0", "outside"),
        (f"{LOGS}/{'0' * 8}{UUID[8:]}.console", "another VM"),
        (f"{LOGS}/{'0' * 8}{UUID[8:]}.console.1", "another VM"),
        (f"{LOGS}/web.log", "QEMU writes"),
        (f"{LOGS}/web.log.0", "QEMU writes"),
    ],
)
def test_paths_of_definitions(path: str, why: str) -> None:
    found = why_not_path(DAEMON, path, UUID, {"web", "db"})
    assert why in found
    assert bool(found) is bool(why)


def test_removal_takes_only_the_files_of_the_vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "libvirt/qemu/log"
    remove_logs("qemu:///session", UUID)  # there is no folder yet
    folder.mkdir(parents=True)
    keep = [f"{UUID}.log", f"{NAME}.old", f"x{NAME}", NAME.replace("5a3b", "5a3c"), "web.log"]
    for name in [NAME, *(f"{NAME}.{index}" for index in range(12)), *keep]:
        (folder / name).touch()
    remove_logs("qemu:///session", UUID)
    assert sorted(path.name for path in folder.iterdir()) == sorted(keep)
    with pytest.raises(ValueError, match="badly formed"):
        remove_logs("qemu:///session", "../..")


@pytest.fixture
def daemon(tmp_path: Path) -> LocalDaemon:
    return cast(
        LocalDaemon,
        SimpleNamespace(configuration=str(tmp_path), sockets=str(tmp_path), pid=os.getpid(), is_session=False),
    )


@pytest.mark.parametrize(
    ("text", "responds", "why"),
    [
        (None, True, ""),
        (None, False, "virtlogd, which limits logs, does not respond"),
        ('#stdio_handler = "file"\n', True, ""),
        (' stdio_handler="file"\n', True, "a guest could fill the disk"),
        ('stdio_handler = "file"\nstdio_handler = "logd"\n', True, "was changed after libvirt had started"),
    ],
)
def test_logs_are_limited_only_by_virtlogd(
    daemon: LocalDaemon, tmp_path: Path, text: str | None, responds: bool, why: str
) -> None:
    if text is not None:
        (tmp_path / "qemu.conf").write_text(text)
    with socket.socket(socket.AF_UNIX) as listener:
        if responds:
            listener.bind(str(tmp_path / "virtlogd-sock"))
            listener.listen()
        found = why_unlimited(daemon)
    assert why in found
    assert bool(found) is bool(why)


def test_setting_older_than_the_daemon_holds(daemon: LocalDaemon, tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    conf.write_text('stdio_handler = "logd"\n')
    os.utime(conf, (1, 1))
    assert "virtlogd" in why_unlimited(daemon)


@pytest.mark.parametrize(("uri", "why"), [("test:///default", SIMULATED), ("qemu+ssh://kvm-b/system", ELSEWHERE)])
async def test_other_hosts_have_no_logs(uri: str, why: str) -> None:
    logs = LibvirtHost("h", uri, on_hint=lambda _: None, on_status=lambda _: None).console_logs
    assert (await logs.place(UUID)).reason == why
    assert await logs.remove(UUID) == ""
    with pytest.raises(NoSerialLog, match="host"):
        await logs.read(f"{LOGS}/{NAME}", UUID, (), lambda log: log.size_bytes)


def test_definition_keeps_everything_else_as_it_is_written() -> None:
    text = (
        "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><!-- mine --><devices>\n"
        "<serial type='tcp'><source mode='bind'/></serial><odd:thing/></devices>"
        "<q:commandline><q:arg value='-x'/></q:commandline></domain>"
    )
    made = with_console(text, "/var/log/libvirt/qemu/x.console")
    log = '<log file="/var/log/libvirt/qemu/x.console" append="on" />'
    console = f'<console type="pty"><target type="serial" port="0" />{log}</console>'
    assert made.replace('"', "'") == text.replace(
        "<source mode='bind'/></serial><odd:thing/>",
        f"<source mode='bind' />{log}</serial><odd:thing />{console}".replace('"', "'"),
    ).replace("<q:arg value='-x'/>", "<q:arg value='-x' />")
    serial = read_serial(parse(with_console("<domain/>", "")))
    assert serial is not None
    assert (serial.type, serial.log) == ("pty", "")
    assert with_console(made, "/another") == made, "a log that exists keeps its file"
