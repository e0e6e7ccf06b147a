"""Builds `/openapi.json` from the endpoints that are served: paths, types with their limits, permissions, problems."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from novacron_core import PROTOCOL
from novacron_core.api.base import Nothing
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.problem import Problem
from novacron_core.values.roles import Permission

Row = Endpoint[Any, Any, Any]
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")


def document(rows: list[Row]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these endpoints."""
    types: list[Any] = [Problem]
    for row in rows:
        types += [kind for kind in (row.takes, row.returns) if kind is not bytes]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "NovaCron", "version": str(PROTOCOL), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(row: Row, by_type: dict[int, Any]) -> dict[str, Any]:
    noun = row.path.strip("/").split("/")[-1 if row.path.count("/") < 3 else 2]
    success: dict[str, Any] = {"description": row.summary or "Done"}
    if row.kind == "bytes":
        success["content"] = {"application/octet-stream": {}}
    elif row.returns is not Nothing:
        success["content"] = {"application/json": {"schema": by_type[id(row.returns)]}}
    operation: dict[str, Any] = {
        "summary": row.summary,
        "operationId": re.sub(r"\W+", "_", row.key).strip("_").lower(),
        "tags": [noun],
        "x-permission": str(row.permission),
        "parameters": _path_parameters(row) + _query_parameters(row),
        "responses": {str(row.status): success, "default": _problem(by_type)},
    }
    if row.permission is not Permission.PUBLIC:
        operation["security"] = [{"bearer": []}]
    if row.kind == "upload":
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if row.takes is not Nothing:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_type[id(row.takes)]}},
        }
    return operation


def _problem(by_type: dict[int, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": by_type[id(Problem)]}}
    return {"description": "A problem document (RFC 9457)", "content": content}


def _path_parameters(row: Row) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(row.path)
    ]


def _query_parameters(row: Row) -> list[dict[str, Any]]:
    if row.query is Nothing:
        return []
    # Query structs are flat, so their schema can be inlined.
    schema = msgspec.json.schema(row.query)
    struct: dict[str, Any] = schema["$defs"][row.query.__name__]
    fields: dict[str, Any] = struct["properties"]
    required = struct.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _inline(field, schema["$defs"])}
        for name, field in fields.items()
    ]


def _inline(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in field:
        return dict(definitions[field["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in field:
        return {**field, "anyOf": [_inline(part, definitions) for part in field["anyOf"]]}
    return field
