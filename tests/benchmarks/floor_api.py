"""The floor: one Starlette route that checks a JWT, encodes the same 50 VMs, sets the same headers, writes a log line.

Reads the body of a real answer on standard input; prints its address and a token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time
from typing import Any

import jwt
import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from novacron_core.api.base import Page
from novacron_core.api.vms import VM

KEY = secrets.token_bytes(32)
CLAIMS = ["user_id", "sub", "sid", "role", "tenant", "iat", "nbf", "exp", "iss", "aud", "jti", "typ"]
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-request-id": "0123456789abcdef",
}


def main() -> None:
    page = msgspec.json.decode(sys.stdin.buffer.read(), type=Page[VM])
    log = open("/dev/null", "w")  # noqa: SIM115 - open as long as the process

    async def vms(request: Request) -> Response:
        began = time.perf_counter()
        token = request.headers["authorization"].removeprefix("Bearer ")
        jwt.decode(token, KEY, algorithms=["HS256"], audience="a", issuer="i", options={"require": CLAIMS})
        response = Response(msgspec.json.encode(page), media_type="application/json", headers=HEADERS)
        log.write(json.dumps({"path": request.url.path, "status": 200, "ms": time.perf_counter() - began}) + "\n")
        return response

    now = int(time.time())
    claims: dict[str, Any] = dict.fromkeys(CLAIMS, "x") | {
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "iss": "i",
        "aud": "a",
    }
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]} {jwt.encode(claims, KEY, 'HS256')}", flush=True)
    app = Starlette(routes=[Route("/api/vm/vms", vms)])
    config = uvicorn.Config(app, loop="none", http="httptools", access_log=False, log_level="warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listening]))


main()
