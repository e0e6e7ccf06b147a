"""The way from one screen to another by its number. Light: the app knows it before the first paint."""

from textual.message import Message


class Go(Message):
    """To the app: show this screen, `vms` or `activity`; `vm_id`: with the cursor on this VM."""

    def __init__(self, screen: str, vm_id: str = "") -> None:
        super().__init__()
        self.screen = screen
        self.vm_id = vm_id
