"""The writer's note of types, cut down to one column: it still says of that column what it said before."""

import base64
import io

import polars as pl
import pytest

from sutro_mcp.results.parquet import UnsupportedError, open_parquet
from sutro_mcp.results.parquet.arrow_schema import one_field

from .support import cut, decode, local, same


def note(frame: pl.DataFrame) -> bytes:
    """The Arrow schema of the frame, framed as a writer of Parquet frames it."""
    stream = io.BytesIO()
    frame.clear().write_ipc_stream(stream)
    data = stream.getvalue()
    return base64.b64encode(data[: 8 + int.from_bytes(data[4:8], "little")])


FRAME = pl.DataFrame(
    schema={"first": pl.Duration("us"), "größe": pl.Duration("ms"), "last": pl.Duration("ns")}
)


@pytest.mark.parametrize(("index", "name"), list(enumerate(FRAME.columns)))
@pytest.mark.parametrize("skipped", [0, 4], ids=["with continuation", "as before Arrow 0.15"])
def test_one_column_keeps_its_type(index: int, name: str, skipped: int) -> None:
    """Whichever of the columns it is, and in the older framing too."""
    old = base64.b64encode(base64.b64decode(note(FRAME))[skipped:])
    cut_down = base64.b64decode(one_field(old, index, name))
    end = bytes.fromhex("ffffffff00000000")
    stream = io.BytesIO((b"\xff" * skipped) + cut_down + end)
    assert pl.read_ipc_stream(stream).schema == {name: FRAME.schema[name]}


@pytest.mark.parametrize(
    ("index", "name"), [(0, "last"), (1, "grösse"), (3, "last"), (1 << 20, "last")], ids=str
)
def test_a_note_of_other_columns_is_not_used(index: int, name: str) -> None:
    """No reader's view of it is known."""
    with pytest.raises(UnsupportedError):
        one_field(note(FRAME), index, name)


def test_every_change_of_a_note_is_refused_or_kept_to_itself() -> None:
    """It is remote input as the rest is."""
    message = base64.b64decode(note(FRAME))
    for place in range(len(message)):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            changed = base64.b64encode(message[:place] + bytes([value]) + message[place + 1 :])
            try:
                assert len(one_field(changed, 1, "größe")) == len(changed)
            except UnsupportedError:
                continue


def test_categories_written_by_pandas_are_categories() -> None:
    """Its files are dictionary-encoded, with a note that says so."""
    frame = pl.DataFrame({"label": ["yes", "no", None, "maybe"] * 500, "n": range(2000)})
    buffer = io.BytesIO()
    frame.to_pandas().astype({"label": "category"}).to_parquet(buffer, row_group_size=700)
    whole = pl.read_parquet(buffer.getvalue())
    file = open_parquet(local(buffer.getvalue()))
    assert whole.schema["label"] == pl.Categorical
    assert same(cut(file.rows(["label"], 690, 710)["label"], 690, 710), whole["label"][690:710])
    assert same(decode(list(file.slice_files(["label"]))), whole["label"])
