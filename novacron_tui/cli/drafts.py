"""Turns the flags of `vm create` into the API request, validated by the API types before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from novacron_core.api.vms import VMCreate
from novacron_core.rules.validation import explain
from novacron_core.values.names import why_not_image_name, why_not_vm_name
from novacron_core.values.sizes import parse_size
from novacron_tui.cli.runtime.exit_codes import UsageError


def vm(*, name: str, memory: str, disk: str, host: str, network: str, tags: Sequence[str], **plain: Any) -> VMCreate:
    """The request body. Raises UsageError with what is wrong."""
    if refused := why_not_vm_name(name):
        raise UsageError(refused)
    if refused := why_not_image_name(str(plain.get("image", ""))):
        raise UsageError(f"--image: {refused}")
    values = {
        **plain,
        "name": name,
        "memory_bytes": _size("--memory", memory),
        "disk_bytes": _size("--disk", disk) if disk else None,
        "host": host or None,
        "network": network or None,
        "tags": dict(_tag(text) for text in tags),
    }
    try:
        return msgspec.convert(values, VMCreate)
    except msgspec.ValidationError as e:
        sentence, field = explain(str(e))
        raise UsageError(f"--{field.split('_')[0]}: {sentence}") from e


def _size(flag: str, text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as e:
        raise UsageError(f"{flag} {text}: {e}") from e


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--tag must be key=value, not {text!r}")
    return key, value
