"""Whatever the owner of the database changes in the audit log is found: edits, deletions, swaps, cut and new tails."""

from __future__ import annotations

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from novacron_core import errors
from novacron_core.api.audit import AuditResult, ChainQuery
from novacron_core.rules.audit_chain import FIELDS, GENESIS, link
from novacron_server.audit import repository
from novacron_server.audit.service import Audit
from novacron_server.database.transactions import Database
from tests.support.audit import ADMINISTRATOR, AuditUnderTest, entry, execute

ENTRIES = 40
OLD = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
Tampering = Callable[[str, random.Random], Awaitable[None]]


def edit(column: str) -> Tampering:
    async def tamper(url: str, chance: random.Random) -> None:
        seq = chance.randint(1, ENTRIES)
        change = {
            "time": "time + interval '1 microsecond'", "status": "status + 1", "times": "times + 1",
            "result": "CASE result WHEN 'done' THEN 'failed' ELSE 'done' END", "hash": "sha256(hash)",
            "tenant": "'other'", "seq": f"{ENTRIES + 7}",
        }.get(column, f"{column} || '.'")  # fmt: skip
        await execute(url, f"UPDATE audit_entries SET {column} = {change} WHERE tenant = 'blue' AND seq = {seq}")

    return tamper


async def delete(url: str, chance: random.Random) -> None:
    first = chance.randint(1, ENTRIES)
    last = min(ENTRIES, first + chance.randint(0, 3))
    await execute(url, f"DELETE FROM audit_entries WHERE tenant = 'blue' AND seq BETWEEN {first} AND {last}")


async def delete_and_close_up(url: str, chance: random.Random) -> None:
    gone = chance.randint(1, ENTRIES - 1)
    await execute(url, f"DELETE FROM audit_entries WHERE tenant = 'blue' AND seq = {gone}")
    await execute(url, f"UPDATE audit_entries SET seq = -seq WHERE tenant = 'blue' AND seq > {gone}")
    await execute(url, "UPDATE audit_entries SET seq = -seq - 1 WHERE tenant = 'blue' AND seq < 0")


async def swap(url: str, chance: random.Random) -> None:
    one, other = chance.sample(range(1, ENTRIES + 1), 2)
    for old, new in ((one, -1), (other, one), (-1, other)):
        await execute(url, f"UPDATE audit_entries SET seq = {new} WHERE tenant = 'blue' AND seq = {old}")


async def cut(url: str, chance: random.Random) -> None:
    await execute(url, f"DELETE FROM audit_entries WHERE tenant = 'blue' AND seq > {chance.randint(0, ENTRIES - 1)}")


async def write_anew(url: str, chance: random.Random) -> None:
    """Change an entry and give it and all that follow the right hashes: all that the database holds fits together."""
    changed = chance.randint(1, ENTRIES)
    fields = ", ".join("(extract(epoch FROM time) * 1000000)::bigint" if name == "time" else name for name in FIELDS)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("UPDATE audit_entries SET actor = 'eve' WHERE tenant = 'blue' AND seq = %s", [changed])
        cursor = await conn.execute(f"SELECT {fields} FROM audit_entries WHERE tenant = 'blue' ORDER BY seq")
        digest = GENESIS
        for row in await cursor.fetchall():
            digest = link(digest, row)
            await conn.execute(
                "UPDATE audit_entries SET hash = %s WHERE tenant = 'blue' AND seq = %s", [digest, row[1]]
            )


async def insert(url: str, chance: random.Random) -> None:
    await execute(
        url,
        "INSERT INTO audit_entries SELECT tenant, -1, time, actor_id, actor, role, address, session_id, token, action, "
        "target_type, target_id, target_name, result, status, code, request_id, detail, times, hash "
        f"FROM audit_entries WHERE tenant = 'blue' AND seq = {chance.randint(1, ENTRIES)}",
    )
    await execute(url, f"UPDATE audit_entries SET seq = {ENTRIES + 1} WHERE seq = -1")


COLUMNS = [*FIELDS, "hash"]
TAMPERINGS: list[tuple[str, Tampering]] = [
    *((f"edit-{column}-{n}", edit(column)) for column in COLUMNS for n in range(2)),
    *((f"delete-{n}", delete) for n in range(14)),
    *((f"close-up-{n}", delete_and_close_up) for n in range(8)),
    *((f"swap-{n}", swap) for n in range(14)),
    *((f"cut-{n}", cut) for n in range(10)),
    *((f"anew-{n}", write_anew) for n in range(8)),
    *((f"insert-{n}", insert) for n in range(6)),
]


@pytest.fixture
async def log(database: Database, data_dir: Path) -> AuditUnderTest:
    made = AuditUnderTest(database, data_dir)
    drafts = [
        entry(f"vm-{n}", "blue", time=OLD + timedelta(hours=n), detail=f"é {n}", result=AuditResult.DONE)
        for n in range(ENTRIES)
    ]
    await made.write(*drafts, entry("other", "red"))
    await made.heads.advance()
    assert await made.reasons() == {}
    return made


async def bad_chains(log: AuditUnderTest) -> set[str]:
    return {check.tenant for check in (await log.verify()).chains if check.bad_seq is not None}


async def test_a_hundred_tamperings_are_found(log: AuditUnderTest, owner_url: str) -> None:
    """One after another on one chain, which is put back between them; also by a server that was started afterwards."""
    assert len(TAMPERINGS) >= 100
    await execute(owner_url, "CREATE TABLE kept AS SELECT * FROM audit_entries")
    not_found = []
    for number, (name, tamper) in enumerate(TAMPERINGS):
        await tamper(owner_url, random.Random(number))
        by_this, by_next = await bad_chains(log), await bad_chains(log.restarted())
        if "blue" not in by_this or by_this != by_next or "red" in by_this:
            not_found.append((name, by_this, by_next))
        await execute(owner_url, "DELETE FROM audit_entries")
        await execute(owner_url, "INSERT INTO audit_entries SELECT * FROM kept")
    assert not_found == []
    assert await log.reasons() == {}, "put back, it is whole"


@pytest.mark.parametrize(
    ("statements", "bad_seq", "reason"),
    [
        (["UPDATE audit_entries SET actor = 'eve' WHERE seq = 7 AND tenant = 'blue'"], 7, "edited: its content"),
        (["DELETE FROM audit_entries WHERE seq IN (9, 10) AND tenant = 'blue'"], 9, "deleted: entries 9 to 10"),
        (["DELETE FROM audit_entries WHERE seq > 30 AND tenant = 'blue'"], 31, "cut: entries 31 to 40 at the end"),
        (
            [
                "UPDATE audit_entries SET seq = -1 WHERE seq = 12 AND tenant = 'blue'",
                "UPDATE audit_entries SET seq = 12 WHERE seq = 20 AND tenant = 'blue'",
                "UPDATE audit_entries SET seq = 20 WHERE seq = -1",
            ],
            12,
            "reordered: this was entry 20",
        ),
    ],
)
async def test_the_first_bad_entry_is_named_with_the_reason(
    log: AuditUnderTest, owner_url: str, statements: list[str], bad_seq: int, reason: str
) -> None:
    for statement in statements:
        await execute(owner_url, statement)
    found = next(check for check in (await log.verify()).chains if check.tenant == "blue")
    assert found.bad_seq == bad_seq
    assert found.reason.startswith(reason)


async def test_a_cut_tail_stays_found_when_the_server_goes_on(log: AuditUnderTest, owner_url: str) -> None:
    """It gives the numbers again, but the signed head does not follow the new entries."""
    await execute(owner_url, "DELETE FROM audit_entries WHERE tenant = 'blue' AND seq > 30")
    await log.write(*(entry(f"new-{n}", "blue") for n in range(20)))
    await log.heads.advance()
    head = log.heads.head("blue")
    assert head is not None
    assert head.seq == ENTRIES
    assert (await log.reasons())["blue"] == "rewritten: the signed head has another hash"
    [(tenant, sentence)] = log.warnings
    assert tenant == "blue"
    assert "entry 41 is not as it was written" in sentence
    await log.heads.advance()
    assert len(log.warnings) == 1


async def test_a_chain_that_is_deleted_as_a_whole_is_found(log: AuditUnderTest, owner_url: str) -> None:
    await execute(owner_url, "DELETE FROM audit_entries WHERE tenant = 'blue'")
    await log.heads.advance()
    assert (await log.restarted().reasons()) == {"blue": f"cut: entries 1 to {ENTRIES} at the end, which were signed"}
    assert log.warnings


@pytest.mark.parametrize("text", ["{", '{"blue": 1}', "{}"])
async def test_a_file_of_heads_that_was_changed_is_not_trusted(log: AuditUnderTest, text: str) -> None:
    file = log.folder / "audit-heads.json"
    kept = file.read_text()
    file.write_text(kept.replace('"seq":40', '"seq":39') if text == "{}" else text)
    again = log.restarted()
    assert (await again.reasons()).keys() >= {"blue", "red"}
    await again.heads.advance()
    assert again.warnings
    assert file.read_text() != kept, "it is left as it is, to be looked at"


# -- pruning -------------------------------------------------------------------------------------------------------------


async def prune(log: AuditUnderTest, hours: int = 25) -> int:
    return await log.audit.prune(OLD + timedelta(hours=hours))


async def test_pruning_leaves_a_signed_checkpoint_that_verification_starts_from(log: AuditUnderTest) -> None:
    assert await prune(log) == 25
    found = next(check for check in (await log.verify()).chains if check.tenant == "blue")
    assert (found.pruned, found.first, found.last, found.entries, found.bad_seq) == (25, 26, ENTRIES, 15, None)
    await log.write(entry("new", "blue"))
    await log.heads.advance()
    assert await prune(log, 30) == 5
    assert await log.reasons() == {}
    assert await prune(log, 1000) == 10, "the newest entry is of now"
    await log.write(entry("newer", "blue"))
    await log.heads.advance()
    assert await log.restarted().reasons() == {}


async def test_a_chain_of_which_everything_was_pruned_goes_on(log: AuditUnderTest) -> None:
    assert await prune(log, 1000) == ENTRIES
    assert await log.reasons() == {}
    await log.write(entry("next", "blue"))
    await log.heads.advance()
    found = next(check for check in (await log.verify()).chains if check.tenant == "blue")
    assert (found.first, found.last, found.bad_seq) == (ENTRIES + 1, ENTRIES + 1, None)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_checkpoints SET hash = sha256(hash)",
        "UPDATE audit_checkpoints SET time = time - interval '1 day'",
        "UPDATE audit_checkpoints SET signature = 'AAAA'",
        "UPDATE audit_checkpoints SET key = 'not base64'",
        "UPDATE audit_checkpoints SET tenant = 'red'",
        "UPDATE audit_checkpoints SET (seq, hash) = (SELECT seq, hash FROM audit_entries WHERE tenant = 'blue' AND seq = 30);"
        "DELETE FROM audit_entries WHERE tenant = 'blue' AND seq <= 30",
        "DELETE FROM audit_checkpoints; DELETE FROM audit_entries WHERE tenant = 'blue'",
        "DELETE FROM audit_entries WHERE tenant = 'blue'",
        "DELETE FROM audit_entries WHERE tenant = 'blue' AND seq < 30",
    ],
)
async def test_a_changed_checkpoint_is_found(log: AuditUnderTest, owner_url: str, statement: str) -> None:
    await prune(log)
    for part in statement.split(";"):
        await execute(owner_url, part)
    assert (await bad_chains(log)) - {"red"} == {"blue"}
    assert (await bad_chains(log.restarted())) - {"red"} == {"blue"}


async def test_a_chain_that_is_bad_is_not_pruned(log: AuditUnderTest, owner_url: str) -> None:
    await execute(owner_url, "UPDATE audit_entries SET actor = 'eve' WHERE tenant = 'blue' AND seq = 3")
    assert await prune(log) == 0
    assert len(await log.found("tenant:blue")) == ENTRIES


async def test_verification_in_parts_finds_the_same(log: AuditUnderTest, owner_url: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(repository, "BATCH", 7)
    await execute(owner_url, "UPDATE audit_entries SET actor = 'eve' WHERE tenant = 'blue' AND seq = 23")
    audit = Audit(log.database, log.heads, log.signer, part_s=0.0)
    after, parts = "", []
    while True:
        answer = await audit.verify(ADMINISTRATOR, ChainQuery(after=after))
        parts += answer.chains
        if not (after := answer.next):
            break
    blue = [check for check in parts if check.tenant == "blue"]
    assert [(check.first, check.last) for check in blue] == [(1, 7), (8, 14), (15, 21), (22, 22)]
    assert [check.bad_seq for check in blue] == [None, None, None, 23]
    assert {check.tenant for check in parts} >= {"red", ""}


async def test_position_that_the_server_has_not_given_is_refused(log: AuditUnderTest, monkeypatch: Any) -> None:
    """It would tell that nothing was wrong, or that something was."""
    monkeypatch.setattr(repository, "BATCH", 7)
    audit = Audit(log.database, log.heads, log.signer, part_s=0.0)
    given = (await audit.verify(ADMINISTRATOR, ChainQuery())).next
    position, signed = msgspec.json.decode(urlsafe_b64decode(given))
    for changed in (
        [position[0], 2**40, *position[2:]],
        [*position[:2], "00" * 32, position[3]],
        ["red", *position[1:]],
    ):
        for forged in ([changed, signed], changed, [changed, {**signed, "seq": changed[1], "hash": changed[2]}]):
            after = urlsafe_b64encode(msgspec.json.encode(forged)).decode()
            with pytest.raises(errors.ValidationFailed, match="is not the `next` of an answer"):
                await audit.verify(ADMINISTRATOR, ChainQuery(after=after))
    assert (await audit.verify(ADMINISTRATOR, ChainQuery(after=given))).chains
