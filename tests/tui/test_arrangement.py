"""The next console of a user opens as the last one was left: theme, order and filter, for each profile."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from novacron_tui.app import Console
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.servers.arrangement import Arrangement, ArrangementFile, ListLook
from novacron_tui.servers.saved_session import SavedSessionFile
from novacron_tui.servers.server_ref import ServerRef
from tests.support.console.looking import home, line_text, loaded, text, until
from tests.support.console.storage_world import storage
from tests.support.console.storage_world import wire as storage_wire
from tests.support.console.wire import Wire, console
from tests.support.console.world import ADMIN

SIZE = (140, 40)
URL = "http://127.0.0.1:8090"


def kept(folder: Path, server: str = URL, profile: str = "prod") -> SavedSessionFile:
    return SavedSessionFile(profile, server, folder)


def opened(folder: Path, profile: str = "prod", **options: Any) -> Console:
    return console(
        storage_wire(), storage(), place=ServerRef(URL, profile, kept=kept(folder, profile=profile)), **options
    )


async def test_list_theme_and_storage_are_as_they_were_left(tmp_path: Path) -> None:
    first = opened(tmp_path)
    async with first.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(first))
        await pilot.press("o", "o", "O", "/", *"web", "enter", ":", *"theme light", "enter")
        left = home(first).table
        order, shown = (left.sort_key, left.descending), [row.name for row in left.rows]
        assert len(shown) < len(home(first).session.store.vms)
        await pilot.press("4")
        await until(pilot, lambda: isinstance(first.screen, StorageScreen) and bool(first.screen.table.rows))
        await pilot.press("o", "/", *"tier:cold", "enter")
        cold = len(first.screen.table.rows)  # type: ignore[attr-defined]

    second = opened(tmp_path)
    async with second.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(second) and bool(home(second).table.rows))
        table = home(second).table
        assert (table.sort_key, table.descending) == order
        assert [row.name for row in table.rows] == shown
        assert second.theme == "novacron-light"
        await until(pilot, lambda: "the list is filtered, as you left it" in line_text(second, "status"))
        await pilot.press("4")
        await until(pilot, lambda: isinstance(second.screen, StorageScreen) and len(second.screen.table.rows) == cold)
        await pilot.press("1", "escape", "escape")
        await until(pilot, lambda: len(home(second).table.rows) == len(home(second).session.store.vms))
    third = opened(tmp_path)
    async with third.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(third))
        assert home(third).filter.text == "", "the filter was cleared"


async def test_a_theme_that_is_asked_for_now_counts_and_other_profiles_have_their_own(tmp_path: Path) -> None:
    ArrangementFile(kept(tmp_path)).write(ADMIN.id, Arrangement(theme="novacron-light"))
    for profile, options, shown in (
        ("prod", {}, "novacron-light"),
        ("prod", {"theme": "contrast"}, "novacron-contrast"),
        ("lab", {}, "novacron-dark"),
    ):
        app = opened(tmp_path, profile, **options)
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda app=app: loaded(app))  # type: ignore[misc]
            assert app.theme == shown, profile


async def test_it_is_written_while_the_console_is_open(tmp_path: Path) -> None:
    app = opened(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("o", "o")
        wanted = home(app).table.sort_key
        await until(
            pilot, lambda: ArrangementFile(kept(tmp_path)).read(ADMIN.id).lists.get("VMPane", ListLook()).sort == wanted
        )


async def test_columns_themes_and_filters_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    lists = {"VMPane": ListLook(sort="no-such-column", filter="cpu>much"), "NoSuchPane": ListLook(sort="name")}
    ArrangementFile(kept(tmp_path)).write(ADMIN.id, Arrangement(theme="novacron-of-1997", lists=lists))
    app = opened(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert (app.theme, home(app).table.sort_key, home(app).filter.text) == ("novacron-dark", "name", "")
        assert "invalid filter" not in text(app)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 5000, b'{"server": 1}', b"\xff" * 100, b" " * (1 << 20)])
async def test_broken_file_costs_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "arrangements" / "prod.json"
    path.parent.mkdir()
    path.write_bytes(content)
    file = ArrangementFile(kept(tmp_path))
    assert file.read("u1") == Arrangement()
    file.write("u1", Arrangement(theme="novacron-light"))
    assert file.read("u1").theme == "novacron-light"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ArrangementFile(kept(tmp_path, "http://other:8090")).read("u1") == Arrangement(), "another server's"


async def test_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("a file")
    file = ArrangementFile(kept(tmp_path / "sessions"))
    file.write("u1", Arrangement(theme="novacron-light"))
    assert file.read("u1") == Arrangement()


async def test_a_console_without_a_profile_keeps_nothing() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("o", "o")
        assert home(app).session.arranged.now.lists["VMPane"].sort == home(app).table.sort_key
