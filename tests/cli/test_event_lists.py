"""`novacron events --since 8h`: what the server has stored, without watching."""

from __future__ import annotations

import json

import pytest

from tests.support.command_line import Run, one_line


def test_stored_events_are_listed_with_what_by_whom_and_why(signed_in: Run) -> None:
    assert signed_in("vm", "pause", "test").returncode == 0
    assert signed_in("vm", "resume", "test").returncode == 0
    listed = signed_in("events", "--since", "1h", "--filter", "target:test by:ann")
    assert (listed.returncode, listed.stderr) == (0, "")
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["TIME", "WHAT", "TARGET", "BY", "REASON"]
    words = [line.split()[2:5] for line in lines]
    assert words.index(["resumed", "test", "ann"]) < words.index(["paused", "test", "ann"]), "newest first"
    assert not any("changed" in line for line in lines), "nothing that only refreshes"


def test_json_and_count_and_range(signed_in: Run) -> None:
    everything = json.loads(signed_in("events", "--all", "-o", "json").stdout)
    numbers = [event["seq"] for event in everything]
    assert numbers == sorted(numbers, reverse=True)
    assert {"vm.updated", "system.started"} <= {event["type"] for event in everything}
    two = json.loads(signed_in("events", "--all", "--count", "2", "-o", "json").stdout)
    assert len(two) == 2
    assert json.loads(signed_in("events", "--until", "2026-01-01", "-o", "json").stdout) == []
    assert json.loads(signed_in("events", "--filter", "age>1h", "-o", "json").stdout) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--since noon", 2, "--since noon: enter a time like 22:00, 2h"),
        ("--until 25:00", 2, "--until 25:00: enter a time"),
        ("--filter no:thing", 1, "unknown field no"),
        ("--filter since:noon", 1, "enter a time like 22:00"),
        ("--since 1h --watch", 2, "--watch streams events"),
        ("--since 1h --after 3", 2, "--after streams events"),
        ("--since 1h --until 2h", 1, "from: must not be later than to"),
    ],
)
def test_what_cannot_be_listed_is_refused(signed_in: Run, words: str, code: int, said: str) -> None:
    done = signed_in("events", *words.split())
    assert done.returncode == code, done
    assert said in " ".join(one_line(done).split()), done.stderr
