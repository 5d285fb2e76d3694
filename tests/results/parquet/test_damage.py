"""A file is remote input: whatever it says, it is read, refused as damaged or left to a full reader."""

import random
from collections.abc import Callable
from functools import cache

import polars as pl
import pytest

from sutro_mcp.results.parquet import DamagedError, HostileError, UnsupportedError, open_parquet
from sutro_mcp.results.parquet import thrift_fields as names
from sutro_mcp.results.parquet.thrift import Kind, array, binary, integers, struct

from .support import Remote, arrow_file, at_most, cut, decode, local, mutated, polars_file
from .synthetic import (
    RLE_DICTIONARY,
    File,
    data_page,
    data_page_v2,
    dictionary_page,
    element,
    framed,
    i32,
    i64,
    node,
)

MB = 1 << 20
NUMBERS = [*range(10), *range(10)]
# Larger than what is fetched as a whole, so that its index is used.
LARGE = [data_page(40_000) for _ in range(5)]
# The same, of a column that refers to a dictionary.
INDIRECT = [data_page(40_000, inner={names.DataPageHeader.ENCODING: i32(RLE_DICTIONARY)}) for _ in range(5)]
META = names.ColumnMetaData
FOOTER = names.FileMetaData


def use(data: bytes) -> int:
    """Read all that can be read in every way; bytes of the slices."""
    file = open_parquet(local(data))
    size = file.uncompressed(file.names) + len(file.spans(file.names))
    middle = min(file.row_count, 1 << 40) // 2
    for slices in file.rows(file.names, middle - 10, middle + 10).values():
        size += sum(len(each.parquet) for each in slices)
    return size + sum(len(each.parquet) for each in file.slice_files(file.names))


def places(pages: list[bytes], rows: int) -> list[tuple[int, int, int]]:
    """A true index of pages with `rows` rows each."""
    found: list[tuple[int, int, int]] = []
    start = 4
    for number, page in enumerate(pages):
        found.append((start, len(page), number * rows))
        start += len(page)
    return found


SOUND = {
    "plain": File(),
    "second kind": File(pages=[data_page_v2(10), data_page_v2(10)]),
    "empty page": File(pages=[data_page(10), data_page(0), data_page(10)]),
    "dictionary at 0": File(metadata={META.DICTIONARY_PAGE_OFFSET: i64(0)}),
    "no encodings": File(metadata={META.ENCODINGS: None}, footer={FOOTER.CREATED_BY: binary(b"x" * 1000)}),
    "index": File(index=places([data_page(10), data_page(10)], 10)),
}


@pytest.mark.parametrize("file", SOUND.values(), ids=SOUND)
def test_a_file_made_by_hand_is_read(file: File) -> None:
    """Or the refusals below would prove nothing."""
    opened = open_parquet(Remote(file.data()))
    assert opened.names == ("a",)
    assert decode(opened.rows(["a"], 0, 20)["a"]).to_list() == NUMBERS
    assert decode(list(open_parquet(local(file.data())).slice_files(["a"], 1))).to_list() == NUMBERS


def test_a_large_file_made_by_hand_is_read_by_its_index() -> None:
    """The same, for the refusals of indexes."""
    remote = Remote(File(pages=LARGE, rows=200_000, index=places(LARGE, 40_000)).data())
    found = open_parquet(remote).rows(["a"], 85_000, 85_003)["a"]
    assert cut(found, 85_000, 85_003).to_list() == [5000, 5001, 5002]
    assert remote.fetched < 300_000


@pytest.mark.parametrize("size", [100_000, 3 * MB])
def test_long_headers_are_read(size: int) -> None:
    """Some writers put the smallest and the largest text of a page into its header."""
    statistics = struct((1, binary(bytes(size))))
    long = [data_page(40_000, inner={5: statistics}) for _ in range(5)]
    for index in (None, places(long, 40_000)):
        remote = Remote(File(pages=long, rows=200_000, index=index).data())
        found = open_parquet(remote).rows(["a"], 85_000, 85_003)["a"]
        assert cut(found, 85_000, 85_003).to_list() == [5000, 5001, 5002]


def large(index: list[tuple[int, int, int]]) -> File:
    """A large file with this index."""
    return File(pages=LARGE, rows=200_000, index=index)


def moved(number: int, start: int = 0, size: int = 0, first: int = 0) -> list[tuple[int, int, int]]:
    """A true index but for one entry."""
    index = places(LARGE, 40_000)
    entry = index[number]
    index[number] = (entry[0] + start, entry[1] + size, entry[2] + first)
    return index


def second(page: bytes) -> Callable[[], File]:
    """A file with this page behind a sound one."""
    return lambda: File(pages=[data_page(10), page])


def header(number: int, value: int) -> Callable[[], File]:
    """A file whose second page says `value` in a field of its header."""
    return second(data_page(10, {number: i32(value)}))


def values(count: int) -> Callable[[], File]:
    """A file whose second page claims `count` values."""
    return second(data_page(10, inner={names.DataPageHeader.NUM_VALUES: i32(count)}))


def schema(*elements: bytes) -> Callable[[], File]:
    """A file with this schema."""
    return lambda: File(footer={FOOTER.SCHEMA: array(Kind.STRUCT, elements)})


def note(value: bytes) -> File:
    """A file with this note of types."""
    entry = struct((names.KeyValue.KEY, binary(b"ARROW:schema")), (names.KeyValue.VALUE, binary(value)))
    return File(footer={FOOTER.KEY_VALUE_METADATA: array(Kind.STRUCT, [entry[1]])})


SIZE, PACKED = names.PageHeader.UNCOMPRESSED_PAGE_SIZE, names.PageHeader.COMPRESSED_PAGE_SIZE
DEEP = [node(b"n", 1)[1] for _ in range(60)]
LEVELS = names.DataPageHeaderV2.DEFINITION_LEVELS_BYTE_LENGTH
DAMAGED: dict[str, Callable[[], File | bytes]] = {
    "nothing": lambda: b"",
    "not Parquet": lambda: b"<html>" * 9,
    "no room for a footer": lambda: b"PAR1" + (99).to_bytes(4, "little") + b"PAR1",
    "a footer of 65 MB": lambda: b"PAR1" + bytes(65 * MB) + (65 * MB).to_bytes(4, "little") + b"PAR1",
    "an empty footer": lambda: framed(b"\0"),
    "no schema": lambda: framed(struct((FOOTER.VERSION, i32(1)), (FOOTER.NUM_ROWS, i64(0)))[1]),
    "groups without a schema": lambda: framed(
        struct((FOOTER.NUM_ROWS, i64(20)), (FOOTER.ROW_GROUPS, array(Kind.STRUCT, [File().row_group()])))[1]
    ),
    "two schemas": lambda: framed(
        struct(
            (FOOTER.SCHEMA, array(Kind.STRUCT, [node(b"root", 0)[1]])),
            (FOOTER.NUM_ROWS, i64(0)),
            (FOOTER.ROW_GROUPS, array(Kind.STRUCT, [])),
        )[1][:-1]
        + b"\x09\x04"
        + array(Kind.STRUCT, [node(b"root", 0)[1]])[1]
        + b"\0"
    ),
    "an empty schema": schema(),
    "more columns than nodes": schema(node(b"root", 2)[1], element(b"a")[1]),
    "more nodes than columns": schema(node(b"root", 1)[1], element(b"a")[1], element(b"b")[1]),
    "a billion columns": schema(node(b"root", 10**9)[1], element(b"a")[1]),
    "20,000 columns": schema(node(b"root", 1)[1], node(b"n", 20_000)[1], *[element(b"a")[1]] * 20_000),
    "10,001 short columns": schema(
        node(b"root", 2)[1], *[node(b"n", 6000)[1], *[element(b"a")[1]] * 6000] * 2
    ),
    "a deep schema": schema(node(b"root", 1)[1], *DEEP, element(b"a")[1]),
    "a name that is not text": schema(node(b"root", 1)[1], element(b"\xff")[1]),
    "a node without a name": schema(node(b"root", 1)[1], element(b"", {names.SchemaElement.NAME: None})[1]),
    "a node of no type": schema(node(b"root", 1)[1], element(b"a", {names.SchemaElement.TYPE: i32(-1)})[1]),
    "a schema that is a number": lambda: File(footer={FOOTER.SCHEMA: i32(1)}),
    "nodes that are numbers": lambda: File(footer={FOOTER.SCHEMA: integers([1, 2])}),
    "a row count that is text": lambda: File(footer={FOOTER.NUM_ROWS: binary(b"20")}),
    "a name that is a number": schema(
        node(b"root", 1)[1], element(b"", {names.SchemaElement.NAME: i32(1)})[1]
    ),
    "rows that do not add up": lambda: File(footer={FOOTER.NUM_ROWS: i64(21)}),
    "negative rows": lambda: File(
        footer={FOOTER.NUM_ROWS: i64(-20)}, group={names.RowGroup.NUM_ROWS: i64(-20)}
    ),
    "a group without columns": lambda: File(group={names.RowGroup.COLUMNS: None}),
    "a group of no columns": lambda: File(group={names.RowGroup.COLUMNS: array(Kind.STRUCT, [])}),
    "fewer values than rows": lambda: File(metadata={META.NUM_VALUES: i64(19)}),
    "more values than rows": lambda: File(metadata={META.NUM_VALUES: i64(21)}),
    "a chunk before the file": lambda: File(metadata={META.DATA_PAGE_OFFSET: i64(-4)}),
    "a chunk behind the file": lambda: File(metadata={META.DATA_PAGE_OFFSET: i64(9999)}),
    "a chunk that is too long": lambda: File(metadata={META.TOTAL_COMPRESSED_SIZE: i64(9999)}),
    "a chunk of no bytes": lambda: File(metadata={META.TOTAL_COMPRESSED_SIZE: i64(0)}),
    "a negative size": lambda: File(metadata={META.TOTAL_UNCOMPRESSED_SIZE: i64(-1)}),
    "a negative codec": lambda: File(metadata={META.CODEC: i32(-1)}),
    "a negative encoding": lambda: File(metadata={META.ENCODINGS: array(Kind.I32, [i32(-1)[1]])}),
    "an index outside the file": lambda: File(
        chunk={
            names.ColumnChunk.OFFSET_INDEX_OFFSET: i64(9999),
            names.ColumnChunk.OFFSET_INDEX_LENGTH: i32(9),
        }
    ),
    "a page of 300 MB": header(SIZE, 300 * MB),
    "a negative page size": header(SIZE, -1),
    "a negative compressed size": header(PACKED, -1),
    "a page longer than its chunk": header(PACKED, 41),
    "a page of too many values": values(11),
    "a page of two billion values": values((1 << 31) - 1),
    "a page of too few values": values(9),
    "a page of negative values": values(-10),
    "a page without values": second(data_page(10, {names.PageHeader.DATA_PAGE_HEADER: None})),
    "levels longer than the page": second(data_page_v2(10, {LEVELS: i32(41)})),
    "levels of no length": second(data_page_v2(10, {LEVELS: None})),
    "a page without its dictionary": second(
        data_page(10, inner={names.DataPageHeader.ENCODING: i32(RLE_DICTIONARY)})
    ),
    "a dictionary among the data": lambda: File(pages=[data_page(10), dictionary_page(3), data_page(10)]),
    "a chunk that ends in a header": second(data_page(10)[:9]),
    "a value that goes on beyond the header": second(
        data_page(10, inner={5: (Kind.STRUCT, b"\x18\xff\xff\xff\x7f\0")})
    ),
    "an endless number": lambda: framed(b"\x15" + b"\xff" * 40),
    "a number of 70 bits": lambda: framed(b"\x15" + b"\xff" * 9 + b"\x7f\0"),
    "a list of a billion": lambda: framed(b"\x29\xfc\xff\xff\xff\x7f"),
    "a billion bytes": lambda: framed(b"\x68\xff\xff\xff\x7f"),
    "structs in structs": lambda: framed(b"\x9c" + b"\x1c" * 100_000),
    "lists in lists": lambda: framed(b"\x99" + b"\x19" * 100_000),
    "chunks that overlap": lambda: File(
        rows=20,
        footer={FOOTER.NUM_ROWS: i64(60), FOOTER.ROW_GROUPS: array(Kind.STRUCT, [File().row_group()] * 3)},
    ),
    "an index of no pages": lambda: large([]),
    "an index that begins late": lambda: large(places(LARGE, 40_000)[1:]),
    "an index in disorder": lambda: large(places(LARGE, 40_000)[::-1]),
    "an index that leads out of the chunk": lambda: large(moved(4, size=1)),
    "an index whose pages overlap": lambda: large(moved(1, start=-1)),
    "an index with an empty page": lambda: large(moved(2, size=-999_999)),
    "an index to the middle of a page": lambda: large(moved(2, start=40, size=-40)),
    "an index that cuts a page off": lambda: large(moved(2, size=-40)),
    "an index with other rows": lambda: large(moved(2, first=1)),
    "an index with more rows than there are": lambda: large(moved(4, first=50_000)),
    "an index without a dictionary": lambda: File(
        pages=INDIRECT, rows=200_000, index=places(INDIRECT, 40_000)
    ),
    "an index with data for a dictionary": lambda: File(
        pages=[*LARGE[:1], *INDIRECT],
        rows=200_000,
        index=[(start + len(LARGE[0]), size, first) for start, size, first in places(INDIRECT, 40_000)],
    ),
    "an index to a header that is cut off": lambda: large(moved(2, size=5 - len(LARGE[2]))),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_contradicts_itself_is_refused(name: str) -> None:
    """Before anything of the size that it claims is allocated."""
    made = DAMAGED[name]()
    data = made.data() if isinstance(made, File) else made
    with at_most(16 * MB), pytest.raises((DamagedError, HostileError)):
        use(data)


CHUNK = names.ColumnChunk
UNSUPPORTED: dict[str, Callable[[], File | bytes]] = {
    "an encrypted footer": lambda: File().data()[:-4] + b"PARE",
    "encrypted pages": lambda: File(footer={FOOTER.ENCRYPTION_ALGORITHM: struct()}),
    "an encrypted chunk": lambda: File(chunk={CHUNK.CRYPTO_METADATA: struct()}),
    "chunks in another file": lambda: File(chunk={CHUNK.FILE_PATH: binary(b"other")}),
    "a chunk that is not described": lambda: File(chunk={CHUNK.META_DATA: None}),
    "columns in another order": lambda: File(
        metadata={META.PATH_IN_SCHEMA: array(Kind.BINARY, [binary(b"b")[1]])}
    ),
    "columns of another type": lambda: File(metadata={META.TYPE: i32(2)}),
    "a column whose name is a book": schema(node(b"root", 1)[1], element(bytes(2 * MB))[1]),
    "two columns of one name": schema(node(b"root", 2)[1], element(b"a")[1], element(b"a")[1]),
    "a column of nothing": schema(node(b"root", 1)[1], node(b"a", 0)[1]),
    "pages of an unknown kind": header(names.PageHeader.TYPE, 9),
    "bytes behind the pages": lambda: File(padding=3),
    "a page of 17 million values": lambda: File(
        rows=(1 << 24) + 11, pages=[data_page(10, inner={1: i32((1 << 24) + 1)}), data_page(10)]
    ),
    "a page shorter than its chunk": header(PACKED, 30),
    "66,000 empty pages": lambda: File(pages=[data_page(0)] * 66_000 + [data_page(20)]),
    "70,000 empty pages in an index": lambda: large([(4, len(LARGE[0]), 0)] + [(4, 0, 0)] * 70_000),
    "600,000 row groups": lambda: File(footer={FOOTER.ROW_GROUPS: array(Kind.STRUCT, [b"\0"] * 600_000)}),
    "an indexed page of 17 million values": lambda: File(
        rows=(1 << 24) + 1,
        pages=[data_page(200_000, inner={1: i32((1 << 24) + 1)})],
        index=[(4, len(data_page(200_000, inner={1: i32((1 << 24) + 1)})), 0)],
    ),
    "a note of types that is not base64": lambda: note(b"?"),
    "a note of types that is cut off": lambda: note(b"/////wAA"),
    "a note of types that is too long": lambda: note(b"A" * 100_000),
    "a note of types of nothing": lambda: note(b"AAAA" * 40),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_file_that_needs_a_full_reader_says_so(name: str) -> None:
    """The caller then fetches the whole of it."""
    made = UNSUPPORTED[name]()
    with pytest.raises(UnsupportedError):
        use(made.data() if isinstance(made, File) else made)


def test_an_error_stays_one_however_often_one_asks() -> None:
    """Facts learnt before it are kept, and must not make less of the column pass for all of it."""
    opened = open_parquet(local(values(11)().data()))
    for _ in range(3):
        with pytest.raises(DamagedError):
            opened.rows(["a"], 15, 16)


@pytest.mark.parametrize("said", ["by the footer", "by pages"])
def test_a_nested_column_too_large_for_one_run_needs_a_full_reader(said: str) -> None:
    """Its row groups are not cut. What the footer says is known before the first slice."""
    by_footer = File(metadata={META.TOTAL_UNCOMPRESSED_SIZE: i64(300 * MB)})
    by_pages = File(pages=[data_page(10, {SIZE: i32(200 * MB)})] * 2)
    file = by_footer if said == "by the footer" else by_pages
    repeated = element(b"a", {names.SchemaElement.REPETITION_TYPE: i32(names.FieldRepetitionType.REPEATED)})
    nested = file.but(footer={FOOTER.SCHEMA: array(Kind.STRUCT, [node(b"root", 1)[1], repeated[1]])})
    opened = open_parquet(local(nested.data()))
    with pytest.raises(UnsupportedError):
        opened.rows(["a"], 0, 1)
    if said == "by the footer":
        with pytest.raises(UnsupportedError):
            opened.slice_files(["a"])
    else:
        slices = opened.slice_files(["a"])
        with pytest.raises(UnsupportedError):
            next(slices)


@cache
def small_files() -> list[bytes]:
    """Files of a few kilobytes with all that is parsed."""
    rows = range(120)
    frame = pl.DataFrame(
        {
            "text": [f"t{i % 40}" for i in rows],
            "double": [i / 2 for i in rows],
            "list": [[1.0, 2.0][: i % 3] for i in rows],
            "struct": [{"a": i, "b": str(i)} for i in rows],
        }
    )
    options = {"data_page_size": 256, "row_group_size": 50}
    return [
        arrow_file(frame, **options, write_page_index=True),
        arrow_file(frame, **options, data_page_version="2.0"),
        polars_file(frame, **options),
    ]


@pytest.mark.parametrize("number", range(3), ids=["arrow", "arrow v2", "polars"])
def test_no_part_of_a_file_passes_for_the_whole(number: int) -> None:
    """A download that ended early, at every length."""
    data = small_files()[number]
    for length in range(len(data)):
        with pytest.raises(DamagedError):
            open_parquet(local(data[:length]))


def survive(data: bytes) -> bool:
    """Whether a file is read; it may be refused, and that is all that may happen."""
    try:
        use(data)
    except (DamagedError, UnsupportedError):
        return False
    return True


def changed_small_file(dice: random.Random) -> bytes:
    """One of the small files, changed anywhere or in its footer."""
    data = dice.choice(small_files())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return mutated(data, dice, dice.choice((4, footer)))


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_are_read_or_refused(seed: int) -> None:
    """Thousands of changes, most of them where headers and footer are."""
    dice = random.Random(seed)
    read = sum(survive(changed_small_file(dice)) for _ in range(500))
    assert 0 < read < 500


def test_changed_indexes_are_read_or_refused() -> None:
    """The same for the list of pages of a large chunk, and the footer behind it."""
    dice = random.Random(9)
    data = large(places(LARGE, 40_000)).data()
    start = 4 + sum(map(len, LARGE))
    read = sum(survive(mutated(data, dice, start)) for _ in range(400))
    assert 0 < read < 400


def test_changed_bytes_allocate_next_to_nothing() -> None:
    """A length or count that was changed is not believed."""
    dice = random.Random(7)
    with at_most(2 * MB):
        for _ in range(100):
            survive(changed_small_file(dice))
