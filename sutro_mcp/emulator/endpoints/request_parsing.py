"""Reads requests: query values, a JSON body. Refusals are the contract's (§3, §8)."""

import json
from typing import Any, cast

from starlette.requests import Request

from sutro_mcp.emulator.api_errors import ApiError, invalid

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def integer(request: Request, name: str, low: int, high: int) -> int | None:
    """A query integer within bounds; None if absent; 422 otherwise."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        raise invalid("query", name, "Input should be a valid integer", "int_parsing") from None
    if value < low:
        raise invalid("query", name, f"Input should be greater than or equal to {low}", "greater_than_equal")
    if value > high:
        raise invalid("query", name, f"Input should be less than or equal to {high}", "less_than_equal")
    return value


def boolean(request: Request, name: str) -> bool:
    """A query flag, false if absent: true/false in any case (SDKs send True) or 1/0 (§3)."""
    text = request.query_params.get(name, "false")
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise invalid("query", name, "Input should be a valid boolean", "bool_parsing") from None


async def json_object(request: Request) -> dict[str, Any]:
    """The request's JSON object; 422 if the body is anything else."""
    try:
        body: object = json.loads(await request.body())
    except ValueError:
        raise ApiError(422, [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error"}]) from None
    if not isinstance(body, dict):
        raise ApiError(422, [{"type": "dict_type", "loc": ["body"], "msg": "Input should be an object"}])
    return cast("dict[str, Any]", body)


def flag(body: dict[str, Any], name: str) -> bool:
    """A boolean of a JSON body, false if absent or null."""
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise invalid("body", name, "Input should be a valid boolean", "bool_type")
    return bool(value)
