"""Output to a terminal or a pipe: nothing harmful, aligned tables, and exact JSON."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.problem import FieldError, Problem
from novacron_tui.cli.runtime import exit_codes, output, wait
from novacron_tui.cli.runtime.wait import run_change
from tests.support.console.world import operation, vm

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = "web\x1b]52;c;aGk=\x07\x9b31m\u202e\u200b\n[/red]\x7f"


def test_table_contains_no_terminal_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(("NAME", "STATE"), [(HOSTILE, "running"), ("名前", None), ("a", 0)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert not [char for line in lines for char in line if not char.isprintable()]
    assert {output.width(line[: line.rindex("  ") + 2]) for line in lines} == {output.width(lines[0]) - len("STATE")}
    assert lines[2].endswith("  -")
    assert lines[3].endswith("  0"), "zero is a value"


@example("\x7f\x9b\u202e")
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_ascii_and_decodes_to_the_same_text(text: str) -> None:
    shown = output.json_text({"name": text}, indent=None)
    assert shown.isascii()
    assert shown.isprintable()
    assert json.loads(shown) == {"name": text}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXT | st.sampled_from(["on", "y", "id"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@example({"on": [{}, [], [[1e-07, 1e22]], {"a": [], "b": {"c": "no"}}], "x": "\x7f\u2028😀 #: - 'x'"})
@example({"k" * length: None for length in range(1020, 1030)})
@example([{"\u0300" * 200: [{"a": 1}, []], "b": {"\u0300" * 200: {"\u0300" * 200: "c"}}}])
@given(_JSON)
def test_yaml_is_ascii_and_decodes_to_the_same_value(value: object) -> None:
    yaml = pytest.importorskip("yaml")
    shown = output.yaml_text(value)
    assert all(" " <= letter <= "~" or letter == "\n" for letter in shown)
    assert yaml.safe_load(shown) == value
    assert (
        list(yaml.safe_load_all("\n".join([output.data_text(output.Output.YAML, value, stream=True)] * 2)))
        == [value] * 2
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Conflict("busy"), 1),
        (errors.ServerUnreachable("gone"), 3),
        (errors.Unauthenticated("who"), 4),
        (errors.UntrustedServer("another certificate"), 3),
        (errors.InvalidSetting("a token that is none"), 2),
        (exit_codes.UsageError("what"), 2),
        (KeyboardInterrupt(), 130),
        (exit_codes.ReaderGone(), 141),
        (OSError(28, "No space left on device", "/x"), 1),
        (ZeroDivisionError("a fault"), 1),
    ],
)
def test_every_error_has_its_exit_code_and_at_most_one_line(
    error: BaseException, code: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_codes, "_silence_stdout", lambda: exit_codes.READER_GONE)

    def command() -> None:
        raise error

    assert exit_codes.exit_code_of_run(command) == code
    assert capfd.readouterr().err.count("\n") == (0 if code in (130, 141) else 1)


def test_refusal_shows_its_fields_and_how_long_to_wait() -> None:
    wrong = errors.ValidationFailed("not valid", fields=[FieldError(field="name", message="too long")])
    assert exit_codes.error_text(wrong) == "not valid (name: too long)"
    error = errors.ValidationFailed("not valid: too long", fields=[FieldError(field="name", message="too long")])
    assert exit_codes.error_text(error) == "not valid: too long", "the message must not be repeated"
    assert exit_codes.error_text(errors.RateLimited("too many", retry_after_s=30)) == "too many; try again in 30 s"


def test_text_of_a_server_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    exit_codes.print_error(f"refused: {HOSTILE}")
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said[:-1].isprintable()


@pytest.mark.parametrize(("completed", "code"), [(True, 0), (False, 1)])
async def test_change_that_is_in_effect_although_its_operation_was_interrupted_is_no_failure(
    completed: bool, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem(title="Internal error", status=500, code="internal", detail="the VM is complete and running")
    operation = Operation(
        id="1",
        kind="vm.create",
        target=Target(type="vm", id="2", name="web-01"),
        state=OperationState.INTERRUPTED,
        created_at=datetime.now(UTC),
        problem=problem,
        completed=completed,
    )

    async def send(_key: str) -> Operation:
        return operation

    result, exit_code = await run_change(None, "2", "web-01", send, wait=False)  # type: ignore[arg-type]
    assert (exit_code, result.operation) == (code, operation)
    assert "the VM is complete and running" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoding", "locale", "names"),
    [
        ("utf-8", "en_US.UTF-8", ["Zoë…", "名前"]),
        ("latin-1", "en_US.ISO-8859-1", ["Zoë~", "????"]),
        ("ascii", "", ["Zo?~", "????"]),
    ],
)
def test_table_uses_only_what_the_encoding_has(
    encoding: str, locale: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding, errors="strict", write_through=True))
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.delenv("NOVACRON_ASCII", raising=False)
    for name in ("LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    output.show_table(("NAME", "STATE"), [("Zoë…", "running"), ("名前", None)])
    lines = raw.getvalue().decode(encoding).splitlines()
    assert [line.split()[0] for line in lines[1:]] == names
    assert {output.width(line[: line.rindex("  ") + 2]) for line in lines} == {output.width(lines[0]) - len("STATE")}


def test_secrets_of_this_process_are_never_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an unexpected exception may quote a header."""
    monkeypatch.setenv("NOVACRON_TOKEN", "canary-one")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary-two@proxy:1")
    monkeypatch.setattr(sys, "argv", ["novacron", "--token", "canary-three", "--token=canary-four", "vm", "ls"])

    def command() -> None:
        raise ValueError("Bearer canary-one, canary-two, canary-three, canary-four")

    assert exit_codes.exit_code_of_run(command) == 1
    said = capsys.readouterr().err
    assert "canary" not in said
    assert "ValueError: Bearer ***, ***, ***, ***" in said


class Unsure:
    """A client whose server cannot tell at first how an operation goes on."""

    def __init__(self, *answers: errors.NovaCronError | Operation) -> None:
        self._answers = list(answers)

    async def call(self, *_: object, **__: object) -> Operation:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, errors.NovaCronError):
            raise answer
        return answer


async def test_wait_outlasts_a_database_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = operation("vm.start", vm("web-01", 1))
    ended = operation("vm.start", vm("web-01", 1), state=OperationState.SUCCEEDED)

    async def send(_: str) -> Operation:
        return begun

    client: Any = Unsure(errors.DatabaseUnavailable("down"), errors.RateLimited("too many"), ended)
    result, exit_code = await run_change(client, "1", "web-01", send, wait=True)
    assert (result.operation, exit_code) == (ended, 0)
    monkeypatch.setattr(wait, "PATIENCE_S", 0.3)
    client = Unsure(errors.DatabaseUnavailable("down"))
    result, exit_code = await run_change(client, "1", "web-01", send, wait=True)
    assert exit_code != 0 and result.problem is not None
