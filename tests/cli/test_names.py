"""Names in other scripts, with invisible letters and in two spellings: found by the name that the server gives, and told
apart in tables."""

from __future__ import annotations

import io
import json
import sys
from contextlib import nullcontext
from typing import Any

import httpx
import msgspec
import pytest

from novacron_core import errors
from novacron_core.api.base import Page
from novacron_core.api.vms import VM
from novacron_core.client import Client
from novacron_tui.cli import lists
from novacron_tui.cli.runtime import prompts
from novacron_tui.cli.runtime.lookup import find_vm, find_volume
from novacron_tui.cli.runtime.output import Output, distinct_names
from tests.support.console.storage_world import volume
from tests.support.console.wire import ok, refuse
from tests.support.console.world import vm

NAMES = [
    "debian 12", "UPPER_case", "kīмсhī-∨м", "財務システム-01", "خادم-الرواتب", "☠️ do not touch ☠️",
    "👩\u200d👩\u200d👧-zwj", "-leading-dash", "--yes", "a\"b'c", "tag:db name", "café", "cafe\u0301", "ﬁnance",
    "in\u200bvisible", "in\u200cvisible", "esc\x1b[31m",
]  # fmt: skip


def fleet(names: list[str]) -> list[VM]:
    return [vm(name, number) for number, name in enumerate(names, 1)]


def client_of(found: list[VM], role: str = "administrator") -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/vm/vms":
            page = Page[VM](items=found, total=len(found), page=1, page_size=1000)
            return httpx.Response(200, content=msgspec.json.encode(page))
        if request.url.path == "/auth/validate":
            if role == "unknown":
                return httpx.Response(403, json={"title": "no", "status": 403, "code": "forbidden"})
            user = {"id": "1", "username": "ann", "email": "", "role": role, "tenant": "t"}
            return httpx.Response(200, json={"valid": True, "user": user, "expires_at": "2030-01-01T00:00:00Z"})
        return httpx.Response(200, json={"items": [], "total": 0, "page": 1, "page_size": 1000})

    return Client("http://a", transport=httpx.MockTransport(answer))


async def test_names_that_look_like_ids_are_names() -> None:
    name = "12345678-1234-1234-1234-123456789012"
    items: dict[str, list[Any]] = {
        "/api/vm/vms": [vm(name, 1)],
        "/api/storage/volumes": [volume(name, 1)],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if (found := items.get(request.url.path)) is None:
            return refuse(404, "not_found", "VM not found")
        return ok(Page(items=found, total=1, page=1, page_size=1000))

    async with Client("http://a", transport=httpx.MockTransport(answer)) as client:
        assert (await find_vm(client, name)).name == name
        assert (await find_volume(client, name)).name == name
        for find, noun in ((find_vm, "VM"), (find_volume, "volume")):
            with pytest.raises(errors.NotFound, match=f"no {noun} with the id or name 9"):
                await find(client, name.replace("1", "9"))


@pytest.mark.parametrize("transient", [True, False])
async def test_vm_show_says_that_a_transient_vm_will_be_gone(
    transient: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client_of([vm("web", 1, transient=transient)]) as client:
        await lists.vm_show(client, Output.TABLE, "web")
    assert ("transient: it is gone when it stops" in capsys.readouterr().out) is transient


@pytest.mark.parametrize("name", NAMES)
async def test_vm_is_found_by_the_very_name_that_the_server_gives(name: str) -> None:
    async with client_of(fleet(NAMES)) as client:
        assert (await find_vm(client, name)).name == name


@pytest.mark.parametrize(
    ("name", "typed"),
    [("café", "cafe\u0301"), ("cafe\u0301", "café"), ("👩\u200d👩-zwj", "👩·👩-zwj"), ("esc\x1b[31m", "esc·[31m")],
)
async def test_vm_is_found_in_another_spelling_when_that_is_unique(name: str, typed: str) -> None:
    async with client_of(fleet(["other", name])) as client:
        assert (await find_vm(client, typed)).name == name


async def test_no_name_is_not_the_dash_of_a_missing_value() -> None:
    async with client_of(fleet(["-"])) as client:
        with pytest.raises(errors.NotFound):
            await find_vm(client, "")


async def test_ambiguous_spelling_asks_for_an_id() -> None:
    async with client_of(fleet(["in\u200bvisible", "in\u200cvisible"])) as client:
        with pytest.raises(errors.Conflict, match="give an id instead"):
            await find_vm(client, "in·visible")


async def test_names_that_look_alike_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    async with client_of(fleet(NAMES)) as client:
        await lists.vm_ls(client, Output.TABLE, "")
        table = capsys.readouterr().out
        await lists.vm_ls(client, Output.JSON, "")
        assert [row["name"] for row in json.loads(capsys.readouterr().out)] == NAMES
    assert not [char for char in table if not char.isprintable() and char != "\n"]
    for shown in (r"café (caf\u00e9)", "cafe\u0301 (cafe\\u0301)", r"in·visible (in\u200bvisible)"):
        assert shown in table
    assert "財務システム-01  " in table, "nothing looks like it"


def test_equal_names_and_plain_ones_are_not_marked() -> None:
    assert distinct_names(["a", "é", "é", "finance"]) == ["a", "é", "é", "finance"]
    assert distinct_names(["finance", "ﬁnance"]) == ["finance", r"ﬁnance (\ufb01nance)"]


@pytest.mark.parametrize(
    ("role", "told"), [("viewer", True), ("operator", True), ("administrator", False), ("unknown", False)]
)
async def test_empty_list_says_who_sees_unmanaged_vms(
    role: str, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client_of([], role) as client:
        await lists.vm_ls(client, Output.TABLE, "")
    printed = capsys.readouterr()
    sentence = "novacron: no VMs; only administrators see VMs that NovaCron does not manage\n"
    assert (printed.err == sentence, printed.out.startswith("NAME")) == (told, True)


@pytest.mark.parametrize(
    ("name", "answer", "good"),
    [
        ("web", "web", True),
        ("web", "we", False),
        ("web", "", False),
        ("-", "", False),
        ("café", "cafe\u0301", True),
        ("in\u200bvisible", "in\u200bvisible", True),
        ("in\u200bvisible", "in·visible", True),
        ("in\u200bvisible", "invisible", False),
    ],
)
def test_name_is_confirmed_as_it_is_or_as_it_is_shown(
    name: str, answer: str, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    with nullcontext() if good else pytest.raises(errors.Conflict):
        prompts.confirm("delete it", name)
