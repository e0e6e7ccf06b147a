"""Actions as the `novacron` commands that do the same in a script."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from novacron_core.api.sessions import AccountSession
from novacron_core.api.vms import VM
from novacron_tui.connection.session import Session
from novacron_tui.operations.entries import ActivityEntry
from novacron_tui.volumes.entries import VolumeEntry


def script_command(template: str, things: Sequence[Any], session: Session) -> str:
    """`novacron vm stop web-01 web-02 --profile prod`. What the operator must still fill in is in capitals."""
    names = " ".join(shlex.quote(_name(thing, session)) for thing in things) or "NAME"
    return f"novacron {template.replace('{names}', names)} {session.server.flag}"


def _name(thing: Any, session: Session) -> str:
    """The name of an object; the id where several have the name."""
    if isinstance(thing, VolumeEntry):
        same = [volume for volume in session.store.volumes.values() if volume.name == thing.volume.name]
        return thing.volume.name if len(same) == 1 else thing.volume.id
    if isinstance(thing, AccountSession):
        return thing.id
    if isinstance(thing, ActivityEntry):
        return thing.op.id if thing.op else ""
    if isinstance(thing, VM):
        alike = [vm for vm in session.store.vms.values() if vm.name == thing.name]
        return thing.name if len(alike) == 1 else thing.id
    return str(getattr(thing, "name", ""))
