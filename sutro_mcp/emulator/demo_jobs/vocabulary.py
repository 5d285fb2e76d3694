"""Support tickets, emails and survey answers with their labels. Words and templates only."""

import json

from sutro_mcp.emulator.fake_outputs import Output, Row, object_schema
from sutro_mcp.emulator.seeded_random import SeededRandom

_OPENINGS = (
    "Hi team,",
    "Hello,",
    "Good morning,",
    "To whom it may concern,",
    "Hey there,",
    "I have been a customer since {year}.",
    "This is the second time I am writing about this.",
)

# label -> what happened, what was tried
_ISSUES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "billing": (
        (
            "I was charged twice for order {order} and only one of the charges shows up in my account.",
            "My invoice for {month} lists {seats} seats, but we only have {fewer} people on the team.",
            "The annual discount you promised when I upgraded is missing from invoice {order}.",
            "I cancelled the trial in {month} and my card was still debited ${amount}.",
        ),
        (
            "My bank says the charge is on your side.",
            "I already replied to the receipt email and got no answer.",
            "Please refund the difference or tell me whom to talk to.",
        ),
    ),
    "bug": (
        (
            "Since the last update the app closes as soon as I open the {screen} screen.",
            "Exporting more than {seats} rows to CSV gives me an empty file.",
            "The {screen} page shows yesterday's numbers even after I reload it.",
            "Search returns nothing when the query contains a hyphen, for example order {order}.",
        ),
        (
            "I cleared the cache and tried another browser, same result.",
            "It works on my colleague's phone, so I suspect my account.",
            "A restart helps for about ten minutes.",
        ),
    ),
    "account_access": (
        (
            "I cannot log in because the verification code never arrives.",
            "My account was locked after I changed my phone number.",
            "The password reset link says it has expired the moment I click it.",
            "Our admin left the company and nobody can reach the {screen} settings any more.",
        ),
        (
            "I checked the spam folder and waited more than an hour.",
            "I need access before {month} closes.",
            "I can confirm my identity in any way you like.",
        ),
    ),
    "shipping": (
        (
            "Order {order} has been 'out for delivery' for five days.",
            "The parcel arrived with a broken seal and one of {few} items missing.",
            "You sent order {order} to my old address although I changed it in {month}.",
        ),
        (
            "The carrier tells me to contact the sender.",
            "I attached photos of the box.",
            "It is a birthday present, so timing matters.",
        ),
    ),
    "feature_request": (
        (
            "Is there a way to schedule the weekly report instead of running it by hand?",
            "It would help us a lot if the {screen} page had a dark mode.",
            "We would love to see an integration with our calendar, at least read-only.",
        ),
        (
            "Right now I copy the numbers into a spreadsheet every Monday.",
            "Three people on my team asked for the same thing.",
            "Happy to be a beta tester.",
        ),
    ),
}
LABELS = tuple(_ISSUES)
_CLOSINGS = (
    "Thanks for your help.",
    "Please get back to me today if you can.",
    "Kind regards, {name}",
    "I am really disappointed, to be honest.",
    "Looking forward to your reply!",
    "If this is not fixed this week I will have to cancel.",
    "- {name}, sent from my phone",
)
_NAMES = (
    "Amara",
    "Jonas",
    "Mei",
    "Priya",
    "Tomás",
    "Olga",
    "Kwame",
    "Lucía",
    "Henrik",
    "Aiko",
    "Fatima",
    "Liam",
)
_SCREENS = ("dashboard", "billing", "reports", "inbox", "settings", "inventory")
_MONTHS = ("January", "March", "April", "June", "September", "November")

TRIAGE_SCHEMA = object_schema(
    label={"type": "string", "enum": list(LABELS)},
    urgency={"type": "integer", "minimum": 1, "maximum": 5},
    confidence={"type": "number", "minimum": 0, "maximum": 1},
)

# Rows of the triage job in which the model did not do as it was told (§7.2), by row number.
_ODD_ROWS: dict[int, Output] = {
    88: '{"label": "billing", "urgency": 4, "confi',
    239: "Sorry, I can't tell what this ticket is about. It could be billing or a bug.",
    401: '{"label": "bug", "urgency": ',
    617: "Label: shipping\nUrgency: 2 out of 5",
    902: '```json\n{"label": "account_access", "urgency": 3, "confidence": 0.71}\n```',
    154: "",
    733: "",
    47: None,
    310: None,
    555: None,
    846: None,
}


def ticket(rng: SeededRandom, row: int) -> Row:
    """A support ticket and its triage; a few rows went wrong."""
    label = rng.pick(LABELS)
    text = _ticket_text(rng, label)
    urgent = "cancel" in text or "today" in text
    urgency = rng.between(3, 5) if urgent else rng.between(1, 4)
    triage = {"label": label, "urgency": urgency, "confidence": rng.fraction(0.55, 0.99, 2)}
    return text, _ODD_ROWS[row] if row in _ODD_ROWS else json.dumps(triage)


def _ticket_text(rng: SeededRandom, label: str) -> str:
    happened, tried = _ISSUES[label]
    parts = [rng.pick(_OPENINGS), rng.pick(happened), rng.pick(tried)]
    if rng.below(3) == 0:
        parts.append(rng.pick(tried))
    parts.append(rng.pick(_CLOSINGS))
    return " ".join(dict.fromkeys(parts)).format(
        year=rng.between(2015, 2024),
        order=f"#{rng.between(10_000, 99_999)}",
        month=rng.pick(_MONTHS),
        seats=rng.between(20, 400),
        fewer=rng.between(3, 19),
        few=rng.between(2, 6),
        amount=rng.between(9, 480),
        screen=rng.pick(_SCREENS),
        name=rng.pick(_NAMES),
    )


_SUBJECTS = (
    "Re: contract renewal",
    "Your weekly digest",
    "Invoice attached",
    "Question about the offer",
    "Out of office",
)
_FOLDERS = ("needs_reply", "newsletter", "accounting", "sales", "automatic")

EMAIL_SCHEMA = object_schema(
    folder={"type": "string", "enum": list(_FOLDERS)}, needs_human={"type": "boolean"}
)


def email(rng: SeededRandom, _row: int) -> Row:
    """An email and the folder it belongs in."""
    kind = rng.below(len(_SUBJECTS))
    text = f"Subject: {_SUBJECTS[kind]}\n\n{_ticket_text(rng, rng.pick(LABELS))}"
    return text, json.dumps(
        {"folder": _FOLDERS[(kind + 4 * (rng.below(10) == 0)) % 5], "needs_human": kind in (0, 3)}
    )


_PRAISE = (
    "The onboarding",
    "The support team",
    "The mobile app",
    "The pricing",
    "The documentation",
    "The checkout",
)
_VERDICTS = {
    "positive": "was better than I expected",
    "neutral": "was fine, nothing special",
    "negative": "needs work",
}
_EXTRAS = (
    "I would recommend it.",
    "I nearly gave up.",
    "More examples would help.",
    "Please keep it simple.",
    "",
)

SURVEY_SCHEMA = object_schema(
    codes={"type": "array", "items": {"type": "string"}},
    valence={"type": "string", "enum": list(_VERDICTS)},
)


def survey(rng: SeededRandom, _row: int) -> Row:
    """An open survey answer and its codes."""
    about, valence = rng.pick(_PRAISE), rng.pick(tuple(_VERDICTS))
    text = f"{about} {_VERDICTS[valence]}. {rng.pick(_EXTRAS)}".strip()
    return text, json.dumps({"codes": [about.removeprefix("The ").replace(" ", "_")], "valence": valence})
