"""The console tab of the VM page: typing into the guest, leaving it, and what works on the terminal meanwhile."""

from __future__ import annotations

from typing import Any

from textual import on

from novacron_core.api.vms import VM
from novacron_tui.actions import Action
from novacron_tui.consoles import actions as console_actions
from novacron_tui.consoles.actions import FIND_KEYS, leave_action
from novacron_tui.consoles.pane import ConsolePane
from novacron_tui.consoles.terminal_view import TerminalView
from novacron_tui.screens.vm_screen import VMScreen

TAB = "serial"


class ConsoleTab(VMScreen):
    """A subclass shows the tabs, and returns the console's pane in `console`, None while it was not shown."""

    @property
    def console(self) -> ConsolePane | None:
        raise NotImplementedError

    @property
    def on_console(self) -> bool:
        """Whether the console is the tab that is shown."""
        raise NotImplementedError

    def show_tab(self, name: str) -> None:
        raise NotImplementedError

    def open_console(self, _vm: VM) -> None:
        """Show the console, and type into the guest as soon as it is open."""
        if not self.on_console:
            self.show_tab(TAB)
        if self.console is not None:
            self.console.call_after_refresh(self.console.start_typing)

    def toggle_full(self) -> None:
        """Show nothing but the console, or the rest of the page too."""
        self.toggle_class("-full")

    def copy_console(self) -> None:
        """Copy what is marked in the console, or what its screen shows."""
        if (pane := self.console) is None:
            return
        text = pane.terminal.selected_text() or pane.terminal.shown_text()
        self.app.copy_to_clipboard(text)
        lines = text.count("\n") + 1
        pane.narrow_back()
        self.say(f"copied {lines:,} line{'' if lines == 1 else 's'}", "good")

    def narrow_back(self) -> bool:
        if not self.on_console or self.console is None:
            return super().narrow_back()
        if self.console.narrow_back():
            return True
        if self.has_class("-full"):
            self.toggle_full()
            return True
        return False

    def console_refusal(self, action: Action[Any]) -> str | None:
        """Why an action on the console cannot be done now, beside the general reasons."""
        return console_actions.why_not(action, self.console) if self.console is not None else None

    def console_keys(self) -> list[Action[Any]] | None:
        """The only keys that work now: while typing, and while text to find is typed. None: those of the page."""
        pane = self.console if self.on_console else None
        if pane is None:
            return None
        if pane.find.editing:
            return list(FIND_KEYS)
        return [leave_action(pane.detach.label)] if pane.terminal.takes_every_key else None

    @on(ConsolePane.Said)
    def _console_said(self, event: ConsolePane.Said) -> None:
        event.stop()
        self.say(event.text, event.tone)

    @on(ConsolePane.Changed)
    def _console_changed(self, event: ConsolePane.Changed) -> None:
        event.stop()
        self.refresh_frame()

    @on(ConsolePane.TakeOverWanted)
    def _take_over_wanted(self, event: ConsolePane.TakeOverWanted) -> None:
        event.stop()
        self.start(console_actions.TAKE_OVER)

    @on(TerminalView.PasteAsked)
    def _paste_asked(self, event: TerminalView.PasteAsked) -> None:
        event.stop()
        self.run_worker(console_actions.paste(self, event.text), group="paste", exclusive=True)
