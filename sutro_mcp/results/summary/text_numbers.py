"""Numbers that are held as text: "1,234.50", "1.234,50 €", "12 %".

A column is taken for such numbers where nearly all of its values are written in one form: the same unit at
the same side, the same sign for decimals. Where "1,234" may be two numbers and no other value decides which,
it stays text.
"""

import re
from collections.abc import Iterator

import polars as pl

from sutro_mcp.results.request_models import Distribution, TextNumbers
from sutro_mcp.results.rows.json_shape import literal, quoted

from .distinct_sketch import Budget, Sketch, hashes
from .quantiles import Numbers

_LEAST_SHARE = 0.95
_MOST_FORMS = 8
_LONG_NAME = 60
_SPACES = " \u00a0\u202f"
_SEPARATORS = f"'\u2019{_SPACES}"
_BLANK = r"[ \x{a0}\x{202f}]?"
_UNIT = r"[A-Z]{0,2}\p{Sc}|[A-Z]{3}"
_ANY = rf"^[-+]?({_UNIT}|){_BLANK}[-+]?[0-9](?:[0-9.,{_SEPARATORS}]*[0-9])?{_BLANK}(%|{_UNIT}|)$"
# Read with a comma and with a point they are two numbers.
_AMBIGUOUS = r"(?:^|[^0-9.,])[1-9][0-9]{0,2}[.,][0-9]{3}(?:$|[^0-9.,])"
_COMMA, _POINT = ",", "."


def _pattern(before: str, after: str, decimal: str, separators: str) -> str:
    """Numbers of one form, as an expression that polars and DuckDB read alike."""
    whole = "|".join(
        ("0|[1-9][0-9]*", *(f"[1-9][0-9]{{0,2}}(?:{_escaped(each)}[0-9]{{3}})+" for each in separators))
    )
    unit = f"{re.escape(before)}{_BLANK}"
    start = f"(?:[-+]?{unit}|{unit}[-+])" if before else "[-+]?"
    end = f"{_BLANK}{re.escape(after)}" if after else ""
    return rf"{start}(?:{whole})(?:\{decimal}[0-9]+)?{end}"


def _escaped(separator: str) -> str:
    """In an expression; spaces that look like others by their number."""
    is_visible = separator not in _SPACES or separator == " "
    return re.escape(separator) if is_visible else rf"\x{{{ord(separator):x}}}"


class _Reading:
    """The values of one form that are numbers when read with one sign for decimals."""

    def __init__(self, before: str, after: str, decimal: str, budget: Budget) -> None:
        self.decimal = decimal
        other = _POINT if decimal == _COMMA else _COMMA
        self.separators = other + _SEPARATORS
        self._pattern = f"^(?:{_pattern(before, after, decimal, self.separators)})$"
        self.count = self.decisive = 0
        self.sketch = Sketch(budget)
        self._numbers = Numbers(budget)

    def reads(self, texts: pl.Series) -> pl.Series:
        return texts.str.contains(self._pattern)

    def add(self, rows: pl.Series, texts: pl.Series) -> None:
        """Texts that it reads, not empty."""
        digits = texts.str.replace_all(rf"[^0-9\-\{self.decimal}]", "")
        floats = digits.str.replace(_COMMA, _POINT, literal=True).cast(pl.Float64)
        self.count += len(texts)
        self.sketch.add(pl.DataFrame({"h": hashes(floats), "row": rows, "value": floats}))
        self._numbers.add(rows, floats, *_ends(floats))

    def distribution(self) -> Distribution:
        counted = self.sketch.values().select("value", "n") if self.sketch.complete else None
        return self._numbers.distribution(counted)


class _Form:
    """Texts with the same unit, or none, at the same side."""

    def __init__(self, before: str, after: str, budget: Budget) -> None:
        self.before, self.after = before, after
        self.count = self.ambiguous = 0
        self.readings = [_Reading(before, after, decimal, budget) for decimal in (_POINT, _COMMA)]
        self.seen: set[str] = set()

    def add(self, rows: pl.Series, texts: pl.Series) -> None:
        self.count += len(texts)
        self.seen |= {each for each in _SEPARATORS + ",." if texts.str.contains(each, literal=True).any()}
        ambiguous = texts.str.contains(_AMBIGUOUS)
        self.ambiguous += int(ambiguous.sum())
        point, comma = (reading.reads(texts) for reading in self.readings)
        for reading, reads, other in zip(self.readings, (point, comma), (comma, point), strict=True):
            reading.decisive += int((reads & ~other).sum())
            if reads.any():
                reading.add(rows.filter(reads), texts.filter(reads))

    def decided(self) -> _Reading | None:
        """The reading that its values allow, if that is one alone."""
        point, comma = self.readings
        if point.decisive and comma.decisive and self.ambiguous:
            return None
        best = comma if comma.decisive > point.decisive else point
        return None if self.ambiguous and not best.decisive else best


class NumberTexts:
    """Looks for a form that nearly all texts of a column have, as long as there can be one."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._texts = 0
        self._forms: dict[tuple[str, str], _Form] = {}
        self._is_over = False

    def add(self, rows: pl.Series, texts: pl.Series) -> None:
        """Texts of the column, none of them null, and their rows."""
        if self._is_over:
            return
        self._texts += len(texts)
        for before, after, at in _units(texts):
            if (before, after) not in self._forms:
                if len(self._forms) >= _MOST_FORMS:
                    continue
                self._forms[before, after] = _Form(before, after, self._budget)
            self._forms[before, after].add(rows.filter(at), texts.filter(at))
        most_others = (1 - _LEAST_SHARE) * self._budget.rows
        for key, form in list(self._forms.items()):
            if self._texts - form.count > most_others:
                del self._forms[key]
                self._budget.drop(reading.sketch for reading in form.readings)
        self._is_over = not self._forms and self._texts > most_others

    def found(self, values: int, sql_name: str) -> tuple[TextNumbers, bool] | None:
        """The numbers in a column of so many values, and whether all were held; None if it has none."""
        for form in self._forms.values():
            reading = form.decided()
            if reading and reading.count and reading.count >= _LEAST_SHARE * values:
                numbers = TextNumbers(
                    count=reading.count,
                    unit=(form.before or form.after) or None,
                    numbers=reading.distribution(),
                    sql=_sql(form, reading, sql_name) if len(sql_name) <= _LONG_NAME else None,
                )
                return numbers, reading.sketch.complete
        return None


def _units(texts: pl.Series) -> Iterator[tuple[str, str, pl.Series]]:
    """The units before and after numbers, and in which of the texts they are."""
    units = texts.str.extract_groups(_ANY).struct.unnest()
    for before, after in units.drop_nulls().unique(maintain_order=True).iter_rows():
        yield before, after, ((units["1"] == before) & (units["2"] == after)).fill_null(value=False)


def _sql(form: _Form, reading: _Reading, name: str) -> str:
    seen = "".join(each for each in reading.separators if each in form.seen)
    pattern = _pattern(form.before, form.after, reading.decimal, seen)
    dropped = "".join(dict.fromkeys(f"{seen}+{form.before}{form.after}{''.join(form.seen & set(_SPACES))}"))
    kept, point = (_COMMA, _POINT) if reading.decimal == _COMMA else ("", "")
    visible, *others = [kept + dropped.translate({ord(each): None for each in _SPACES[1:]}), *_SPACES[1:]]
    changed = " || ".join([literal(visible), *(f"chr({ord(each)})" for each in others if each in dropped)])
    number = f"translate({quoted(name)}, {changed}, {literal(point)})"
    is_number = f"regexp_full_match({quoted(name)}, {literal(pattern)})"
    return f"CASE WHEN {is_number} THEN {number}::DOUBLE END"


def _ends(numbers: pl.Series) -> tuple[float, float]:
    least, most = numbers.min(), numbers.max()
    assert isinstance(least, float)  # noqa: S101 - for the type checker
    assert isinstance(most, float)  # noqa: S101 - for the type checker
    return least, most
