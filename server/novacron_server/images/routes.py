"""The HTTP routes of images."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api import images as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.images.service import Images


def routes(images: Images) -> list[Served]:
    @serve(api.LIST)
    async def list_images(call: Call[ListQuery, Nothing]) -> Page[api.Image]:
        return page_of(await images.list(), call.query, text=lambda image: f"{image.name} {image.description}")

    @serve(api.PUT)
    async def put(call: Call[api.ImageQuery, Nothing]) -> api.Image:
        if call.stream is None:
            raise errors.InvalidArgument("The request body must be the image")
        return await images.put(call.path["name"], call.query, call.stream, call.length_bytes)

    @serve(api.DELETE)
    async def delete(call: Call[Nothing, Nothing]) -> Nothing:
        await images.delete(call.path["name"])
        return Nothing()

    return [list_images, put, delete]
