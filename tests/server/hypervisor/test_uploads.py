"""An image that is replaced while it is copied into a volume fails the upload."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from novacron_core.errors import Conflict
from novacron_server.hypervisor.storage import uploads
from novacron_server.hypervisor.storage.pieces import write_piece
from novacron_server.hypervisor.storage.uploads import Upload


class FakeConnection:
    """A fake connection, stream and volume that accepts all data."""

    def __init__(self) -> None:
        self.sent, self.ended = b"", ""

    def newStream(self, _: int) -> FakeConnection:
        return self

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def finish(self) -> None:
        self.ended = "finished"

    def abort(self) -> None:
        self.ended = "aborted"


@pytest.mark.parametrize(("size", "said"), [(4000, None), (5000, "grew"), (3000, "shrank")])
def test_upload_of_a_file_that_changed_its_length_is_aborted(
    monkeypatch: pytest.MonkeyPatch, size: int, said: str | None
) -> None:
    line: Any = FakeConnection()
    volume = SimpleNamespace(upload=lambda *_: None, info=lambda: None)
    monkeypatch.setattr(uploads, "find_volume", lambda *_: volume)
    upload = Upload(lambda: io.BytesIO(bytes(size)), 4000, lambda *_: None, threading.Event())
    if said is None:
        upload.run(line, "pool", "name")
        assert (len(line.sent), line.ended) == (4000, "finished")
        return
    with pytest.raises(Conflict, match=said):
        upload.run(line, "pool", "name")
    assert line.ended == "aborted"


def test_hole_is_sent_as_zeros_where_the_new_volume_may_have_data(monkeypatch: pytest.MonkeyPatch) -> None:
    holes: list[int] = []
    line: Any = FakeConnection()
    line.sendHole = holes.append
    volume = SimpleNamespace(upload=lambda *_: None, info=lambda: None)
    monkeypatch.setattr(uploads, "find_volume", lambda *_: volume)
    pipe = io.BytesIO()
    for data, hole in ((b"x" * 100, 0), (b"", 1000), (b"y", 0), (b"", 50)):
        write_piece(pipe, data, hole)
    pipe.seek(0)
    Upload(lambda: pipe, None, lambda *_: None, threading.Event(), 600).run(line, "pool", "name")
    assert line.sent == b"x" * 100 + bytes(500) + b"y"
    assert holes == [500, 50]
