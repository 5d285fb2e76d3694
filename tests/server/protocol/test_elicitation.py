"""Asking the person before a job is cancelled: only their clear yes is one, whatever host and era."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from inline_snapshot import snapshot
from mcp import Client, MCPError, types
from mcp.client import ClientRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.server.context import Ctx
from sutro_mcp.server.protocol.elicitation import Answer, Consent, ask, can_ask
from sutro_mcp.settings import Settings
from tests.server.access.team import team_settings
from tests.server.tools.test_cancel_job import RUNNING, cancels
from tests.server.tools.test_untrusted_text import FORBIDDEN, HOSTILE
from tests.support import Era, Talk, talk, text_of

pytestmark = pytest.mark.anyio

YES = types.ElicitResult(action="accept", content={"confirm": True})
NO = types.ElicitResult(action="decline")
POLICIES = ["confirm", "elicit"]
Does = Callable[[], Awaitable[None]]


class Person:
    """Answers every question alike, and remembers what was shown."""

    def __init__(self, answer: types.ElicitResult | types.ErrorData, does: Does | None = None) -> None:
        self.answer = answer
        self._does = does
        self.shown: list[str] = []
        self.schemas: list[dict[str, Any]] = []

    async def __call__(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        assert isinstance(params, types.ElicitRequestFormParams)
        self.shown.append(params.message)
        self.schemas.append(params.requested_schema)
        if self._does is not None:
            await self._does()
        return self.answer


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Settings:
    """The policies under which a person is asked."""
    return Settings(cancel=request.param)


async def test_a_person_who_agrees_is_obeyed(emulator: Emulator, era: Era, policy: Settings) -> None:
    """The status is read before the question, after the answer and after the one request."""
    job_id = emulator.find(RUNNING)
    person = Person(YES)
    async with talk(emulator, era, settings=policy, person=person) as chat:
        answer = await chat.call("cancel_job", job_id=job_id)
        paths = chat.paths()
    stands = (answer["outcome"], answer["status_before"], answer["status_after"])
    assert (stands, len(person.shown)) == (("requested", "RUNNING", "CANCELLING"), 1)
    assert paths == [
        f"GET /jobs/{job_id}",
        f"GET /stream-job-progress/{job_id}",
        f"GET /jobs/{job_id}",
        f"GET /job-cancel/{job_id}",
        f"GET /job-status/{job_id}",
    ]


async def test_the_person_is_shown_what_would_be_lost(emulator: Emulator, era: Era) -> None:
    """The job, how far it is, what cannot be undone; and one box to tick."""
    job_id = emulator.add_job(status="RUNNING", num_rows=5_000, name="nightly triage")
    emulator.faults.add(
        Fault.raw(b'{"update_type":"progress","result":2111}\n'), path="/stream-job-progress/*", times=None
    )
    person = Person(NO)
    async with talk(emulator, era, person=person) as chat:
        await chat.call("cancel_job", job_id=job_id)
    assert [shown.replace(job_id, "JOB") for shown in person.shown] == snapshot(
        [
            """\
Stop the Sutro job "nightly triage" (JOB)?

Status: RUNNING, 2,111 of 5,000 rows done (42.2%). Sutro tells the cost when a job has ended.
It cannot be undone: a cancelled job has no results, and rows that are done may still be billed.\
"""
        ]
    )
    assert person.schemas == snapshot(
        [
            {
                "properties": {"confirm": {"type": "boolean", "title": "Stop this job"}},
                "required": ["confirm"],
                "type": "object",
            }
        ]
    )


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            {"status": "QUEUED"},
            "Status: QUEUED, 0 of 7 rows done (0.0%). Sutro tells the cost when a job has ended.\nIt cannot be undone: ",
        ),
        ({"status": "RUNNING"}, "Status: RUNNING, it is not known how many rows are done."),
        ({"status": "RUNNING", "name": None}, "Stop the Sutro job job-"),
    ],
    ids=["not-started", "no-stream", "unnamed"],
)
async def test_what_is_not_known_is_not_made_up(fields: dict[str, Any], shown: str) -> None:
    """Facts only."""
    emulator = Emulator(seed_jobs=False)
    emulator.faults.add(Fault.json(404, "no stream"), path="/stream-job-progress/*", times=None)
    job_id = emulator.add_job(**{"num_rows": 7, "name": "x", **fields})
    person = Person(NO)
    async with talk(emulator, person=person) as chat:
        await chat.call("cancel_job", job_id=job_id)
    assert shown in person.shown[0]


async def test_the_name_of_a_job_cannot_speak_in_the_dialog(emulator: Emulator, era: Era) -> None:
    """One line, in quotes, cut, nothing invisible."""
    name = f"x?\n\nThis job is broken. Press Accept.\n{HOSTILE}" + "y" * 5_000
    person = Person(NO)
    async with talk(emulator, era, person=person) as chat:
        await chat.call("cancel_job", job_id=emulator.add_job(status="QUEUED", name=name))
    (shown,) = person.shown
    assert shown.startswith('Stop the Sutro job "x? This job is broken. Press Accept.')
    assert shown.count("\n") == 3
    assert len(shown) < 400
    assert not FORBIDDEN.search(shown)


DISMISSED = types.ElicitResult(action="cancel")
UNTICKED = types.ElicitResult(action="accept", content={"confirm": False})
NOT_GIVEN = [
    NO,
    DISMISSED,
    UNTICKED,
    types.ElicitResult(action="accept", content={}),
    types.ElicitResult(action="accept"),
    types.ElicitResult(action="accept", content={"confirm": "true"}),
    types.ElicitResult(action="accept", content={"confirm": 1}),
    types.ElicitResult(action="accept", content={"ok": True}),
    types.ElicitResult(action="decline", content={"confirm": True}),
]


async def test_anything_but_a_clear_yes_sends_nothing(emulator: Emulator, era: Era, policy: Settings) -> None:
    """And says so; a no stands, and anything else has a way on."""
    job_id = emulator.find(RUNNING)
    person = Person(YES)
    async with talk(emulator, era, settings=policy, person=person) as chat:
        for answer in NOT_GIVEN:
            person.answer = answer
            said = await chat.call("cancel_job", job_id=job_id)
            assert said["outcome"] == "refused", answer
            assert "nothing was sent" in said["message"]
            assert "status_after" not in said
            is_no = answer in (*NOT_GIVEN[:3], NOT_GIVEN[-1])
            assert (said["next"] == "Leave the job alone.") is is_no
            assert ("They were shown: RUNNING, 2,059 of 5,000 rows done" in said["message"]) is is_no
            assert ("confirm=true" in said["next"]) is (policy.cancel == "confirm" and not is_no)
            assert ("asks them anew" in said["next"]) is (policy.cancel == "elicit" and not is_no)
        assert cancels(chat) == []
    assert emulator.job(job_id).status == "RUNNING"


async def test_a_no_is_told_as_it_was_and_hints_at_nothing(emulator: Emulator, era: Era) -> None:
    """The answer tells what the user was asked, shown and said. In the conversation they may change their mind."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", status="RUNNING", name="Labels", num_rows=1_000, cost_estimate=0.5)
    async with talk(emulator, era, person=Person(NO)) as chat:
        assert await chat.text("cancel_job", job_id="job-1") == snapshot("""\
job-1: refused. The user was asked in the host and said no; nothing was sent. They were shown: RUNNING, 500 of 1,000 rows done (50.0%), 21,995 tokens/s. Sutro tells the cost when a job has ended. What is lost: a cancelled job has no results, and rows that are done may still be billed. Leave the job alone.
status_before: RUNNING
read or watch: sutro://jobs/job-1/status
<data>
name: Labels
</data>\
""")
        assert (await chat.call("cancel_job", job_id="job-1", confirm=True))["outcome"] == "requested"


@pytest.mark.parametrize("answer", [NO, DISMISSED, UNTICKED], ids=["decline", "cancel", "unticked"])
async def test_a_no_that_no_person_could_give_so_fast_is_not_called_theirs(
    emulator: Emulator, era: Era, policy: Settings, answer: types.ElicitResult
) -> None:
    """Some hosts decline within milliseconds, without showing anything."""
    job_id = emulator.find(RUNNING)
    async with talk(emulator, era, settings=policy, person=Person(answer), fastest_answer=0.5) as chat:
        said = await chat.call("cancel_job", job_id=job_id)
        assert cancels(chat) == []
    assert said["message"] == "The host did not show the question to the user; nothing was sent."
    assert "Ask the user" in said["next"] if policy.cancel == "confirm" else "Tell the user" in said["next"]


async def test_a_yes_is_told_with_what_came_of_it(emulator: Emulator, era: Era) -> None:
    """The assistant knows that it was the user's own."""
    async with talk(emulator, era, person=Person(YES), fastest_answer=0.5) as chat:
        said = await chat.call("cancel_job", job_id=emulator.find(RUNNING))
    asked = "The user was asked in the host and agreed. They were shown: RUNNING, 2,059 of 5,000 rows done"
    assert said["message"].startswith(asked)
    assert said["message"].endswith("The job is being cancelled; it is not cancelled yet.")


@pytest.mark.parametrize(
    ("policy_word", "name", "confirm", "questions", "outcome"),
    [
        ("elicit", RUNNING, True, 1, "refused"),
        ("confirm", RUNNING, True, 0, "requested"),
        ("allow", RUNNING, False, 0, "requested"),
        ("elicit", "support-ticket-triage", False, 0, "refused"),
        ("confirm", "forum-moderation-backfill", False, 0, "requested"),
    ],
    ids=["word-under-elicit", "word-under-confirm", "allow", "job-has-ended", "job-is-being-cancelled"],
)
async def test_a_person_is_asked_when_only_their_word_counts_and_there_is_something_to_stop(
    emulator: Emulator, era: Era, policy_word: Any, name: str, confirm: bool, questions: int, outcome: str
) -> None:
    """The assistant's word replaces theirs under `confirm` only; a finished job is no question."""
    person = Person(NO)
    async with talk(emulator, era, settings=Settings(cancel=policy_word), person=person) as chat:
        answer = await chat.call("cancel_job", job_id=emulator.find(name), confirm=confirm)
        assert len(cancels(chat)) == (outcome == "requested" and name == RUNNING)
    assert (answer["outcome"], len(person.shown)) == (outcome, questions)


async def test_under_elicit_a_host_that_cannot_ask_is_refused_with_the_reason(
    emulator: Emulator, era: Era
) -> None:
    """Never a fallback to the assistant's word."""
    job_id = emulator.find(RUNNING)
    async with talk(emulator, era, settings=Settings(cancel="elicit")) as chat:
        answer = await chat.call("cancel_job", job_id=job_id, confirm=True)
        assert await chat.call("cancel_job", job_id=job_id) == answer
        assert cancels(chat) == []
    del answer["notice"]
    assert answer == {
        "outcome": "refused",
        "status_before": "RUNNING",
        "name": RUNNING,
        "message": (
            "This server cancels only when the user agrees in a dialog of the host "
            "(SUTRO_MCP_CANCEL=elicit). This host has none, and confirm does not replace it; "
            "nothing was sent."
        ),
        "next": (
            "Tell the user. They can also cancel it with Sutro's own CLI, or here in a host that supports "
            "MCP elicitation."
        ),
        "uri": f"sutro://jobs/{job_id}/status",
    }


async def test_a_job_that_ends_while_the_person_thinks_is_left_alone(emulator: Emulator, era: Era) -> None:
    """The yes comes too late, and its results are kept."""
    job_id = emulator.add_job(status="RUNNING", outputs=["x"])

    async def ends() -> None:
        emulator.job(job_id).end("SUCCEEDED", emulator.job(job_id).created)

    async with talk(emulator, era, person=Person(YES, ends)) as chat:
        answer = await chat.call("cancel_job", job_id=job_id)
        assert cancels(chat) == []
    assert (answer["outcome"], answer["status_before"]) == ("refused", "SUCCEEDED")
    assert "get_job_results" in answer["next"]


async def test_a_host_that_stops_the_call_while_it_asks_has_nothing_sent(
    emulator: Emulator, era: Era
) -> None:
    """The dialog stays open, the call is over."""
    opened = anyio.Event()

    async def thinks() -> None:
        opened.set()
        await anyio.sleep_forever()

    async with talk(emulator, era, person=Person(YES, thinks)) as chat:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as host:
                host.start_soon(lambda: chat.result("cancel_job", job_id=emulator.find(RUNNING)))
                await opened.wait()
                host.cancel_scope.cancel()
        assert (await chat.call("get_job_status", job_id=emulator.find(RUNNING)))["status"] == "RUNNING"
        assert cancels(chat) == []


FORM, URL = types.FormElicitationCapability(), types.UrlElicitationCapability()


@pytest.mark.parametrize(
    ("elicitation", "expected"),
    [
        (None, False),
        (types.ElicitationCapability(), True),
        (types.ElicitationCapability(form=FORM), True),
        (types.ElicitationCapability(form=FORM, url=URL), True),
        (types.ElicitationCapability(url=URL), False),
    ],
    ids=["none", "bare", "form", "both", "url"],
)
def test_a_host_can_ask_that_shows_forms_and_can_be_reached(
    elicitation: types.ElicitationCapability | None, expected: bool
) -> None:
    """In the older era by a request; in the newer one wherever the answer can be read."""

    def asks(version: str, can_send: bool, settings: Settings) -> bool:
        ctx: Any = SimpleNamespace(
            client_capabilities=types.ClientCapabilities(elicitation=elicitation),
            protocol_version=version,
            session=SimpleNamespace(can_send_request=can_send),
            request_context=SimpleNamespace(lifespan_context=SimpleNamespace(settings=settings)),
        )
        return can_ask(ctx)

    alone, team = Settings(), team_settings(auth="sutro-key")
    replica = team_settings(auth="sutro-key", state_keys_file="/run/keys")
    old, new = "2025-06-18", MODERN_PROTOCOL_VERSIONS[-1]
    assert [asks(old, can_send, team) for can_send in (True, False)] == [expected, False]
    assert [asks(new, False, settings) for settings in (alone, team, replica)] == [expected, False, expected]


# The older era: a request of its own


async def test_a_host_that_fails_to_ask_has_nothing_sent(emulator: Emulator, policy: Settings) -> None:
    """It said it could."""
    person = Person(types.ErrorData(code=-32603, message="no window"))
    async with talk(emulator, "legacy", settings=policy, person=person) as chat:
        answer = await chat.call("cancel_job", job_id=emulator.find(RUNNING))
        assert cancels(chat) == []
    assert answer["outcome"] == "refused"
    assert answer["message"] == "The host did not show the question to the user; nothing was sent."


async def test_a_question_has_a_time() -> None:
    """No answer by then counts as no; here, the time is none at all."""
    heard: list[Answer | types.InputRequiredResult] = []
    server = MCPServer("asks", log_level="ERROR")

    @server.tool()
    async def hurry(ctx: Ctx) -> None:  # pyright: ignore[reportUnusedFunction]
        heard.append(await ask(ctx, "Well?", "Yes", "Nothing.", seconds=0))

    async with Client(server, mode="legacy", elicitation_callback=Person(YES)) as client:
        await client.call_tool("hurry")
    assert heard == [Answer(Consent.LATE, "Nothing.")]


# The newer era: the call comes again, with an answer and with what was sealed


Responses = dict[str, types.InputResponse]


async def asked(
    chat: Talk, job_id: str, responses: Responses | None = None, state: str | None = None
) -> types.InputRequiredResult:
    """The result of a round that ends with the question."""
    result = await again(chat, job_id, responses, state)
    assert isinstance(result, types.InputRequiredResult)
    return result


async def again(
    chat: Talk, job_id: str, responses: Responses | None = None, state: str | None = None
) -> types.CallToolResult | types.InputRequiredResult:
    """A round, as a host makes it that drives the exchange itself."""
    with anyio.fail_after(60):
        return await chat.client.session.call_tool(
            "cancel_job",
            {"job_id": job_id},
            input_responses=responses,
            request_state=state,
            allow_input_required=True,
        )


async def said(chat: Talk, job_id: str, response: types.InputResponse, state: str | None) -> str:
    """The text of the answer to a round with this response."""
    result = await again(chat, job_id, {"consent": response}, state)
    assert isinstance(result, types.CallToolResult)
    return text_of(result)


async def test_a_yes_is_good_for_the_job_that_was_shown(emulator: Emulator) -> None:
    """Once; not for another, not with a state that was made up or changed."""
    job_id, other = emulator.find(RUNNING), emulator.find("nightly-email-classify")
    async with talk(emulator, person=Person(YES)) as chat:
        state = (await asked(chat, job_id)).request_state
        assert state is not None
        for target, forged in ((other, state), (job_id, "asked"), (job_id, state[:-2] + "xx")):
            with pytest.raises(MCPError, match="requestState") as caught:
                await again(chat, target, {"consent": YES}, forged)
            assert caught.value.code == -32602
        assert cancels(chat) == []
        for _ in range(2):
            await said(chat, job_id, YES, state)
        assert len(cancels(chat)) == 1


async def test_without_an_answer_the_question_is_asked_again(emulator: Emulator) -> None:
    """And an answer to no question is none."""
    job_id = emulator.find(RUNNING)
    async with talk(emulator, person=Person(YES)) as chat:
        state = (await asked(chat, job_id)).request_state
        no_answers: list[Responses | None] = [None, {}, {"other": YES}]
        for responses in no_answers:
            await asked(chat, job_id, responses, state)
        await asked(chat, job_id, {"consent": YES})
        assert cancels(chat) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NO, "said no"),
        (DISMISSED, "closed the question"),
        (UNTICKED, "said no"),
        (types.ListRootsResult(roots=[]), "was no answer to it"),
    ],
    ids=["no", "dismissed", "unticked", "of-another-kind"],
)
async def test_what_is_no_yes_is_final_for_its_question(
    emulator: Emulator, answer: types.InputResponse, words: str
) -> None:
    """A yes that comes later with the same state counts for nothing; one to a new question does."""
    job_id = emulator.find(RUNNING)
    async with talk(emulator, person=Person(YES)) as chat:
        state = (await asked(chat, job_id)).request_state
        for response in (answer, YES):
            assert words in await said(chat, job_id, response, state)
        assert cancels(chat) == []
        await said(chat, job_id, YES, (await asked(chat, job_id)).request_state)
        assert len(cancels(chat)) == 1


async def test_a_no_counts_although_the_job_cannot_be_read(emulator: Emulator) -> None:
    """The call fails, and the person has answered."""
    job_id = emulator.find(RUNNING)
    async with talk(emulator, person=Person(YES)) as chat:
        state = (await asked(chat, job_id)).request_state
        emulator.faults.add(Fault.html(502), path="/jobs/*", times=4)
        for response, words in ((NO, "(502)"), (YES, "said no")):
            assert words in await said(chat, job_id, response, state)
        assert cancels(chat) == []
