"""A form field: a label, an input, and a line below for advice or an error."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label, Select, Static

from novacron_tui.widgets.toggle import Toggle


class FormField(Vertical):
    """`why_not` returns the sentence that refuses a value. It is called when the field loses focus, and after a first
    error at every key. `advice` is shown while there is no error. The line below always exists, so the layout is
    stable."""

    DEFAULT_CSS = """
    FormField { height: auto; width: 100%; }
    FormField > Horizontal { height: 1; }
    FormField Label { width: 13; color: $tone-quiet; }
    FormField:focus-within { opacity: 1; }  /* without such a rule Textual does not restyle the children when the focus moves */
    FormField:focus-within Label { color: $foreground; }
    FormField Input { width: 1fr; height: 1; border: none; border-left: wide $rule; padding: 0 1; background: $panel; }
    FormField Input:focus { border: none; border-left: wide $accent; background: $panel; background-tint: $foreground 0%; }
    FormField Input.-invalid, FormField Input.-invalid:focus { border: none; border-left: wide $tone-bad; background-tint: $foreground 0%; }
    FormField .below { height: auto; min-height: 1; max-height: 2; margin-left: 13; padding-left: 2; color: $tone-quiet; }
    FormField.-warning .below { color: $tone-warn; }
    FormField.-wrong .below { color: $tone-bad; }
    """

    def __init__(
        self,
        label: str,
        widget: Input | Select[str] | Toggle | None = None,
        *,
        value: str = "",
        secret: bool = False,
        advice: str = "",
        placeholder: str = "",
        why_not: Callable[[str], str | None] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._label = label
        self.widget: Input | Select[str] | Toggle = widget or Input(
            value=value, password=secret, placeholder=placeholder
        )
        if isinstance(self.widget, Input):
            self.widget.cursor_blink = False  # no animation without a meaning
        self._advice = advice
        self._why_not = why_not
        self._below = Static(Content(advice), classes="below")
        self._was_refused = False
        self.sentence = ""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label(Content(self._label))
            yield self.widget
        yield self._below

    @property
    def value(self) -> str:
        """The text, the chosen value (empty if none), or `yes` or empty for a toggle."""
        if isinstance(self.widget, Input):
            return self.widget.value
        if isinstance(self.widget, Toggle):
            return "yes" if self.widget.value else ""
        return self.widget.value if isinstance(self.widget.value, str) else ""

    @value.setter
    def value(self, text: str) -> None:
        if isinstance(self.widget, Toggle):
            self.widget.value = bool(text)
        else:
            self.widget.value = text

    def check(self) -> str | None:
        """Check the value, show the error if any, and return it."""
        sentence = self._why_not(self.value) if self._why_not else None
        self.show_error(sentence or "")
        return sentence

    def show_error(self, sentence: str) -> None:
        """Show an error; an empty sentence shows the advice again."""
        self._was_refused = self._was_refused or bool(sentence)
        self.sentence = sentence
        self.set_class(bool(sentence), "-wrong")
        self.widget.set_class(bool(sentence), "-invalid")
        self._below.update(Content(sentence or self._advice))

    def show_advice(self, advice: str, *, warning: bool = False) -> None:
        """Replace the advice; a warning has the colour of one, and refuses nothing."""
        self._advice = advice
        self.set_class(warning, "-warning")
        if not self.sentence:
            self._below.update(Content(advice))

    @on(Input.Changed)
    def _typed(self) -> None:
        if self._was_refused:
            self.check()

    @on(Input.Blurred)
    def _check_on_blur(self) -> None:
        if self.value and self._why_not:
            self.check()
