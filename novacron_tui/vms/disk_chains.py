"""The volumes that are deleted with a VM's disks beside the disks themselves: overlays that others have made, and their
base. The server decides; this is what the question before it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.volume_actions import BACKING_FILE
from novacron_tui.terminal.safe_text import one_line

_NAMED = 5
"""At most this many volumes are named."""


def chain_words(vms: Sequence[VM], volumes: Iterable[Volume]) -> str:
    """Names the bases and overlays among the volumes that go with the disks of these VMs; empty without any."""
    owners = {(vm.host, vm.id) for vm in vms}
    own = [volume for volume in volumes if (volume.host, volume.vm) in owners and volume.role in ("disk", BACKING_FILE)]
    bases = [volume for volume in own if not volume.unmanaged and volume.role == BACKING_FILE]
    found = [(volume, "base") for volume in bases] + [(volume, "overlay") for volume in _overlays(own)]
    if not found:
        return ""
    names = ", ".join(f"{one_line(volume.name)} ({what})" for volume, what in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"With {'its' if len(vms) == 1 else 'their'} disks go {names}{more}"


def _overlays(own: Sequence[Volume]) -> list[Volume]:
    """The unmanaged overlays of managed volumes, and the overlays of those, the lowest first. An overlay names its
    backing file without a path."""
    overlays: list[Volume] = []
    level = [volume for volume in own if not volume.unmanaged]
    while level:
        below = {(volume.host, volume.vm, volume.name) for volume in level}
        level = [
            volume
            for volume in own
            if volume.unmanaged and volume not in overlays and (volume.host, volume.vm, volume.backing_file) in below
        ]
        overlays += level
    return overlays
