"""Rows out of pages are the rows that polars reads out of the whole file, whoever wrote it."""

import datetime as dt
import io
import random
import string
from collections.abc import Callable
from functools import cache

import pandas as pd
import polars as pl
import pytest

from sutro_mcp.results.parquet import open_parquet

from .support import Remote, arrow_file, cut, decode, local, polars_file, same

ROWS = 3000
Writer = Callable[[], bytes]


@cache
def plain() -> pl.DataFrame:
    """One column of each kind that results are made of."""
    dice = random.Random(1)
    numbers = range(ROWS)
    return pl.DataFrame(
        {
            "text": [
                f"x{dice.randrange(50)}" if i < 1500 else f"row {i} " * dice.randrange(9) for i in numbers
            ],
            "nullable": [None if dice.random() < 0.1 else f"v{dice.randrange(2000)}" for _ in numbers],
            "double": [dice.random() if i % 9 else float("nan") for i in numbers],
            "int": numbers,
            "bool": [i % 3 == 0 for i in numbers],
            "all null": pl.Series([None] * ROWS, dtype=pl.String),
            "list": [[dice.random()] * (i % 4) if i % 7 else None for i in numbers],
            "struct": [{"a": i, "b": str(i), "c": [i] * (i % 3)} if i % 5 else None for i in numbers],
            "date": [dt.date(2024, 1, 1) + dt.timedelta(i % 400) for i in numbers],
        }
    )


@cache
def typed() -> pl.DataFrame:
    """Types that Parquet cannot tell apart without the note of types, and names that are not words."""
    numbers = range(ROWS)
    start = dt.datetime(2024, 1, 1)  # noqa: DTZ001
    zone = pl.Series([start + dt.timedelta(hours=i) for i in numbers]).dt.replace_time_zone("UTC")
    return pl.DataFrame(
        {
            "category": pl.Series([f"c{i % 7}" for i in numbers], dtype=pl.Categorical),
            "enum": pl.Series(["x", "y", "z"] * 1000, dtype=pl.Enum(["z", "y", "x"])),
            "zone": zone.dt.convert_time_zone("Europe/Berlin"),
            "naive": [start + dt.timedelta(minutes=i) for i in numbers],
            "duration": [dt.timedelta(seconds=i) for i in numbers],
            "time": [dt.time(1, i % 60) for i in numbers],
            "decimal": pl.Series([f"{i}.25" for i in numbers]).str.to_decimal(scale=2),
            "binary": [b"%d" % i for i in numbers],
            "tiny": pl.Series([i % 200 for i in numbers], dtype=pl.UInt8),
            "single": pl.Series([i / 2 for i in numbers], dtype=pl.Float32),
            "null": [None] * ROWS,
            "*": numbers,
            "^.*$": numbers,
            "": numbers,
            "a.b": numbers,
            "größe 💡": numbers,
            "list of zone": [[start] * (i % 3) for i in numbers],
        }
    )


@cache
def polars_only() -> pl.DataFrame:
    """Types that pyarrow does not write."""
    return typed().with_columns(
        array=pl.Series([[1.0, 2.0]] * ROWS, dtype=pl.Array(pl.Float64, 2)),
        huge=pl.Series(range(ROWS), dtype=pl.Int128),
    )


@cache
def wide() -> pl.DataFrame:
    """Chunks so large that only some of their pages are fetched; `mixed` begins with few values."""
    dice = random.Random(2)
    letters = string.ascii_letters
    words = ["".join(dice.choices(letters, k=700)) for _ in range(ROWS)]
    mixed = [f"few {i % 5}" if i < 1000 else words[-i] for i in range(ROWS)]
    return pl.DataFrame({"id": range(ROWS), "words": words, "mixed": mixed, "more": words[::-1]})


def wide_file(**options: object) -> bytes:
    """The same, by pyarrow."""
    return arrow_file(wide(), data_page_size=32_768, write_batch_size=40, **options)


CODECS = ("snappy", "uncompressed", "gzip", "lz4", "brotli")
VARIANTS = [
    *(("zstd", version, dictionary, index) for version in "12" for dictionary in (1, 0) for index in (1, 0)),
    *((codec, "1", 1, 0) for codec in CODECS),
    *((codec, "2", 0, 1) for codec in CODECS),
]
FILES: dict[str, Writer] = {
    f"arrow {codec} v{version} {'dictionary' if dictionary else 'plain'}{' index' if index else ''}": (
        lambda codec=codec, version=version, dictionary=dictionary, index=index: arrow_file(
            plain(),
            compression=codec,
            data_page_version=f"{version}.0",
            use_dictionary=bool(dictionary),
            write_page_index=bool(index),
            data_page_size=4096,
            row_group_size=1250,
        )
    )
    for codec, version, dictionary, index in VARIANTS
} | {
    "arrow delta": lambda: arrow_file(
        plain().select("text", "nullable", "int"),
        use_dictionary=False,
        column_encoding={
            "text": "DELTA_BYTE_ARRAY",
            "nullable": "DELTA_LENGTH_BYTE_ARRAY",
            "int": "DELTA_BINARY_PACKED",
        },
        data_page_size=4096,
    ),
    "arrow checksums": lambda: arrow_file(plain(), write_page_checksum=True, data_page_size=4096),
    "arrow one group": lambda: arrow_file(plain()),
    "arrow no note of types": lambda: arrow_file(plain(), store_schema=False, row_group_size=700),
    "arrow types": lambda: arrow_file(typed(), row_group_size=1250, data_page_size=2048),
    "arrow old timestamps": lambda: arrow_file(typed().select("naive"), use_deprecated_int96_timestamps=True),
    "polars": lambda: polars_file(polars_only().with_columns(plain())),
    "polars small": lambda: polars_file(polars_only(), row_group_size=700, data_page_size=2048),
    "polars tiny groups": lambda: polars_file(plain(), row_group_size=40),
    "polars uncompressed": lambda: polars_file(plain(), compression="uncompressed"),
    "wide arrow": wide_file,
    "wide arrow index": lambda: wide_file(write_page_index=True),
    "wide arrow plain v2": lambda: wide_file(use_dictionary=False, data_page_version="2.0"),
    "wide arrow plain index": lambda: wide_file(use_dictionary=False, write_page_index=True),
    "wide polars": lambda: polars_file(wide(), data_page_size=32_768),
    "wide polars groups": lambda: polars_file(wide(), data_page_size=32_768, row_group_size=1700),
}


@pytest.mark.parametrize("name", FILES)
def test_any_rows_are_those_of_the_whole_file(name: str) -> None:
    """Values and types, of each column, at the borders of pages and groups as anywhere else."""
    data = FILES[name]()
    whole = pl.read_parquet(data)
    dice = random.Random(name)
    starts = [0, 1, 1249, 1250, ROWS - 1, *(dice.randrange(ROWS) for _ in range(3))]
    file = open_parquet(Remote(data))
    assert file.names == tuple(whole.columns)
    assert file.row_count == ROWS
    for start in starts:
        stop = min(ROWS, start + dice.choice((1, 20, 20, 300)))
        # What one call has learnt of the pages must not mislead the next.
        opened = dice.choice((file, open_parquet(Remote(data))))
        found = opened.rows(file.names, start, stop)
        for column in file.names:
            assert same(cut(found[column], start, stop), whole[column][start:stop]), (column, start)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("budget", [1 << 14, 8 << 20], ids=["small slices", "usual slices"])
def test_the_slices_together_are_every_column(name: str, budget: int) -> None:
    """Once each row, none missing, whatever the size of a slice."""
    data = FILES[name]()
    whole = pl.read_parquet(data)
    file = open_parquet(local(data))
    slices = list(file.slice_files(file.names, budget))
    for column in file.names:
        assert same(decode([each for each in slices if each.name == column]), whole[column]), column


def test_slices_come_in_the_order_of_the_file_and_are_as_small_as_asked() -> None:
    """So that they can be taken while the file arrives, and decoded in little memory."""
    file = open_parquet(local(wide_file(row_group_size=1500, use_dictionary=False)))
    slices = list(file.slice_files(["more", "words"], 200_000))
    places = [(each.first_row // 1500, each.name == "more", each.first_row) for each in slices]
    assert places == sorted(places)
    assert max(len(each.parquet) for each in slices) < 300_000
    assert {each.first_row + each.row_count for each in slices} >= {1500, 3000}


def test_a_slice_has_no_more_rows_than_a_reader_should_hold() -> None:
    """Rows of one value take next to no bytes in the file and many when decoded."""
    frame = pl.DataFrame({"same": ["x" * 100] * 1_000_000})
    file = open_parquet(local(arrow_file(frame, data_page_size=1024)))
    slices = list(file.slice_files(["same"]))
    assert max(each.row_count for each in slices) * 100 <= 8 << 20
    empty = open_parquet(local(arrow_file(frame.select(same=pl.lit(None, pl.String)), data_page_size=64)))
    assert max(each.row_count for each in empty.slice_files(["same"])) <= 262_144


def test_a_slice_is_a_file_for_any_reader() -> None:
    """Not only for the one that happens to be used."""
    data = polars_file(plain(), row_group_size=700, data_page_size=2048)
    file = open_parquet(local(data))
    whole = plain().to_pandas()
    for name in ("text", "nullable", "double", "int"):
        slices = [pd.read_parquet(io.BytesIO(each.parquet)) for each in file.slice_files([name], 1 << 12)]
        assert len(slices) > 4
        assert pd.concat(slices, ignore_index=True)[name].equals(whole[name])


def test_files_without_rows_have_columns_and_no_slices() -> None:
    """An empty job is not a damaged one."""
    for data in (arrow_file(plain().clear()), polars_file(plain().clear())):
        file = open_parquet(Remote(data))
        assert (file.row_count, file.names) == (0, tuple(plain().columns))
        assert file.rows(["text", "list"], 0, 10) == {"text": [], "list": []}
        assert list(file.slice_files(file.names)) == []
        assert file.spans(file.names) == []
        assert file.uncompressed(file.names) == 0


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(2990, 9999, (2990, 3000)), (-5, 5, (0, 5)), (5, 5, None), (7, 3, None), (3000, 3001, None)],
)
def test_rows_that_are_not_there_are_left_out(
    start: int, stop: int, expected: tuple[int, int] | None
) -> None:
    """Asking beyond the end is what the last page does."""
    file = open_parquet(local(arrow_file(plain(), row_group_size=1250)))
    found = file.rows(["int"], start, stop)["int"]
    if expected is None:
        assert found == []
    else:
        assert cut(found, *expected).to_list() == list(range(*expected))


def test_spans_and_size_are_those_of_the_columns_asked_for() -> None:
    """The others are not fetched, and progress is counted in bytes of these."""
    data = arrow_file(wide(), row_group_size=1500)
    file = open_parquet(local(data))
    spans = file.spans(["more", "words"])
    assert len(spans) == 4
    assert spans == sorted(spans)
    remote = Remote(data, rounds=[])
    opened = open_parquet(remote)
    remote.fetch(spans)
    assert sum(each.row_count for each in opened.slice_files(["words", "more"])) == 2 * ROWS
    assert file.spans(file.names) == [(4, max(stop for _, stop in file.spans(file.names)))]
    words, both = file.uncompressed(["words"]), file.uncompressed(["words", "id"])
    assert ROWS * 700 < words < both < ROWS * 720 + 40_000
