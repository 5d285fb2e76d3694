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
    """Classification: `{"label", "score"}`, 0.2 % of them cut off."""
    rng = np.random.default_rng(seed)
    label = pl.Series(["positive", "negative", "neutral", "mixed"]).gather(
        rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])
    )
    score = pl.Series(np.round(rng.random(rows), 2))
    pieces = (pl.lit('{"label": "'), pl.lit(label), pl.lit('", "score": '), pl.lit(score), pl.lit("}"))
    made = pl.select(outputs=pl.concat_str(*pieces))
    cut = rng.random(rows) < 0.002
    return made.with_columns(
        outputs=pl.when(pl.lit(pl.Series(cut)))
        .then(pl.col("outputs").str.head(12))
        .otherwise(pl.col("outputs"))
    )


KINDS = {"text": text, "labels": labels}


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
