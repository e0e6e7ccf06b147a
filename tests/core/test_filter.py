"""The filter language, applied to VMs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.api.vms import NIC, VM, State
from novacron_core.rules.filters.language import FilterError, compile_filter, count_words
from novacron_core.rules.filters.vms import vm_fields

FIELDS = vm_fields({"h1": "kvm-a", "h2": "kvm-b"})
BASE = VM(
    id="1",
    name="db-01",
    host="h1",
    state=State.RUNNING,
    vcpus=4,
    memory_bytes=4 << 30,
    tags={"role": "db", "env": "prod"},
)
WEB = msgspec.structs.replace(
    BASE,
    id="2",
    name="Web-02[x]",
    host="h2",
    state=State.STOPPED,
    vcpus=1,
    memory_bytes=512 << 20,
    tags={},
    unmanaged=True,
)
NET = msgspec.structs.replace(
    BASE, id="3", name="net", nics=[NIC(mac="m", network="n", addresses=["192.168.122.9"])], tier="hot"
)
ALL = [BASE, WEB, NET]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "123"),
        ("   ", "123"),
        ("db", "1"),
        ("WEB", "2"),
        ("db-*", "1"),
        ("*-0?", "1"),
        ("web-02[x]", "2"),
        ("*[x]", "2"),
        ("state:running", "13"),
        ("state:stopped,paused", "2"),
        ("-state:running", "2"),
        ("!db", "23"),
        ("host:kvm-a", "13"),
        ("host:h2", "2"),
        ("host:kvm-*", "123"),
        ("tag:db", "13"),
        ("tag:role=db tag:prod", "13"),
        ("tag:role", "13"),
        ("vcpus>1", "13"),
        ("vcpus>=4 vcpus<=4", "13"),
        ("vcpus:1", "2"),
        ("memory<1G", "2"),
        ("memory>=4GiB", "13"),
        ("ip:192.168.*", "3"),
        ("tier:hot", "3"),
        ("is:unmanaged", "2"),
        ("STATE:Running DB", "1"),
        ("state:r", "13"),
        ("state:run,sto", "123"),
        ("-state:run", "2"),
        ("host:kvm", "123"),
        ("ip:192.168", "3"),
        ('state:"run"', ""),
        ('host:"kvm-a"', "13"),
        ("state:unning", ""),
        ('name:"db-01"', "1"),
        ("state:running -db host:kvm-a", "3"),
    ],
)
def test_filter_selects_vms(text: str, found: str) -> None:
    test = compile_filter(text, FIELDS)
    assert "".join(vm.id for vm in ALL if test(vm)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour:red", "unknown field colour"),
        ("vcpus>many", "expected a number after >"),
        ("memory>1X", "expected a number after >"),
        ("name>5", "name is not a number"),
        ("state:", "a value is missing"),
        ("-", "a value is missing"),
        ("x" * 501, "at most 500"),
    ],
)
def test_invalid_filter_says_why(text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        compile_filter(text, FIELDS)


def test_error_has_a_position() -> None:
    with pytest.raises(FilterError) as error:
        compile_filter("db colour:red", FIELDS)
    assert error.value.position == 3


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    try:
        test = compile_filter(text, FIELDS)
    except FilterError:
        return
    for vm in ALL:
        assert test(vm) in (True, False)


@given(st.text(alphabet="ab*?-.+()[]\\^$|", min_size=1, max_size=20))
def test_pattern_is_never_used_as_a_regex(text: str) -> None:
    try:
        test = compile_filter(f'name:"{text}"', FIELDS)
    except FilterError:
        return
    same = msgspec.structs.replace(BASE, name=text)
    if "," not in text:
        assert test(same)


@pytest.mark.parametrize("text", ["café", "cafe\u0301", "CAFÉ", "CAFE\u0301", "caf*", 'name:"café"', "name:cafe\u0301"])
@pytest.mark.parametrize("name", ["café", "cafe\u0301", "CAFÉ"])
def test_spellings_of_a_letter_find_each_other(text: str, name: str) -> None:
    assert compile_filter(text, FIELDS)(msgspec.structs.replace(BASE, name=name))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (r"a\"b", "a\"b'c"),
        (r'name:"a\"b' + "'c" + '"', "a\"b'c"),
        (r"name:a\"", "a\"b'c"),
        (r'"b c\"" is:unmanaged', 'ab c"'),
        (r"\"*", '"quoted"'),
        ('name:"back\\\\slash"', "back\\\\slash"),
        ('name:"end\\"', "end\\"),
    ],
)
def test_quotes_can_be_written(text: str, name: str) -> None:
    assert compile_filter(text, FIELDS)(msgspec.structs.replace(WEB, name=name))
    assert not compile_filter(text, FIELDS)(msgspec.structs.replace(WEB, name="other"))


@pytest.mark.parametrize(
    "text", [" ".join(["a"] * 33), "host:" + ",".join(["a"] * 33), "-a " * 17 + "tag:" + "b," * 16]
)
def test_filter_with_too_many_words_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="at most 32 words"):
        compile_filter(text, FIELDS)


def test_words_are_counted_over_all_terms() -> None:
    assert count_words("a host:b,c -tag:d,e, vcpus>2") == 6
    compile_filter("host:" + ",".join(["a"] * 32), FIELDS)
