"""The commands of storage by heat on a real server: effects and exit codes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.support.command_line import Run

_count = itertools.count(1)


@pytest.fixture
def volume(signed_in: Run) -> Iterator[str]:
    """A volume of this test on the server that all tests share."""
    name = f"heat-{next(_count)}"
    for _ in range(100):
        if all(tier["pools"] for tier in json.loads(signed_in("tier", "ls", "-o", "json").stdout)):
            break
    done = signed_in("volume", "create", name, "--size", "8M")
    assert done.returncode == 0, done.stderr
    yield name
    assert signed_in("volume", "delete", name, "--yes").returncode == 0


def test_heat_advice_and_policy_of_a_quiet_server(signed_in: Run, volume: str) -> None:
    assert signed_in("storage", "heat").returncode == 0
    advice = signed_in("storage", "advice")
    assert (advice.returncode, advice.stdout.startswith("Nothing should move now.")) == (0, True)
    found = json.loads(signed_in("storage", "advice", "-o", "json").stdout)
    assert found["recommendations"] == []
    for words in (("--all",), ("--all", "--yes")):
        done = signed_in("storage", "follow", *words)
        assert (done.returncode, done.stdout) == (0, "Nothing should move now.\n")
    wrong: tuple[tuple[str, ...], ...] = ((), (volume, "--all"))
    for names in wrong:
        done = signed_in("storage", "follow", *names)
        assert (done.returncode, "name volumes, or give --all" in done.stderr) == (2, True), done.stderr
    done = signed_in("storage", "follow", volume)
    assert (done.returncode, f"there is no advice about {volume}" in done.stderr) == (1, True)


def test_volume_is_pinned_and_its_advice_dismissed(signed_in: Run, volume: str) -> None:
    def now() -> dict[str, object]:
        found: list[dict[str, object]] = json.loads(signed_in("volume", "ls", f"name:{volume}", "-o", "json").stdout)
        return found[0]

    assert signed_in("storage", "pin", volume).stdout == f"{volume}: pinned to its tier\n"
    assert now()["pinned"] is True
    assert signed_in("storage", "unpin", volume).stdout == f"{volume}: may move again\n"
    assert (
        signed_in("storage", "dismiss", volume, "--for", "2d", "--reason", "moves out").stdout
        == f"{volume}: no advice for 2d\n"
    )
    assert (now()["pinned"], now()["dismissed_reason"]) == (False, "moves out")
    assert signed_in("storage", "dismiss", volume, "--for", "0").stdout == f"{volume}: advice is given again\n"
    assert now()["dismissed_until"] is None
    done = signed_in("storage", "dismiss", volume, "--for", "soon")
    assert (done.returncode, "--for:" in done.stderr) == (2, True), done.stderr
    assert signed_in("storage", "pin", "nothing").returncode == 1
    joined = signed_in("storage", "together", volume)
    assert joined.stdout == f"{volume}: moves with the other disks of its VM that do\n", joined.stderr
    assert now()["together"] is True
    assert signed_in("storage", "together", volume, "--apart").stdout == f"{volume}: moves alone\n"
    assert now()["together"] is False


def test_policy_is_shown_and_set(signed_in: Run) -> None:
    shown = signed_in("storage", "policy", "show").stdout
    assert "idle_warm_s" in shown and "7d" in shown and "60 MiB/s" in shown
    done = signed_in("storage", "policy", "set", "floor=0.1", "cooldown_s=12h", "copy_bytes_s=100M", "hot.cost=2.5", "hot.latency=0.8", "-o", "json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    policy = json.loads(done.stdout)
    assert (policy["floor"], policy["cooldown_s"], policy["copy_bytes_s"]) == (0.1, 43_200, 100 << 20)
    assert policy["tiers"]["hot"] == {"cost_per_gib_month": 2.5, "expected_ms": 0.8, "redundancy": ""}
    signed_in("storage", "policy", "set", "hot.redundancy=mirror")
    policy = json.loads(signed_in("storage", "policy", "show", "-o", "json").stdout)
    assert policy["tiers"]["hot"] == {"cost_per_gib_month": 2.5, "expected_ms": 0.8, "redundancy": "mirror"}
    assert "budget_month" in shown and "no limit" in shown
    for given, kept in (("budget_month=120.5", 120.5), ("floor=0.2", 120.5), ("budget_month=", None)):
        policy = json.loads(signed_in("storage", "policy", "set", given, "-o", "json").stdout)
        assert policy["budget_month"] == kept
    for words, says in (
        ("floor", "floor: give NAME=VALUE"),
        ("colour=red", "colour: the settings are observe_s, evaluations"),
        ("hot.colour=red", "hot.colour: a tier's settings are hot.cost, hot.latency, hot.redundancy"),
        ("high_mark=7", "high_mark:"),
        ("floor=much", "floor: 'much' is not a value"),
    ):
        done = signed_in("storage", "policy", "set", words)
        assert (done.returncode, says in done.stderr) == (2, True), (words, done.stderr)
    done = signed_in("storage", "policy", "set", "low_mark=0.9")
    assert (done.returncode, "must be at most the high mark" in done.stderr) == (1, True)


def test_automatic_moves_are_shown_set_and_turned_off(signed_in: Run) -> None:
    assert signed_in("storage", "automatic").stdout == "Automatic moves are off.\n"
    turned_on = signed_in("storage", "automatic", "on").stdout
    assert "Nothing moves yet: turn pairs on" in turned_on and "Automatic moves are on." in turned_on
    settings = ("warm-to-hot=on", "warm-to-hot.window=sat 22:00-06:00", "warm-to-hot.bandwidth=50M", "stop_ms=20",
                "time_zone=Europe/Berlin", "retry_s=2h")  # fmt: skip
    done = signed_in("storage", "policy", "set", *settings)
    assert done.returncode == 0, done.stderr
    assert "on, at most 50 MiB/s, begins at sat 22:00-06:00 Europe/Berlin" in done.stdout
    found = json.loads(signed_in("storage", "policy", "show", "-o", "json").stdout)["automatic"]
    assert (found["enabled"], found["stop_ms"], found["retry_s"]) == (True, 20, 7200)
    signed_in("storage", "policy", "set", "warm-to-hot=off")
    kept = json.loads(signed_in("storage", "policy", "show", "-o", "json").stdout)["automatic"]
    assert kept["pairs"] == {"warm-to-hot": {**found["pairs"]["warm-to-hot"], "enabled": False}}
    assert signed_in("storage", "automatic", "off").stdout == "Automatic moves are off.\n"
    for words, says in (
        ("automatic=yes", "automatic: give on or off"),
        ("warm-to-hot=yes", "warm-to-hot: give on or off"),
        ("warm-to-hot.speed=1", "the settings of a pair are warm-to-hot=on, warm-to-hot.bandwidth, warm-to-hot.window"),
        ("warm-to-warm=on", "warm-to-warm: the settings are"),
        ("warm-to-hot.bandwidth=fast", "bandwidth"),
    ):
        refused = signed_in("storage", "policy", "set", words)
        assert (refused.returncode, says in refused.stderr) == (2, True), (words, refused.stderr)
    refused = signed_in("storage", "policy", "set", "warm-to-hot.window=at night")
    assert (refused.returncode, "is no window" in refused.stderr) == (1, True), refused.stderr
    assert signed_in("storage", "automatic", "maybe").returncode == 2
    listed = signed_in("storage", "decisions")
    assert (listed.returncode, json.loads(signed_in("storage", "decisions", "-o", "json").stdout)) == (0, [])
