"""How a table looks: the theme's tones and the parts that have a style of their own."""

from novacron_tui.widgets.cells import TONES

CSS = """
Table { background: $background; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
Table > .table--header { color: $tone-quiet; }
Table > .table--sorted { color: $accent; text-style: $strong-style; }
Table > .table--cursor { background: $cursor-ground; text-style: $cursor-style; }
Table > .table--mark { color: $accent; text-style: bold; }
Table > .tone--plain { color: $foreground; }
Table > .tone--quiet { color: $tone-quiet; }
Table > .tone--strong { color: $foreground; text-style: $strong-style; }
Table > .tone--good { color: $tone-good; }
Table > .tone--busy { color: $tone-busy; }
Table > .tone--warn { color: $tone-warn; }
Table > .tone--bad { color: $tone-bad; text-style: $strong-style; }
Table > .tone--accent { color: $accent; }
"""
PARTS = {
    "table--header",
    "table--sorted",
    "table--cursor",
    "table--mark",
    *(f"tone--{tone}" for tone in TONES),
}
