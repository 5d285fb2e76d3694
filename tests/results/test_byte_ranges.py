"""Sets of bytes: what has come, what is missing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sutro_mcp.results.byte_ranges import ByteRange, ByteRanges, merged

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def positions(spans: list[ByteRange]) -> set[int]:
    """The same set as positions one by one."""
    return {at for start, stop in spans for at in range(start, stop)}


@given(SPANS, st.integers(0, 60), st.integers(0, 60))
def test_a_set_of_spans_is_the_set_of_their_positions(spans: list[ByteRange], start: int, stop: int) -> None:
    """In the shortest form, and asked in every way."""
    found = ByteRanges(spans)
    there, asked = positions(spans), set(range(start, stop))
    kept = list(found)
    assert positions(kept) == there
    assert found.total == len(there)
    assert all(first[1] < second[0] for first, second in pairwise(kept))
    assert found.covers(start, stop) == (asked <= there)
    assert positions(found.gaps(start, stop)) == asked - there


@given(SPANS, st.integers(0, 9))
def test_spans_that_are_near_are_one(spans: list[ByteRange], gap: int) -> None:
    """Nothing is lost, and what is left is further apart than `gap`."""
    joined = merged(spans, gap)
    assert positions(spans) <= positions(joined)
    assert all(first[1] + gap < second[0] for first, second in pairwise(joined))
    assert {start for start, _ in joined} <= {start for start, _ in spans}
