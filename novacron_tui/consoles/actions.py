"""The actions on a VM's console."""

from __future__ import annotations

from typing import Any

from novacron_core.api import consoles
from novacron_core.api.consoles import LineState
from novacron_core.api.vms import VM
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.store import Store
from novacron_tui.consoles.pane import ConsolePane
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.text_bar import Piece

_GROUP = "Console"


def _why_no_console(vm: VM, _store: Store) -> str | None:
    if vm.simulated:
        return f"{one_line(vm.name)} is simulated: it has no serial console"
    return None


# fmt: off
CONSOLE = Action[VM](
    "console", ".", "console", "Open the VM's serial console and type into the guest.", consoles.CONSOLE,
    _why_no_console, group=_GROUP, opens=True, run=lambda screen, vm: screen.open_console(vm),
    command="console {names}",
)
FIND = Action[Any](
    "find", "/", "find", "Find text in the console; enter goes further up.", needs_one=False, group=_GROUP, opens=True,
    run=lambda screen, _: screen.console.find.open("find"),
)
MARK_TEXT = Action[Any](
    "mark", "space", "mark", "Mark text: move to one end, press space, move to the other; y copies it.", needs_one=False,
    group=_GROUP, only_view=True, run=lambda screen, _: screen.console.mark(),
)
COPY_TEXT = Action[Any](
    "copy-text", "y", "copy", "Copy the marked text, or what the screen shows.", needs_one=False, group=_GROUP,
    run=lambda screen, _: screen.copy_console(),
)
TAKE_OVER = Action[VM](
    "take-over", "W", "take over", "Type instead of who types now, or take the console from another program.",
    consoles.CONSOLE, danger=Danger.LOSES_WORK, group=_GROUP, rare=True, run=lambda screen, _: take_over(screen),
)
SEND_SIZE = Action[VM](
    "send-size", "R", "send size", "Type `stty rows … cols …`: a serial line does not tell the guest the size.",
    consoles.CONSOLE, group=_GROUP, run=lambda screen, _: screen.console.send_size(),
)
FULL_SCREEN = Action[Any](
    "full-screen", "F", "full screen", "Show nothing but the console, and back.", needs_one=False, group=_GROUP,
    only_view=True, run=lambda screen, _: screen.toggle_full(),
)
STOP_PASTE = Action[Any](
    "cancel", "C", "stop pasting", "Type nothing more of what was pasted.", needs_one=False, group=_GROUP, rare=True,
    run=lambda screen, _: screen.console.stop_pasting(),
)
# fmt: on
FIND_KEYS = (
    Action[Any](
        "next",
        "enter",
        "next match",
        "Show the next match further up.",
        needs_one=False,
        run=lambda screen, _: screen.console.find.keep(),
    ),
    Action[Any](
        "clear",
        "escape",
        "done",
        "End the search.",
        needs_one=False,
        run=lambda screen, _: screen.console.find.action_clear(),
    ),
)
"""The keys that work while text to find is typed."""
CONSOLE_ACTIONS = (FIND, MARK_TEXT, COPY_TEXT, TAKE_OVER, SEND_SIZE, FULL_SCREEN, STOP_PASTE)
"""What the console tab has beside the actions on its VM."""


def leave_action(label: str) -> Action[Any]:
    """What ends typing into the guest; `label` is its key."""
    return Action(
        "leave-console", label, "leave the guest (or F12)", "Let keys act on the console again.", needs_one=False,
        group=_GROUP, run=lambda screen, _: screen.console.stop_typing(),
    )  # fmt: skip


def why_not(action: Action[Any], pane: ConsolePane) -> str | None:
    """Why an action on the console cannot be done now, None if it can."""
    status = pane.status
    if action is TAKE_OVER and status.state is not LineState.HELD and not status.other:
        return "nobody else types: . types into the guest"
    if action is SEND_SIZE:
        return status.why_not_type()
    if action is STOP_PASTE and not pane.pasting:
        return "nothing is being pasted"
    return None


async def take_over(screen: Any) -> None:
    """Ask, naming who loses the console, and take it."""
    pane: ConsolePane = screen.console
    if pane.status.state is LineState.HELD:
        title, line = (
            "Take the console from another program?",
            "It is open elsewhere, such as in virsh, which loses it.",
        )
    else:
        title, line = (
            f"Take over from {pane.status.other}?",
            f"{pane.status.other} is told, and only reads from then on.",
        )
    if await screen.ask(Question(title, [[Piece(line)]], "Take over")) is not None:
        pane.take_over()


async def paste(screen: Any, text: str) -> None:
    """Ask before several lines are typed: each line break is an enter to the guest."""
    lines = text.count("\n") + 1
    first = one_line(text.splitlines()[0])[:50]
    question = Question(
        f"Paste {lines:,} lines into the guest?",
        [[Piece("Each line break acts as enter, unless a program there takes pastes.")], [Piece(first, "quiet")]],
        "Paste",
    )
    if await screen.ask(question) is not None:
        screen.console.terminal.paste(text)
    screen.console.start_typing()
