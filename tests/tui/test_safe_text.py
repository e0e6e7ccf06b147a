"""Whatever a server says, what reaches a widget cannot steer the terminal; and harmless text is not touched."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.client import Disconnected
from novacron_core.errors import ServerUnreachable
from novacron_tui.connection.form_request import refused_by
from novacron_tui.terminal.safe_text import BROKEN, MARK, clean, clean_json, harmful, one_line
from tests.support.console.looking import SIZE, loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import fleet, inventory, live

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
HARMLESS = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])).filter(
    lambda text: not any(map(harmful, text))
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else []


HOSTILE = "moved to \x9d52;c;cHduZWQ=\x9c\x9b2J\x1b[31m\u202e"


def fail(_: httpx.Request) -> httpx.Response:
    raise ServerUnreachable(HOSTILE)


async def test_sentence_of_an_error_steers_no_terminal() -> None:
    """Wherever one is drawn: while nothing is loaded, on the status line, in a form and at its fields, for many VMs."""
    wire, stream = Wire(), Stream(Disconnected(HOSTILE, 1.0))
    wire.routes["GET /api/storage/images"] = fail
    wire.routes |= {f"POST /api/vm/vms/{vm.id}/restart": fail for vm in fleet()}
    app = console(wire, stream)

    def drawn() -> bool:
        return "moved to" in text(app) and not any(map(harmful, text(app)))

    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, drawn, "the list before it is loaded")
        stream.say(live(), inventory(fleet()))
        await until(pilot, lambda: loaded(app) and "web-01" in text(app))
        to(app, "web-01")
        await pilot.press("t")
        await until(pilot, drawn, "the status line")
        await pilot.press("escape", "c")
        await until(pilot, lambda: "moved to" in text(app))
        await until(pilot, drawn, "the field of a form")
        app.screen.form.refuse(refused_by(ServerUnreachable(HOSTILE)))  # type: ignore[attr-defined]
        await until(pilot, lambda: text(app).count("moved to") == 2)
        await until(pilot, drawn, "a form")


@given(VALUES, st.booleans())
def test_what_is_decoded_holds_nothing_harmful(value: Any, escaped: bool) -> None:
    decoded = msgspec.json.decode(clean_json(json.dumps(value, ensure_ascii=escaped)))
    assert not [text for text in strings(decoded) if any(map(harmful, text))]


@given(HARMLESS, st.booleans())
def test_harmless_text_is_unchanged(text: str, escaped: bool) -> None:
    assert msgspec.json.decode(clean_json(json.dumps([text], ensure_ascii=escaped))) == [text]
    assert clean(text) == text


@pytest.mark.parametrize(
    ("wire", "shown"),
    [
        (r'"a\u001b[31mb"', f"a{MARK}[31mb"),
        (r'"a\\u001bb"', r"a\u001bb"),
        (r'"a\\\u001bb"', f"a\\{MARK}b"),
        (r'"\u009b2J"', f"{MARK}2J"),
        ('"\x9b2J"', f"{MARK}2J"),
        ('"a\x7fb"', f"a{MARK}b"),
        (r'"a\rb\bc\fd"', f"a{MARK}b{MARK}c{MARK}d"),
        (r'"a\nb\tc"', "a\nb\tc"),
        (r'"\u202eexe.tset"', f"{MARK}exe.tset"),
        ('"\u202eexe.tset"', f"{MARK}exe.tset"),
        (r'"we\u200bb"', f"we{MARK}b"),
        (r'"\ud800"', BROKEN),
        (r'"\ud800x\udc00"', f"{BROKEN}x{BROKEN}"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\udb40\udc41"', MARK),
        (r'"[/] [red]x[/red] \"quoted\""', '[/] [red]x[/red] "quoted"'),
    ],
)
def test_known_cases(wire: str, shown: str) -> None:
    assert msgspec.json.decode(clean_json(wire)) == shown


def test_white_space_between_values_stays() -> None:
    assert msgspec.json.decode(clean_json('{\r\n\t"a": 1\r\n}')) == {"a": 1}


def test_two_megabytes_are_cheap() -> None:
    text = json.dumps(
        [{"id": str(n), "name": f"web-{n}", "description": "ünï"} for n in range(35_000)], ensure_ascii=False
    )
    start = time.thread_time()  # the processor's own clock: others may be busy on it
    clean_json(text)
    assert len(text) > 1_900_000
    assert time.thread_time() - start < 0.25


def test_one_line() -> None:
    assert one_line("a\nb\tc") == "a b c"
