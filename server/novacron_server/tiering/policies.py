"""The storage policy in the database, and what an operator says about single volumes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.audit import INSTALLATION, AuditResult
from novacron_core.api.automatic import AutomaticChange, AutomaticPolicy, PairPolicy
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.api.tiering import PlacementChange, PolicyChange, StoragePolicy
from novacron_core.api.volumes import Volume
from novacron_core.rules.tiering.policy import why_not_automatic, why_not_policy
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import why_not_change
from novacron_server.audit import repository as audit
from novacron_server.audit.records import Actor, AuditDraft, acting, chain_of
from novacron_server.database.repository import setting, store_setting
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.tiering.advisor import Advisor
from novacron_server.volumes import repository as volume_rows
from novacron_server.volumes.row_events import volume_row_event

KEY = "storage.policy"
_log = structlog.get_logger()


async def _stored(connection: Connection) -> StoragePolicy:
    """The stored policy; what it lacks, or what is not valid by now, is as it is by default."""
    fields = await setting(connection, KEY)
    if isinstance(fields, dict) and "automatic" in fields and (why := _why_not_automatic(fields["automatic"])):
        # A time zone that this system does not know any more must not change what else was set.
        _log.error("the stored settings of automatic moves are not valid: automatic moves are off", reason=why)
        fields = {name: value for name, value in fields.items() if name != "automatic"}
    try:
        msgspec.convert(fields or {}, PolicyChange)  # which has the bounds
        policy = msgspec.convert(fields or {}, StoragePolicy)
        if wrong := why_not_policy(policy):
            raise ValueError("; ".join(f"{name} {why}" for name, why in wrong.items()))
    except ValueError as e:
        _log.error("the stored storage policy is not valid: the default one is used", reason=str(e))
        return StoragePolicy()
    return policy


def _why_not_automatic(stored: object) -> str:
    """What is wrong with the stored settings of automatic moves, as a sentence; empty when they can work."""
    try:
        msgspec.convert(stored, AutomaticChange)  # which has the bounds
        wrong = why_not_automatic(msgspec.convert(stored, AutomaticPolicy))
    except ValueError as e:
        return str(e)
    return "; ".join(f"{name} {why}" for name, why in wrong.items())


class Policies:
    """Changes the policy, pins volumes and dismisses advice. Every change is recorded in the audit log."""

    def __init__(
        self,
        database: Database,
        group_commit: GroupCommit,
        inventory: Inventory,
        advisor: Advisor,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called after each change of the policy."""
        self._database, self._group_commit = database, group_commit
        self._inventory, self._advisor, self._on_change = inventory, advisor, on_change
        self._changing = asyncio.Lock()

    async def load(self, connection: Connection) -> None:
        """Take over the stored policy."""
        self._advisor.policy = await _stored(connection)

    async def change(self, body: PolicyChange) -> StoragePolicy:
        """Raises ValidationFailed naming the fields that do not fit together, DatabaseUnavailable."""
        given, actor = msgspec.to_builtins(body), acting()

        async def work(connection: Connection) -> StoragePolicy:
            before = msgspec.to_builtins(await _stored(connection))
            tiers = {**before["tiers"], **given.get("tiers", {})}
            after = {**before, **given, "tiers": tiers, "automatic": _merged(before["automatic"], given)}
            policy = msgspec.convert(after, StoragePolicy)
            if wrong := why_not_policy(policy):
                fields = [FieldError(field=name, message=message) for name, message in wrong.items()]
                raise errors.ValidationFailed(
                    "; ".join(f"{each.field} {each.message}" for each in fields), fields=fields
                )
            await store_setting(connection, KEY, after)
            changed = _changes(before, after)
            await audit.write(
                connection, [_entry(actor, "storage.policy", INSTALLATION, _POLICY, ", ".join(changed) or "nothing")]
            )
            return policy

        async with self._changing:  # what another change has set is not lost
            self._advisor.policy = policy = await self._database.run(work)
        self._on_change()
        return policy

    async def place(self, principal: Principal, volume_id: str, body: PlacementChange) -> Volume:
        """Raises NotFound, Forbidden, Conflict for an unmanaged volume, ValidationFailed when nothing is asked for."""
        volume = self._inventory.volume(principal, volume_id)
        if principal.vm_filter:
            raise errors.Forbidden("an API token that is limited to some VMs pins no volumes and dismisses no advice")
        if (unmanaged := why_not_change(volume)) is not None:
            raise errors.Conflict(unmanaged)
        changes: dict[str, Any] = {} if body.pinned is None else {"pinned": body.pinned}
        words = [] if body.pinned is None else ["pinned" if body.pinned else "unpinned"]
        if body.together is not None:
            changes["together"] = body.together
            words.append("moves with the other disks of its VM" if body.together else "moves alone")
        if body.dismiss_s is not None:
            until = datetime.now(UTC) + timedelta(seconds=body.dismiss_s) if body.dismiss_s else None
            changes |= {"dismissed_until": until, "dismissed_reason": body.reason if until else ""}
            words.append(f"advice dismissed until {until:%Y-%m-%d %H:%M} UTC" if until else "advice given again")
        if not changes:
            message = "give pinned, together or dismiss_s"
            raise errors.ValidationFailed(message, fields=[FieldError(field="pinned", message=message)])
        actor = acting(principal)
        note = ", ".join(words) + (f": {body.reason}" if body.reason else "")

        async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
            row = await volume_rows.get(connection, volume_id)
            if row is None or row.tenant != volume.tenant:
                raise errors.Conflict(f"{volume.name} has changed: refresh and try again")
            row = await volume_rows.change(connection, volume_id, **changes)
            assert row is not None
            target = Target(type="volume", id=row.id, name=row.name)
            entry = _entry(actor, "volume.placement", chain_of(row.tenant), target, note)
            event = volume_row_event(row, "volume.updated")
            return None, [msgspec.structs.replace(event, note=note, actor=principal.username, audit=entry)]

        _, seq = await self._group_commit.write_numbered(work)
        await self._inventory.barrier(seq)
        self._advisor.forget()
        return self._inventory.volume(principal, volume_id)


_POLICY = Target(type="storage", id="policy", name="storage policy")


def _entry(actor: Actor, action: str, chain: str, target: Target, detail: str) -> AuditDraft:
    return AuditDraft(
        tenant=chain, action=action, target=target, result=AuditResult.DONE, actor=actor, status=200, detail=detail
    )


def _merged(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of automatic moves after a change: what is not named stays, also of a pair."""
    change = given.get("automatic", {})
    pairs = {**before["pairs"]}
    for pair, fields in change.get("pairs", {}).items():
        pairs[pair] = {**msgspec.to_builtins(PairPolicy()), **pairs.get(pair, {}), **fields}
    return {**before, **change, "pairs": pairs}


def _changes(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    """Each setting that has changed, with both values, for the audit log."""
    found = []
    for name, value in after.items():
        old = before.get(name)
        if prefix == "" and name == "automatic":
            found += _changes(old or {}, value, "automatic ")
        elif value != old:
            found.append(f"{prefix}{name} {_told(old)} to {_told(value)}")
    return found


def _told(value: object) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else f"{value}"
