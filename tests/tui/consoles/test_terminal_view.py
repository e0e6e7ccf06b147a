"""The terminal widget: keys, pasted text, view mode, search, copy mode, and floods."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.strip import Strip

from novacron_tui.consoles.input_keys import key_bytes
from novacron_tui.consoles.output_queue import KEPT_BYTES, MAX_QUEUED_BYTES, OutputQueue
from novacron_tui.consoles.terminal_view import TerminalView
from novacron_tui.terminal.bursts import UnmarkedPaste
from novacron_tui.terminal.type_ahead import key_acts
from tests.support.console.looking import until
from tests.support.console.terminals import EVERY_KEY, SHELL, TerminalApp, ViewingApp, rows_of
from tests.support.console.wire import Wire, console

SIZE = (60, 12)


async def fed(pilot: Pilot[Any], view: TerminalView, data: bytes) -> None:
    view.feed(data)
    await until(pilot, lambda: not view._queue and view._is_finished and view._frame is None)


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(b"line %d\r\n" % number for number in range(start, start + count))


async def test_while_typing_every_key_goes_to_the_guest_and_none_to_a_binding() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.typing = True
        expected = b""
        for key in EVERY_KEY:
            if key not in app.view.detach_keys:
                await pilot.press(key)
                expected += key_bytes(key)
        await until(pilot, lambda: app.typed == expected)
        assert app.leaked == []
        assert app.said == []
        assert len(app.screen_stack) == 1, "no palette was opened"
        assert app.focused is app.view


@pytest.mark.parametrize("key", ["ctrl+right_square_bracket", "f12"])
async def test_a_detach_key_gives_the_keys_back_and_pressed_twice_is_typed(key: str) -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.typing = True
        await pilot.press("a", key)
        await until(pilot, lambda: app.said == ["detached"])
        assert not app.view.typing
        await pilot.press("b", "ctrl+q")
        await until(pilot, lambda: sorted(app.leaked) == ["b", "ctrl+q"])
        assert app.typed == b"a"
        app.view.send_detach_key()
        await pilot.press("c")
        await until(pilot, lambda: app.typed == b"a" + key_bytes(key) + b"c")
        assert app.view.typing


async def test_in_the_console_priority_bindings_and_the_type_ahead_do_not_see_keys() -> None:
    app, sent = console(Wire()), list[bytes]()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        view = TerminalView(sent.append)
        await app.screen.mount(view)
        view.focus()
        await until(pilot, lambda: view.has_focus)
        view.typing = True
        await pilot.press("ctrl+q", "ctrl+c", "ctrl+p", "tab", "escape", "q", "1", "slash", "D")
        await until(pilot, lambda: b"".join(sent) == b"\x11\x03\x10\t\x1bq1/D")
        assert app.is_running
        assert len(app.screen_stack) == 2
        app.post_message(Paste("pasted"))
        await until(pilot, lambda: sent[-1] == b"pasted")
        app.post_message(UnmarkedPaste([*map(key, "systemctl"), key("enter", "\r")]))
        await until(pilot, lambda: sent[-1] == b"systemctl\r")
        assert not key_acts(app, key("D")), "no key waits for what follows it"


def key(name: str, character: str | None = None) -> Key:
    return Key(name, character)


async def test_unmarked_pastes_with_other_keys_are_keys() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.typing = True
        await until(pilot, lambda: app.view.takes_every_key)
        app.view.take_pasted_keys([key("l"), key("s"), key("up"), key("enter", "\r"), key("x")])
        assert app.typed == b"ls\x1b[A\rx"


async def test_a_paste_of_one_line_is_sent_and_one_of_more_is_asked_about() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.typing = True
        app.post_message(Paste("uname -a\n"))
        await until(pilot, lambda: app.typed == b"uname -a\r")
        app.post_message(Paste("one\ntwo\x1b[201~\n"))
        await until(pilot, lambda: app.asked == ["one\ntwo\x1b[201~\n"])
        assert app.typed == b"uname -a\r"
        await fed(pilot, app.view, b"\x1b[?2004h")
        app.view.paste(app.asked[0])
        await until(pilot, lambda: app.typed.endswith(b"\x1b[200~one\rtwo\r\x1b[201~"))


async def test_a_paste_of_a_megabyte_leaves_the_app_alive_and_keys_come_after_it() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.typing = True
        app.view.paste("x" * 1_000_000)
        assert len(app.typed) <= 4096, "the rest is sent in turns"
        await pilot.press("enter")
        await until(pilot, lambda: len(app.typed) == 1_000_001)
        assert app.typed.endswith(b"x\r")


async def test_answers_go_to_the_guest_unless_another_terminal_answers() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, b"# \x1b[6n")
        assert app.typed == b"\x1b[1;3R"
        app.view.answers = False
        await fed(pilot, app.view, b"\x1b[6n\x1b[c")
        assert app.typed == b"\x1b[1;3R"


async def test_the_view_stays_where_it_was_scrolled_to_and_says_what_came() -> None:
    app = ViewingApp()
    async with app.run_test(size=SIZE) as pilot:
        view = app.view
        await fed(pilot, view, lines(100))
        assert rows_of(view)[0].rstrip() == "line 89"
        await pilot.press("pageup")
        await until(pilot, lambda: not view.view.follows)
        before = rows_of(view)
        assert before[0].rstrip() == "line 78"
        assert before[-1].rstrip().endswith("▾ 11 lines below")
        await fed(pilot, view, lines(5, 100))
        after = rows_of(view)
        assert after[:-1] == before[:-1]
        assert after[-1].rstrip().endswith("▾ 16 lines below, 5 new")
        await pilot.press("home")
        await until(pilot, lambda: rows_of(view)[0].rstrip() == "line 0")
        view.scroll_lines(2)
        assert rows_of(view)[0].rstrip() == "line 2"
        view.scroll_to_edge(1)
        assert view.view.follows
        assert "below" not in rows_of(view)[-1]


async def test_a_key_for_the_guest_shows_the_end_again() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, lines(100))
        app.view.scroll_pages(-2)
        app.view.typing = True
        await pilot.press("x")
        await until(pilot, lambda: app.view.view.follows)


async def test_a_search_goes_from_match_to_match_and_says_which() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        view = app.view
        await fed(pilot, view, lines(100) + "日本 Line 7 and line 7".encode())
        assert view.search("line 7") == (13, 13), "from the end, and of two in a line the last"
        assert view.search("line 7") == (12, 13)
        assert view.search("line 7") == (11, 13)
        assert view.view.current is not None and view.view.current.line == 79
        assert not view.view.follows
        assert view.search("line 7", backwards=False) == (12, 13)
        assert view.view.current is not None and view.view.current[1:] == (5, 11), "columns, not characters"
        assert view.search("Line 7") == (1, 1), "capitals count when there are some"
        assert view.search("nothing like it") == (0, 0)
        assert view.search("") == (0, 0)
        view.search("line 42")
        strip = next(strip for y in range(SIZE[1]) if "line 42" in (strip := view.render_line(y)).text)
        assert len({segment.style.bgcolor for segment in strip if segment.style}) == 2, "the match stands out"
        view.end_search()
        assert view.view.found == (0, 0)


async def test_copy_mode_selects_by_characters_and_lines_with_keys() -> None:
    app = ViewingApp()
    async with app.run_test(size=SIZE) as pilot:
        view = app.view
        await fed(pilot, view, b"alpha beta\r\n" + "日本語 gamma\r\n".encode() + b"delta")
        view.start_copy()
        await pilot.press("up", "up", *["left"] * 5)
        view.mark()
        await pilot.press("right", "right", "down")
        assert view.copying
        assert view.selected_text() == "alpha beta\n日本"
        view.mark(by_lines=True)
        assert view.selected_text() == "alpha beta\n日本語 gamma"
        view.mark(by_lines=True)
        assert view.selected_text() == ""
        view.end_copy()
        assert not view.copying


async def test_copy_mode_reaches_the_scrollback() -> None:
    app = ViewingApp()
    async with app.run_test(size=SIZE) as pilot:
        view = app.view
        await fed(pilot, view, lines(60))
        view.start_copy()
        view.mark(by_lines=True)
        await pilot.press("pageup", "pageup")
        await until(pilot, lambda: view.selected_text().startswith("line 38\n"))
        assert view.selected_text().endswith("line 59\n")
        await pilot.press("home")
        await until(pilot, lambda: view.selected_text().startswith("line 0\n"))


async def test_the_mouse_selects() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, b"alpha beta\r\ngamma")
        await pilot.mouse_down(app.view, offset=(6, 0))
        await pilot.hover(app.view, offset=(2, 1))
        await pilot.mouse_up(app.view, offset=(2, 1))
        assert app.view.selected_text() == "beta\ngam"


async def test_only_changed_lines_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        view = app.view
        await fed(pilot, view, lines(5))
        painted: list[int] = []
        render = view.render_line

        def noted(y: int) -> Strip:
            painted.append(y)
            return render(y)

        monkeypatch.setattr(view, "render_line", noted)
        await fed(pilot, view, b"x")
        await pilot.pause()
        assert painted and set(painted) <= {5}
        painted.clear()
        await fed(pilot, view, b"\x1b[m\x07")
        await pilot.pause()
        assert painted == [], "nothing looks otherwise"


async def test_a_resized_widget_resizes_the_emulator() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, lines(20) + b"# ")
        assert app.view.emulator.size == SIZE
        assert app.view.size_command() == "stty rows 12 cols 60\r"
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: app.view.emulator.size == (100, 30))
        await pilot.resize_terminal(40, 6)
        await until(pilot, lambda: rows_of(app.view)[-1].rstrip() == "#")
        app.view.clear()
        assert [row.strip() for row in rows_of(app.view)] == [""] * 6


async def test_what_is_skipped_is_said_where_it_is_missing() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, b"before")
        app.view.note_skipped(1_300_000)
        await fed(pilot, app.view, b"after")
        assert app.view._skipped_timer is not None, "the last line says it too, for a while"
        app.view._forget_skipped()
        shown = [row.rstrip() for row in rows_of(app.view)]
        assert shown[:3] == ["before", "… 1.2 MiB skipped …", "after"]


async def test_a_flood_is_skipped_to_its_end_while_keys_are_answered() -> None:
    app = TerminalApp()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.view
        view.typing = True
        await until(pilot, lambda: view.takes_every_key)
        piece = b"\x1b[32mflood\x1b[0m of the kernel, a line that is long enough to be one\r\n" * 1000
        waits = []
        for number in range(300):  # 20 MB
            view.feed(piece)
            assert len(view._queue) <= MAX_QUEUED_BYTES
            if number % 20 == 0:
                pressed_at, before = time.perf_counter(), len(app.typed)
                app.post_message(key("k"))
                while len(app.typed) == before:
                    await asyncio.sleep(0)
                waits.append(time.perf_counter() - pressed_at)
            await asyncio.sleep(0)
        view.feed(b"the end")
        await until(pilot, lambda: rows_of(view)[-1].startswith("the end"))
        kept = [view.emulator.line(line) for line in range(view.emulator.first_line, view.emulator.top_line)]
        assert any("MiB skipped" in row[0][0] for row in kept if row)
        assert sorted(waits)[len(waits) // 2] < 0.5, "the median: the slowest is for make bench"


def test_the_queue_keeps_the_newest_and_counts_the_rest() -> None:
    queue = OutputQueue()
    for number in range(100_000):
        queue.put(b"%07d\n" % number)
        assert len(queue) <= MAX_QUEUED_BYTES
    rest = b""
    while piece := queue.take(1000):
        rest += piece
    assert rest.endswith(b"0099999\n")
    assert KEPT_BYTES / 2 < len(rest) <= MAX_QUEUED_BYTES
    assert queue.skipped == 800_000 - len(rest)
    assert len(rest) % 8 == 0, "it begins with a line"


async def test_the_cursor_says_where_keys_go() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, b"# ")

        def cursor_style() -> str:
            return str(app.view.render_line(0).crop(2, 3)._segments[0].style)

        away = cursor_style()
        app.view.typing = True
        assert cursor_style() != away
        await fed(pilot, app.view, b"\x1b[?25l")
        assert cursor_style() not in (away, ""), "a hidden one looks like any cell"


async def test_conceal_hides_and_blanks_are_painted_to_the_edge() -> None:
    app = TerminalApp()
    async with app.run_test(size=SIZE) as pilot:
        await fed(pilot, app.view, b"\x1b[8msecret\x1b[m seen" + SHELL)
        assert rows_of(app.view)[0].startswith("       seen")
        assert {app.view.render_line(y).cell_length for y in range(SIZE[1])} == {SIZE[0]}
