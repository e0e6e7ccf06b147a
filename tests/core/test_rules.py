"""Rules for names, sizes, permissions and visibility."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.api.vms import VM, State, VMCreate
from novacron_core.api.volumes import VolumeClone, VolumeMove, VolumeResize
from novacron_core.rules import validation
from novacron_core.rules.host_reasons import public_reason
from novacron_core.rules.visibility import SHARED, Principal, may_see, may_see_vm, sees_everything
from novacron_core.values import ages, names, sizes, texts
from novacron_core.values.counts import counted
from novacron_core.values.roles import GRANTS, Permission, Role, allows


@pytest.mark.parametrize("name", ["a", "web-01", "0", "a" * 63])
def test_valid_vm_names(name: str) -> None:
    assert names.why_not_vm_name(name) is None


@pytest.mark.parametrize(
    "name", ["", "-a", "A", "a_b", "a.b", "a/b", "a" * 64, "a\n", "ä", "[/red]", "a b", "\x1b[31m", "١"]
)
def test_invalid_vm_names(name: str) -> None:
    assert names.why_not_vm_name(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "Enter the volume name"),
        ("a" * 64, "at most 63"),
        ("-a", "first"),
        ("A", "lower-case"),
        ("../a", "lower-case"),
    ],
)
def test_invalid_volume_name_has_a_reason(name: str, says: str) -> None:
    assert says in str(names.why_not_volume_name(name))


@pytest.mark.parametrize(
    ("kind", "field", "text", "says"),
    [
        (VolumeResize, "size_bytes", "1MiB", sizes.MIB),
        (VolumeResize, "size_bytes", " 2G ", 2 * sizes.GIB),
        (VolumeMove, "bandwidth_bytes_s", "64K", 64 * sizes.KIB),
        (VolumeResize, "size_bytes", "5", "5 B is less than the minimum of 1 MiB. Add a unit, such as 5G"),
        (VolumeResize, "size_bytes", "200", "200 B is less than the minimum of 1 MiB. Add a unit, such as 200M"),
        (VolumeResize, "size_bytes", "5B", "5 B is less than the minimum of 1 MiB"),
        (VolumeResize, "size_bytes", "0", "0 B is less than the minimum of 1 MiB"),
        (VolumeMove, "bandwidth_bytes_s", "1K", "1 KiB is less than the minimum of 64 KiB"),
        (VolumeResize, "size_bytes", "2P", "2 PiB is more than the maximum of 1 PiB"),
        (VMCreate, "disk_bytes", "lots", "Enter a size as a number and a unit, e.g. 512M or 10GiB"),
    ],
)
def test_a_refused_size_says_what_was_understood(
    kind: type[msgspec.Struct], field: str, text: str, says: int | str
) -> None:
    try:
        assert validation.parse_size_for(kind, field, text) == says
    except ValueError as e:
        assert str(e) == says


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [(0, "volume", "0 volumes"), (1, "VM", "1 VM"), (2, "pool", "2 pools"), (2345, "VM", "2,345 VMs")],
)
def test_counts_in_words(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


@given(st.text(max_size=80))
def test_volume_name_rule_agrees_with_the_api_pattern(name: str) -> None:
    allowed = names.why_not_volume_name(name) is None
    try:
        msgspec.convert({"name": name}, VolumeClone)
    except msgspec.ValidationError:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (VolumeResize, {"size_bytes": 1}, ("must be at least 1 MiB", "size_bytes")),
        (VolumeResize, {"size_bytes": 2**60}, ("must be at most 1 PiB", "size_bytes")),
        (VolumeMove, {"tier": "hot", "bandwidth_bytes_s": 1}, ("must be at least 64 KiB", "bandwidth_bytes_s")),
        (VolumeMove, {"tier": "tepid"}, ("unknown value 'tepid'", "tier")),
        (VMCreate, {"name": "a", "image": "b", "vcpus": 0}, ("must be at least 1", "vcpus")),
    ],
)
def test_value_refused_by_the_api_has_a_reason(kind: type, values: dict[str, object], says: tuple[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(values, kind)
    assert validation.explain(str(refused.value)) == says


@given(st.text(max_size=80))
def test_valid_name_is_plain_text(name: str) -> None:
    if names.why_not_vm_name(name) is None:
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set(" /\\<>&'\"[]{}$`\n")


@given(st.text(max_size=100))
def test_refusals_never_raise(text: str) -> None:
    names.why_not_vm_name(text)
    names.why_not_username(text)
    names.why_not_volume_name(text)
    names.why_not_password(text, text)


def test_passwords_must_be_long_but_have_no_required_form() -> None:
    assert names.why_not_password("correct horse battery") is None
    assert names.why_not_password("пароль из слов длинный") is None
    assert names.why_not_password("short") is not None
    assert names.why_not_password("aaaaaaaaaaaaaaaaaaaa") is not None
    assert names.why_not_password("operatoroperator", "operator") is not None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1k", 1024),
        ("1.5G", 3 * 512 * 1024**2),
        ("512 MiB", 512 * 1024**2),
        ("2TB", 2 * 1024**4),
        (" 7 b ", 7),
    ],
)
def test_typed_sizes(text: str, size: int) -> None:
    assert sizes.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1x", "1e9", "16E", "999999999999999P", "1..5G", "nan", "१G"])
def test_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        sizes.parse_size(text)


@given(st.integers(min_value=0, max_value=sizes.MAX_BYTES))
def test_size_text_is_close_to_the_size(size: int) -> None:
    text = sizes.size_text(size)
    assert abs(sizes.parse_size(text) - size) <= 0.06 * size if "EiB" not in text else True


def test_missing_number_is_a_dash_and_not_a_zero() -> None:
    assert sizes.size_text(None) == "–"
    assert ages.age_text(None) == "–"
    assert sizes.size_text(0) == "0 B"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (7800, "2h10m"), (90000, "1d1h")]
)
def test_ages(seconds: float, text: str) -> None:
    assert ages.age_text(seconds) == text


def test_permissions_of_each_role() -> None:
    assert not allows(Role.VIEWER, Permission.VM_CHANGE)
    assert allows(Role.OPERATOR, Permission.VM_CHANGE)
    assert not allows(Role.OPERATOR, Permission.ACCESS_ADMIN)
    assert GRANTS[Role.ADMINISTRATOR] == frozenset(Permission)
    assert [p for p in Permission if allows(None, p)] == [Permission.PUBLIC]


def principal(role: Role, tenant: str) -> Principal:
    return Principal("1", "ann", role, tenant, "s", datetime.now(UTC))


def test_tenant_sees_its_own_and_shared_objects_but_nothing_unmanaged() -> None:
    ann = principal(Role.OPERATOR, "a")
    assert may_see(ann, "a")
    assert may_see(ann, SHARED)
    assert not may_see(ann, "b")
    assert not may_see(ann, None)
    assert may_see(principal(Role.ADMINISTRATOR, "a"), None)


def test_who_sees_everything_is_hidden_nothing_and_a_filtered_token_is_not_one_of_them() -> None:
    everyone = [principal(role, "a") for role in Role]
    everyone += [replace(who, vm_filter="tag:ci") for who in everyone]
    row = VM(id="1", name="b", host="h", state=State.STOPPED, vcpus=1, memory_bytes=1)
    for who in everyone:
        shown = [may_see_vm(who, msgspec.structs.replace(row, tenant=tenant)) for tenant in ("a", "b", None)]
        assert sees_everything(who) == all(shown)
    assert [who.role for who in everyone if sees_everything(who)] == [Role.ADMINISTRATOR]


@pytest.mark.parametrize("pattern", [value for name, value in sorted(vars(names).items()) if name.endswith("_PATTERN")])
def test_name_patterns_match_the_whole_name(pattern: str) -> None:
    kind = Annotated[str, msgspec.Meta(pattern=pattern)]
    assert msgspec.convert("web-01", kind) == "web-01"
    for name in ("web-01\n", "web-01\n\n", "\nweb-01", "web\n01", "web-01\r", "web-01\0", "\uff57eb", "web-01/../x\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(name, kind)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            "cannot create directory '/var/lib/novacron/hot': Permission denied",
            "cannot create directory '…': Permission denied",
        ),
        ("Failed to connect socket to '/run/libvirt/libvirt-sock'.", "Failed to connect socket to '…'."),
        ("/srv/a.b and (/root), path=/etc/x.", "… and (…), path=…."),
        ("open '/srv/my images/a b.raw' or \"/x y\": no", "open '…' or \"…\": no"),
        ("virsh a;/srv/x|/srv/y {/srv/z} `/a/b` //srv/w", "virsh a;… {…} `…` …"),
        ("refused: qemu+ssh://root@h1.example:22/system?x=1", "refused: …"),
        ("/srv/r&d/x.img, /srv/#7/[a]", "…, …]"),
        ("1 / 2: /dev/disk/by-path/pci-0000:00:1f.2 is full", "1 / 2: … is full"),
        ("connect to '10.0.0.5:10809', store.example:3260, root@h1:/srv/x: no", "connect to '…', …, …: no"),
        ("„/srv/a“ <</srv/b>> v1.2.3 at 12:30:45 1.5:10", "„…“ <<…>> v1.2.3 at 12:30:45 1.5:10"),
        ("alpine-3.20.3.1 ubuntu-24.04:12 read-/write 10.0.0.5", "alpine-3.20.3.1 ubuntu-24.04:12 read-/write …"),
        ("50 MiB/s read/write, 1/2 and/or 16 %/s", "50 MiB/s read/write, 1/2 and/or 16 %/s"),
        ("", ""),
    ],
)
def test_sentence_without_paths(sentence: str, shown: str) -> None:
    assert texts.without_paths(sentence) == shown


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("", ""),
        ("no response", "no response"),
        ("2 earlier calls still hang", "2 earlier calls still hang"),
        ("libvirt stopped responding", "libvirt stopped responding"),
        ("castles.example: no answer", "the connection was lost"),
        ("ssh: connect to host 10.0.0.5 port 22: Connection refused", "its libvirt accepts no connection"),
        ("root@10.0.7.1: Permission denied (publickey)", "it refuses the sign-in"),
        ("Failed to connect socket to '/run/x': No such file or directory", "its libvirt accepts no connection"),
        ("Could not resolve hostname kvm-9.secret", "its name cannot be resolved"),
        ("internal error: kvm-9.secret said so", "the connection was lost"),
    ],
)
def test_members_are_told_the_kind_of_a_hosts_failure(detail: str, told: str) -> None:
    assert public_reason(detail) == told
