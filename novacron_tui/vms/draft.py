"""The draft of a VM: the rules of each form field, checked while typing, and the resulting request."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from novacron_core.api.images import Image
from novacron_core.api.vms import VMCreate
from novacron_core.rules.validation import parse_size_for
from novacron_core.values.names import name_in_tenant, why_not_vm_name
from novacron_core.values.sizes import KIB, parse_size, size_text
from novacron_core.values.tiers import TierName
from novacron_tui.connection.store import Store
from novacron_tui.terminal.safe_text import one_line

USER_NETWORK = "user"
MAX_VCPUS = 512
DEMO = "demo extra"
"""The source of the one image that says how to log in to its guests."""


class VMDraft:
    """The form fields have the names of the request's. Each `why_not_…` takes the typed text and returns the sentence that refuses it, or None."""

    def __init__(self, store: Store, tenant: str) -> None:
        """`tenant` is the one in which the VM will be created."""
        self._store = store
        self._tenant = tenant
        self.images: dict[str, Image] = {}

    def why_not_name(self, name: str, host: str) -> str | None:
        if refused := why_not_vm_name(name):
            return refused
        taken = name_in_tenant(name, self._tenant)
        for vm in self._store.vms.values():
            if vm.name == taken and host in ("", vm.host):
                host_name = one_line(self._store.host_name(vm.host))
                return f"A VM named {name} already exists on {host_name}. Choose another name."
        return None

    def why_not_vcpus(self, text: str) -> str | None:
        fits = text.strip().isascii() and text.strip().isdecimal() and len(text.strip()) < 5
        return None if fits and 1 <= int(text) <= MAX_VCPUS else f"Enter a whole number from 1 to {MAX_VCPUS}"

    def why_not_memory(self, text: str) -> str | None:
        try:
            parse_size_for(VMCreate, "memory_bytes", text)
        except ValueError as e:
            return str(e)
        return None

    def why_not_disk(self, text: str, image: str) -> str | None:
        if not text.strip():
            return None
        try:
            size = parse_size_for(VMCreate, "disk_bytes", text)
        except ValueError as e:
            return str(e)
        least = known.size_bytes if (known := self.images.get(image)) else 0
        return f"{size_text(size)} is smaller than the image ({size_text(least)})" if size < least else None

    def disk_bytes(self, text: str, image: str) -> int | None:
        """The size of the disk: the typed one, or else the image's. None while that is invalid or unknown."""
        if self.why_not_disk(text, image):
            return None
        if text.strip():
            return parse_size(text)
        return known.size_bytes if (known := self.images.get(image)) else None

    def body(self, values: Mapping[str, str]) -> VMCreate:
        """The request from valid values. Memory is rounded down to whole KiB, libvirt's unit."""
        return VMCreate(
            name=values["name"],
            image=values["image"],
            vcpus=int(values["vcpus"]),
            memory_bytes=parse_size(values["memory_bytes"]) // KIB * KIB,
            disk_bytes=parse_size(values["disk_bytes"]) if values["disk_bytes"] else None,
            tier=msgspec.convert(values["tier"], TierName),
            host=values.get("host") or None,
            network=values["network"] or None,
            description=self._how_to_log_in(values["image"], values["name"]),
            start=bool(values["start"]),
        )

    def _how_to_log_in(self, image: str, name: str) -> str:
        """The description of a VM from an image that says how to log in: its page shows it."""
        login = split_login(known)[1] if (known := self.images.get(image)) else ""
        return f"{login.partition(';')[0]}; novacron console {name}" if login else ""


def split_login(image: Image) -> tuple[str, str]:
    """What an image is, and how to log in to its guests; empty if it does not say."""
    what, _, login = image.description.partition("; ")
    return (what, login) if image.source == DEMO and login.startswith("login ") else (image.description, "")
