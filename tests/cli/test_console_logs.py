"""`novacron vm log`: harmless on a terminal, raw only into a file or pipe, and followed without loss."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

from novacron_core import errors
from novacron_core.api.console_logs import ConsoleLog, ConsoleLogQuery
from novacron_core.api.vms import VM, State
from novacron_core.client import Client
from novacron_tui.cli import console_logs
from novacron_tui.cli.runtime.exit_codes import UsageError

VM_ = VM(id="v", name="web", host="h", state=State.RUNNING, vcpus=1, memory_bytes=1)


class Answers:
    """A client that gives these answers in turn, and then is interrupted."""

    def __init__(self, *answers: ConsoleLog | Exception) -> None:
        self.left = list(answers)
        self.asked: list[ConsoleLogQuery] = []

    async def call(self, _endpoint: Any, *, vm_id: str, query: ConsoleLogQuery) -> ConsoleLog:
        assert vm_id == VM_.id
        self.asked.append(query)
        if not self.left:
            raise KeyboardInterrupt
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _vm(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(_client: Client, _name: str) -> VM:
        return VM_

    monkeypatch.setattr(console_logs, "find_vm", find)
    monkeypatch.setattr(console_logs, "EVERY_S", 0.0)


async def show(client: Answers, *, boot: bool = False, follow: bool = False, raw: bool = False) -> None:
    await console_logs.show(cast(Client, client), "web", boot=boot, follow=follow, raw=raw)


async def test_pieces_are_joined_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    client = Answers(
        ConsoleLog(text="\x1b[31mone\x1b", next="a", more=True, recorded=True),
        ConsoleLog(text="[0m\r\nlogin: ", next="b", recorded=True),
    )
    await show(client, boot=True)
    assert capsys.readouterr().out == "one\nlogin: \n"
    assert [(query.boot, query.from_) for query in client.asked] == [("last", ""), ("all", "a")]


async def test_raw_is_as_it_came_and_never_for_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    await show(Answers(ConsoleLog(text="\x1b[31mé\r\n", next="a", recorded=True)), raw=True)
    assert capfdbinary.readouterr().out == "\x1b[31mé\r\n".encode()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="to a file or a pipe"):
        await show(Answers(), raw=True)


async def test_follower_goes_on_after_an_outage(capsys: pytest.CaptureFixture[str]) -> None:
    client = Answers(
        ConsoleLog(text="a\n", next="1", recorded=True),
        errors.ServerUnreachable("no answer"),
        ConsoleLog(text="b\n", next="2", recorded=True, note="the log was rotated"),
        ConsoleLog(next="", recorded=False, note="gone for now"),
    )
    with pytest.raises(KeyboardInterrupt):
        await show(client, follow=True)
    said = capsys.readouterr()
    assert said.out == "a\nb\n"
    assert "no answer; trying again" in said.err
    assert "the log was rotated" in said.err
    assert [query.from_ for query in client.asked] == ["", "1", "1", "2", "2"]


async def test_console_that_is_not_logged_is_an_error() -> None:
    with pytest.raises(errors.Conflict, match="is not logged"):
        await show(Answers(ConsoleLog(note="the serial console of web is not logged")))
