"""`novacron audit`: who stopped db-01 last night, from where; and whether the record is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Run, one_line


def test_who_paused_a_vm_from_where(signed_in: Run) -> None:
    assert signed_in("vm", "pause", "test").returncode == 0
    assert signed_in("vm", "resume", "test").returncode == 0
    listed = signed_in("audit", "ls", "action:pause target:test since:00:00")
    assert (listed.returncode, listed.stderr) == (0, "")
    head, line, *_ = listed.stdout.splitlines()
    assert head.split() == ["TIME", "WHO", "ROLE", "FROM", "ACTION", "TARGET", "RESULT", "DETAIL"]
    assert line.split()[2:8] == ["ann", "administrator", "127.0.0.1", "vm.pause", "test", "accepted"]
    found = json.loads(signed_in("audit", "ls", "action:pause", "target:test", "-o", "json").stdout)
    assert {(e["actor"], e["address"], e["action"]) for e in found} == {("ann", "127.0.0.1", "vm.pause")}


def test_count_and_pages(signed_in: Run) -> None:
    two = signed_in("audit", "ls", "--count", "2")
    assert len(two.stdout.splitlines()) == 3
    assert "these are the newest 2 of" in one_line(two)
    everything = json.loads(signed_in("audit", "ls", "--count", "0", "-o", "json").stdout)
    assert len({(e["tenant"], e["seq"]) for e in everything}) == len(everything) > 2


def test_the_log_is_verified(signed_in: Run) -> None:
    verified = signed_in("audit", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    tenants = {line.split()[0] for line in verified.stdout.splitlines()}
    assert tenants >= {"TENANT", "(installation)", "default"}  # other tests of this server may have made more
    assert all(line.endswith("whole") for line in verified.stdout.splitlines()[1:])
    (chain,) = json.loads(signed_in("audit", "verify", "--tenant", "default", "-o", "json").stdout)
    assert chain["entries"] >= 1
    missing = signed_in("audit", "verify", "--tenant", "elsewhere")
    assert missing.returncode == 1
    assert "no such tenant" in one_line(missing)


def test_the_log_is_exported_with_signed_heads(signed_in: Run) -> None:
    lines = [json.loads(line) for line in signed_in("audit", "export", "--tenant", "default").stdout.splitlines()]
    assert [lines[0]["record"], lines[-1]["record"]] == ["chain", "head"]
    entries = [line for line in lines if line["record"] == "entry"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    head = lines[-1]["signed"]
    assert (head["seq"], head["hash"]) == (len(entries), entries[-1]["hash"])


def test_an_export_is_verified_without_a_server(signed_in: Run, run: Run, tmp_path: Path) -> None:
    exported = signed_in("audit", "export").stdout
    file = tmp_path / "audit.jsonl"
    file.write_text(exported)
    whole = run("audit", "verify", str(file))
    assert whole.returncode == 0, whole.stderr
    assert all(line.endswith("whole") for line in whole.stdout.splitlines()[1:])
    key = json.loads(exported.splitlines()[-1])["signed"]["key"]
    assert f"signed with {key}" in whole.stderr
    lines = exported.splitlines()
    first = next(number for number, line in enumerate(lines) if '"entry"' in line)
    last = max(number for number, line in enumerate(lines) if '"entry"' in line)
    head = json.loads(lines[-1])
    forged = {**head, "signed": {**head["signed"], "seq": head["signed"]["seq"] - 1}}
    changed = [
        [line.replace('"actor": "ann"', '"actor": "eve"', 1) for line in lines],
        lines[:first] + lines[first + 1 :],
        lines[:last] + lines[last + 1 :],
        [*lines[:-1], json.dumps(forged)],
        lines[:-1],
        ["not JSON"],
        ['{"record": "entry"}'],
        [],
    ]
    for wrong in changed:
        file.write_text("\n".join(wrong))
        done = run("audit", "verify", str(file))
        assert done.returncode == 1, (wrong[-1:], done.stdout)
    assert run("audit", "verify", str(tmp_path / "none")).returncode == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("ls no:thing", 1, "unknown field no"),
        ("ls since:noon", 1, "enter a time like 22:00"),
        ("ls --count -1", 2, "--count"),
    ],
)
def test_what_cannot_be_listed_is_refused(signed_in: Run, words: str, code: int, said: str) -> None:
    done = signed_in("audit", *words.split())
    assert done.returncode == code, done
    assert said in " ".join(one_line(done).split()), done.stderr
