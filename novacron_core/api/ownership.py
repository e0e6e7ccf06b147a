"""Requests that change whose a VM or a volume is."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Request


class HandOver(Request, frozen=True):
    """To whom a VM or a volume goes: a member of its tenant, or of another tenant. What is None stays."""

    owner: Annotated[str, Meta(max_length=32)] | None = None
    tenant: Annotated[str, Meta(max_length=64)] | None = None


class HandOverAll(Request, frozen=True):
    """To whom everything of a user goes: a member of each thing's tenant, or, for administrators, of `tenant`."""

    to: Annotated[str, Meta(max_length=32)]
    tenant: Annotated[str, Meta(max_length=64)] | None = None


class Adopt(Request, frozen=True):
    """The tenant and owner of a VM that NovaCron does not manage yet; `owner` defaults to the caller."""

    tenant: Annotated[str, Meta(max_length=64)]
    owner: Annotated[str, Meta(max_length=32)] | None = None
