"""The task of a client, as the runner says it in the environment, and how the client reports."""

import json
import os
from typing import Any

TASK: dict[str, Any] = json.loads(os.environ["INTEROP_TASK"])
COMMAND: list[str] = TASK["command"]
URL: str = TASK["url"]
CALLS: list[tuple[str, dict[str, Any]]] = TASK["calls"]
IS_HTTP: bool = TASK["transport"] == "http"
OPENAI_URL: str = TASK["model"] + "/v1"
PROMPT = "Look at the Sutro jobs."


def report(**facts: Any) -> None:
    """Print the facts as the last line. `shown` is for clients without a model: what they were given."""
    print(json.dumps(facts, ensure_ascii=False))
