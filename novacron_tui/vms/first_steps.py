"""What an empty list of VMs teaches: the ways to begin, each only while it can work."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_core.api import images, vms
from novacron_core.api.hosts import HostStatus
from novacron_core.api.images import Image
from novacron_core.values.counts import counted
from novacron_core.values.roles import allows
from novacron_tui.connection.session import Session
from novacron_tui.servers.bundled import is_installed
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece

_GAP = 3


def first_steps(session: Session, known: Sequence[Image] | None) -> list[Piece]:
    """The ways to begin, in columns. `known` are the images of the server, None while they are not known."""
    rows = [*_create(session, known), *_upload(session)]
    if is_installed():
        rows.append(("novacron demo", "look around in a simulated fleet", "in your shell"))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    pieces = []
    for key, words, note in rows:
        pieces += [
            Piece(key.ljust(widths[0] + _GAP), "key"),
            Piece(words.ljust(widths[1] + _GAP)),
            Piece(f"{note.ljust(widths[2])}\n", "quiet"),
        ]
    if not session.may(vms.CREATE):
        limited = allows(session.user.role, vms.CREATE.permission)
        who = "this API token" if limited else f"your role ({session.user.role})"
        pieces.append(Piece(f"\n{who} cannot create VMs", "quiet"))
    return pieces


def _create(session: Session, known: Sequence[Image] | None) -> list[tuple[str, str, str]]:
    up = any(host.status is HostStatus.UP for host in session.store.hosts.values())
    usable = [image for image in known or () if not image.problem]
    if not session.may(vms.CREATE) or not up or (known is not None and not usable):
        return []
    ready = f"{one_line(usable[0].name)} is ready" if len(usable) == 1 else f"{counted(len(usable), 'image')} are ready"
    return [("c", "create a VM from an image", ready if usable else "")]


def _upload(session: Session) -> list[tuple[str, str, str]]:
    return [("i", "upload an image of your own", "qcow2 or raw")] if session.may(images.PUT) else []
