"""A Parquet file's footer: which columns there are, and where each row group keeps them.

What the footer says is remote input. Whoever holds a Footer may rely on it: names are text, rows add up,
chunks lie inside the file and do not share bytes, every row group has one chunk per leaf of the schema.
What is never needed (statistics, bloom filters, indexes of values) is not kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from operator import length_hint

from sutro_mcp.results.byte_ranges import ByteRange

from .parquet_errors import DamagedError, UnsupportedError
from .schema import Column, Leaf, read_schema
from .thrift import Reader
from .thrift_fields import ColumnChunk, ColumnMetaData, FileMetaData, KeyValue, RowGroup

MAX_CHUNKS = 500_000  # as objects they take a few hundred bytes each
MAX_WRITER_NAME = 200
_ARROW_SCHEMA = b"ARROW:schema"
_CHUNK_NUMBERS = (
    ColumnMetaData.TYPE,
    ColumnMetaData.CODEC,
    ColumnMetaData.NUM_VALUES,
    ColumnMetaData.TOTAL_UNCOMPRESSED_SIZE,
    ColumnMetaData.TOTAL_COMPRESSED_SIZE,
    ColumnMetaData.DATA_PAGE_OFFSET,
    ColumnMetaData.DICTIONARY_PAGE_OFFSET,
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One leaf's part of a row group: a dictionary page if it has one, then data pages.

    `values` counts nulls and, in lists, each item. `offset_index` is where the list of its data pages is.
    """

    start: int
    size: int
    codec: int
    encodings: tuple[int, ...]
    values: int
    uncompressed: int
    offset_index: ByteRange | None

    @property
    def stop(self) -> int:
        """Where its last page ends."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Group:
    """A row group with at least one row; `chunks` in the order of the schema's leaves."""

    first_row: int
    rows: int
    chunks: tuple[Chunk, ...]

    def of(self, column: Column) -> tuple[Chunk, ...]:
        """The chunks of one column."""
        return self.chunks[column.first_leaf : column.first_leaf + len(column.leaves)]


@dataclass(frozen=True, slots=True)
class Footer:
    """The whole footer, without row groups that are empty; `arrow_schema` is the writer's note of types."""

    version: int
    rows: int
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    created_by: bytes | None
    arrow_schema: bytes | None


def read_footer(raw: bytes, data_stop: int) -> Footer:
    """The footer in `raw`, of a file whose pages and indexes end at `data_stop`.

    Raises DamagedError and UnsupportedError.
    """
    reader = Reader(raw)
    version = rows = -1
    columns: tuple[Column, ...] | None = None
    groups: tuple[Group, ...] | None = None
    created_by = arrow_schema = None
    for field, kind in reader.fields():
        match field:
            case FileMetaData.VERSION:
                version = reader.integer(kind)
            case FileMetaData.SCHEMA:
                columns = read_schema(reader, kind)
            case FileMetaData.NUM_ROWS:
                rows = reader.integer(kind)
            case FileMetaData.ROW_GROUPS:
                if columns is None:
                    raise DamagedError("the footer has no schema")
                groups = tuple(_groups(reader, kind, columns, data_stop))
            case FileMetaData.KEY_VALUE_METADATA:
                arrow_schema = _metadata(reader, kind).get(_ARROW_SCHEMA)
            case FileMetaData.CREATED_BY:
                # Readers look for versions with known mistakes; nothing of this length is one.
                created_by = reader.binary(kind)[:MAX_WRITER_NAME]
            case FileMetaData.ENCRYPTION_ALGORITHM:
                raise UnsupportedError("the file is encrypted")
            case _:
                reader.skip(kind)
    if columns is None or groups is None or min(version, rows) < 0:
        raise DamagedError("the footer is not complete")
    if sum(group.rows for group in groups) != rows:
        raise DamagedError("the row groups do not add up to the rows of the file")
    if sum(chunk.size for group in groups for chunk in group.chunks) > data_stop:
        raise DamagedError("column chunks overlap")
    return Footer(version, rows, columns, groups, created_by, arrow_schema)


def _metadata(reader: Reader, kind: int) -> dict[bytes, bytes]:
    entries: dict[bytes, bytes] = {}
    for item in reader.items(kind):
        key = value = b""
        for field, inner in reader.struct(item):
            match field:
                case KeyValue.KEY:
                    key = reader.binary(inner)
                case KeyValue.VALUE:
                    value = reader.binary(inner)
                case _:
                    reader.skip(inner)
        entries[key] = value
    return entries


def _groups(reader: Reader, kind: int, columns: tuple[Column, ...], data_stop: int) -> Iterator[Group]:
    leaves = [leaf for column in columns for leaf in column.leaves]
    flat = [column.flat for column in columns for _ in column.leaves]
    items = reader.items(kind)
    if length_hint(items) * len(leaves) > MAX_CHUNKS:
        raise UnsupportedError("the file has too many row groups")
    first_row = 0
    for item in items:
        rows = -1
        chunks: tuple[Chunk, ...] = ()
        for field, inner in reader.struct(item):
            match field:
                case RowGroup.COLUMNS:
                    chunks = tuple(_chunks(reader, inner, leaves))
                case RowGroup.NUM_ROWS:
                    rows = reader.integer(inner)
                case _:
                    reader.skip(inner)
        if rows < 0 or len(chunks) != len(leaves):
            raise DamagedError("a row group is not complete")
        if not rows:
            continue
        for chunk, one_each in zip(chunks, flat, strict=True):
            _check_chunk(chunk, rows, one_each, data_stop)
        yield Group(first_row, rows, chunks)
        first_row += rows


def _chunks(reader: Reader, kind: int, leaves: list[Leaf]) -> Iterator[Chunk]:
    for item, leaf in zip_longest(reader.items(kind), leaves):
        if item is None or leaf is None:
            raise DamagedError("a row group does not have the columns of the schema")
        chunk: Chunk | None = None
        index_start = index_size = 0
        for field, inner in reader.struct(item):
            match field:
                case ColumnChunk.META_DATA:
                    chunk = _chunk(reader, inner, leaf)
                case ColumnChunk.OFFSET_INDEX_OFFSET:
                    index_start = reader.integer(inner)
                case ColumnChunk.OFFSET_INDEX_LENGTH:
                    index_size = reader.integer(inner)
                case ColumnChunk.FILE_PATH:
                    raise UnsupportedError("column chunks are in another file")
                case ColumnChunk.CRYPTO_METADATA | ColumnChunk.ENCRYPTED_COLUMN_METADATA:
                    raise UnsupportedError("column chunks are encrypted")
                case _:
                    reader.skip(inner)
        if chunk is None:
            raise UnsupportedError("the footer does not describe every column chunk")
        if index_start and index_size:
            chunk = replace(chunk, offset_index=(index_start, index_start + index_size))
        yield chunk


def _chunk(reader: Reader, kind: int, leaf: Leaf) -> Chunk:
    numbers = dict.fromkeys(_CHUNK_NUMBERS, -1)
    path: tuple[bytes, ...] = ()
    encodings: tuple[int, ...] = ()
    for field, inner in reader.struct(kind):
        if field in numbers:
            numbers[field] = reader.integer(inner)
        elif field == ColumnMetaData.ENCODINGS:
            encodings = tuple(map(reader.integer, reader.items(inner)))
        elif field == ColumnMetaData.PATH_IN_SCHEMA:
            path = tuple(map(reader.binary, reader.items(inner)))
        else:
            reader.skip(inner)
    leaf_type, codec, values, uncompressed, size, data_start, dictionary_start = numbers.values()
    if path != leaf.path or leaf_type != leaf.type:
        raise UnsupportedError("column chunks are not in the order of the schema")
    if min((codec, *encodings)) < 0:
        raise DamagedError("a column chunk is of no kind")
    # Some writers say 0 where there is no dictionary page.
    start = dictionary_start if 0 < dictionary_start < data_start else data_start
    return Chunk(start, size, codec, encodings, values, uncompressed, None)


def _check_chunk(chunk: Chunk, rows: int, one_each: bool, data_stop: int) -> None:
    if chunk.values < rows or (one_each and chunk.values != rows):
        raise DamagedError("a column chunk does not have the rows of its group")
    if chunk.start < 4 or chunk.size < 1 or chunk.stop > data_stop or chunk.uncompressed < 0:
        raise DamagedError("a column chunk lies outside the file")
    if chunk.offset_index:
        start, stop = chunk.offset_index
        if not 4 <= start < stop <= data_stop:
            raise DamagedError("a page index lies outside the file")
