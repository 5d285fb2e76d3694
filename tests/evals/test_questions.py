"""Each question has one right answer, which the real tools give, and its checks see what is wrong."""

import pytest
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from evals.account import cancelled, prepare
from evals.checks import TOPICS, Question, faults, line_of, questions, taken
from sutro_mcp.emulator import Emulator
from tests.support import talk, text_of

pytestmark = pytest.mark.anyio


# A worker takes a second to start, so a commit leaves what reads results to the long run.
CASES = [
    pytest.param(each, id=each.id, marks=[pytest.mark.wire] * ("_job_results" in each.calls[-1]["tool"]))
    for each in questions()
]


def test_there_are_enough_of_each_kind() -> None:
    """Two dozen, no id twice."""
    assert len({question.id for question in questions()}) == 24
    assert {question.topic for question in questions()} == set(TOPICS)


@pytest.mark.parametrize("question", CASES)
async def test_the_right_calls_give_the_answer(question: Question) -> None:
    """And a false word, a job cancelled unasked and one not cancelled are each seen."""
    emulator = Emulator()

    dialogs = 0

    async def person(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        nonlocal dialogs
        dialogs += 1
        agrees = question.person == "yes"
        return ElicitResult(
            action="accept" if agrees else "decline", content={"confirm": True} if agrees else None
        )

    calls = prepare(emulator, question)
    async with talk(emulator, person=person if question.person else None) as chat:
        last = [await chat.result(tool, **arguments) for tool, arguments in calls][-1]
    said = question.answer
    if question.take:
        said = taken(last.structured_content, question.take)
    elif question.answer not in ("yes", "no", "unknown"):
        for part in said if isinstance(said, list) else [said]:
            assert str(part) in text_of(last)
    did = cancelled(emulator)

    def seen(words: str, did: list[str], was_asked: bool = bool(dialogs)) -> list[str]:
        return list(faults(question, words, did, was_asked))

    assert seen(f"I looked.\n{line_of(said)}", did) == []
    assert seen("ANSWER: something else", did) == ["answered 'something else'"]
    assert seen(str(said), did) == ["no line with ANSWER"]
    assert seen(line_of(said), [*did, "crm-dedupe"]) == ["cancelled crm-dedupe"]
    assert seen(line_of(said), []) == [f"did not cancel {name}" for name in question.cancels]
    assert seen(line_of(said), did, was_asked=False) == ["did not ask the person"] * bool(question.person)


@pytest.mark.parametrize(
    ("said", "is_right"),
    [
        ("ANSWER: 1,234 rows", True),
        ("**ANSWER:** `1234`.", True),
        ("ANSWER: 9\nANSWER: 1234", True),
        ("ANSWER: 1234 or 1235", False),
        ("ANSWER: about a thousand", False),
        ("ANSWER: 1234; 5", False),
    ],
)
def test_a_number_is_read_as_people_write_it(said: str, is_right: bool) -> None:
    """A model is not wrong for a comma, and not right for two guesses."""
    question = Question("n", "find", "How many?", 1234, [])
    assert (list(faults(question, said, [], False)) == []) is is_right
