"""The titles of dialogs name the server that they act on, and warn where it is a production server."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from novacron_tui.widgets.text_bar import Piece, content

PRODUCTION_CLASS = "-production"


class NamesServer(Widget):
    """A dialog that acts on a server. Its screen calls `name_server` before it shows the dialog."""

    _server = ""
    _production = False

    def name_server(self, profile: str, *, production: bool) -> None:
        """The profile of the server, and whether it is marked as a production server."""
        self._server, self._production = profile, production
        self.set_class(production, PRODUCTION_CLASS)

    def titled(self, title: str) -> Content:
        """The title with the server's profile before it."""
        if not self._server:
            return Content(title)
        if self._production:
            return content([Piece(f" {self._server} ", "danger"), Piece(f" {title}", "bad")])
        return content([Piece(f"{self._server}: ", "quiet"), Piece(title, "strong")])
