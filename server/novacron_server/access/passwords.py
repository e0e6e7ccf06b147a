"""Passwords: hashed and compared on two threads of their own, refused when everybody tries them first."""

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

T = TypeVar("T")
THREADS = 2
WAITING = 64
"""How many may wait for a thread; at 50 ms each, the last of them waits about two seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right; `new_hash` replaces the stored one when that was made with weaker settings."""

    right: bool
    new_hash: str | None = None


class Passwords:
    """Argon2id for new hashes; bcrypt ones are understood and replaced at the next sign-in.

    Parameters: 46 MiB, 1 pass, 1 lane. Source: OWASP Password Storage Cheat Sheet. `comparisons` counts the work done.
    """

    def __init__(self, memory_kib: int = 47104) -> None:
        self._context = CryptContext(
            schemes=["argon2", "bcrypt_sha256", "bcrypt"],
            deprecated="auto",
            argon2__type="ID",
            argon2__memory_cost=memory_kib,
            argon2__time_cost=1,
            argon2__parallelism=1,
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._decoy = ""
        self.comparisons = 0

    async def hash(self, password: str) -> str:
        """A new hash. Raises RateLimited when too many wait already."""
        return await self._off_the_loop(lambda: str(self._context.hash(_normal(password))))

    async def compare(self, password: str, stored: str | None) -> Verdict:
        """Compare with a stored hash; with None (no such user) the same work is done for nothing.

        Raises RateLimited when too many wait already.
        """
        return await self._off_the_loop(lambda: self._compare(_normal(password), stored))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def warm_up(self) -> None:
        """Make the decoy for unknown users ahead, so that the first of them costs what the others do."""
        await self._off_the_loop(self._make_decoy)

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

    async def _off_the_loop(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING:
            raise RateLimited("too many are signing in at once; try again in a moment", retry_after_s=2.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def why_not(password: str, username: str) -> str | None:
    """The sentence that refuses a password, by its form or because everybody tries it; None when it is fine."""
    return why_not_password(password, username) or why_not_common(password, username)


def _normal(password: str) -> str:
    """One form for text that keyboards compose differently. Source: NIST SP 800-63B-4, section 3.1.1.2."""
    return unicodedata.normalize("NFKC", password)
