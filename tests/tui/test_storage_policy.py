"""What the console shows of the storage policy: costs, declared classes and capacity marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from novacron_core.api.tiering import StoragePolicy, TierClass
from novacron_core.values.sizes import GIB
from novacron_tui.app import Console
from novacron_tui.pools import tier_bars
from novacron_tui.pools.columns import tone_of
from novacron_tui.terminal.glyphs import FINE, PLAIN
from novacron_tui.vms.page import event_words
from novacron_tui.widgets.detail import Detail
from tests.support.console.looking import line_text, text, until
from tests.support.console.storage_looking import SIZE, names, reach
from tests.support.console.storage_world import policy, storage, tier, wire
from tests.support.console.wire import console, ok, refuse

POLICY = "GET /api/storage/policy"
Answer = Callable[[httpx.Request], httpx.Response]


def with_policy(found: StoragePolicy | None = None) -> Console:
    return console(wire(**{POLICY: lambda _: ok(found or policy())}), storage())


async def test_costs_are_a_column_that_sorts_and_filters() -> None:
    app = with_policy()
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, "scratch")
        await until(pilot, lambda: "A MONTH" in text(app))
        row = next(line for line in text(app).splitlines() if "db-01-data" in line)
        assert "16.40" in row, "41 GiB at 0.40"
        screen.volumes.sort_by("cost")
        assert names(screen)[:3] == ["db-01-data", "build-cache", "web-02-5e6f7a8b.qcow2"]
        await pilot.press("/", *"cost>5", "enter")
        await until(pilot, lambda: sorted(names(screen)) == ["build-cache", "db-01-data"])
        assert "1 of 7" not in text(app)


@pytest.mark.parametrize(
    "answer",
    [lambda _: ok(StoragePolicy()), lambda _: refuse(404, "not_found", "no such path"), lambda _: ok(policy(tiers={"hot": TierClass(redundancy="x")}))],
    ids=["nothing declared", "older server", "no price"],
)  # fmt: skip
async def test_without_a_price_there_is_no_column_of_costs(answer: Answer) -> None:
    server = wire(**{POLICY: answer})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: bool(server.asked("GET", "/api/storage/policy")))
        await until(pilot, lambda: "2 moves advised" in line_text(app, "status"))
        assert "A MONTH" not in text(app)


async def test_details_of_a_volume_tell_its_class_and_cost() -> None:
    app = with_policy()
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "build-cache")
        await until(pilot, lambda: "A MONTH" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        shown = text(app)
        assert "0.10 per GiB and month, answers in 6 ms, RAID 6" in shown
        assert "9.00 a month" in shown


async def test_details_of_a_pool_tell_the_class_and_the_marks_of_its_tier() -> None:
    app = with_policy(policy(high_mark=0.6, low_mark=0.5))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "A MONTH" in text(app))
        screen.show_list("pools")
        screen.pools.select("pool-hot")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        assert "0.40 per GiB and month, answers in 0.8 ms, mirrored NVMe" in text(app)
        assert "filling above 60% until below 50%, nearly full above 90%" in text(app)
        await pilot.press("escape")
        screen.pools.select("pool-isos")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        assert "filling above" not in text(app), "a pool without a tier has no marks"


def drawn(used: int, found: StoragePolicy | None, **changes: Any) -> list[list[Any]]:
    tiers = {"hot": tier("hot", used * GIB, 100 * GIB, read_bytes_s=None, **changes)}
    return tier_bars.lines(tiers, 156, FINE, found)


def test_bar_of_a_tier_has_a_tick_at_each_mark() -> None:
    """50 cells are 45 of bar: the marks of 80 % and 90 % end in its cells 36 and 40."""
    (bar,) = [line for line in drawn(50, StoragePolicy()) if any("50%" in piece.text for piece in line)]
    cells = "".join(piece.text for piece in bar)
    assert [at for at, char in enumerate(cells) if char == FINE.tick] == [35, 39]
    assert not [line for line in drawn(50, None) for piece in line if FINE.tick in piece.text]
    assert PLAIN.tick.isascii()


@pytest.mark.parametrize(("used", "tone"), [(80, "good"), (81, "warn"), (90, "warn"), (91, "bad")])
def test_tone_of_a_tier_follows_the_marks(used: int, tone: str) -> None:
    shown = [piece for line in drawn(used, StoragePolicy()) for piece in line if piece.text.strip() == f"{used}%"]
    assert [piece.tone for piece in shown] == [tone]
    assert tone_of(0.81) == "good", "a disk without marks"


def test_class_of_a_tier_stands_below_its_bar_as_far_as_it_fits() -> None:
    def last(redundancy: str) -> str:
        found = policy(tiers={"hot": TierClass(cost_per_gib_month=0.4, expected_ms=0.8, redundancy=redundancy)})
        return "".join(piece.text for piece in drawn(10, found, shares_disk_with=["cold"])[-1]).rstrip()

    assert last("two SSDs") == "shares disk: cold · 0.40/GiB, 0.8 ms, two SSDs"
    assert last("two mirrored disks of NVMe") == "shares disk: cold · two mirrored disks of NVMe"
    assert last("w" * 60) == "shares disk: cold", "what does not fit is left out, not cut"


def test_full_tiers_on_all_hosts_keep_room_for_their_ticks() -> None:
    for used in (0, 100):
        for width in (30, 60, 116):
            tiers = {name: tier(name, used * GIB, 100 * GIB) for name in ("hot", "warm", "cold")}
            widths = {sum(len(piece.text) for piece in line) for line in tier_bars.lines(tiers, width, FINE, policy())}
            assert max(widths) <= width


def test_events_of_full_tiers_stand_out() -> None:
    assert event_words("tier.nearly_full") == ("nearly full", "bad")
    assert event_words("tier.filling") == ("filling up", "warn")
    assert event_words("tier.relieved") == ("has room again", "good")


@pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=["80x24", "140x45"])
@pytest.mark.parametrize("what", ["volumes", "pool"])
def test_pictures(snap_compare: Any, what: str, size: tuple[int, int]) -> None:
    app = with_policy()

    async def before(pilot: Any) -> None:
        screen = await reach(pilot, app)
        await until(pilot, lambda: app.session is not None and app.session.policy.value is not None)
        await until(pilot, lambda: app.session is not None and bool(app.session.store.samples._tiers))
        await until(pilot, lambda: FINE.tick in text(app))
        if what == "pool":
            screen.show_list("pools")
            screen.pools.select("pool-warm")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Detail))

    assert snap_compare(app, terminal_size=size, run_before=before)
