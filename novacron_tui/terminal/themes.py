"""The themes: dark, and variants for light, high contrast, colour-blind and mono.

Each hue has one meaning: accent for the current position, green for running, amber for attention, red for failed, blue
for running operations. Text has a contrast of at least 7:1, quiet text 4.5:1 (WCAG 2.2, 1.4.3 and 1.4.6).
"""

from __future__ import annotations

from textual.theme import Theme

DEFAULT = "novacron-dark"
MONO = "novacron-mono"


def _theme(
    name: str,
    *,
    ground: str,
    raised: str,
    panel: str,
    text: str,
    quiet: str,
    rule: str,
    accent: str,
    good: str,
    busy: str,
    warn: str,
    bad: str,
    cursor: str,
    on_accent: str,
    dark: bool = True,
    cursor_style: str = "none",
) -> Theme:
    return Theme(
        name=name,
        primary=accent,
        secondary=busy,
        accent=accent,
        foreground=text,
        background=ground,
        surface=raised,
        panel=panel,
        success=good,
        warning=warn,
        error=bad,
        dark=dark,
        variables={
            "tone-quiet": quiet,
            "tone-good": good,
            "tone-busy": busy,
            "tone-warn": warn,
            "tone-bad": bad,
            "rule": rule,
            "on-accent": on_accent,
            "cursor-ground": cursor,
            "cursor-style": cursor_style,
            "focus-style": "bold" if cursor_style == "none" else f"bold {cursor_style}",
            "strong-style": "bold",
            **_textual_variables(ground, panel, text, quiet, rule, accent, cursor, cursor_style),
        },
    )


def _textual_variables(
    ground: str, panel: str, text: str, quiet: str, rule: str, accent: str, cursor: str, cursor_style: str
) -> dict[str, str]:
    """Textual's own variables, set to the colours of the theme."""
    focus_style = "bold" if cursor_style == "none" else cursor_style
    return {
        "border": accent,
        "border-blurred": rule,
        "scrollbar": rule,
        "scrollbar-hover": quiet,
        "scrollbar-active": accent,
        "scrollbar-background": ground,
        "scrollbar-background-hover": ground,
        "scrollbar-background-active": ground,
        "scrollbar-corner-color": ground,
        "input-cursor-background": text,
        "input-cursor-foreground": ground,
        "input-selection-background": cursor,
        "block-cursor-background": cursor,
        "block-cursor-foreground": text,
        "block-cursor-text-style": focus_style,
        "block-hover-background": panel,
        "button-focus-text-style": focus_style,
        "text-muted": quiet,
        "text-disabled": quiet,
    }


DARK = _theme(
    DEFAULT,
    ground="#10141b",
    raised="#171d27",
    panel="#1e2632",
    text="#cdd6e0",
    quiet="#8391a5",
    rule="#2c3747",
    accent="#6cb6d9",
    good="#86c58a",
    busy="#82a8f0",
    warn="#e6b45c",
    bad="#f07c82",
    cursor="#26394d",
    on_accent="#0c1117",
)
LIGHT = _theme(
    "novacron-light",
    ground="#fafbfc",
    raised="#eff2f5",
    panel="#e4e9ee",
    text="#1c2530",
    quiet="#566373",
    rule="#c5ced8",
    accent="#0b6188",
    good="#1f6b2d",
    busy="#2450a8",
    warn="#855300",
    bad="#b3202c",
    cursor="#cfe3f0",
    on_accent="#ffffff",
    dark=False,
)
CONTRAST = _theme(
    "novacron-contrast",
    ground="#000000",
    raised="#000000",
    panel="#1c1c1c",
    text="#ffffff",
    quiet="#d0d0d0",
    rule="#9a9a9a",
    accent="#5fd7ff",
    good="#5fff87",
    busy="#a8c7ff",
    warn="#ffd75f",
    bad="#ff9a9a",
    cursor="#00458a",
    on_accent="#000000",
)
COLOUR_BLIND = _theme(
    # Okabe and Ito's eight colours: distinguishable with protanopia, deuteranopia and tritanopia.
    "novacron-colour-blind",
    ground="#10141b",
    raised="#171d27",
    panel="#1e2632",
    text="#d8dee6",
    quiet="#8e9bad",
    rule="#2c3747",
    accent="#56b4e9",
    good="#56b4e9",
    busy="#cc9fc0",
    warn="#f0e442",
    bad="#ef8a3c",
    cursor="#26394d",
    on_accent="#0c1117",
)
MONOCHROME = _theme(
    MONO,
    ground="#101010",
    raised="#101010",
    panel="#1d1d1d",
    text="#d8d8d8",
    quiet="#9a9a9a",
    rule="#4a4a4a",
    accent="#ffffff",
    good="#d8d8d8",
    busy="#d8d8d8",
    warn="#ffffff",
    bad="#ffffff",
    cursor="#101010",
    on_accent="#101010",
    cursor_style="reverse",
)
DARK_256 = _theme(
    # Each is one of the 256 colours of xterm: others would be drawn as the nearest, and greys as navy or teal.
    "novacron-dark-256",
    ground="#121212",
    raised="#1c1c1c",
    panel="#262626",
    text="#dadada",
    quiet="#949494",
    rule="#444444",
    accent="#5fd7ff",
    good="#87d787",
    busy="#87afff",
    warn="#ffaf5f",
    bad="#ff8787",
    cursor="#303030",
    on_accent="#121212",
)
DARK_16 = _theme(
    # The sixteen of ANSI, where the nearest to every soft colour is white.
    "novacron-dark-16",
    ground="#000000",
    raised="#000000",
    panel="#000000",
    text="#ffffff",
    quiet="#aaaaaa",
    rule="#555555",
    accent="#55ffff",
    good="#55ff55",
    busy="#ff55ff",
    warn="#ffff55",
    bad="#ff5555",
    cursor="#0000aa",
    on_accent="#000000",
)
PALETTES: tuple[Theme, ...] = (DARK_256, DARK_16)
"""What the dark theme is on terminals with few colours."""
_PALETTE_OF = {"256": DARK_256.name, "standard": DARK_16.name}
THEMES: tuple[Theme, ...] = (DARK, LIGHT, CONTRAST, COLOUR_BLIND, MONOCHROME)


def resolve_theme(name: str) -> str:
    """The full name of a theme given by short or full name (`mono`, `novacron-mono`); empty means dark.

    Raises ValueError, listing the short names.
    """
    if name in [palette.name for palette in PALETTES]:
        return name
    full = name if name.startswith("novacron-") else f"novacron-{name or 'dark'}"
    names = [theme.name for theme in THEMES]
    if full not in names:
        known = ", ".join(known.removeprefix("novacron-") for known in names)
        raise ValueError(f"unknown theme {name!r}: choose one of {known}")
    return full


def with_colors_of(name: str, color_system: str | None) -> str:
    """The name of the theme to use for the named one on a terminal with this colour system of rich."""
    return _PALETTE_OF.get(color_system or "", name) if name == DEFAULT else name
