"""The HTTP routes of images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from novacron_core import errors
from novacron_core.api import images as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.rules.visibility import readable
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.images.service import Images

Recorded = Callable[[str, str], AbstractAsyncContextManager[list[str]]]
"""Records a change in the audit log, by its action and the image's name, around making it. Details go into the list."""


def routes(images: Images, recorded: Recorded) -> list[Served]:
    @serve(api.LIST)
    async def list_images(call: Call[ListQuery, Nothing]) -> Page[api.Image]:
        found = await images.list()
        told = [msgspec.structs.replace(image, problem=readable(call.principal, image.problem)) for image in found]
        return page_of(told, call.query, text=lambda image: f"{image.name} {image.description}")

    @serve(api.PUT)
    async def put(call: Call[api.ImageQuery, Nothing]) -> api.Image:
        if call.stream is None:
            raise errors.InvalidArgument("The request body must be the image")
        async with recorded("image.upload", call.path["name"]) as details:
            image = await images.put(call.path["name"], call.query, call.stream, call.length_bytes)
            details.append(f"{image.file_bytes} bytes, SHA-256 {image.sha256}")
        return image

    @serve(api.DELETE)
    async def delete(call: Call[Nothing, Nothing]) -> Nothing:
        async with recorded("image.delete", call.path["name"]):
            await images.delete(call.path["name"])
        return Nothing()

    return [list_images, put, delete]
