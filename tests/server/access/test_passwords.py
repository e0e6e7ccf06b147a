"""Passwords: not truncated, not easy to guess, and not hashed on the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
import unicodedata

import pytest
from passlib.context import CryptContext

from novacron_core.errors import RateLimited
from novacron_server.access import passwords as module
from novacron_server.access.passwords import Passwords, why_not


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(memory_kib=1024)


async def test_bytes_after_the_72nd_count(passwords: Passwords) -> None:
    long = "x" * 80
    stored = await passwords.hash(long + "a")
    assert stored.startswith("$argon2id$")
    assert (await passwords.compare(long + "a", stored)).right
    assert not (await passwords.compare(long + "b", stored)).right
    assert not (await passwords.compare(long, stored)).right


async def test_unicode_passwords_are_normalized(passwords: Passwords) -> None:
    word = "пароль-überraschung-密码-é"
    stored = await passwords.hash(unicodedata.normalize("NFD", word))
    assert (await passwords.compare(unicodedata.normalize("NFC", word), stored)).right
    assert not (await passwords.compare(word + "́", stored)).right
    odd = "with\0nul and \x1b and 😀 in it"
    assert (await passwords.compare(odd, await passwords.hash(odd))).right


@pytest.mark.parametrize("scheme", ["bcrypt", "bcrypt_sha256"])
async def test_old_hashes_are_accepted_and_replaced(passwords: Passwords, scheme: str) -> None:
    old = CryptContext([scheme], **{f"{scheme}__rounds": 4 if scheme == "bcrypt" else 5}).hash("quiet otters paint")
    verdict = await passwords.compare("quiet otters paint", old)
    assert verdict.right and verdict.new_hash and verdict.new_hash.startswith("$argon2id$")
    assert not (await passwords.compare("quiet otters faint", old)).right
    assert not (await passwords.compare("x" * 100, old)).right


async def test_hashes_with_weaker_parameters_are_replaced(passwords: Passwords) -> None:
    stored = await passwords.hash("quiet otters paint")
    verdict = await Passwords(memory_kib=2048).compare("quiet otters paint", stored)
    assert verdict.right and verdict.new_hash and "m=2048" in verdict.new_hash


async def test_damaged_hash_matches_nothing(passwords: Passwords) -> None:
    for damaged in ("", "plain", "$argon2id$v=19$m=1024,t=1,p=1$x"):
        assert not (await passwords.compare("anything", damaged)).right


async def test_unknown_user_costs_the_same_work(passwords: Passwords) -> None:
    stored = await passwords.hash("quiet otters paint")
    before = passwords.comparisons
    assert not (await passwords.compare("wrong", stored)).right
    assert not (await passwords.compare("wrong", None)).right
    assert passwords.comparisons == before + 2
    assert passwords._decoy.split("$")[1:4] == stored.split("$")[1:4]  # the same scheme and parameters


async def test_hashing_runs_off_the_loop_and_is_limited() -> None:
    passwords = Passwords(memory_kib=47104)  # the real cost
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1

    heart = asyncio.create_task(beat())
    began = time.perf_counter()
    await passwords.hash("quiet otters paint")
    took_s = time.perf_counter() - began
    heart.cancel()
    assert took_s > 0.01 and beats >= 3
    passwords.close()
    passwords = Passwords(memory_kib=1024)
    strangers = [passwords.compare("x", None) for _ in range(module.WAITING - module.RESERVED + 5)]
    owners = [passwords.compare("x", None, known=True) for _ in range(module.RESERVED + 3)]
    results = await asyncio.gather(*strangers, *owners, return_exceptions=True)
    refused = [result for result in results if isinstance(result, RateLimited)]
    assert len(refused) == 8 and all(error.retry_after_s for error in refused)
    of_strangers = [result for result in results[: len(strangers)] if isinstance(result, RateLimited)]
    assert len(of_strangers) == 5, "places are left for those who are known"
    passwords.close()


@pytest.mark.parametrize(
    "word",
    [
        "fourteen chars",
        "ada" * 6,
        "PasswordPassword",
        "P@ssw0rdP@ssw0rd",
        "novacron12345678",
        "NovaCron-Admin-2026",
        "1234567890123456",
        "9876543210987654",
        "abcdefghijklmnopq",
        "abcabcabcabcabcabc",
        "correct horse battery staple",
        "ada.lovelace ada.lovelace 1",
        "Administrator123!",
        "letmein-letmein-letmein",
        "aaaaaaaaaaaaaaaa",
        "qwertyuiopasdfg",
        "princessprincess1",
        "sunshinesunshine1",
        "Liverpool12345678",
        "Summer2026Summer2026",
        "November2025!November",
        "Winter2025Winter",
        "Michael19870312!",
        "zxcvbnm,./zxcvbnm,./",
        "P4ssw0rd!P4ssw0rd!1",
    ],
)
def test_easily_guessed_password_is_refused(word: str) -> None:
    assert why_not(word, "ada.lovelace" if "love" in word else "ada")


@pytest.mark.parametrize(
    "word",
    [
        "quiet otters paint maps",
        "grandmother's server hums softly",
        "7f3a9c0e5b1d8264",
        "83920184756201938475",
        "очень длинный пароль",
        "the admin drinks green tea",
        "lantern " * 2 + "x" * 900 + " gravel otter seventeen",
    ],
)
def test_strong_password_is_accepted(word: str) -> None:
    assert why_not(word, "ada") is None


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("princessprincess1", "repeats itself"),
        ("Liverpool12345678", "common words"),
        ("Michael19870312!", "contains a date"),
        ("zxcvbnm,./asdfghjk", "keyboard"),
    ],
)
def test_refusal_says_why_and_what_works(word: str, why: str) -> None:
    said = why_not(word, "ada") or ""
    assert why in said and "random words" in said


def test_name_of_the_user_is_no_secret() -> None:
    assert why_not("zebulonquartermaine", "zebulon.quartermaine")
    assert why_not("zebulon-kq83-marble-fog", "zebulon") is None


@pytest.mark.parametrize(
    "hostile", ["4@8({[</369&#!1/|0$5+7%2zZ4@8x({[<y" * 25, "\ud800" * 20 + "abc", "\U0010ffff\0aA" * 9]
)
def test_hostile_password_is_judged(hostile: str) -> None:
    assert why_not(hostile, "ada") is None or "random words" in (why_not(hostile, "ada") or "")


async def test_strength_is_judged_off_the_loop(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    monkeypatch.setattr(module, "why_not_weak", lambda *_: threads.append(threading.current_thread().name))
    assert await passwords.why_not("quiet otters paint maps", "ada") is None
    assert threads[0].startswith("passwords")
