"""Submission and Function runs (`sutro-api.md` §6.9, §6.11).

Inputs come in the request; the emulator fetches nothing, so it refuses inputs given as a URL.
"""

import json
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.api_errors import ApiError, invalid
from sutro_mcp.emulator.fake_models import answer, is_function
from sutro_mcp.emulator.job_factory import create_job, job_id_for, token_count
from sutro_mcp.emulator.seeded_random import SeededRandom, seed_of
from sutro_mcp.emulator.stored_job import QUEUED
from sutro_mcp.emulator.wire_format import json_response

from .guarded_route import route
from .request_parsing import flag, json_object

_DRY_RUN_NAMES = ("cost_estimate", "dryrun", "dry_run")  # C20


def submit_routes(account: Account) -> list[BaseRoute]:
    endpoints = SubmitEndpoints(account)
    return [
        route(account, "/batch-inference", endpoints.submit, "POST"),
        route(account, "/functions/{name}/run", endpoints.run_function, "POST"),
    ]


class SubmitEndpoints:
    """Submission of jobs, and runs of a Function."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def submit(self, request: Request) -> Response:
        """POST /batch-inference: a new job, QUEUED until the pace moves it."""
        body = await json_object(request)
        inputs = _inputs(body.get("inputs"))
        model = body.get("model", self._account.variant.default_model)
        if not isinstance(model, str):
            raise invalid("body", "model", "Input should be a valid string", "string_type")
        priority = body.get("job_priority", 0)
        if priority not in (0, 1):
            raise invalid("body", "job_priority", "Input should be 0 or 1", "enum")
        schema = body.get("json_schema")
        if not isinstance(schema, dict | None):
            raise invalid("body", "json_schema", "Input should be an object", "dict_type")
        now = self._account.now()
        dry_run = any(flag(body, name) for name in _DRY_RUN_NAMES)
        scored = SeededRandom(seed_of(model), len(self._account))
        job = create_job(
            now=now,
            number=len(self._account),
            job_id=job_id_for(f"submitted {len(self._account)}"),
            status=QUEUED,
            inputs=inputs,
            model=model,
            json_schema=cast("dict[str, Any] | None", schema),
            system_prompt=body.get("system_prompt"),
            confidence_score=[scored.fraction(0.5) for _ in inputs] if is_function(model) else None,
            dry_run=dry_run,
            job_priority=int(priority),
            name=body.get("name"),
            description=body.get("description"),
            sampling_params=body.get("sampling_params"),
            first_seen=now,
        )
        self._account.add(job)
        if self._account.variant.submit_response == "job_id":
            return json_response({"job_id": job.job_id})
        metadata = {"job_id": job.job_id, "message": "Job created successfully"}
        return json_response({"results": job.job_id, "metadata": metadata})

    async def run_function(self, request: Request) -> Response:
        """POST /functions/{name}/run: one input, answered at once."""
        body = await json_object(request)
        given, name = body.get("input"), request.path_params["name"]
        if not isinstance(given, str | dict):
            detail = "`input` must be text or an object."
            return json_response(
                {"detail": detail, "code": "invalid_input", "request_id": "req_emulated"}, 422
            )
        text = _rendered(cast("Any", given))
        seed = seed_of(f"{name} {text}")
        output = str(answer(text, name, None, seed, 0))
        scored = "confidence_scoring" not in body or flag(body, "confidence_scoring")
        usage = {"input_tokens": token_count(text), "output_tokens": token_count(output)}
        return json_response(
            {
                "request_id": f"req_{seed:016x}",
                "function": {"name": name},
                "output": output,
                "confidence": SeededRandom(seed, 1).fraction(0.5) if scored else None,
                "usage": usage,
            }
        )


def _inputs(given: Any) -> list[str]:
    if isinstance(given, str):
        raise ApiError(400, "The emulator takes `inputs` as a list; it does not fetch URLs or datasets.")
    if not isinstance(given, list) or not given:
        raise invalid("body", "inputs", "Input should be a list of at least one input", "list_type")
    return [_rendered(item) for item in cast("list[Any]", given)]


def _rendered(item: Any) -> str:
    # An object of a Function job shows up as text among the inputs (§7.1: the rendered prompt).
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
