"""Random requests: by the OpenAPI document, right or nearly right; and bytes that are no HTTP or no WebSocket frames."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

ODD_TEXTS = (
    *("a\0b", "\0", "\x1b[2J") * 3,
    "", " ", "\0", "a\0b", "\x1b[2J", "\u202e", "\ufeff", "é" * 300, "x" * 70_000, "😀", "\ud800", "' OR 1=1 --",
    "../../etc/passwd", "%s%n", "{}", "null", "-1", "1e999", "NaN", "2026-13-45T99:99:99Z", "tag:", "*" * 40, "-", '"',
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, [], {}, [[]], [None], {"a": {"b": []}}, "x", *ODD_TEXTS,
)  # fmt: skip


LOCKING_OUT = ("totp_required",)
"""Fields that would keep everybody out, and so all later requests from what they are about."""


class Maker:
    """Makes values of a document's schemas. `known` are values for parameters by name, such as ids that exist."""

    def __init__(self, random: Random, document: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> None:
        self.random = random
        self._schemas = document["components"]["schemas"]
        self._known = known

    def value(self, schema: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
        if self.random.random() < 0.12:
            return self.random.choice(ODD_VALUES)
        if name in self._known and self.random.random() < 0.6:
            return self.random.choice(self._known[name])
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rsplit("/", 1)[-1]], name, depth)
        if parts := schema.get("anyOf"):
            return self.value(self.random.choice(parts), name, depth)
        if choices := schema.get("enum"):
            return self.random.choice(choices)
        return self._of_type(schema, name, depth)

    def _of_type(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        random, kind = self.random, schema.get("type")
        if kind == "object":
            fields = schema.get("properties", {})
            kept = [key for key in fields if key not in LOCKING_OUT]
            kept = [key for key in kept if key in schema.get("required", ()) or random.random() < 0.5]
            made = {key: self.value(fields[key], key, depth + 1) for key in kept if depth < 6}
            if random.random() < 0.05 and made:
                made.pop(random.choice(list(made)))
            return made | ({"unknown": 1} if random.random() < 0.05 else {})
        if kind == "array":
            return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(random.choice((0, 1, 2, 5)))]
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", -(2**40)), schema.get("maximum", 2**40)
            return random.choice((low, high, low - 1, high + 1, random.randint(int(low), int(high))))
        if kind == "boolean":
            return random.random() < 0.5
        if kind == "null":
            return None
        longest = schema.get("maxLength", 40)
        return random.choice(("web-01", "hot", "a" * longest, "a" * (longest + 1), "name:web", *ODD_TEXTS))


def request_of(maker: Maker, path: str, operation: Mapping[str, Any]) -> tuple[str, bytes | None, dict[str, str]]:
    """The URL, body and headers of a random request for an operation of the document."""
    random = maker.random
    query = []
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            value = str(maker.value({"type": "string"}, parameter["name"]))
            path = path.replace(f"{{{parameter['name']}}}", _quoted(value)[:2000])
        elif parameter["required"] or random.random() < 0.4:
            query.append(
                (
                    parameter["name"],
                    random.choice(ODD_TEXTS)[:2000]
                    if random.random() < 0.15
                    else str(maker.value(parameter["schema"], parameter["name"]))[:2000],
                )
            )
    if random.random() < 0.03:
        query.append(("unknown", "1"))
    url = f"{path}?{urlencode(query, errors='replace')}" if query else path
    headers = {"Idempotency-Key": f"fuzz-{random.randrange(50)}"} if random.random() < 0.1 else {}
    if random.random() < 0.2:
        headers["If-Match"] = random.choice(('"1"', '"0"', "1", "*", '"' + "9" * 30 + '"'))
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return url, None, headers
    body = json.dumps(maker.value(content["application/json"]["schema"]), allow_nan=True).encode()
    return url, mutated(random, body) if random.random() < 0.1 else body, headers


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace") or "%20"


def mutated(random: Random, data: bytes) -> bytes:
    """The bytes with some of them changed, cut out, doubled or cut off."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(found) + 1)
        found[at : at + random.choice((0, 1, 3))] = random.choice(
            (b"", b"\0", b"\r\n", b"\n", b" ", b"\xff", b":", b"A" * 9000, os.fsencode("é"), random.randbytes(4))
        )
        if random.random() < 0.1:
            found = found[: random.randrange(len(found) + 1)]
    return bytes(found)


HTTP_REQUESTS = (
    b"GET /api/vm/vms?q=a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n"
    b'{"username":"a","password":"b"}',
    b"POST /api/vm/vms HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer TOKEN\r\n\r\n"
    b'5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
    b"PUT /api/storage/images/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 4\r\n\r\nabcd",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n",
    b"GET /ws/events/v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /livez HTTP/1.0\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
)


def malformed_http(random: Random, token: str) -> bytes:
    """A request that is no longer right, or that seldom still is."""
    made = random.choice(HTTP_REQUESTS).replace(b"TOKEN", token.encode())
    return random.randbytes(random.randrange(1, 400)) if random.random() < 0.05 else mutated(random, made)


def odd_frame(random: Random, *, right: bool) -> bytes:
    """A WebSocket frame of a client, with an odd message. Unless it is `right`, half of them break a rule of frames."""
    payload = random.choice(
        (b"", b"\xff\xfe", b'{"frame":"ping","id":"x"}', b"{", b"[" * 500, b'{"frame":"subscribe","samples":1}',
         b'{"frame":"subscribe","samples":{"targets":"cpu>"}}', random.randbytes(random.randrange(1, 200)))
    )  # fmt: skip
    opcode = random.choice((0, 1, 1, 1, 2, 3, 7, 8, 9, 10, 11, 15))
    is_frame = right or random.random() < 0.5
    opcode = 1 if is_frame else opcode
    first = 0x81 if is_frame else random.choice((0x80, 0x80, 0x80, 0x00, 0xC0, 0xF0)) | opcode
    if not is_frame and random.random() < 0.1:  # a length that is not that of the payload
        return (
            bytes((first, 0x80 | 127)) + struct.pack("!Q", random.choice((2**63, 2**40, 70_000))) + bytes(4) + payload
        )
    head = (
        bytes((first, 0x80 | len(payload)))
        if len(payload) < 126
        else bytes((first, 0xFE)) + struct.pack("!H", len(payload))
    )
    if not is_frame and random.random() < 0.1:
        return bytes((head[0], head[1] & 0x7F)) + head[2:] + payload  # without a mask
    mask = random.randbytes(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
