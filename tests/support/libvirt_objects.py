"""Objects and errors as libvirt's binding returns them, for answers that no real host gives on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt


def libvirt_error(code: int, text: str, domain: int = libvirt.VIR_FROM_QEMU) -> Any:
    error = libvirt.libvirtError("x")
    error.err = (code, domain, text, 2, None, None, None, -1, -1)
    error.args = (text,)
    return error


class Thing:
    """A libvirt object whose methods return or raise what was given for their name."""

    def __init__(self, name: str | Callable[[], Any], **answers: Any) -> None:
        self._answers = answers | {"name": name}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answer = self._answers[name]
        return lambda *_: answer() if callable(answer) and not isinstance(answer, Thing) else answer
