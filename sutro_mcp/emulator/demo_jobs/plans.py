"""The demo account's jobs as one table: what each is called, asks for and came to.

Data only; `_seed` builds the jobs.
"""

# ruff: noqa: E501 - one job, one line

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sutro_mcp.emulator.jobs import (
    CANCELLED,
    CANCELLING,
    FAILED,
    QUEUED,
    RUNNING,
    STARTING,
    SUCCEEDED,
    UNKNOWN,
)

from .records import DEDUPE_SCHEMA, INVOICE_SCHEMA, MATH_SCHEMA, REVIEW_SCHEMA
from .texts import CLAUSE_SCHEMA, GREETINGS
from .vocabulary import EMAIL_SCHEMA, SURVEY_SCHEMA, TRIAGE_SCHEMA

_SCHEMAS: dict[str, Mapping[str, Any]] = {
    "ticket": TRIAGE_SCHEMA,
    "email": EMAIL_SCHEMA,
    "survey": SURVEY_SCHEMA,
    "review": REVIEW_SCHEMA,
    "invoice": INVOICE_SCHEMA,
    "math": MATH_SCHEMA,
    "dedupe": DEDUPE_SCHEMA,
    "clause": CLAUSE_SCHEMA,
}
_PROMPTS = {
    "haiku": "You are a poet. Answer with a haiku and nothing else.",
    "ticket": "Classify the support ticket. Urgency 5 means somebody is losing money right now.",
    "email": "Sort the email into a folder and say whether a person has to answer it.",
    "survey": "Code the survey answer with short snake_case codes.",
    "review": "Rate the review's sentiment, infer the stars, and name the topic it is mainly about.",
    "invoice": "Extract the invoice. Copy numbers exactly; do not convert currencies.",
    "math": "Check the student's answer. Think step by step.",
    "proof": "You are a patient mathematician.",
    "copy": "Write two sentences of catalogue copy. No superlatives, no exclamation marks.",
    "clause": "Tag the clause and flag it if a lawyer should look at it.",
    "summary": "Summarise the contract for somebody who has one minute.",
    "greeting": "Greet the reader in the language asked for.",
    "dedupe": "Decide whether the two records describe the same person.",
}
_TOKENS = {
    "haiku": (38, 24),
    "ticket": (96, 27),
    "email": (131, 16),
    "survey": (48, 22),
    "review": (57, 24),
    "invoice": (188, 121),
    "math": (74, 412),
    "proof": (29, 655),
    "copy": (52, 41),
    "clause": (61, 15),
    "summary": (1240, 180),
    "greeting": (26, 14),
    "churn": (64, 21),
    "dedupe": (55, 19),
    "vector": (9, 0),
}
"""Average tokens per row, in and out, by kind of work."""


@dataclass(frozen=True)
class Plan:
    """One row of the table. `days` is the job's age, `minutes` how long it ran."""

    name: str | None
    kind: str
    rows: int
    days: float
    model: str = "gpt-oss-20b"
    status: str = SUCCEEDED
    minutes: float = 6.0
    priority: int = 0
    progress: float = 0.5  # share of rows done, for work under way, cancelled or failed
    description: str | None = None
    failure: tuple[str, str | None] | None = None  # message, additional context
    id_name: str | None = None
    estimated: bool = False  # somebody ran a dry run first, so the job carries an estimate
    dataset: str | None = None
    expired: bool = False
    dry_run: bool = False

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON schema the work was submitted with."""
        return _SCHEMAS.get(self.kind)

    @property
    def prompt(self) -> str | None:
        """The system prompt; Functions and embedding models take none."""
        return _PROMPTS.get(self.kind)

    @property
    def tokens(self) -> tuple[int, int]:
        """Average tokens per row, in and out."""
        return _TOKENS[self.kind]


BIG, THINKING, GEMMA, LLAMA, QWEN = (
    "gpt-oss-120b",
    "qwen-3-14b-thinking",
    "gemma-3-12b-it",
    "llama-3.3-70b",
    "qwen-3-14b",
)
VECTORS, CHURN, LEADS = "qwen-3-embedding-0.6b", "churn-risk-scorer", "lead-quality-scorer"

# fmt: off
PLANS: tuple[Plan, ...] = (
    # What is going on today.
    Plan("legal-clause-tagging", "clause", 2_400, 0.004, BIG, QUEUED, priority=1, description="All supplier contracts signed since 2021"),
    Plan("quarterly-nps-coding", "survey", 3_100, 0.007, QWEN, STARTING, priority=1),
    Plan("catalogue-copy-refresh", "copy", 5_000, 0.02, QWEN, RUNNING, priority=1, progress=0.412, description="Spring catalogue, second pass", estimated=True),
    Plan("nightly-email-classify", "email", 12_000, 0.06, GEMMA, RUNNING, priority=1, progress=0.87, description="Shared inbox, previous day"),
    Plan("forum-moderation-backfill", "email", 8_000, 0.11, GEMMA, CANCELLING, priority=1, progress=0.31),
    Plan("haiku-smoke-test", "haiku", 10, 0.15, minutes=0.7, description="Is everything up?"),
    Plan("warehouse-notes-import", "survey", 640, 0.3, QWEN, UNKNOWN),
    # The last few days.
    Plan("support-ticket-triage", "ticket", 1_000, 0.9, BIG, minutes=4.2, description="Tickets opened last week", estimated=True),
    Plan("nightly-email-classify", "email", 11_640, 1.06, GEMMA, minutes=38, priority=1, description="Shared inbox, previous day"),
    Plan("support-ticket-triage-trial", "ticket", 50, 1.2, minutes=0.9, description="Trial run on fifty tickets"),
    Plan("product-review-sentiment", "review", 100_000, 1.6, GEMMA, minutes=71, priority=1, description="Every review of the last twelve months", estimated=True),
    Plan("product-review-sentiment-estimate", "review", 100_000, 1.7, GEMMA, minutes=0.4, priority=1, dry_run=True),
    Plan("invoice-extraction", "invoice", 1_000, 2.1, BIG, minutes=9.5, description="Scanned invoices, October to December", estimated=True),
    Plan("pii-redaction-pilot", "email", 400, 2.3, LLAMA, FAILED, progress=0.0, failure=("Input 17 is longer than the model's context window and truncate_rows is false.", None)),
    Plan("math-reasoning-audit", "math", 1_000, 2.8, THINKING, minutes=14, description="Grade-school answers, second rater"),
    Plan("multilingual-greetings", "greeting", GREETINGS, 3.2, QWEN, minutes=1.1, description="Rendering check for every script we ship"),
    Plan("churn-function-scores", "churn", 500, 3.4, CHURN, minutes=2.6, id_name="customer_id", description="Accounts up for renewal"),
    Plan("nightly-email-classify", "email", 10_212, 3.06, GEMMA, minutes=35, priority=1, description="Shared inbox, previous day"),
    Plan("contract-summaries", "clause", 800, 4.0, LLAMA, FAILED, minutes=11, progress=0.62, failure=("Worker lost while processing rows; the retry limit was reached.", "worker=w-07 attempt=3 last_row=496"), estimated=True, dataset="dataset-3f0c9a1e-7d52-4c1b-9a51-0f6b8d2c77aa", description="One-minute summaries for the deal desk"),
    Plan("contract-summaries-small", "summary", 40, 4.4, LLAMA, minutes=1.8),
    Plan("ticket-routing-with-ids", "ticket", 300, 4.8, QWEN, minutes=2.2, id_name="ticket_id", description="Joined back by ticket_id"),
    Plan("crm-dedupe-v2", "dedupe", 20_000, 5.3, QWEN, CANCELLED, minutes=13, priority=1, progress=0.5, description="Stopped: wrong export"),
    Plan("crm-dedupe-v3", "dedupe", 20_000, 5.2, QWEN, minutes=26, priority=1, id_name="pair_id"),
    Plan("catalogue-embeddings", "vector", 500, 6.0, VECTORS, minutes=0.8, description="Titles for the search prototype"),
    # The weeks before.
    Plan("crm-dedupe", "dedupe", 1_000, 7.5, QWEN, minutes=3.0),
    Plan("catalogue-copy-pilot", "copy", 200, 8.1, QWEN, minutes=1.5),
    Plan("catalogue-copy-pilot", "copy", 200, 8.4, BIG, minutes=1.9, description="Same rows, larger model"),
    Plan("lead-quality-weekly", "churn", 240, 8.9, LEADS, minutes=1.3, description="Inbound leads"),
    Plan("nightly-email-classify", "email", 9_870, 9.06, GEMMA, FAILED, minutes=21, priority=1, progress=0.55, failure=("Token quota of priority 1 exceeded while the job was running.", None)),
    Plan(None, "haiku", 5, 9.7, minutes=0.5),
    Plan("proof-sketches", "proof", 60, 10.2, THINKING, minutes=3.1),
    Plan("survey-open-answers", "survey", 1_850, 11.0, QWEN, minutes=5.5, priority=1),
    Plan("survey-open-answers-estimate", "survey", 1_850, 11.1, QWEN, minutes=0.3, priority=1, dry_run=True),
    Plan("clause-tagging-pilot", "clause", 150, 12.4, BIG, minutes=1.2),
    Plan("refund-email-drafts", "summary", 90, 13.0, LLAMA, CANCELLED, minutes=0.6, progress=0.1),
    Plan("review-topics-sample", "review", 1_000, 14.2, minutes=2.4),
    Plan("invoice-extraction-pilot", "invoice", 25, 15.5, minutes=0.8),
    Plan("invoice-extraction-pilot", "invoice", 25, 15.6, status=FAILED, progress=0.0, failure=("json_schema is not valid: 'type' of property 'total' must be a string or a list.", None)),
    Plan("lead-quality-weekly", "churn", 215, 15.9, LEADS, minutes=1.2, description="Inbound leads"),
    Plan("math-reasoning-audit-v1", "math", 300, 17.3, THINKING, minutes=6.4),
    Plan("nightly-email-classify", "email", 11_004, 18.06, GEMMA, minutes=36, priority=1, description="Shared inbox, previous day"),
    Plan("greeting-cards", "copy", 80, 19.8, GEMMA, minutes=0.9),
    Plan("hr-policy-questions", "summary", 120, 21.4, BIG, minutes=2.9),
    Plan("model-comparison-gemma", "ticket", 200, 22.0, GEMMA, minutes=1.6),
    Plan("model-comparison-llama", "ticket", 200, 22.1, LLAMA, minutes=2.7),
    Plan("model-comparison-qwen", "ticket", 200, 22.2, QWEN, minutes=1.8),
    Plan("lead-quality-weekly", "churn", 198, 22.9, LEADS, minutes=1.1, description="Inbound leads"),
    Plan("review-backfill-2023", "review", 40_000, 25.5, GEMMA, minutes=33, priority=1),
    Plan("support-macros", "copy", 60, 28.3, minutes=0.8),
    Plan("onboarding-emails", "email", 900, 30.7, QWEN, minutes=4.0),
    Plan("first-steps", "haiku", 3, 34.6, minutes=0.4, description="Hello, Sutro"),
    # Older than results are kept (§7.5).
    Plan("old-survey-coding", "survey", 4_200, 97.4, LLAMA, minutes=19, priority=1, expired=True, description="Customer survey, previous wave"),
)
# fmt: on
