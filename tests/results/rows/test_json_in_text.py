"""The JSON object in what a model wrote, and what stands around it."""

import time

import pytest

from sutro_mcp.results.request_models import Wrapping
from sutro_mcp.results.rows.json_in_text import read_output

ONE = '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "wrapping"),
    [
        (ONE, None),
        (f" {ONE}\n", None),
        (f"```json\n{ONE}\n```", "fence"),
        (f"\ufeff```\n{ONE}", "fence"),
        (f"\ufeff{ONE}", "bom"),
        (f'<think>{{"a": 2}} or {{}}?</think>\n\n```json\n{ONE}\n```', "think"),
        (f"is it {{x}}?\n</think>\n{ONE}", "think"),
        (f"Here it is: {ONE}\nAnything else?", "text"),
    ],
)
def test_one_object_is_read_whatever_stands_around_it(text: str, wrapping: Wrapping | None) -> None:
    """As models write it."""
    assert read_output(text) == ({"a": 1}, wrapping)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "f(x) = {x}",
        "the set {} is empty",
        f"{ONE} {ONE}",
        f"{ONE} and {{",
        f"[{ONE}]",
        f'["]", {ONE}]',
        f"{ONE},",
        f"<think>perhaps {ONE}",
        "```json\n" + ONE[:-1],
        '```json\n{"a": NaN}\n```',
        '"{\\"a\\": 1}"',
    ],
)
def test_anything_else_is_text(text: str | None) -> None:
    """More than one object, a part of one, or one in a list."""
    assert read_output(text) == (None, None)


@pytest.mark.parametrize("part", ["<think>", "</think>", "```", "{", "}", "[", "{}</think>\n"])
def test_a_hostile_text_takes_no_longer_than_another(part: str) -> None:
    """Work grows with its length, not with the square of it."""
    begun = time.process_time()
    read_output(part * 300_000)
    assert time.process_time() - begun < 2
