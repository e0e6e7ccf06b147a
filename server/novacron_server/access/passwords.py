"""Hashes and verifies passwords on two threads of their own, and rejects passwords that are easy to guess."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from passlib.context import CryptContext

from novacron_core.errors import RateLimited
from novacron_core.values.names import why_not_password
from novacron_server.access.blocklist import why_not_common
from novacron_server.access.strength import why_not_weak

T = TypeVar("T")
THREADS = 2
WAITING = 64
"""How many requests may wait for a thread; at 50 ms each, the last one waits about two seconds."""
MEMORY_KIB = 47104
"""The memory of a hash: with one pass and one lane. Source: OWASP Password Storage Cheat Sheet."""
RESERVED = 16
"""How many of these places are for users who have signed in from the same network before."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right; `new_hash` replaces a stored hash that was made with weaker parameters."""

    right: bool
    new_hash: str | None = None


class Passwords:
    """Argon2id for new hashes; bcrypt hashes are accepted and replaced at the next sign-in.

    `memory_kib` is the memory of a hash, default: MEMORY_KIB. `comparisons` counts verifications.
    """

    def __init__(self, memory_kib: int | None = None) -> None:
        self._context = CryptContext(
            schemes=["argon2", "bcrypt_sha256", "bcrypt"],
            deprecated="auto",
            argon2__type="ID",
            argon2__memory_cost=memory_kib or MEMORY_KIB,
            argon2__time_cost=1,
            argon2__parallelism=1,
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._decoy = ""
        self.comparisons = 0

    async def hash(self, password: str) -> str:
        """Create a new hash. Raises RateLimited when too many requests are waiting."""
        return await self._run_in_thread(lambda: str(self._context.hash(_normalize(password))))

    async def compare(self, password: str, stored: str | None, *, known: bool = False) -> Verdict:
        """Compare with a stored hash; with None (no such user) do the same work, so that the timing reveals nothing.

        `known`: for somebody who has signed in before, for whom places are reserved. Raises RateLimited when too many
        requests are waiting.
        """
        waiting = WAITING if known else WAITING - RESERVED
        return await self._run_in_thread(lambda: self._compare(_normalize(password), stored), waiting)

    async def why_not(self, password: str, username: str) -> str | None:
        """Why a new password is rejected, as a sentence; None when it is fine. Raises RateLimited."""
        return why_not_password(password, username) or await self._run_in_thread(lambda: why_not(password, username))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def warm_up(self) -> None:
        """Create the decoy hash for unknown users, so that the first such request takes no longer than later ones."""
        await self._run_in_thread(self._make_decoy)

    def _compare(self, password: str, stored: str | None) -> Verdict:
        if stored is None:
            self._make_decoy()
        self.comparisons += 1
        try:
            right, new_hash = self._context.verify_and_update(password, stored or self._decoy)
        except ValueError:  # a stored bcrypt hash and a password that bcrypt cannot take, or a damaged hash
            return Verdict(False)
        return Verdict(bool(right) and stored is not None, new_hash)

    def _make_decoy(self) -> None:
        if not self._decoy:
            self._decoy = str(self._context.hash(secrets.token_urlsafe()))

    async def _run_in_thread(self, work: Callable[[], T], waiting: int = WAITING - RESERVED) -> T:
        if self._waiting >= waiting:
            raise RateLimited("too many users are signing in at once", retry_after_s=2.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def why_not(password: str, username: str) -> str | None:
    """Why a password is rejected, for its form or as too easy to guess, as a sentence; None when it is fine. Blocking."""
    return (
        why_not_password(password, username)
        or why_not_common(password, username)
        or why_not_weak(password, (username, "novacron", *username.replace("-", ".").replace("_", ".").split(".")))
    )


def _normalize(password: str) -> str:
    """Normalize text that keyboards compose differently. Source: NIST SP 800-63B-4, section 3.1.1.2."""
    return unicodedata.normalize("NFKC", password)
