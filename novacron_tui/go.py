"""The way from one screen to another by its number. Light: the app knows it before the first paint."""

from textual.message import Message


class Go(Message):
    """To the app: show this screen, `vms` or `activity`."""

    def __init__(self, screen: str) -> None:
        super().__init__()
        self.screen = screen
