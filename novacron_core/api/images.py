"""Images: what a new VM's first disk is copied from."""

from __future__ import annotations

from novacron_core.api.base import ListQuery, Page, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.rules.permissions import Permission as P


class Image(Value, frozen=True):
    """A disk image on the server. `size_bytes` is what the guest sees, `file_bytes` what it takes on disk.

    `direct_boot`: it brings its own kernel, so no boot loader is needed. `problem` says why it cannot be used.
    """

    name: str
    format: str
    size_bytes: int
    file_bytes: int
    description: str = ""
    direct_boot: bool = False
    source: str = ""
    problem: str = ""


LIST = endpoint("GET /api/storage/images", Page[Image], P.VOLUME_READ, query=ListQuery, summary="List images")
