"""The machinery of the evals: an agent, a server, an emulator and a judge, each in its own process."""

import pytest

from evals import runner
from evals.checks import Question, questions


def test_the_page_is_what_the_record_says() -> None:
    """A figure that is edited by hand, or a question that came after the run, shows here."""
    asked = questions()
    assert runner.PAGE.read_text("utf-8") == runner.page(asked)
    for one in runner.read().values():
        assert list(one["seen"]) == [question.id for question in asked]


@pytest.mark.wire
@pytest.mark.parametrize("question", [each for each in questions() if each.cancels or each.person])
def test_right_and_wrong_models_are_told_apart(question: Question) -> None:
    """Through the agent and back, with the host's dialog."""
    assert runner.ask("scripted", question) == {"faults": [], "calls": 1}
    wrong = runner.ask("scripted-wrong", question)["faults"]
    assert wrong[:2] == ["answered 'something else'", "cancelled nightly-email-classify"]
