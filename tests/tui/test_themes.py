"""The themes: readable by measure, and every tone has a colour in each."""

from __future__ import annotations

import pytest
from rich._palettes import EIGHT_BIT_PALETTE, STANDARD_PALETTE
from rich.color import Color as RichColor
from rich.color import ColorSystem
from textual import constants
from textual.color import Color
from textual.theme import Theme

from novacron_core.api.vms import State
from novacron_tui.terminal.glyphs import FINE, PLAIN, STATE_TONES
from novacron_tui.terminal.themes import DARK_16, DARK_256, PALETTES, THEMES, resolve_theme
from novacron_tui.widgets.cells import TONES
from novacron_tui.widgets.text_bar import TONE_STYLES
from tests.support.console.wire import Wire, console


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio."""
    first, second = sorted((luminance(one), luminance(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def luminance(colour: str) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part / 255) for part in Color.parse(colour).rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [*THEMES, *PALETTES], ids=lambda theme: theme.name)
def test_text_is_readable_on_every_ground(theme: Theme) -> None:
    grounds = [theme.background, theme.surface, theme.panel, theme.variables["cursor-ground"]]
    for ground in grounds:
        assert ground is not None
        assert contrast(str(theme.foreground), ground) >= 7, f"text on {ground}"
        for tone in ("quiet", "good", "busy", "warn", "bad"):
            least = 4.5 if ground in grounds[:2] else 3
            assert contrast(theme.variables[f"tone-{tone}"], ground) >= least, f"{tone} on {ground}"
    for fill in (theme.accent, theme.variables["tone-warn"], theme.variables["tone-bad"]):
        assert contrast(theme.variables["on-accent"], str(fill)) >= 4.5


def test_every_state_has_a_sign_a_word_and_a_tone() -> None:
    for glyphs in (FINE, PLAIN):
        signs = [glyphs.states[state] for state in State]
        assert len(set(signs)) == len(signs), "told apart without colour"
        assert all(len(sign) == 1 for sign in signs)
    assert all(PLAIN.states[state].isascii() for state in State)
    assert {STATE_TONES[state] for state in State} <= set(TONES) <= set(TONE_STYLES)


@pytest.mark.parametrize(("theme", "system"), [(DARK_256, ColorSystem.EIGHT_BIT), (DARK_16, ColorSystem.STANDARD)])
def test_palettes_have_only_colours_of_their_terminals_and_keep_the_tones_apart(
    theme: Theme, system: ColorSystem
) -> None:
    tones = {tone: theme.variables[f"tone-{tone}"] for tone in ("quiet", "good", "busy", "warn", "bad")}
    tones |= {"text": str(theme.foreground), "accent": str(theme.accent), "cursor": theme.variables["cursor-ground"]}
    drawn = {tone: RichColor.parse(colour).downgrade(system).number for tone, colour in tones.items()}
    assert len(set(drawn.values())) == len(drawn), drawn
    palette = EIGHT_BIT_PALETTE if system is ColorSystem.EIGHT_BIT else STANDARD_PALETTE
    for tone, number in drawn.items():
        assert number is not None
        there, wanted = palette[number], Color.parse(tones[tone]).rgb
        assert max(abs(a - b) for a, b in zip(there, wanted, strict=True)) <= 12, f"{tone} is drawn as another colour"


def test_the_dark_theme_is_drawn_with_the_colours_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for system, name in (
        ("truecolor", "novacron-dark"),
        ("256", "novacron-dark-256"),
        ("standard", "novacron-dark-16"),
    ):
        monkeypatch.setattr(constants, "COLOR_SYSTEM", system)
        assert console(Wire()).theme == name
        assert console(Wire(), theme="light").theme == "novacron-light"


def test_names() -> None:
    assert resolve_theme("") == "novacron-dark"
    assert resolve_theme("mono") == resolve_theme("novacron-mono") == "novacron-mono"
    with pytest.raises(ValueError, match="choose one of dark, light"):
        resolve_theme("pink")


def test_no_color_means_mono_unless_a_theme_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert console(Wire()).theme == "novacron-mono"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console(Wire(), theme="light").theme == "novacron-light"
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console(Wire()).theme == "novacron-dark"
