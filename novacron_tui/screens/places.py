"""A screen that one comes back to is as it was left: its cursor, order, filter, and what else was chosen there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novacron_tui.screens.frame import Board


def go_on(board: Board) -> None:
    """Bring it to where the last one of its kind was. The session remembers which that was, so that a place lives as
    long as the sign-in and is nobody else's."""
    if board.HERE is None:
        return  # not a screen by number: the page of a VM is that VM's
    last = board.session.last_boards
    before, last[type(board)] = last.get(type(board)), board
    if before is not None and before is not board:
        board.go_on_from(before)
