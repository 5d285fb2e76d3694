"""Structured work: reviews, invoices, sums, customer records, vectors. Text and templates only."""

import json

from sutro_mcp.emulator.fake_outputs import Row, embedding, object_schema
from sutro_mcp.emulator.seeded_random import SeededRandom

_PRODUCTS = (
    "kettle",
    "desk lamp",
    "backpack",
    "rain jacket",
    "headphones",
    "office chair",
    "water bottle",
    "keyboard",
)
_ASPECTS = {
    "quality": ("feels solid", "feels cheap"),
    "delivery": ("arrived a day early", "took three weeks to arrive"),
    "price": ("is worth every cent", "is overpriced for what it is"),
    "design": ("looks great on my desk", "looks nothing like the photos"),
    "service": ("came with a friendly note from the seller", "could not be returned without a fight"),
}
_TOPICS = tuple(_ASPECTS)
_SENTIMENTS = ("negative", "negative", "neutral", "positive", "positive")

REVIEW_SCHEMA = object_schema(
    sentiment={"type": "string", "enum": ["positive", "neutral", "negative"]},
    stars={"type": "integer", "minimum": 1, "maximum": 5},
    topic={"type": "string", "enum": list(_TOPICS)},
)


def review(rng: SeededRandom, _row: int) -> Row:
    """A product review, its sentiment, stars and topic. Written to be fast: one job has 100,000 of them."""
    topic, stars = _TOPICS[rng.below(5)], 1 + int(rng.below(25) ** 0.5)
    good, bad = _ASPECTS[topic]
    product = _PRODUCTS[rng.below(8)]
    verdict = good if stars > 2 else bad
    text = f"The {product} {verdict}. Bought it {rng.between(2, 90)} days ago, {stars} out of 5."
    return text, f'{{"sentiment": "{_SENTIMENTS[stars - 1]}", "stars": {stars}, "topic": "{topic}"}}'


_VENDORS = (
    ("Nordlicht Büromöbel GmbH", "DE", "EUR"),
    ("Harbor & Pine Supplies", "US", "USD"),
    ("Atelier Lemaître SARL", "FR", "EUR"),
    ("Kawasaki Precision K.K.", "JP", "JPY"),
    ("Smith, Rowe & Sons Ltd", "GB", "GBP"),
    ("Cafetera del Sur S.A.", "CO", "USD"),
    ("Østergaard Logistik ApS", "DK", "DKK"),
)
_ITEMS = (
    "Standing desk",
    "Toner cartridge",
    "Espresso beans 1 kg",
    "Pallet wrap",
    "Cable tray",
    "Freight surcharge",
)

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
_LINE_SCHEMA = object_schema(description=_TEXT, quantity={"type": "integer"}, unit_price=_NUMBER)
INVOICE_SCHEMA = object_schema(
    vendor=object_schema(name=_TEXT, country=_TEXT),
    invoice_number=_TEXT,
    total=_NUMBER,
    currency=_TEXT,
    line_items={"type": "array", "items": _LINE_SCHEMA},
)


def invoice(rng: SeededRandom, row: int) -> Row:
    """The text of an invoice and what was extracted from it; totals are the sum of their lines."""
    vendor, country, currency = rng.pick(_VENDORS)
    number = f"{rng.pick('ABFKR')}-{rng.between(2019, 2025)}-{row + 1:05d}"
    lines = [
        (item, rng.between(1, 24), rng.between(150, 48_000) / 100)
        for item in sorted({rng.pick(_ITEMS) for _ in range(rng.between(1, 5))})
    ]
    total = round(sum(quantity * price for _, quantity, price in lines), 2)
    text = [f"INVOICE {number}", vendor, ""]
    text += [f"{quantity:>3} x {item:<22} {price:>10.2f}" for item, quantity, price in lines]
    text.append(f"TOTAL {currency} {total:.2f}")
    extracted = {
        "vendor": {"name": vendor, "country": country},
        "invoice_number": number,
        "total": total,
        "currency": currency,
        "line_items": [
            {"description": item, "quantity": quantity, "unit_price": price}
            for item, quantity, price in lines
        ],
    }
    return "\n".join(text), json.dumps(extracted, ensure_ascii=False)


MATH_SCHEMA = object_schema(
    verdict={"type": "string", "enum": ["correct", "incorrect"]}, answer={"type": "integer"}
)


def math_audit(rng: SeededRandom, _row: int) -> Row:
    """A worked sum, and a reasoning envelope that judges it (§7.3)."""
    boxes, each, given_away = rng.between(3, 40), rng.between(4, 60), rng.between(1, 11)
    answer = boxes * each - given_away
    claimed = answer if rng.below(5) else answer + rng.pick((-10, -1, 1, 10))
    text = (
        f"A shop has {boxes} boxes with {each} pencils each and gives away {given_away}. "
        f"The student answers {claimed}. Is that right?"
    )
    thought = (
        f"{boxes} boxes of {each} make {boxes * each}. Minus {given_away} leaves {answer}. "
        f"The student wrote {claimed}, so that is {'a match' if claimed == answer else 'off'}."
    )
    verdict = "correct" if claimed == answer else "incorrect"
    envelope = {"content": {"verdict": verdict, "answer": answer}, "reasoning_content": thought}
    return text, json.dumps(envelope)


_PLANS = ("starter", "team", "business", "enterprise")
_SIGNALS = (
    "logins down by half",
    "two open complaints",
    "seats added last month",
    "no change in usage",
    "late payment",
)


def churn(rng: SeededRandom, row: int) -> Row:
    """A customer record as a Function takes it, and the Function's answer."""
    plan, signal, months = rng.pick(_PLANS), rng.pick(_SIGNALS), rng.between(1, 60)
    record = {"customer_id": f"C{row + 1:05d}", "plan": plan, "months": months, "signal": signal}
    risk = "high" if signal in _SIGNALS[:2] else "medium" if signal == "late payment" or months < 4 else "low"
    return json.dumps(record), json.dumps({"risk": risk, "reason": signal})


_PEOPLE = ("Anna Kowalski", "Bob Nguyen", "Chidi Okafor", "Dana Levi", "Emil Sørensen", "Fumiko Tanaka")
_STREETS = ("12 Mill Lane", "98 Harbour St", "4 Rue Verte", "77 Lindenweg", "301 Oak Ave")

DEDUPE_SCHEMA = object_schema(same_person={"type": "boolean"}, reason={"type": "string"})


def dedupe(rng: SeededRandom, _row: int) -> Row:
    """Two CRM records, and whether they are one person."""
    person, street = rng.pick(_PEOPLE), rng.pick(_STREETS)
    same = rng.below(3) > 0
    other = person.upper() if same else rng.pick([name for name in _PEOPLE if name != person])
    text = f"A: {person}, {street}\nB: {other}, {street}"
    return text, json.dumps({"same_person": same, "reason": "same name" if same else "different names"})


def vector(rng: SeededRandom, _row: int) -> Row:
    """A product title and its embedding."""
    return f"{rng.pick(_PRODUCTS)}, model {rng.between(100, 999)}", embedding(rng)
