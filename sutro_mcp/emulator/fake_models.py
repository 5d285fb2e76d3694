"""Models: their names, their kinds, and what a million tokens of each cost. The prices are invented."""

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
