"""HTTP through a whole server: headers, problem documents, limits, and denial by default."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from novacron_core.api.endpoint import Endpoint
from novacron_server.runtime.routes import served
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
            if endpoint.permission == "public":
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
        (b"[" * 100_000, 422, "validation_failed"),
        (b'{"username":"' + b"a" * 300_000 + b'"}', 413, "too_large"),
    ],
)
async def test_invalid_body_is_refused(http: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    answer = await http.post("/auth/login", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_unknown_field_is_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/auth/login", json={"username": "a", "password": "b", "colour": "red"})
    assert answer.json()["errors"] == [{"field": "colour", "message": "unknown field"}]


async def test_safe_request_id_is_kept_and_an_unsafe_one_replaced(http: httpx.AsyncClient) -> None:
    kept = await http.get("/livez", headers={"X-Request-Id": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    replaced = await http.get("/livez", headers={"X-Request-Id": "a b{}"})
    assert replaced.headers["x-request-id"] != "a b{}"


async def test_health_reports_each_part(http: httpx.AsyncClient) -> None:
    health = (await http.get("/health")).json()
    assert (health["status"], health["service"]) == ("healthy", "novacron-api")
    assert health["checks"]["database"]["latency_ms"] > 0
    hypervisor = health["checks"]["hypervisor"]
    assert hypervisor["status"] == "healthy"
    assert [host["simulated"] for host in hypervisor["hosts"]] == [True]


async def test_info_reports_whether_setup_is_required(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as nobody:
        info = (await nobody.get("/api/info")).json()
    assert info["setup_required"] is False
    assert "GET /api/vm/vms" in info["endpoints"]


async def test_openapi_lists_exactly_the_served_endpoints(http: httpx.AsyncClient, server: LiveServer) -> None:
    document = (await http.get("/openapi.json")).json()
    documented = {f"{method.upper()} {path}" for path, rows in document["paths"].items() for method in rows}
    rows = [row.endpoint.key for row in served(server.parts)]
    assert len(rows) == len(set(rows))
    assert documented == set(rows)
    page = next(p for p in document["paths"]["/api/vm/vms"]["get"]["parameters"] if p["name"] == "page")
    assert page["schema"]["minimum"] == 1
