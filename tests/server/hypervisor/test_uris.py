"""The allow-list of libvirt URIs, which could otherwise run programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.errors import InvalidArgument
from novacron_server.hypervisor import check_uri, choose_uri, is_simulated
from novacron_server.hypervisor.connection.uris import dial_address, is_local


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system",
        "qemu:///session",
        "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
        "qemu+tls://host.example/system",
        "qemu+tls://host.example:16514/system",
        "qemu+tls://[2001:db8::1]:16514/system",
        "qemu+ssh://root@host/system",
        "qemu+ssh://host/session?socket=/x/y&no_tty=1",
        "qemu+unix:///session?mode=direct",
        "test:///default",
        "test:///var/tmp/nodes.xml",
    ],
)
def test_allowed_uris(uri: str) -> None:
    check_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "qemu",
        "qemu:///embed?root=/tmp",
        "qemu:///system?command=/bin/sh",
        "qemu+ssh://h/system?command=/bin/sh",
        "qemu+ssh://h/system?netcat=/bin/sh",
        "qemu+ssh://h/system?keyfile=/root/.ssh/id",
        "qemu+ssh://h/system?no_verify=1",
        "qemu+tls://h/system?no_verify=1",
        "qemu+tls://h/system?pkipath=/tmp",
        "qemu+ssh://h/system?%63ommand=/bin/sh",
        "qemu+ssh://-oProxyCommand=x/system",
        "qemu+ssh://-l@h/system",
        "qemu+ssh://u:secret@h/system",
        "qemu+tls://u@h/system",
        "qemu+ssh:///system",
        "qemu+tls://h:0/system",
        "qemu+tls://h:99999/system",
        "qemu+ext:///system?command=x",
        "qemu+tcp://h/system",
        "qemu+libssh2://h/system",
        "xen:///system",
        "lxc:///",
        "esx://h/",
        "qemu://h/system",
        "qemu:///system#x",
        "qemu:///system\n",
        "qemu:///sys\ttem",
        "qemu:/// system",
        "qemu+unix:///system?socket=relative",
        "qemu+unix:///system?socket=/a;b",
        "qemu+unix:///system?socket",
        "qemu:///system?socket=/x",
        "test://h/default",
        "test:///default?x=1",
        "test:///",
        "test+ssh://h/default",
        "qemu+ssh://[::1/system",
        "Qemu:///system/../x",
    ],
)
def test_refused_uris(uri: str) -> None:
    with pytest.raises(InvalidArgument):
        check_uri(uri)


@given(st.text())
def test_any_text_is_accepted_or_refused_and_never_a_crash(text: str) -> None:
    for uri in (text, f"qemu+ssh://{text}/system", f"qemu:///system?{text}"):
        try:
            check_uri(uri)
        except InvalidArgument:
            continue


def test_ssh_never_prompts_on_the_terminal() -> None:
    assert dial_address("qemu+ssh://h/system") == "qemu+ssh://h/system?no_tty=1"
    assert dial_address("qemu+ssh://h/system?socket=/s") == "qemu+ssh://h/system?socket=/s&no_tty=1"
    assert dial_address("qemu:///system") == "qemu:///system"


def test_properties_of_a_uri() -> None:
    assert is_simulated("test:///default")
    assert not is_simulated("qemu:///system")
    assert is_local("qemu+unix:///system")
    assert not is_local("qemu+ssh://h/system")


def test_simulator_is_chosen_without_an_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert choose_uri() == "test:///default"


def test_chosen_uri_is_allowed() -> None:
    check_uri(choose_uri(deadline_s=5))
