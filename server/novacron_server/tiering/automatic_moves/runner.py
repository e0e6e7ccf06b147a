"""Makes the advised moves that the policy lets the server make by itself, one at a time per pair of tiers and host.

Every decision is a row, written before it is carried out: a move's operation has the row's id as its idempotency key, so
that after a crash each move is found again, or known not to have begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.automatic import AutomaticPolicy, AutomaticStatus, PairPolicy, PairStatus
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.volumes import VolumeMove
from novacron_core.rules.tiering.advice import Advice, TierSpace
from novacron_core.rules.tiering.automatic import (
    Held,
    MoveVerdict,
    PairNow,
    TierNow,
    considered,
    decide,
    why_pair_waits,
    why_slow,
)
from novacron_core.rules.visibility import SHARED, Principal
from novacron_core.values.roles import Role
from novacron_core.values.tiers import PAIRS, TIERS, TierName, TierPair, pair_of, tier_named
from novacron_core.values.windows import is_open, parse_windows
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations import repository as operation_rows
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.repository import StoredOperation
from novacron_server.operations.retries import retry_until_done
from novacron_server.operations.runner import Operations
from novacron_server.outbox.repository import wait_for_open_transactions
from novacron_server.tasks import try_to
from novacron_server.tiering.advisor import Advisor, HostState
from novacron_server.tiering.automatic_moves import repository as decisions
from novacron_server.tiering.automatic_moves.held import HeldMoves
from novacron_server.tiering.automatic_moves.memory import OFF, REST, MoveMemory, place_of
from novacron_server.tiering.automatic_moves.repository import Decided
from novacron_server.tiering.book import HeatBook
from novacron_server.volumes.service import Volumes

_log = structlog.get_logger()
EVERY_S = 30.0
CONSIDERED = 100
"""Of so many advised moves of a pair and host it is decided at a time: those after them wait for these."""
_TURNED_OFF = "were turned off"
ACTOR = Principal(
    user_id="storage-policy",
    username="storage policy",  # with a space, which no user name has
    role=Role.ADMINISTRATOR,
    tenant=SHARED,
    session_id="",
    expires_at=datetime.max.replace(tzinfo=UTC),
)
"""In whose name the server moves volumes."""


class AutomaticMoves:
    """`load` is called once, before `run`, a background task."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        operations: Operations,
        volumes: Volumes,
        advisor: Advisor,
        book: HeatBook,
    ) -> None:
        self._database, self._inventory, self._operations = database, inventory, operations
        self._volumes, self._advisor, self._book = volumes, advisor, book
        self._memory, self._held = MoveMemory(), HeldMoves()
        self._wake, self._looking = asyncio.Event(), asyncio.Lock()

    async def load(self) -> None:
        """Take over the moves that an earlier server has begun, and what came of the last ones. Raises
        DatabaseUnavailable."""
        since = datetime.now(UTC) - 2 * REST

        async def read(connection: Connection) -> tuple[list[Decided], list[Decided]]:
            return await decisions.moving(connection), await decisions.ended_since(connection, since)

        moving, ended = await self._database.run(read, read_only=True)
        speed = self._book.clock.speed
        self._memory, self._held = MoveMemory(speed), HeldMoves(speed)
        for each in ended:
            self._memory.note_end(each)
        for each in moving:
            self._memory.moving[each.id] = each

    async def run(self) -> None:
        """Look every half minute, and at once when the policy has changed, until cancelled."""
        await retry_until_done("reading the moves under way", self.load)
        while True:
            self._wake.clear()  # before the look: what changes during it is looked at next
            await try_to("moving volumes by the storage policy", self.look)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(1.0, EVERY_S / self._book.clock.speed)):
                    await self._wake.wait()

    def look_now(self) -> None:
        """Look at once: the policy has changed."""
        self._wake.set()

    async def look(self) -> None:
        """See what became of the moves under way, stop those that must be, and begin others. Raises
        DatabaseUnavailable."""
        async with self._looking:
            await self._follow_up()
            await self._begin_what_may()

    async def _begin_what_may(self) -> None:
        policy = self._policy
        if not policy.enabled or not any(pair.enabled for pair in policy.pairs.values()):
            return
        for host_id, state, advised in await self._advisor.evaluated():
            if self._inventory.state.responds(host_id):
                await self._decide(host_id, state, advised)

    async def _decide(self, host_id: str, state: HostState, advised: Sequence[tuple[Advice, str]]) -> None:
        """Decide about the advice for a host, write that down, and begin what may begin."""
        now, memory = datetime.now(UTC), self._memory
        moving = {each.volume for each in memory.moving.values()}
        others = [
            (advice, refused or memory.why_rests(advice.disk, now))
            for advice, refused in advised
            if advice.disk not in moving and self._inventory.state.storage.volume(advice.disk) is not None
        ]
        verdicts = decide(
            considered(others, self._policy, CONSIDERED),
            self._advisor.policy,
            self._tiers(host_id, state.spaces),
            self._pairs(host_id, now),
        )

        def held(verdict: MoveVerdict) -> Decided:
            return self._decided(host_id, state, verdict.advice, decisions.HELD, now, verdict)

        held_back = self._held.remember(host_id, verdicts, now, held)
        try:
            await self._write(held_back)
        except BaseException:
            self._held.not_stored(held_back)
            raise
        for verdict in verdicts:
            if verdict.held is None:
                await self._begin(host_id, state, verdict.advice)

    # -- what is seen ------------------------------------------------------------------------------------------------

    def status(self, principal: Principal) -> AutomaticStatus:
        """What the server does now, as the principal may know it."""
        policy, now = self._policy, datetime.now(UTC)
        pairs = []
        for host_id in self._inventory.state.views if policy.enabled else ():
            tiers = self._tiers(host_id, self._advisor.spaces(host_id))
            known = self._pairs(host_id, now)
            for pair, (source, target) in PAIRS.items():
                if pair not in known or source not in tiers or target not in tiers:
                    continue
                waits = why_pair_waits(source, target, policy, known[pair], tiers)
                moving = self._memory.moving_at((host_id, pair))
                pairs.append(
                    PairStatus(
                        host=host_id,
                        pair=pair,
                        moving=self._name(moving, principal) if moving else "",
                        waits=waits[1] if waits and waits[0] is not Held.TURN else "",
                    )
                )
        return AutomaticStatus(enabled=policy.enabled, pairs=pairs)

    def _name(self, moving: Decided, principal: Principal) -> str:
        try:
            return self._inventory.volume(principal, moving.volume).name
        except errors.NotFound:
            return "another volume"

    @property
    def _policy(self) -> AutomaticPolicy:
        return self._advisor.policy.automatic

    def _tiers(self, host_id: str, spaces: Mapping[TierName, TierSpace]) -> dict[TierName, TierNow]:
        now, latencies = self._book.clock.now(), self._book.latencies
        coming = dict.fromkeys(TIERS, 0)
        for each in self._memory.moving.values():
            if each.host == host_id:
                coming[tier_named(each.target)] += each.size_bytes
        return {
            tier: TierNow(
                capacity_bytes=space.capacity_bytes,
                used_bytes=space.used_bytes + coming[tier],
                p90_ms=latencies.recent_p90(host_id, tier, now),
                usual_ms=latencies.usual_p90(host_id, tier, now),
            )
            for tier, space in spaces.items()
        }

    def _pairs(self, host_id: str, now: datetime) -> dict[TierPair, PairNow]:
        """The pairs that are turned on."""
        policy, found = self._policy, dict[TierPair, PairNow]()
        for pair, settings in policy.pairs.items():
            if settings.enabled:
                zone = UTC if policy.time_zone == "UTC" else ZoneInfo(policy.time_zone)
                failures, ago_s = self._memory.failures((host_id, pair), now)
                found[pair] = PairNow(
                    is_open=is_open(parse_windows(settings.window), now.astimezone(zone)),
                    moving="another volume" if self._memory.moving_at((host_id, pair)) else "",
                    failures=failures,
                    failed_ago_s=ago_s,
                )
        return found

    # -- what is done ------------------------------------------------------------------------------------------------

    async def _begin(self, host_id: str, state: HostState, advice: Advice) -> None:
        """Write down that a volume is moved, then move it."""
        volume = self._inventory.state.storage.volume(advice.disk)
        settings = self._policy.pairs.get(pair_of(advice.source, advice.target))
        if volume is None or volume.tier != advice.source or settings is None or not self._on(settings):
            return  # it has changed since it was decided
        decided = self._decided(host_id, state, advice, decisions.MOVING, datetime.now(UTC))
        self._memory.moving[decided.id] = decided  # first: it may be stored though the database does not say so
        await self._write([decided])
        await failpoint("storage.automatic:decided")
        if why := self._why_stop(decided):
            await self._end(decided, decisions.HELD, OFF if why.endswith(_TURNED_OFF) else str(Held.SLOW), why)
            return
        body = VolumeMove(tier=advice.target, bandwidth_bytes_s=settings.bandwidth_bytes_s or None)
        try:
            operation = await self._volumes.move(ACTOR, advice.disk, body, decided.id)
        except errors.DatabaseUnavailable:
            return  # whether it was accepted is seen at the next look
        except errors.NovaCronError as e:
            await self._end(decided, decisions.HELD, str(Held.REFUSED), e.detail)
            return
        await failpoint("storage.automatic:begun")
        decided = self._begun(decided, operation.id)
        _log.info("moving a volume by the storage policy", volume=advice.disk, to=advice.target, operation=operation.id)
        self._advisor.forget()
        await self._write([decided])

    def _begun(self, decided: Decided, operation_id: str) -> Decided:
        found = msgspec.structs.replace(decided, operation=operation_id)
        self._memory.moving[found.id] = found
        return found

    def _on(self, settings: PairPolicy) -> bool:
        return self._policy.enabled and settings.enabled

    async def _follow_up(self) -> None:
        """Write down what became of the moves under way, and stop those that must not go on."""
        for decided in list(self._memory.moving.values()):
            try:
                await self._follow(decided)
            except errors.DatabaseUnavailable:
                raise
            except errors.NovaCronError as e:  # the others go on
                _log.error("a move cannot be followed", decision=decided.id, reason=e.detail)

    async def _follow(self, decided: Decided) -> None:
        operation = await self._operation(decided)
        if operation is None:
            await self._end(decided, decisions.HELD, str(Held.REFUSED), "the server stopped before it began")
            return
        begun = decided if decided.operation else self._begun(decided, operation.id)
        if operation.state.ended:
            await self._end(begun, *self._outcome(operation))
        else:
            await self._stop_if_needed(begun, operation)

    async def _operation(self, decided: Decided) -> Operation | None:
        """The operation of a move; None if it was never accepted."""
        known = self._inventory.state.operation(decided.operation) if decided.operation else None
        if known is not None:
            return known

        async def read(connection: Connection) -> StoredOperation | None:
            if decided.operation:
                return await operation_rows.get(connection, decided.operation)
            await wait_for_open_transactions(connection)
            return await operation_rows.by_key(connection, ACTOR, decided.id)

        stored = await self._database.run(read)
        return stored.operation if stored else None

    async def _stop_if_needed(self, decided: Decided, operation: Operation) -> None:
        """Cancel a move that was turned off, or that makes a tier slow. One that is about to end does."""
        why = self._why_stop(decided)
        if not why or not operation.may_cancel:
            return
        self._memory.stopping[operation.id] = why
        try:
            await self._operations.cancel(ACTOR, operation.id)
        except errors.NovaCronError as e:  # it has ended meanwhile, or cannot be cancelled any more
            self._memory.stopping.pop(operation.id, None)
            _log.info("a move was not stopped", operation=operation.id, why=why, reason=e.detail)

    def _why_stop(self, decided: Decided) -> str:
        policy, (host_id, pair) = self._policy, place_of(decided)
        settings = policy.pairs.get(pair)
        if not policy.enabled:
            return f"automatic moves {_TURNED_OFF}"
        if settings is None or not self._on(settings):
            return f"automatic moves from {decided.source} to {decided.target} {_TURNED_OFF}"
        tiers = self._tiers(host_id, self._advisor.spaces(host_id))
        slow = (
            why_slow(tier, tiers[tier], policy)
            for tier in map(tier_named, (decided.source, decided.target))
            if tier in tiers
        )
        return next(filter(None, slow), "")

    def _outcome(self, operation: Operation) -> tuple[str, str, str]:
        """What became of a move: its result, no cause, and the reason."""
        why = self._memory.stopping.get(operation.id, "")
        detail = operation.problem.detail if operation.problem else ""
        if operation.state is OperationState.SUCCEEDED or operation.completed:
            return decisions.MOVED, "", ""
        if operation.state is OperationState.CANCELLED:
            by_us = bool(why) or detail.endswith(f"by {ACTOR.username}")
            if by_us:
                return decisions.STOPPED, OFF if why.endswith(_TURNED_OFF) else "", why or detail
            return decisions.CANCELLED, "", detail
        if operation.problem is not None and operation.problem.code == errors.Unsupported.code:
            return (
                decisions.HELD,
                str(Held.REFUSED),
                f"{detail} (with the bandwidth 0 it may)",
            )  # says nothing of the tiers
        return decisions.FAILED, "", detail

    async def _end(self, decided: Decided, result: str, cause: str, reason: str) -> None:
        ended = msgspec.structs.replace(decided, result=result, cause=cause, reason=reason, last_at=datetime.now(UTC))
        await self._write([ended])
        self._memory.moving.pop(ended.id, None)
        self._memory.stopping.pop(ended.operation or "", None)
        self._memory.note_end(ended)
        self._advisor.forget()

    # -- rows --------------------------------------------------------------------------------------------------------

    def _decided(
        self,
        host_id: str,
        state: HostState,
        advice: Advice,
        result: str,
        now: datetime,
        verdict: MoveVerdict | None = None,
    ) -> Decided:
        volume = self._inventory.state.storage.volume(advice.disk)
        return Decided(
            id=str(uuid4()),
            at=now,
            last_at=now,
            host=host_id,
            volume=advice.disk,
            name=volume.name if volume else "",
            tenant=volume.tenant if volume else None,
            source=advice.source,
            target=advice.target,
            result=result,
            cause=str(verdict.held or "") if verdict else "",
            reason=verdict.reason if verdict else "",
            text=self._advisor.text(state, advice),
            size_bytes=advice.size_bytes,
        )

    async def _write(self, decided: list[Decided]) -> None:
        await self._database.run(lambda c: decisions.write(c, decided))
