"""HTTP through a whole server: headers, problem documents, limits, and denial by default."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from novacron_core import PROTOCOL, __version__
from novacron_core.api import operations, vms
from novacron_core.api.endpoint import Endpoint
from novacron_core.local_server import KEY, RunningServer, require_proof
from novacron_core.values.roles import Role
from novacron_server.http import filter_budget
from novacron_server.http.allowed_hosts import AllowedHosts
from novacron_server.http.limits import RateLimits
from novacron_server.http.middleware import Middleware
from novacron_server.runtime.routes import served
from tests.support.event_stream import open_stream
from tests.support.requests import succeeded
from tests.support.server import LiveServer

HEADERS = {
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cache-control",
    "x-request-id",
    "ratelimit-limit",
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def server(shared_server: LiveServer) -> LiveServer:
    return shared_server


@pytest.fixture
def http(server: LiveServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {server.admin.credentials.token}"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/api/info", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/api/vm/vms", 200),
        ("GET", "/nothing/here", 404),
        ("PUT", "/api/vm/vms", 405),
        ("GET", "/api/vm/vms?page=0", 422),
        ("GET", "/api/vm/vms?page=x", 422),
        ("GET", "/api/vm/vms?nonsense=1", 422),
        ("GET", "/api/vm/vms?page=1&page=2", 422),
        ("GET", "/api/vm/vms/%00", 404),
    ],
)
async def test_every_response_has_security_headers_and_every_error_a_problem(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert set(answer.headers) >= HEADERS
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    if status >= 400:
        assert answer.headers["content-type"].startswith("application/problem+json")
        problem = answer.json()
        assert problem["status"] == status
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert "Traceback" not in answer.text


async def test_every_response_has_the_date_so_that_clients_can_compare_clocks(http: httpx.AsyncClient) -> None:
    date = parsedate_to_datetime((await http.get("/api/info")).headers["Date"])
    assert abs((date - datetime.now(UTC)).total_seconds()) < 60


async def test_without_a_token_only_public_endpoints_respond(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as nobody:
        for row in served(server.parts):
            endpoint: Endpoint[Any, Any, Any] = row.endpoint
            path = endpoint.path.replace("{", "").replace("}", "")
            answer = await nobody.request(str(endpoint.method), path)
            if endpoint.path == "/metrics":
                assert answer.status_code == 401, "it has a token of its own"
            elif endpoint.permission == "public":
                assert answer.status_code not in (401, 403), endpoint.key
            else:
                assert answer.status_code == 401, endpoint.key
                assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_argument"),
        (b"\xff\xfe", 400, "invalid_argument"),
        (b"[]", 422, "validation_failed"),
        (b'{"username":"a"}', 422, "validation_failed"),
        (b'{"username":"a","password":"b","admin":true}', 422, "validation_failed"),
        (b'{"username":1,"password":"b"}', 422, "validation_failed"),
        (b"[" * 100_000, 400, "invalid_argument"),
        (b'{"username":"' + b"a" * 300_000 + b'"}', 413, "too_large"),
    ],
)
async def test_invalid_body_is_refused(http: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    answer = await http.post("/auth/login", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_unknown_field_is_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/auth/login", json={"username": "a", "password": "b", "colour": "red"})
    assert answer.json()["errors"] == [{"field": "colour", "message": "unknown field"}]


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        (b"", 202, ""),
        (b"{}", 202, ""),
        (b'{"force": true}', 422, "force"),
        (b'{"force_after_s": 5}', 422, "force_after_s"),
        (b"[1]", 422, ""),
        (b"force=1", 400, ""),
    ],
)
async def test_body_of_an_endpoint_that_takes_none_is_not_ignored(
    http: httpx.AsyncClient, server: LiveServer, content: bytes, status: int, field: str
) -> None:
    vm = await server.vm("test")
    answer = await http.post(f"/api/vm/vms/{vm.id}/pause", content=content)
    assert answer.status_code == status
    if field:
        assert answer.json()["errors"] == [{"field": field, "message": "unknown field"}]
    if status == 202:
        await succeeded(server, await server.admin.call(operations.GET, operation_id=answer.json()["id"]))
        await succeeded(server, await server.admin.call(vms.RESUME, vm_id=vm.id))


async def test_body_of_a_read_is_not_ignored(http: httpx.AsyncClient) -> None:
    answer = await http.request("GET", "/api/vm/vms", json={"q": "a"})
    assert answer.status_code == 422


async def test_request_id_of_a_stranger_is_replaced_and_a_proxys_is_kept(http: httpx.AsyncClient) -> None:
    for given in ("abc-123", "a b{}"):
        answer = await http.get("/livez", headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] != given

    async def answer_nothing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "headers": [(b"x-request-id", b"abc-123")], "client": ("192.0.2.1", 1)}
    await Middleware(answer_nothing, RateLimits(), trusts_request_ids=True)(scope, None, keep)
    assert (b"x-request-id", b"abc-123") in sent[0]["headers"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("rebind.evil.example", 403),
        ("rebind.evil.example:8090", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example/x", 403),
        ("", 403),
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8090", 200),
        ("LOCALHOST.", 200),
    ],
)
@pytest.mark.parametrize("path", ["/api/info", "/livez", "/openapi.json"])
async def test_request_to_another_name_is_refused(server: LiveServer, host: str, status: int, path: str) -> None:
    """A web page whose name points at this machine reads nothing (DNS rebinding)."""
    async with httpx.AsyncClient(base_url=server.url) as browser:
        answer = await browser.get(path, headers={"Host": host})
    assert answer.status_code == status


async def test_names_that_are_allowed() -> None:
    def admits(names: AllowedHosts, host: str) -> bool:
        return names.admits([(b"host", host.encode())])

    assert admits(AllowedHosts(["vm.example"]), "VM.example:8090") and not admits(
        AllowedHosts(["vm.example"]), "x.example"
    )
    assert admits(AllowedHosts(tls=True), "any.example"), "the certificate is for one name"
    assert not admits(AllowedHosts(["vm.example"], tls=True), "any.example")
    assert AllowedHosts().admits([]) and not AllowedHosts().admits([(b"host", b"localhost")] * 2)


async def test_stream_to_another_name_is_refused(server: LiveServer) -> None:
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    url = httpx.URL(server.url)
    with pytest.raises(InvalidStatus) as refused:
        await connect("ws://evil.example/ws/events/v1", host=url.host, port=url.port, additional_headers=headers)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/vm/vms", {"GET", "POST", "OPTIONS"}),
        ("/api/info", {"GET", "OPTIONS"}),
        ("/openapi.json", {"GET", "OPTIONS"}),
    ],
)
async def test_every_method_of_a_path_is_told(http: httpx.AsyncClient, path: str, methods: set[str]) -> None:
    for method, status in (("PATCH", 405), ("OPTIONS", 204)):
        answer = await http.request(method, path)
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (status, methods)


async def test_encoded_slash_separates_nothing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/info")).status_code == 200
    for path in ("/api%2Finfo", "/api%2finfo", "/api/vm%2Fvms"):
        assert (await http.get(path)).status_code == 404
    assert (await http.get("/api/operations/a%2Fcancel")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/operations?q=%00", None, "q"),
        ("/api/vm/vms?q=a%00", None, "q"),
        ("/api/vm/vms", {"description": "a\0"}, "description"),
        ("/api/vm/vms", {"description": "\x1b]0;x"}, "description"),
        ("/api/vm/vms", {"description": "\uffff"}, "description"),
        ("/api/vm/vms", {"tags": {"a\0": "b"}}, "tags"),
        ("/api/vm/vms", {"tags": {"Upper": "b"}}, "tags"),
        ("/api/vm/vms", {"tags": {"a": "b\n"}}, "tags[...]"),
        ("/api/vm/vms", {"host": "\0"}, "host"),
        ("/auth/login", {"username": "a", "password": "b\0c"}, "password"),
    ],
)
async def test_control_characters_are_refused_by_field(
    http: httpx.AsyncClient, path: str, body: dict[str, Any] | None, field: str
) -> None:
    if body is None:
        answer = await http.get(path)
    else:
        answer = await http.post(path, json={"name": "a", "image": "b"} | body if "vms" in path else body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_health_reports_each_part(http: httpx.AsyncClient) -> None:
    health = (await http.get("/health")).json()
    assert (health["status"], health["service"]) == ("healthy", "novacron-api"), health["checks"]
    assert health["checks"]["database"]["latency_ms"] > 0
    hypervisor = health["checks"]["hypervisor"]
    assert hypervisor["status"] == "healthy"
    assert [host["simulated"] for host in hypervisor["hosts"]] == [True]


async def test_info_reports_whether_setup_is_required(http: httpx.AsyncClient) -> None:
    info = (await http.get("/api/info")).json()
    assert info["setup_required"] is False
    assert "GET /api/vm/vms" in info["endpoints"] and info["version"] == __version__


async def test_strangers_are_told_no_version_and_no_names(http: httpx.AsyncClient, server: LiveServer) -> None:
    """A console finds out before it signs in whether it can talk to this server: by the number of the protocol."""
    known = (await http.get("/health")).json()
    host = known["checks"]["hypervisor"]["hosts"][0]
    secrets = [
        __version__,
        host["id"],
        f'"{host["name"]}"',
        "outbox reader",
        server.parts.inventory.connections()[0].uri,
    ]
    assert known["version"] == __version__ and "outbox reader" in str(known) and host["name"]
    async with httpx.AsyncClient(base_url=server.url) as nobody:
        for path in ("/health", "/api/info", "/openapi.json", "/livez", "/readyz", "/nothing"):
            for headers in ({}, {"Authorization": "Bearer not.a.token"}):
                answer = await nobody.get(path, headers=headers)
                told = answer.text + str(answer.headers)
                named = [each for each in secrets if each in told]
                assert not [each for each in named if path != "/openapi.json" or each == __version__], path
        assert (await nobody.get("/api/info")).json()["protocol"] == PROTOCOL
        stranger = (await nobody.get("/health")).json()
    assert stranger["status"] == "healthy" and stranger["checks"]["hypervisor"] == {"status": "healthy", "hosts": []}


async def test_members_read_no_uri_of_a_host_and_no_path_of_a_pool(http: httpx.AsyncClient, server: LiveServer) -> None:
    uri = (await http.get("/api/hosts")).json()["items"][0]["uri"]
    found = (await http.get("/api/storage/pools")).json()["items"]
    assert uri and all(pool["path"] for pool in found)
    eve = await server.member("eve", Role.OPERATOR)
    headers = {"Authorization": f"Bearer {eve.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as member:
        hosts = (await member.get("/api/hosts")).json()["items"]
        assert [host["uri"] for host in hosts] == [""]
        one = await member.get(f"/api/hosts/{hosts[0]['id']}")
        pools = await member.get("/api/storage/pools")
        told = one.text + pools.text + (await member.get("/health")).text
        told += (await member.get("/api/events", params={"page_size": 1000})).text
        assert {pool["path"] for pool in pools.json()["items"]} == {""}
        assert (await member.get("/api/hosts", params={"q": uri})).json()["total"] == 0
    async with open_stream(server, token=eve.credentials.token or "") as stream:
        told += str(stream.frames)
    assert "hosts" in told and uri not in told
    assert not [pool for pool in found if pool["path"] in told]


async def test_openapi_lists_exactly_the_served_endpoints(http: httpx.AsyncClient, server: LiveServer) -> None:
    document = (await http.get("/openapi.json")).json()
    documented = {f"{method.upper()} {path}" for path, rows in document["paths"].items() for method in rows}
    rows = [row.endpoint.key for row in served(server.parts)]
    assert len(rows) == len(set(rows))
    assert documented == set(rows)
    page = next(p for p in document["paths"]["/api/vm/vms"]["get"]["parameters"] if p["name"] == "page")
    assert page["schema"]["minimum"] == 1


async def test_filters_of_a_user_are_charged(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_budget, "BURST", 3)
    monkeypatch.setattr(filter_budget, "PER_S", 0.001)
    answers = [await http.get("/api/vm/vms", params={"q": "a b c d"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["retry-after"]
    assert (await http.get("/api/vm/vms")).status_code == 200


async def test_server_proves_that_it_owns_its_data_directory(server: LiveServer) -> None:
    await asyncio.to_thread(require_proof, RunningServer(server.url, os.getpid()), server.data_dir)
    described = (await server.admin._http.get("/openapi.json")).json()["paths"]["/api/proof"]["get"]["parameters"]
    assert [(parameter["name"], parameter["required"]) for parameter in described] == [("nonce", True)]
    assert stat.S_IMODE((server.data_dir / KEY).stat().st_mode) == 0o600
    async with httpx.AsyncClient(base_url=server.url) as nobody:
        for nonce in ("", "x" * 32, "A" * 32, "a" * 31, "a" * 129):
            assert (await nobody.get("/api/proof", params={"nonce": nonce})).status_code == 422
