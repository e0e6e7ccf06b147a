"""`/metrics`: access, promtool's checks, and a scrape by a real Prometheus."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from novacron_core import errors
from novacron_server.metrics import exporter
from novacron_server.metrics.exporter import Exporter
from novacron_server.metrics.scrape_access import FILE, ScrapeAccess
from novacron_server.metrics.vm_lines import VMLines
from tests.support.requests import sampled
from tests.support.server import LiveServer
from tests.support.waiting import until

ELSEWHERE = "192.0.2.7"


async def scrape(server: LiveServer, **headers: str) -> httpx.Response:
    """Scrape with the token, unless there is another Authorization header."""
    token = (server.data_dir / FILE).read_text()
    async with httpx.AsyncClient(base_url=server.url) as http:
        return await http.get("/metrics", headers={"authorization": f"Bearer {token}"} | headers)


def samples(text: str) -> dict[str, list[Any]]:
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


async def test_running_vms_have_counters_and_names(server: LiveServer) -> None:
    await sampled(server)
    vm = await server.vm("test")
    answer = await scrape(server)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.text)
    (about,) = found["novacron_vm_info"]
    assert about.labels == {"vm": vm.id, "host": vm.host, "name": "test", "tenant": ""}
    (cpu,) = found["novacron_vm_cpu_seconds"]
    assert (cpu.name, cpu.labels) == ("novacron_vm_cpu_seconds_total", {"vm": vm.id, "host": vm.host})
    (again,) = samples((await scrape(server)).text)["novacron_vm_cpu_seconds"]
    assert again.value >= cpu.value > 0
    assert found["novacron_host_up"][0].value == 1
    assert found["novacron_database_up"][0].value == 1
    assert {s.labels["state"]: s.value for s in found["novacron_vms"]} == {"running": 1}
    assert found["novacron_vm_memory_used_bytes"] == [], "an unknown value has no line"
    assert found["process_cpu_seconds"][0].value > 0


async def test_scrape_is_compressed_when_asked_for(server: LiveServer) -> None:
    await sampled(server)
    plain = await scrape(server, **{"accept-encoding": "identity"})
    packed = await scrape(server, **{"accept-encoding": "deflate, gzip;q=0.5"})
    refused = await scrape(server, **{"accept-encoding": "gzip;q=0"})
    encodings = [answer.headers.get("content-encoding") for answer in (plain, packed, refused)]
    assert encodings == [None, "gzip", None]
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert samples(packed.text).keys() == samples(plain.text).keys()
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"


async def test_others_are_served_between_the_vms_of_a_scrape(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = server.parts.inventory.state
    vm = await server.vm("test")
    known = state.known[vm.host, vm.id]
    for number in range(50):
        facts = replace_struct(known.facts, uuid=f"{number}")
        state.set_known((vm.host, str(number)), replace(known, facts=facts))
    monkeypatch.setattr(exporter, "SLICE", 5)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0)
            beats += 1
            state.set_known((vm.host, "49"), None)

    heart = asyncio.create_task(beat())
    made = Exporter(server.parts.inventory, server.parts.metrics.latest, server.parts.metrics.history, {})
    lines = VMLines()
    await made._write_vms(lines)
    heart.cancel()
    assert beats >= 10
    assert len(samples(lines.text().decode())["novacron_vm_info"]) == 50, "the one that has gone is not written"
    assert (vm.host, "49") not in state._composed, "and not composed again, which would keep its key"


async def test_promtool_accepts_the_exposition(server: LiveServer) -> None:
    promtool = shutil.which("promtool") or pytest.skip("no promtool here: install the package prometheus")
    await sampled(server)
    text = (await scrape(server)).content
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_scrape_access(data_dir: Path) -> None:
    scraping = ScrapeAccess(data_dir, "loopback", behind_proxy=False)
    file = data_dir / FILE
    token = file.read_text()
    assert (file.stat().st_mode & 0o777, len(token) > 40) == (0o600, True)
    scraping.check("127.0.0.1", "")
    scraping.check("::1", "")
    scraping.check(ELSEWHERE, token)
    for address, bearer in ((ELSEWHERE, ""), (ELSEWHERE, "guess"), ("127.0.0.1", "guess"), ("", ""), ("x", "ü")):
        with pytest.raises(errors.Unauthenticated):
            scraping.check(address, bearer)
    for strict in (
        ScrapeAccess(data_dir, "token", behind_proxy=False),
        ScrapeAccess(data_dir, "loopback", behind_proxy=True),
    ):
        strict.check(ELSEWHERE, token)  # the same one after a restart
        with pytest.raises(errors.Unauthenticated):
            strict.check("127.0.0.1", "")
    with pytest.raises(errors.NotFound):
        ScrapeAccess(data_dir, "off", behind_proxy=False).check("127.0.0.1", token)


async def test_refused_scrape_is_a_problem_document(server: LiveServer) -> None:
    answer = await scrape(server, authorization="Bearer guess")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert (await scrape(server)).status_code == 200


async def test_scrape_needs_the_token_by_default(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/metrics")).status_code == 401


async def test_hostile_names_and_many_vms_do_no_harm(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    state = server.parts.inventory.state
    vm = await server.vm("test")
    known = state.known[vm.host, vm.id]
    name = 'a"b\\c\nd # HELP \udcff'
    for number in range(30):
        facts = replace_struct(known.facts, name=name, uuid=f"{number}")
        state.set_known((vm.host, str(number)), replace(known, facts=facts))
    monkeypatch.setattr(exporter, "MAX_VMS", 20)
    pipeline = server.parts.metrics
    text = (await Exporter(server.parts.inventory, pipeline.latest, pipeline.history, {}).text()).decode()
    found = samples(text)
    assert len(found["novacron_vm_info"]) == 20
    assert found["novacron_vms_unexported"][0].value == 11
    assert found["novacron_vm_info"][-1].labels["name"] == 'a"b\\c\nd # HELP ?'


def replace_struct(struct: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(struct, **changes)


@contextmanager
def prometheus(folder: Path, target: str, token: Path) -> Iterator[str]:
    """Run a Prometheus on a free port; yields its URL."""
    program = shutil.which("prometheus") or pytest.skip("no Prometheus here: install the package prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text(
        f"scrape_configs: [{{job_name: novacron, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}],"
        f" authorization: {{credentials_file: '{token}'}}}}]"
    )
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def test_real_prometheus_scrapes_and_joins_names_to_rates(server: LiveServer, tmp_path: Path) -> None:
    await sampled(server)
    with prometheus(tmp_path, server.url.removeprefix("http://"), server.data_dir / FILE) as url:
        async with httpx.AsyncClient(base_url=url) as http:

            async def query(text: str) -> float | None:
                try:
                    answer = await http.get("/api/v1/query", params={"query": text})
                    return float(answer.json()["data"]["result"][0]["value"][1])
                except (httpx.HTTPError, IndexError, ValueError):
                    await asyncio.sleep(0.1)
                    return None

            assert await until(lambda: query('up{job="novacron"} == 1'), 30) == 1.0
            joined = (
                'rate(novacron_vm_cpu_seconds_total[1m]) * on(vm, host) group_left(name) novacron_vm_info{name="test"}'
            )
            assert await until(lambda: query(f"{joined} > 0"), 40) < 2.0
            scraped = await query("scrape_samples_post_metric_relabeling")
            assert scraped is not None
            assert scraped > 20
