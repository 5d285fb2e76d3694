"""Creates the demo's rows: an input and its output, from a kind's words in `row_contents.toml`."""

import json
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sutro_mcp.emulator.fake_models import Row, embedding
from sutro_mcp.emulator.seeded_random import SeededRandom


@cache
def _vocabulary() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("row_contents.toml").read_text("utf-8"))


def churn(rng: SeededRandom, row: int) -> Row:
    """A customer record as a Function takes it, and the Function's answer."""
    words = _vocabulary()["churn"]
    plan, signal, months = rng.pick(words["plans"]), rng.pick(words["signals"]), rng.between(1, 60)
    record = {"customer_id": f"C{row + 1:05d}", "plan": plan, "months": months, "signal": signal}
    if signal in words["signals"][:2]:
        risk = "high"
    else:
        risk = "medium" if signal == "late payment" or months < 4 else "low"
    return json.dumps(record), json.dumps({"risk": risk, "reason": signal})


def _clause_text(rng: SeededRandom) -> str:
    words = _vocabulary()["clause"]
    duty = rng.pick(words["duties"]).format(n=rng.pick(words["days"]))
    return f"{rng.pick(words['parties']).capitalize()} shall {duty}. {rng.pick(words['limits'])}"


def clause(rng: SeededRandom, _row: int) -> Row:
    """A contract clause and its tag."""
    text = _clause_text(rng)
    tag = "termination" if "notice" in text else "payment"
    return text, json.dumps({"clause": tag, "risky": "90" in text})


def copy(rng: SeededRandom, row: int) -> Row:
    """Product attributes and the text for the catalogue."""
    words = _vocabulary()["copy"]
    goods, trait = rng.pick(words["goods"]), rng.pick(words["traits"])
    text = f"A {trait} {goods} {rng.pick(words['uses'])}. {rng.pick(words['ends'])}"
    return f"sku=SK{row + 1:05d}; item={goods}; trait={trait}; tone=plain", text


def dedupe(rng: SeededRandom, _row: int) -> Row:
    """Two CRM records, and whether they are one person."""
    words = _vocabulary()["dedupe"]
    person, street = rng.pick(words["people"]), rng.pick(words["streets"])
    same = rng.below(3) > 0
    other = person.upper() if same else rng.pick([name for name in words["people"] if name != person])
    text = f"A: {person}, {street}\nB: {other}, {street}"
    return text, json.dumps({"same_person": same, "reason": "same name" if same else "different names"})


def email(rng: SeededRandom, _row: int) -> Row:
    """An email and the folder it belongs in."""
    words = _vocabulary()
    subjects, folders = words["email"]["subjects"], words["email"]["folders"]
    kind = rng.below(len(subjects))
    text = f"Subject: {subjects[kind]}\n\n{_ticket_text(rng, rng.pick(list(words['ticket']['issues'])))}"
    folder = folders[(kind + 4 * (rng.below(10) == 0)) % 5]
    return text, json.dumps({"folder": folder, "needs_human": kind in (0, 3)})


def greeting(_rng: SeededRandom, row: int) -> Row:
    """A language and a greeting in it, or one of the awkward texts."""
    greetings = _vocabulary()["greeting"]["greetings"]
    language, text = greetings[row % len(greetings)]
    return f"Greet me in {language}.", text


def haiku(rng: SeededRandom, row: int) -> Row:
    """A topic and three lines."""
    words = _vocabulary()["haiku"]
    poem = "\n".join(rng.pick(words[line]) for line in ("first", "second", "third"))
    return f"Write a haiku about {words['topics'][row % len(words['topics'])]}.", poem


def invoice(rng: SeededRandom, row: int) -> Row:
    """The text of an invoice and what was extracted from it; totals are the sum of their lines."""
    words = _vocabulary()["invoice"]
    vendor, country, currency = rng.pick(words["vendors"])
    number = f"{rng.pick('ABFKR')}-{rng.between(2019, 2025)}-{row + 1:05d}"
    lines = [
        {"description": item, "quantity": rng.between(1, 24), "unit_price": rng.between(150, 48_000) / 100}
        for item in sorted({rng.pick(words["items"]) for _ in range(rng.between(1, 5))})
    ]
    total = round(sum(line["quantity"] * line["unit_price"] for line in lines), 2)
    text = [f"INVOICE {number}", vendor, ""]
    text += ["{quantity:>3} x {description:<22} {unit_price:>10.2f}".format(**line) for line in lines]
    text.append(f"TOTAL {currency} {total:.2f}")
    extracted = {
        "vendor": {"name": vendor, "country": country},
        "invoice_number": number,
        "total": total,
        "currency": currency,
        "line_items": lines,
    }
    return "\n".join(text), json.dumps(extracted, ensure_ascii=False)


def math(rng: SeededRandom, _row: int) -> Row:
    """A worked sum, and a reasoning envelope that judges it (§7.3)."""
    boxes, each, given_away = rng.between(3, 40), rng.between(4, 60), rng.between(1, 11)
    answer = boxes * each - given_away
    claimed = answer if rng.below(5) else answer + rng.pick((-10, -1, 1, 10))
    verdict, match = ("correct", "a match") if claimed == answer else ("incorrect", "off")
    text = (
        f"A shop has {boxes} boxes with {each} pencils each and gives away {given_away}. "
        f"The student answers {claimed}. Is that right?"
    )
    thought = (
        f"{boxes} boxes of {each} make {boxes * each}. Minus {given_away} leaves {answer}. "
        f"The student wrote {claimed}, so that is {match}."
    )
    envelope = {"content": {"verdict": verdict, "answer": answer}, "reasoning_content": thought}
    return text, json.dumps(envelope)


def proof(rng: SeededRandom, _row: int) -> Row:
    """A claim, and a reasoning envelope whose content is plain text (§7.3)."""
    claim = rng.pick(_vocabulary()["proof"]["claims"])
    content = f"Suppose it were false that {claim}. A contradiction follows in {rng.between(3, 9)} steps."
    thought = f"I should show that {claim}. Contradiction looks shortest here."
    return f"Sketch a proof that {claim}.", json.dumps({"reasoning_content": thought, "content": content})


def review(rng: SeededRandom, _row: int) -> Row:
    """A product review, its sentiment, stars and topic. Written to be fast: one job has 100,000 of them."""
    words = _vocabulary()["review"]
    topic, stars = words["topics"][rng.below(5)], 1 + int(rng.below(25) ** 0.5)
    product = _vocabulary()["products"][rng.below(8)]
    verdict = words[topic][0 if stars > 2 else 1]
    text = f"The {product} {verdict}. Bought it {rng.between(2, 90)} days ago, {stars} out of 5."
    sentiment = words["sentiments"][stars - 1]
    return text, f'{{"sentiment": "{sentiment}", "stars": {stars}, "topic": "{topic}"}}'


def summary(rng: SeededRandom, _row: int) -> Row:
    """A few clauses and a summary of them."""
    clauses = [_clause_text(rng) for _ in range(rng.between(3, 6))]
    return "\n".join(clauses), f"{len(clauses)} clauses. The first says: {clauses[0].split('.')[0].lower()}."


def survey(rng: SeededRandom, _row: int) -> Row:
    """An open survey answer and its codes."""
    words = _vocabulary()["survey"]
    subject, valence = rng.pick(words["subjects"]), rng.pick(list(words["verdicts"]))
    text = f"The {subject} {words['verdicts'][valence]}. {rng.pick(words['extras'])}".strip()
    return text, json.dumps({"codes": [subject.replace(" ", "_")], "valence": valence})


def ticket(rng: SeededRandom, row: int) -> Row:
    """A support ticket and its triage; a few rows went wrong (§7.2)."""
    words = _vocabulary()["ticket"]
    label = rng.pick(list(words["issues"]))
    text = _ticket_text(rng, label)
    urgent = "cancel" in text or "today" in text
    urgency = rng.between(3, 5) if urgent else rng.between(1, 4)
    triage = {"label": label, "urgency": urgency, "confidence": rng.fraction(0.55, 0.99, 2)}
    output = words["odd_rows"].get(str(row), json.dumps(triage))
    return text, None if row in words["null_rows"] else output


def _ticket_text(rng: SeededRandom, label: str) -> str:
    words = _vocabulary()["ticket"]
    happened, tried = words["issues"][label]["happened"], words["issues"][label]["tried"]
    parts = [rng.pick(words["openings"]), rng.pick(happened), rng.pick(tried)]
    if rng.below(3) == 0:
        parts.append(rng.pick(tried))
    parts.append(rng.pick(words["closings"]))
    return " ".join(dict.fromkeys(parts)).format(
        year=rng.between(2015, 2024),
        order=f"#{rng.between(10_000, 99_999)}",
        month=rng.pick(words["months"]),
        seats=rng.between(20, 400),
        fewer=rng.between(3, 19),
        few=rng.between(2, 6),
        amount=rng.between(9, 480),
        screen=rng.pick(words["screens"]),
        name=rng.pick(words["names"]),
    )


def vector(rng: SeededRandom, _row: int) -> Row:
    """A product title and its embedding."""
    return f"{rng.pick(_vocabulary()['products'])}, model {rng.between(100, 999)}", embedding(rng)


_OF_TEXT = (clause, copy, email, greeting, haiku, proof, summary, survey, ticket)
_OF_RECORDS = (churn, dedupe, invoice, math, review, vector)
GENERATORS: Mapping[str, Callable[[SeededRandom, int], Row]] = {
    generator.__name__: generator for generator in (*_OF_TEXT, *_OF_RECORDS)
}
"""By kind of work, as `plans.toml` names it: how a row is created from its number."""
