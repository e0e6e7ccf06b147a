"""Records refused requests and failed sign-ins, after their answers were sent: in batches, and never without bound.

So it does with what is made without the database and must go on while that is down, such as an open console.

Those of a user are entries, up to PER_MINUTE; more of them, and those of strangers, are counted into one entry a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import structlog

from novacron_core.api.access import User
from novacron_core.api.audit import INSTALLATION, AuditResult
from novacron_core.api.operations import Target
from novacron_core.errors import DatabaseUnavailable
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.values.roles import Permission
from novacron_server.audit import repository
from novacron_server.audit.records import Actor, AuditDraft, acting_in, action_of, chain_of, refusal, target_of
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.asked import Asked
from novacron_server.http.limits import Counts, network_of

MAX_WAITING = 5000
PER_MINUTE = 60
TALLIED_S = 60.0
MAX_TALLIES = 1000
FAILURES, FAILURES_WITHIN_S = 10, 600.0
"""So many failed sign-ins of an account within that time are worth a warning."""
_BATCH = 500
_PAUSE_S = 0.2
_RETRY_S = 1.0
_OTHERS = "other addresses"
_UNKNOWN = Target(type="user", id="", name="unknown account")
_log = structlog.get_logger(__name__)


FindObject = Callable[[Principal, Target], tuple[str, str | None] | None]


@dataclass(slots=True)
class _Tally:
    """Requests that become one entry. `draft` is that of the first."""

    draft: AuditDraft
    what: str
    began: float = field(default_factory=time.monotonic)
    statuses: Counter[int] = field(default_factory=Counter)

    def entry(self) -> AuditDraft:
        times = sum(self.statuses.values())
        by_status = ", ".join(f"{count} × {status}" for status, count in sorted(self.statuses.items()))
        detail = f"{times} {self.what} within a minute: {by_status}"
        return AuditDraft(
            tenant=self.draft.tenant,
            action=self.draft.action,
            target=self.draft.target,
            result=self.draft.result,
            actor=self.draft.actor,
            status=self.statuses.most_common(1)[0][0],
            detail=detail,
            times=times,
            time=self.draft.time,
        )


class Refusals:
    """One per server. Run `run` as a background task, and call `close` at the end.

    `find` returns the accounts with these names or ids. `warn` writes a warning about an account in a transaction, and
    `wake` is called after its commit. `find_object` returns the (name, tenant) of a target that a principal may see.
    """

    def __init__(
        self,
        database: Database,
        find: Callable[[Connection, Sequence[str], Sequence[str]], Awaitable[list[User]]],
        warn: Callable[[Connection, User, str], Awaitable[object]],
        *,
        wake: Callable[[], None] = lambda: None,
        find_object: FindObject = lambda principal, target: None,
        max_waiting: int = MAX_WAITING,
        tallied_s: float = TALLIED_S,
    ) -> None:
        self._database, self._find, self._warn, self._wake = database, find, warn, wake
        self._find_object = find_object
        self._max_waiting, self._tallied_s = max_waiting, tallied_s
        self._waiting: deque[Asked] = deque()
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._budgets = Counts()
        self._failures: dict[str, deque[float]] = {}
        self._lost = 0
        self._ready: list[AuditDraft] = []
        self._warnings: list[tuple[User, str]] = []
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(self, asked: Asked) -> None:
        """A request was refused. Never waits, and takes the same time whatever it was about."""
        if not _is_recorded(asked):
            return
        if _at_limit(asked) and self._budgets.take("limit", asked.user_id, 1).refused:
            return  # one entry a minute: the limit is there to save work
        if asked.who is None and not asked.user_id and not asked.username:
            self._count_stranger(asked)
        elif len(self._waiting) >= self._max_waiting:
            self._lost += 1
        else:
            self._waiting.append(asked)
            self._arrived.set()

    def record(self, draft: AuditDraft) -> None:
        """Something was done. Never waits."""
        if len(self._ready) >= self._max_waiting:
            self._lost += 1
        else:
            self._ready.append(msgspec.structs.replace(draft, time=draft.time or datetime.now(UTC)))
            self._arrived.set()

    async def run(self) -> None:
        """Write what was noted until cancelled. While the database is down, it waits in the queue."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, self._tallied_s)):
                    await self._arrived.wait()
            await asyncio.sleep(_PAUSE_S)  # so that what arrives together shares a transaction
            self._arrived.clear()
            try:
                await self.write()
            except DatabaseUnavailable as e:
                _log.warning("audit_waits_for_database", waiting=len(self._waiting), reason=e.detail)
                await asyncio.sleep(_RETRY_S)

    async def close(self) -> None:
        """Write everything, also what is still being counted."""
        self._tallied_s = 0.0
        with suppress(DatabaseUnavailable):
            await self.write()

    async def write(self) -> None:
        """Write what was noted by now. Raises DatabaseUnavailable; then it is still there."""
        async with self._writing:  # at the end the last write may meet one of the task
            await self._write()

    async def _write(self) -> None:
        while self._waiting or self._ready or self._lost or self._ripe():
            await self._resolve()
            ripe, lost = self._ripe(), self._lost
            counted = [self._tallies[key].entry() for key in ripe] + ([_loss(lost)] if lost else [])
            ready = list(self._ready)
            await self._commit([*ready, *counted])
            del self._ready[: len(ready)]  # more may have come meanwhile
            self._warnings.clear()
            self._lost -= lost
            for key in ripe:
                del self._tallies[key]

    async def _resolve(self) -> None:
        """Make entries of a batch of what waits."""
        batch = list(self._waiting)[:_BATCH]
        accounts = await self._accounts(batch)
        for asked in batch:
            self._waiting.popleft()
            try:
                self._add(asked, accounts)
            except Exception:  # noqa: BLE001 - one that cannot be recorded must not keep the others from it (G14)
                _log.exception("a refusal could not be recorded")
                self._lost += 1

    async def _commit(self, drafts: list[AuditDraft]) -> None:
        warnings = list(self._warnings)

        async def work(conn: Connection) -> None:
            await repository.write(conn, drafts)
            for user, sentence in warnings:
                await self._warn(conn, user, sentence)

        if drafts:
            await self._database.run(work)
        if warnings:
            self._wake()

    async def _accounts(self, batch: list[Asked]) -> dict[str, User]:
        """The accounts of those who did not show who they are, by name and by id."""
        strangers = [asked for asked in batch if asked.who is None]
        names, ids = [a.username for a in strangers if not a.user_id], [a.user_id for a in strangers if a.user_id]
        if not strangers:
            return {}
        found = await self._database.run(lambda conn: self._find(conn, names, ids), read_only=True)
        return {key: user for user in found for key in (user.id, user.username)}

    def _add(self, asked: Asked, accounts: dict[str, User]) -> None:
        draft, account = self._draft(asked, accounts)
        if draft is None:
            self._count_stranger(asked)
            return
        if self._budgets.take("refusals", draft.actor.id, PER_MINUTE).refused:
            self._count(("user", draft.actor.id), draft, "more refused requests", draft.status)
        else:
            self._ready.append(draft)
        if _at_limit(asked):
            user = accounts[asked.user_id]
            self._warnings.append((user, f"{user.username} reached the limit of requests per minute"))
        if account is not None and draft.result is AuditResult.FAILED and (sentence := self._failed(account)):
            self._warnings.append((account, sentence))

    def _draft(self, asked: Asked, accounts: dict[str, User]) -> tuple[AuditDraft | None, User | None]:
        """The entry of a request, and the account whose sign-in it was; no entry for a stranger."""
        assert asked.refused is not None
        if asked.who is not None:
            # What administrators ask for may be of any tenant, and the sentence that refuses it tells of it.
            tenant = INSTALLATION if may_see(asked.who, None) else asked.who.tenant
            draft = refusal(asked, asked.refused, acting_in(asked), tenant)
            return self._named(asked.who, draft), None
        account = accounts.get(asked.user_id or asked.username)
        if account is None:
            return None, None
        actor = Actor(id=account.id, name=account.username, address=asked.address, request_id=asked.request_id)
        draft = refusal(asked, asked.refused, actor, account.tenant)
        if asked.user_id:
            return draft, None
        wrong = asked.refused.status == 401
        return _changed(draft, Target(type="user", id=account.id, name=account.username), wrong=wrong), account

    def _named(self, who: Principal, draft: AuditDraft) -> AuditDraft:
        """With the name of what it is about, and in the chain of its tenant unless that is the installation's."""
        if (found := self._find_object(who, draft.target)) is None:
            return draft
        name, tenant = found
        target = Target(type=draft.target.type, id=draft.target.id, name=name)
        chain = INSTALLATION if may_see(who, None) else chain_of(tenant)
        return msgspec.structs.replace(draft, target=target, tenant=chain)

    def _failed(self, account: User) -> str:
        """Count a failed sign-in. Returns a warning with the tenth one, empty otherwise."""
        now = time.monotonic()
        if len(self._failures) > MAX_TALLIES:
            self._failures.clear()
        times = self._failures.setdefault(account.id, deque(maxlen=FAILURES))
        times.append(now)
        if len(times) < FAILURES or now - times[0] > FAILURES_WITHIN_S:
            return ""
        times.clear()
        return f"{FAILURES} sign-ins of {account.username} failed within {FAILURES_WITHIN_S / 60:.0f} min"

    # -- counting ----------------------------------------------------------------------------------------------------

    def _count_stranger(self, asked: Asked) -> None:
        assert asked.refused is not None
        network = network_of(asked.address)
        signs_in = asked.endpoint is not None and bool(asked.username)
        kind = "sign-in" if signs_in else "stranger"
        if len(self._tallies) >= MAX_TALLIES and (kind, network) not in self._tallies:
            network = _OTHERS
        draft = AuditDraft(
            tenant=INSTALLATION,
            action=action_of(asked.endpoint) if signs_in and asked.endpoint else "request",
            target=_UNKNOWN if signs_in else Target(type="", id=""),
            result=AuditResult.FAILED if signs_in else AuditResult.REFUSED,
            actor=Actor(address=network, request_id=asked.request_id),
            time=asked.at,
        )
        what = "sign-ins with unknown accounts" if signs_in else "refused requests without a valid token"
        self._count((kind, network), draft, what, asked.refused.status)

    def _count(self, key: tuple[str, str], draft: AuditDraft, what: str, status: int) -> None:
        self._tallies.setdefault(key, _Tally(draft, what)).statuses[status] += 1

    def _ripe(self) -> list[tuple[str, str]]:
        before = time.monotonic() - self._tallied_s
        return [key for key, tally in self._tallies.items() if tally.began <= before]


def _is_recorded(asked: Asked) -> bool:
    """Whether a refusal is one of access or of a rule, not of a form of words or of the database."""
    status = asked.refused.status if asked.refused else 0
    if asked.endpoint is None:
        return _at_limit(asked) or status == 403  # for a name that this server does not have
    if status == 429:
        return asked.endpoint.changes and asked.endpoint.permission is Permission.PUBLIC
    return status in (401, 403, 404, 409)  # 404: for an id in the path, the query or the body


def _at_limit(asked: Asked) -> bool:
    """Whether a user has used up the requests of this minute: that is refused before the endpoint is known."""
    return asked.endpoint is None and bool(asked.user_id) and asked.refused is not None and asked.refused.status == 429


def _changed(draft: AuditDraft, target: Target, *, wrong: bool = False) -> AuditDraft:
    return msgspec.structs.replace(draft, target=target, result=AuditResult.FAILED if wrong else draft.result)


def _loss(times: int) -> AuditDraft:
    return AuditDraft(
        tenant=INSTALLATION,
        action="audit.lost",
        target=target_of(Asked()),
        result=AuditResult.FAILED,
        actor=Actor(),
        detail=f"{times} refusals were not recorded: more came than could be written",
        times=times,
    )
