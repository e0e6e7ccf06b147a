"""A checkbox in ASCII, `[x] label` or `[ ] label`, independent of colour."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Toggle(Widget, can_focus=True):
    """Space or a click toggles it and posts `Turned`. Enter is left to the form."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Toggle { height: 1; width: 1fr; padding: 0 1; background: $panel; color: $foreground; border-left: wide $rule;
        text-wrap: nowrap; text-overflow: ellipsis; }
    Toggle:focus { border-left: wide $accent; text-style: $focus-style; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "turn", show=False)]
    value: reactive[bool] = reactive(False, init=False)

    class Turned(Message):
        """The value has changed."""

        def __init__(self, toggle: Toggle) -> None:
            super().__init__()
            self.toggle = toggle

    def __init__(self, label: str, value: bool = False, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._label = label
        self.set_reactive(Toggle.value, value)

    def render(self) -> Content:
        return Content(f"[{'x' if self.value else ' '}] {self._label}")

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return self.render().cell_length

    def watch_value(self) -> None:
        self.post_message(self.Turned(self))

    def action_turn(self) -> None:
        self.value = not self.value

    def on_click(self) -> None:
        self.action_turn()
