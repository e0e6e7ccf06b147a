"""The storage commands on a real server: effects and exit codes."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import Run


@pytest.fixture(autouse=True)
def three_tiers(signed_in: Run) -> None:
    for _ in range(100):
        if all(tier["pools"] for tier in json.loads(signed_in("tier", "ls", "-o", "json").stdout)):
            return
    pytest.fail("the pools were not made")


def listed(run: Run, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("volume", "ls", *words, "-o", "json").stdout)
    return found


def test_volume_is_created_cloned_listed_and_deleted(signed_in: Run) -> None:
    done = signed_in("volume", "create", "data", "--size", "8M", "--tier", "cold")
    assert (done.returncode, done.stdout.startswith("data: created")) == (0, True), done.stderr
    assert signed_in("volume", "clone", "data", "copy").returncode == 0
    assert {volume["name"] for volume in listed(signed_in, "tier:cold")} == {"data", "copy"}
    assert "cold" in signed_in("volume", "ls").stdout
    again = signed_in("volume", "create", "data", "--size", "8M", "--tier", "cold")
    assert (again.returncode, "already has a volume named data" in again.stderr) == (1, True)
    assert signed_in("volume", "delete", "data").returncode == 2  # no terminal to ask on
    for name in ("data", "copy"):
        assert signed_in("volume", "delete", name, "--yes").returncode == 0
    assert listed(signed_in, "data") == []


def test_usage_errors_and_refusals_have_different_exit_codes(signed_in: Run) -> None:
    for words in (("--size", "much"), ("--size", "0"), ("--size", "10E"), ("--size", "8M", "--tier", "lukewarm")):
        done = signed_in("volume", "create", "x", *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), words
    refusals: tuple[tuple[tuple[str, ...], str], ...] = (
        (("x", "--size", "0"), "size: must be at least 1 MiB"),
        (("../x", "--size", "8M"), "Use lower-case letters"),
        (("x", "--size", "8M", "--tier", "lukewarm"), "unknown tier 'lukewarm'; the tiers are hot, warm, cold"),
        (("x", "--size", "8M", "--format", "vmdk"), "--format: unknown value 'vmdk'"),
    )
    for arguments, says in refusals:
        assert says in signed_in("volume", "create", *arguments).stderr
    assert signed_in("volume", "move", "nothing", "cold").returncode == 1
    assert signed_in("volume", "create", "y", "--size", "8M").returncode == 0
    done = signed_in("volume", "move", "y", "cold")
    assert (done.returncode, "simulated" in done.stderr) == (1, True)
    assert signed_in("volume", "delete", "y", "--yes").returncode == 0


def test_pools_and_tiers_are_listed(signed_in: Run) -> None:
    pools = json.loads(signed_in("pool", "ls", "-o", "json").stdout)
    assert {pool["tier"] for pool in pools if pool["managed"]} == {"hot", "warm", "cold"}
    assert [line.split()[0] for line in signed_in("tier", "ls").stdout.splitlines()] == ["TIER", "hot", "warm", "cold"]
    ours = next(pool["name"] for pool in pools if pool["managed"])
    done = signed_in("pool", "set-tier", ours, "cold")
    assert (done.returncode, "managed by NovaCron" in done.stderr) == (1, True)


def test_image_is_uploaded_with_its_checksum_and_deleted(signed_in: Run, tmp_path: Path) -> None:
    file = tmp_path / "Web.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "8M"], check=True)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    done = signed_in("image", "upload", str(file), "--sha256", sha256)
    assert (done.returncode, sha256 in done.stdout) == (0, True), done.stderr
    assert "web" in signed_in("image", "ls").stdout
    again = signed_in("image", "upload", str(file))
    assert (again.returncode, "image named web already exists" in again.stderr) == (1, True)
    wrong = signed_in("image", "upload", str(file), "--replace", "--sha256", "0" * 64)
    assert (wrong.returncode, "checksum" in wrong.stderr) == (1, True)
    assert signed_in("image", "upload", str(tmp_path / "nothing")).returncode == 2
    assert signed_in("image", "delete", "web").returncode == 0


def test_image_is_uploaded_as_what_it_contains(signed_in: Run, tmp_path: Path) -> None:
    for name in ("noble-server-cloudimg-amd64.img", "CirrOS.RAW"):
        file = tmp_path / name
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "8M"], check=True)
        done = signed_in("image", "upload", str(file))
        assert (done.returncode, "8 MiB, qcow2" in done.stdout) == (0, True), done.stderr
        assert signed_in("image", "delete", file.stem.lower()).returncode == 0
    raw = tmp_path / "disk.IMG"
    raw.write_bytes(bytes(1 << 20))
    done = signed_in("image", "upload", str(raw))
    assert (done.returncode, "1 MiB, raw" in done.stdout) == (0, True), done.stderr
    assert signed_in("image", "delete", "disk").returncode == 0


@pytest.mark.parametrize(
    ("name", "head", "flags", "says"),
    [
        ("disk.raw.xz", b"\xfd7zXZ\0", (), "disk.raw.xz is compressed with xz: run `xz -d disk.raw.xz` and upload disk.raw"),
        ("disk.raw.xz", b"\xfd7zXZ\0", ("--format", "raw"), "is compressed with xz"),
        ("x.vmdk", b"KDMV", (), "run `qemu-img convert -O qcow2 x.vmdk x.qcow2`"),
        ("x.img", b"QFI\xfb\0\0\0\3", ("--format", "raw"), "x.img is a qcow2 image, not a raw one"),
        ("x.img", b"\xeb\x63", ("--format", "qcow2"), "x.img is not a qcow2 image"),
        ("x.qcow2", b"damaged", (), "x.qcow2 is not a qcow2 image"),
        ("empty.img", b"", (), "is empty"),
    ],
)  # fmt: skip
def test_file_that_is_no_image_is_refused_before_it_is_sent(
    signed_in: Run, tmp_path: Path, name: str, head: bytes, flags: tuple[str, ...], says: str
) -> None:
    """Nothing listens at the server's address."""
    file = tmp_path / name
    file.write_bytes(head.ljust(4096 if head else 0, b"\0"))
    done = signed_in("image", "upload", str(file), *flags, "--server", "http://127.0.0.1:1", NOVACRON_TOKEN="x")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert says in done.stderr


def test_disk_that_is_promised_more_than_there_is_room_for_is_told(signed_in: Run) -> None:
    done = signed_in("volume", "create", "huge", "--size", "900T")
    assert done.returncode == 1
    assert "huge: 900 TiB is promised, and only " in done.stderr
    assert "huge needs 900 TiB, but hot" in done.stderr
    assert "promised" not in signed_in("volume", "create", "small", "--size", "8M").stderr
    assert signed_in("volume", "delete", "small", "--yes").returncode == 0
    words = ("vm", "create", "--name", "huge-01", "--image", "alpine", "--no-start", "--tier", "warm")
    made = signed_in(*words, "--disk", "900T")
    assert made.returncode == 0, made.stderr  # a VM's disk is thin, and not refused
    assert "huge-01: 900 TiB is promised, and only " in made.stderr
    assert "free in warm" in made.stderr
    assert "warm promises 900 TiB, more than the " in signed_in("tier", "ls").stdout
    assert signed_in("vm", "delete", "huge-01", "--disks", "--yes").returncode == 0
