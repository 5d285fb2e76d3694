"""Models and their outputs: names, kinds, invented prices, and answers shaped like real ones.

Outputs depend on (seed, row, input) alone. Structured answers conform to the schema they were asked for.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .seeded_random import SeededRandom, seed_of

Output = str | list[float] | None
Row = tuple[str, Output]  # input and output

PRICES: dict[str, tuple[float, float]] = {
    "gpt-oss-20b": (0.04, 0.16),
    "gpt-oss-120b": (0.12, 0.48),
    "qwen-3-14b": (0.06, 0.24),
    "qwen-3-14b-thinking": (0.08, 0.32),
    "gemma-3-12b-it": (0.05, 0.15),
    "llama-3.3-70b": (0.20, 0.60),
    "qwen-3-embedding-0.6b": (0.01, 0.0),
}
"""USD per million input and output tokens."""

FUNCTIONS = frozenset({"churn-risk-scorer", "lead-quality-scorer"})
"""The Functions this account has published."""
_FUNCTION_PRICE = (0.15, 0.45)  # a published Function bills as one product, whatever it runs on

_DIMENSIONS = 16
_DEPTH = 6  # a schema that refers to itself ends in nulls

_OPENINGS = ("In short,", "Overall,", "The text says that", "Put simply,", "Read closely,")
_MIDDLES = ("the main point is", "what matters is", "the writer cares about", "it comes down to")
_CLOSINGS = (
    "No further action is needed.",
    "A short follow-up would help.",
    "The remaining details support this.",
    "Nothing else in it changes the picture.",
)
_WORDS = ("amber", "harbor", "ledger", "meadow", "north", "orchid", "quartz", "signal", "timber", "willow")


def cost(model: str, input_tokens: int, output_tokens: int) -> float:
    """USD for so many tokens, to a millionth, as `job_cost` and `cost_estimate` report it."""
    price_in, price_out = PRICES.get(model, _FUNCTION_PRICE)
    return round((input_tokens * price_in + output_tokens * price_out) / 1_000_000, 6)


def is_function(model: str) -> bool:
    """Whether `model` is a published Function rather than a model id (§5)."""
    return model in FUNCTIONS


def is_reasoning(model: str) -> bool:
    """Whether outputs are {content, reasoning_content} envelopes (§7.3)."""
    return model.endswith("-thinking")


def is_embedding(model: str) -> bool:
    """Whether outputs are lists of floats (§7.1)."""
    return "embedding" in model


def answer(text: str | None, model: str, schema: Mapping[str, Any] | None, seed: int, row: int) -> Output:
    """One row's output: a string, or a list of floats from an embedding model."""
    rng = SeededRandom(seed ^ seed_of(text or ""), row)
    if is_embedding(model):
        return embedding(rng)
    content: Any = prose(text or "", rng) if schema is None else conforming(schema, rng, schema)
    if is_reasoning(model):
        thought = f"Row {row + 1}: the input is {len(text or '')} characters long. {rng.pick(_CLOSINGS)}"
        return json.dumps({"content": content, "reasoning_content": thought}, ensure_ascii=False)
    return content if schema is None else json.dumps(content, ensure_ascii=False)


def embedding(rng: SeededRandom) -> list[float]:
    """A vector of the emulator's fixed dimension, components between -1 and 1."""
    return [rng.fraction(-1.0, 1.0, 6) for _ in range(_DIMENSIONS)]


def prose(text: str, rng: SeededRandom) -> str:
    """Two sentences about the beginning of `text`."""
    gist = " ".join(text.split()[:8]).rstrip(".,;:!?") or "an empty input"
    return f"{rng.pick(_OPENINGS)} {rng.pick(_MIDDLES)} {gist}. {rng.pick(_CLOSINGS)}"


def conforming(schema: Any, rng: SeededRandom, root: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that fits the JSON schema, as far as the schema uses the common keywords."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    spec = cast("dict[str, Any]", schema)
    if "$ref" in spec:
        return conforming(_referred(spec["$ref"], root), rng, root, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if spec.get(choice):
            return conforming(rng.pick(spec[choice]), rng, root, depth + 1)
    if "const" in spec:
        return spec["const"]
    if spec.get("enum"):
        return rng.pick(spec["enum"])
    kind = spec.get("type", "object" if "properties" in spec else None)
    if isinstance(kind, list):
        kind = rng.pick(cast("Sequence[str]", kind))
    if kind == "object":
        properties: dict[str, Any] = spec.get("properties", {})
        return {name: conforming(part, rng, root, depth + 1) for name, part in properties.items()}
    if kind == "array":
        count = rng.between(spec.get("minItems", 1), spec.get("maxItems", max(3, spec.get("minItems", 1))))
        return [conforming(spec.get("items"), rng, root, depth + 1) for _ in range(count)]
    return _scalar(kind, spec, rng)


def _scalar(kind: Any, spec: Mapping[str, Any], rng: SeededRandom) -> Any:
    if kind == "string":
        return f"{rng.pick(_WORDS)} {rng.pick(_WORDS)}"[: spec.get("maxLength")]
    if kind == "boolean":
        return rng.below(2) == 1
    low = spec.get("minimum", 0)
    if kind == "integer":
        return rng.between(int(low), int(spec.get("maximum", low + 100)))
    if kind == "number":
        return rng.fraction(low, spec.get("maximum", low + 1), 3)
    return None


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in filter(None, reference.lstrip("#").split("/")):
        found = cast("dict[str, Any]", found).get(part) if isinstance(found, dict) else None
    return found
