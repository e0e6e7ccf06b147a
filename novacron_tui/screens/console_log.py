"""The console log of one VM: the last boot or all of it, followed at its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from novacron_core.api.vms import VM
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import key_of
from novacron_tui.console_logs.reading import LogText
from novacron_tui.console_logs.view import LogView
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.global_actions import EVERYWHERE, VMS, bindings
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import SET_UP_CONSOLE
from novacron_tui.vms.perform import VMActionRunner
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.form import Form, Refused, Values
from novacron_tui.widgets.text_bar import Piece

READ_EVERY_S = 1.0
_MAX_COPIED = 100_000
"""Characters: terminals refuse longer texts for their clipboard."""


def _action(name: str, key: str, label: str, help: str, run: Any, *, only_view: bool = True) -> Action[Any]:
    return Action(name, key, label, help, needs_one=False, group="Log", only_view=only_view, run=run)


# fmt: off
FIND = Action[Any](
    "find", "/", "search", "Search the log.", needs_one=False, group="Log", opens=True, run=lambda screen, _: screen.open_search(),
)
NEXT = _action("next", "n", "next", "Go to the next line found.", lambda screen, _: screen.find_next(1))
BEFORE = _action("before", "N", "previous", "Go to the line found before.", lambda screen, _: screen.find_next(-1))
MARK_LINE = _action("mark", "space", "mark", "Mark the line, to copy it.", lambda screen, _: screen.mark_line())
COPY = _action("copy", "y", "copy", "Copy the marked lines, or all, to the terminal's clipboard.",
    lambda screen, _: screen.copy_lines(), only_view=False)
SAVE = Action[Any]("save", "S", "save", "Save what is shown to a file of this machine.", needs_one=False, group="Log",
    opens=True, run=lambda screen, _: screen.save())
BOOTS = _action("boots", "w", "last boot/all", "Show the last boot, or all that is kept.", lambda screen, _: screen.toggle_boots())
END = _action("follow", "end", "follow", "Go to the end, and follow what is printed.", lambda screen, _: screen.view.action_to_end())
SET_UP = Action[Any](SET_UP_CONSOLE.name, "u", SET_UP_CONSOLE.label, SET_UP_CONSOLE.help, SET_UP_CONSOLE.endpoint,
    SET_UP_CONSOLE.why_not, SET_UP_CONSOLE.danger, group="Log", rare=True, command=SET_UP_CONSOLE.command,
    run=lambda screen, vm: screen.set_up_console(vm))
LEAVE = Action[Any]("back", "escape", "back", "Clear the search, then the marks, or go back.", needs_one=False, group="Log",
    run=lambda screen, _: screen.go_back())
# fmt: on


_ON_LINES = frozenset({FIND, NEXT, BEFORE, END, MARK_LINE, COPY, SAVE})


class ConsoleLogScreen(BaseScreen):
    """Nothing of it reaches the terminal raw: `LogText` makes it harmless."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = (
        SET_UP, FIND, NEXT, BEFORE, BOOTS, END, MARK_LINE, COPY, SAVE, LEAVE, *EVERYWHERE,
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)
    DEFAULT_CSS = """
    ConsoleLogScreen #state { height: auto; padding: 1 2; color: $tone-quiet; display: none; }
    """

    def __init__(self, session: Session, glyphs: Glyphs, vm: VM) -> None:
        super().__init__(session, glyphs)
        self._vm = vm
        self.vm_actions = VMActionRunner(self)
        self.view = LogView()
        self.search = FilterLine()
        self._state = Static(id="state", markup=False)
        self._text = LogText(session, vm.id)
        self._dropped = 0

    def body(self) -> Widget:
        return Vertical(self._state, self.view, self.search)

    def on_mount(self) -> None:
        self.view.focus()
        self._read()
        self.set_interval(READ_EVERY_S, self._read_if_seen)

    def _read_if_seen(self) -> None:
        if self._is_frontmost and (self.view.follows or self._text.answer is None or not self._text.answer.recorded):
            self._read()

    @work(group="read-log")
    async def _read(self) -> None:
        text = self._text
        if text.reading:
            return
        text.reading = True
        try:
            changed = await text.read()
        finally:
            text.reading = False
        if changed and text is self._text:
            self._draw()

    def _draw(self) -> None:
        lines, text = [*self._text.lines, *self._text.rest], self._text
        self.view.show(lines, text.dropped - self._dropped)
        self._dropped = text.dropped
        words = self._state_words(lines)
        self._state.update(words)
        self._state.display = bool(words)
        self.view.display = not words
        self.refresh_frame()

    def _state_words(self, lines: Sequence[str]) -> str:
        """What is shown instead of a log; empty if there is one."""
        answer = self._text.answer
        if lines:
            return ""
        if self._text.problem:
            return f"The log cannot be read: {self._text.problem}"
        if answer is None:
            return "Reading the log…"
        if not answer.recorded:
            offer = f"\n\n{SET_UP_CONSOLE.key or ':' + SET_UP_CONSOLE.name} gives it one that is logged, from its next start on."
            return one_line(answer.note) + (offer if answer.may_set_up else "")
        return (
            "It has printed nothing yet."
            if not self._text.last_boot
            else "It has printed nothing since it booted last."
        )

    # -- the frame ---------------------------------------------------------------------------------------------------

    def subject(self, action: Action[Any]) -> Any:
        return self.session.store.vms.get(key_of(self._vm), self._vm)

    def chosen(self) -> Sequence[VM]:
        return [self.subject(SET_UP)]

    def why_not(self, action: Action[Any]) -> str | None:
        answer = self._text.answer
        if action is SET_UP and (answer is None or not answer.may_set_up):
            return "there is nothing to set up"
        if action in _ON_LINES and not self.view.lines:
            return "there are no lines"
        if action is BOOTS and (answer is None or not answer.recorded):
            return "there is no log"
        return super().why_not(action)

    def crumbs(self) -> Sequence[str]:
        return [VMS.label, one_line(self._vm.name), "log"]

    def hint(self) -> Sequence[Piece]:
        answer, text = self._text.answer, self._text
        if text.problem and answer is not None:
            return [Piece(f"{self.glyphs.bad} {text.problem}", "bad")]
        if answer is None or not answer.recorded:
            return ()
        part = "last boot" if text.last_boot else "all"
        age = f", printed {age_text(age_s(answer.at, self.session.now))} ago" if answer.at else ""
        pieces = [
            Piece(f"{part}: {counted(len(self.view.lines), 'line')}, {size_text(answer.size_bytes)} kept{age}", "quiet")
        ]
        pieces.append(
            Piece("  follows" if self.view.follows else "  end follows", "busy" if self.view.follows else "quiet", 1)
        )
        if self.view.marked:
            pieces.append(Piece(f"  {counted(len(self.view.marked), 'line')} marked: y copies", "accent"))
        if text.note:
            pieces.append(Piece(f"  {text.note}", "warn", 2))
        return pieces

    def _offered(self) -> list[Action[Any]]:
        """While the search is typed, letters are text."""
        return [] if self.search.editing else super()._offered()

    # -- actions -----------------------------------------------------------------------------------------------------

    def open_search(self) -> None:
        self.search.open("search")

    @on(FilterLine.Changed)
    def _typed(self, event: FilterLine.Changed) -> None:
        found = self.view.find(event.text)
        self.search.show_note("" if found or not event.text else "not found", "warn")

    @on(FilterLine.Closed)
    def _search_ended(self) -> None:
        self.view.focus()

    def find_next(self, by: int) -> None:
        """Go to another line with the text that is searched."""
        if not self.search.text:
            self.say("nothing is searched: / searches", "warn")
        elif not self.view.find(self.search.text, by):
            self.say(f"not found: {one_line(self.search.text)}", "warn")

    def mark_line(self) -> None:
        self.view.toggle_mark()

    def copy_lines(self) -> None:
        """Copy the marked lines, or all, as far as a terminal takes them."""
        lines = self.view.chosen()
        text = "\n".join(lines)
        if len(text) > _MAX_COPIED:
            return self.say(
                f"{counted(len(lines), 'line')} are too long for a clipboard: mark fewer, or save them", "warn"
            )
        self.app.copy_to_clipboard(text)
        return self.say(f"copied {counted(len(lines), 'line')}")

    def toggle_boots(self) -> None:
        """Read the log from another place on."""
        self._text = LogText(self.session, self._vm.id, last_boot=not self._text.last_boot)
        self._dropped = 0
        self.view.marked, self.view.follows = set(), True
        self._draw()
        self._read()

    async def set_up_console(self, vm: VM) -> None:
        """Give the VM a serial console that is logged."""
        await self.vm_actions.perform(SET_UP_CONSOLE, [vm])

    async def save(self) -> None:
        """Ask for a path, and write what is shown there. Must be called from a worker."""
        lines = list(self.view.lines)
        name = "".join(char if char.isalnum() or char in "-_." else "-" for char in self._vm.name)

        async def write(values: Values, _key: str) -> Path:
            path = Path(values["path"]).expanduser()
            if path.exists() and await self.ask(_replace(path)) is None:
                raise Refused("nothing was written", {})
            try:
                _write(path, lines)
            except OSError as e:
                raise Refused(f"{e.strerror}: {one_line(str(path))}", {}) from e
            return path

        fields = {
            "path": FormField("File", value=f"{name}-console.txt", advice="On this machine, readable by you only")
        }
        path: Path | None = await self.show_dialog(Form("Save the log", fields, "Save", write))
        if path is not None:
            self.say(f"{counted(len(lines), 'line')} written to {one_line(str(path))}", "good")

    def go_back(self) -> None:
        """Clear the search, then the marks, or go back."""
        if self.search.text:
            self.search.action_clear()
        elif self.view.marked:
            self.view.marked = set()
            self.view.refresh()
        else:
            self.leave()


def _replace(path: Path) -> Question:
    return Question("Replace the file?", [[Piece(one_line(str(path)))], [Piece("Its content is lost.")]], yes="Replace")


def _write(path: Path, lines: Sequence[str]) -> None:
    """Consoles may show passwords, so only the operator may read it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write("".join(f"{line}\n" for line in lines))
