"""Images: the source of a new VM's first disk."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from novacron_core.api.base import ListQuery, Nothing, Page, Request, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class Image(Value, frozen=True):
    """A disk image on the server. `size_bytes` is the virtual size, `file_bytes` the space used on disk.

    `direct_boot`: the image has its own kernel, so no boot loader is needed. `problem` says why it cannot be used.
    """

    name: str
    format: str
    size_bytes: int
    file_bytes: int
    description: str = ""
    direct_boot: bool = False
    source: str = ""
    problem: str = ""
    sha256: str = ""
    """Checksum of the uploaded file; set only in the response to an upload."""


class ImageQuery(Request, frozen=True):
    """`sha256` (64 hex digits): the upload is rejected if its checksum differs. `replace` an existing image."""

    format: Literal["qcow2", "raw"] = "qcow2"
    sha256: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""
    replace: bool = False


LIST = endpoint("GET /api/storage/images", Page[Image], P.VOLUME_READ, query=ListQuery, summary="List images")
PUT = endpoint(
    "PUT /api/storage/images/{name}",
    Image,
    P.IMAGE_CHANGE,
    query=ImageQuery,
    status=201,
    kind="upload",
    summary="Upload an image; the body is the file",
)
DELETE = endpoint(
    "DELETE /api/storage/images/{name}", Nothing, P.IMAGE_CHANGE, status=204, summary="Delete an uploaded image"
)
