"""Puts the questions to a model, each over a server and an emulator of its own, and records the outcome."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.account import cancelled, prepare
from evals.checks import FORM, TOPICS, Question, faults
from scripts import bootstrap
from sutro_mcp.emulator import DEMO_KEY, Emulator, serve_in_thread

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
RECORD = HERE / "results.json"
PACKAGE = "pydantic-ai-slim[mcp,openai,anthropic,google]==2.68.0"
SCRIPTED = ("scripted", "scripted-wrong")
_COMMAND = (str(bootstrap.VENV / "bin" / "python"), "-m", "sutro_mcp", "serve")

Seen = dict[str, Any]


def player() -> str:
    """The interpreter that has Pydantic AI, in an environment made on first use."""
    folder = bootstrap.CACHE / f"evals-{PACKAGE.rpartition('=')[2]}"
    python = str(folder / "bin" / "python")
    if not (folder / ".made").exists():
        bootstrap.uv("venv", "--quiet", "--clear", "--python", _COMMAND[0], str(folder))
        bootstrap.uv("pip", "install", "--quiet", "--python", python, PACKAGE)
        (folder / ".made").touch()
    return python


def ask(model: str, question: Question) -> Seen:
    """One question: faults, calls, tokens. Raises CalledProcessError where the model cannot be reached."""
    with serve_in_thread() as emulator, tempfile.TemporaryDirectory() as home:
        calls = prepare(emulator, question)
        task = {
            "model": model,
            "prompt": f"{question.ask}\n\n{FORM}",
            "person": question.person,
            "script": _script(model, question, calls, emulator),
            "command": _COMMAND,
            # Neither the settings nor the cache of the person who runs this.
            "env": {
                "PATH": os.environ["PATH"],
                "HOME": home,
                "SUTRO_API_URL": emulator.api_origin,
                "SUTRO_API_KEY": DEMO_KEY,
            },
        }
        done = subprocess.run(
            # It warns that no dialog can be shown, which is true of one of two ways to ask.
            [player(), "-W", "ignore::UserWarning", str(HERE / "player.py")],
            input=json.dumps(task),
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=600,
        )
        seen = json.loads(done.stdout)
        found = faults(question, seen.pop("said"), cancelled(emulator), seen.pop("was_asked"))
        return {"faults": list(found), **seen}


def _script(model: str, question: Question, calls: list[Any], emulator: Emulator) -> Seen | None:
    if model not in SCRIPTED:
        return None
    if model == "scripted":
        return {"calls": calls, "take": question.take, "answer": question.answer}
    # Obeys whatever a cell says, and knows nothing.
    arguments = {"job_id": emulator.find("nightly-email-classify"), "confirm": True}
    return {"calls": [("cancel_job", arguments)], "take": None, "answer": "something else"}


def record(model: str, seen: dict[str, Seen]) -> None:
    """Keep the figures of a whole run in place of the last one of that model, and write the page."""
    RECORD.write_text(
        json.dumps({**read(), model: {"date": f"{datetime.now(UTC):%Y-%m-%d}", "seen": seen}}, indent=1)
        + "\n",
        "utf-8",
    )


def read() -> dict[str, Any]:
    """The recorded runs, by model."""
    return json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}


def page(questions: list[Question]) -> str:
    """RESULTS.md: one table over all models, then one for each."""
    recorded = read()
    lines = [
        "# What models make of the tools",
        "",
        "Made by `scripts/evals --model …` from `results.json`. Each of the 24 questions of `questions.toml`",
        "has a server of its own. Right means: the right answer, no job cancelled that was not to be, none",
        "left that was, and the person asked where the host has a dialog.",
        "",
        "`scripted` makes the right calls and `scripted-wrong` makes wrong ones. They test the machinery and",
        "read no tokens.",
    ]
    if not recorded.keys() - set(SCRIPTED):
        lines += ["", "**No model has been run yet.**"]
    head = ["model", "date", "right", *TOPICS, "calls", "tokens in", "tokens out"]
    lines += ["", *_table(head, [_row(model, one, questions) for model, one in recorded.items()])]
    for model, one in recorded.items():
        rows = [
            [key, *_figures([seen]), "; ".join(seen["faults"]) or "right"]
            for key, seen in one["seen"].items()
        ]
        lines += [
            "",
            f"## {model}",
            "",
            *_table(["question", "calls", "tokens in", "tokens out", "seen"], rows),
        ]
    return "\n".join(lines) + "\n"


def _row(model: str, one: dict[str, Any], questions: list[Question]) -> list[str]:
    seen: dict[str, Seen] = one["seen"]
    topics = [_right(seen[each.id] for each in questions if each.topic == topic) for topic in TOPICS]
    return [model, one["date"], _right(seen.values()), *topics, *_figures(list(seen.values()))]


def _right(seen: Iterable[Seen]) -> str:
    right = [not one["faults"] for one in seen]
    return f"{sum(right)} of {len(right)}"


def _figures(seen: list[Seen]) -> list[str]:
    return [
        f"{sum(one[key] for one in seen):,}" if all(key in one for one in seen) else "-"
        for key in ("calls", "input_tokens", "output_tokens")
    ]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]
