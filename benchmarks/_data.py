"""Result artifacts of made-up text, the same at every run, written in batches."""

from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

# Their types are unknown, or not the same on every Python.
np: Any = import_module("numpy")
pq: Any = import_module("pyarrow.parquet")

_BATCH = 250_000
_WORDS = (
    "the of and to in is that for it was on as with be by at this had not are but from or have an "
    "they which one you were all her she there would their we him been has when who will no more if "
    "out so up said what its about than into them can only other time new some could these two may "
    "first then do any like my now over such our man me even most made after also did many fore must "
    "through back years where much your way well down should because each just those people too good "
    "very make world still see own work long here get both between life being under"
)
_VOCABULARY = _WORDS.split()
_ODD = ["", None, "N/A", "I'm sorry, but I can't help with that request."]
_ODD_SHARES = (0.005, 0.003, 0.01, 0.005)


def text(rows: int, seed: int = 7) -> pl.DataFrame:
    """English-looking outputs of about 330 characters, a few of them empty, null, repeated or refusals."""
    rng = np.random.default_rng(seed)
    pool = _sentences(rng)
    frames: list[pl.DataFrame] = []
    for start in range(0, rows, _BATCH):
        count = min(_BATCH, rows - start)
        parts = [pool.gather(rng.integers(0, len(pool), count)) for _ in range(4)]
        body = pl.select(pl.concat_str([pl.lit(part) for part in parts], separator=" ")).to_series()
        odd = rng.choice(len(_ODD) + 1, count, p=[*_ODD_SHARES, 1 - sum(_ODD_SHARES)])
        frames.append(
            pl.DataFrame({"outputs": body, "odd": odd}).select(
                outputs=pl.when(pl.col("odd") == len(_ODD))
                .then(pl.col("outputs"))
                .otherwise(pl.col("odd").replace_strict(range(len(_ODD) + 1), [*_ODD, None]))
            )
        )
    return pl.concat(frames)


def _sentences(rng: Any) -> pl.Series:
    ranks = np.arange(1, len(_VOCABULARY) + 1)
    shares = (1 / ranks) / (1 / ranks).sum()
    lengths = rng.integers(12, 32, 200_000)
    words = rng.choice(np.array(_VOCABULARY), int(lengths.sum()), p=shares)
    ends = np.cumsum(lengths)
    return pl.Series([" ".join(words[end - length : end]) for end, length in zip(ends, lengths, strict=True)])


def labels(rows: int, seed: int = 7) -> pl.DataFrame:
    """Classification: `{"label", "score"}`."""
    rng = np.random.default_rng(seed)
    return _objects(rng, rows, label=_text(_label(rng, rows)), score=_round(rng, rows, 1, 4))


def reasoned(rows: int, seed: int = 7) -> pl.DataFrame:
    """Classification with its reason: `{"label", "score", "reason", "tags"}`, about 260 characters."""
    rng = np.random.default_rng(seed)
    tag = pl.Series(["late", "broken", "refund", "praise", "price", "size", "delivery", "support"])
    first, second = (_text(_drawn(rng, tag, rows)) for _ in range(2))
    return _objects(
        rng,
        rows,
        label=_text(_label(rng, rows)),
        score=_round(rng, rows, 1, 4),
        reason=_text(_prose(rng, rows)),
        tags=pl.select(
            pl.concat_str(pl.lit("["), pl.lit(first), pl.lit(", "), pl.lit(second), pl.lit("]"))
        ).to_series(),
    )


def nested(rows: int, seed: int = 7) -> pl.DataFrame:
    """Extraction: `{"id", "company": {"name", …}, "amounts": [{"value", …}, …], "paid", "total"}`."""
    rng = np.random.default_rng(seed)
    city = _drawn(rng, pl.Series(["Berlin", "Paris", "Rome", "Madrid", "Oslo", "Wien"]), rows)
    name = pl.select(
        pl.concat_str(pl.lit("Company "), pl.lit(pl.Series(rng.integers(0, 500, rows))))
    ).to_series()
    items = [
        pl.select(
            pl.concat_str(
                pl.lit('{"value": '), pl.lit(_round(rng, rows, 500, 2)), pl.lit(', "currency": "EUR"}')
            )
        ).to_series()
        for _ in range(2)
    ]
    return _objects(
        rng,
        rows,
        id=pl.Series(rng.integers(0, 10**6, rows)),
        company=_objects(rng, rows, 0, name=_text(name), city=_text(city)).to_series(),
        amounts=pl.select(
            pl.concat_str(pl.lit("["), pl.lit(items[0]), pl.lit(", "), pl.lit(items[1]), pl.lit("]"))
        ).to_series(),
        paid=_drawn(rng, pl.Series(["true", "false"]), rows),
        total=_round(rng, rows, 1000, 2),
    )


def envelope(rows: int, seed: int = 7) -> pl.DataFrame:
    """Answers of reasoning models: `{"content", "reasoning_content"}`, with JSON in a string inside."""
    rng = np.random.default_rng(seed)
    content = labels(rows, seed).to_series().str.replace_all('"', '\\"', literal=True)
    return _objects(rng, rows, content=_text(content), reasoning_content=_text(_prose(rng, rows)))


def _objects(rng: Any, rows: int, cut: float = 0.002, /, **members: pl.Series) -> pl.DataFrame:
    """Objects of these members, each of which is JSON; a share of them is cut off."""
    parts: list[pl.Expr] = []
    for key, values in members.items():
        parts += [pl.lit(f'{", " if parts else "{"}"{key}": '), pl.lit(values).cast(pl.String)]
    whole = pl.concat_str(*parts, pl.lit("}"))
    is_cut = pl.lit(pl.Series(rng.random(rows) < cut))
    return pl.select(outputs=pl.when(is_cut).then(whole.str.head(12)).otherwise(whole))


def _text(values: pl.Series) -> pl.Series:
    return pl.select(pl.concat_str(pl.lit('"'), pl.lit(values), pl.lit('"'))).to_series()


def _prose(rng: Any, rows: int) -> pl.Series:
    pool = _sentences(rng)
    parts = [pl.lit(_drawn(rng, pool, rows)) for _ in range(2)]
    return pl.select(pl.concat_str(*parts, separator=" ")).to_series()


def _drawn(rng: Any, pool: pl.Series, rows: int) -> pl.Series:
    return pool.gather(rng.integers(0, len(pool), rows))


def _label(rng: Any, rows: int) -> pl.Series:
    pool = pl.Series(["positive", "negative", "neutral", "mixed"])
    return pool.gather(rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05]))


def _round(rng: Any, rows: int, scale: float, digits: int) -> pl.Series:
    return pl.Series(np.round(rng.random(rows) * scale, digits))


KINDS = {"text": text, "labels": labels, "reasoned": reasoned, "nested": nested, "envelope": envelope}


def write(path: Path, kind: str, rows: int, group_rows: int) -> None:
    """As pyarrow writes it by default: zstd, pages of 1 MiB, no page index; `group_rows` in a group."""
    partial = path.with_suffix(".part")
    writer: Any = None
    for number, start in enumerate(range(0, rows, group_rows)):
        frame: Any = KINDS[kind](min(group_rows, rows - start), seed=number)
        table = frame.to_arrow()
        if writer is None:
            writer = pq.ParquetWriter(partial, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=group_rows)
    if writer is not None:
        writer.close()
    partial.rename(path)
