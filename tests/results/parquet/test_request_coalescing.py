"""How many bytes and rounds of requests it takes: exact counts, on files large enough for them to matter."""

import random
from functools import cache

import polars as pl
import pytest

from sutro_mcp.results.parquet import open_parquet, opening_ranges
from sutro_mcp.results.parquet.page_ranges import TAIL

from .support import Remote, arrow_file, at_most, cut, local, polars_file, same

ROWS = 24_000
PAGE = 50
MB = 1_000_000


@cache
def frame() -> pl.DataFrame:
    """Some 10 MB of outputs, which zstd halves."""
    dice = random.Random(3)
    words = [f"{dice.getrandbits(24):x}" for _ in range(5000)]
    return pl.DataFrame(
        {
            "outputs": [" ".join(dice.choices(words, k=dice.randrange(40, 90))) for _ in range(ROWS)],
            "inputs": [" ".join(dice.choices(words, k=30)) for _ in range(ROWS)],
            "score": [dice.random() for _ in range(ROWS)],
        }
    )


@cache
def file(layout: str) -> bytes:
    """As pyarrow writes it by default: one row group, a dictionary tried, no index; or as named."""
    return polars_file(frame()) if layout == "polars" else arrow_file(frame(), **LAYOUTS[layout])


LAYOUTS: dict[str, dict[str, object]] = {
    "arrow": {},
    "arrow plain": {"use_dictionary": False},
    "arrow index": {"write_page_index": True},
    "arrow groups": {"row_group_size": 3000},
    "polars": {},
}


def read(remote: Remote, start: int, name: str = "outputs") -> None:
    """Reads a page of one column, and compares it with what was written."""
    found = open_parquet(remote).rows([name], start, start + PAGE)
    assert same(cut(found[name], start, start + PAGE), frame()[name][start : start + PAGE])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_rows_need_head_and_tail_alone(layout: str) -> None:
    """They are fetched at once, before anything is known of the file; nothing may follow."""
    data = file(layout)
    remote = Remote(data)
    remote.fetch(opening_ranges(len(data), with_head=True))
    read(remote, 0)
    assert len(remote.rounds) == 1


@pytest.mark.parametrize("layout", ["arrow index", "polars", "arrow groups"])
@pytest.mark.parametrize("start", [0, 100, ROWS // 2, ROWS - PAGE])
def test_with_an_index_or_small_groups_any_rows_take_two_rounds(layout: str, start: int) -> None:
    """The footer, then the pages; a page of results far into a job costs what the first one does."""
    remote = Remote(file(layout))
    read(remote, start)
    assert len(remote.rounds) == 2
    assert remote.fetched <= 1.5 * MB


@pytest.mark.parametrize("layout", ["arrow", "arrow plain"])
@pytest.mark.parametrize("start", [ROWS // 4, ROWS // 2, ROWS - PAGE])
def test_without_an_index_deep_rows_take_little_more_than_what_is_before_them(
    layout: str, start: int
) -> None:
    """Pages can only be counted from the start of the row group, which needs every header before."""
    data = file(layout)
    whole = open_parquet(local(data))
    pages = whole.rows(["outputs"], start, start + PAGE)["outputs"]
    prefix = whole.spans(["outputs"])[0][1] * pages[0].first_row // ROWS
    prefix += sum(len(each.parquet) for each in pages)
    remote = Remote(data)
    read(remote, start)
    assert len(remote.rounds) <= 3
    assert remote.fetched <= prefix + MB


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_known_is_not_asked_for_again(layout: str) -> None:
    """The next page of results mostly lies in the same pages of the file."""
    remote = Remote(file(layout))
    opened = open_parquet(remote)
    first = opened.rows(["outputs"], 9000, 9000 + PAGE)["outputs"][0]
    rounds = len(remote.rounds)
    inside = first.first_row
    again = opened.rows(["outputs"], inside, inside + PAGE)
    assert same(cut(again["outputs"], inside, inside + PAGE), frame()["outputs"][inside : inside + PAGE])
    assert len(remote.rounds) == rounds


@pytest.mark.parametrize("layout", LAYOUTS)
def test_columns_and_groups_share_their_rounds(layout: str) -> None:
    """Three columns take as long as the slowest of them, not as all together."""
    alone: list[int] = []
    for name in frame().columns:
        remote = Remote(file(layout))
        open_parquet(remote).rows([name], 2980, 3020)
        alone.append(len(remote.rounds))
    remote = Remote(file(layout))
    found = open_parquet(remote).rows(frame().columns, 2980, 3020)
    for name in frame().columns:
        assert same(cut(found[name], 2980, 3020), frame()[name][2980:3020])
    assert len(remote.rounds) <= max(alone)


def test_a_column_that_begins_in_the_head_uses_what_is_there() -> None:
    """Small columns before the outputs do not cost the first rows another round."""
    data = arrow_file(frame().select(pl.col("score").head(ROWS), "outputs"))
    remote = Remote(data)
    remote.fetch(opening_ranges(len(data), with_head=True))
    read(remote, 0, "score")
    assert len(remote.rounds) == 1


def test_a_long_footer_takes_one_more_round() -> None:
    """Many row groups do not fit into the tail."""
    data = arrow_file(frame().select("score"), row_group_size=40)
    remote = Remote(data)
    assert open_parquet(remote).row_count == ROWS
    assert len(remote.rounds) == 2


def test_a_large_dictionary_is_fetched_only_for_pages_that_use_it() -> None:
    """Late pages of a column of free text do not, although its first ones do."""
    dice = random.Random(4)
    texts = [dice.randbytes(400).hex() for _ in range(4000)]
    table = pl.DataFrame({"outputs": [texts[i % 900] for i in range(3000)] + texts[900:]})
    data = arrow_file(table, write_page_index=True, data_page_size=64_000, write_batch_size=64)
    sizes: list[int] = []
    for start in (2000, 6000):
        remote = Remote(data)
        found = open_parquet(remote).rows(["outputs"], start, start + PAGE)
        assert same(cut(found["outputs"], start, start + PAGE), table["outputs"][start : start + PAGE])
        sizes.append(remote.fetched)
    assert sizes[0] > TAIL + 350_000
    assert sizes[1] < TAIL + 150_000


def test_a_long_way_to_the_rows_is_walked_in_little_memory() -> None:
    """Bytes before the rows are passed over, not held."""
    dice = random.Random(5)
    block = dice.randbytes(40 << 20)
    column = pl.Series("outputs", [block[i : i + 4096] for i in range(0, len(block), 4096)])
    data = arrow_file(column.to_frame(), compression="uncompressed", use_dictionary=False)
    opened = open_parquet(local(data))
    with at_most(16 << 20):
        found = opened.rows(["outputs"], 10_000, 10_010)
    assert same(cut(found["outputs"], 10_000, 10_010), column[10_000:10_010])
