"""A small Parquet file around pages of a large one: the same compressed bytes under a footer of our own.

The schema of the column is copied as the file encodes it. Statistics, indexes and free metadata are left
out, but for the note of types; the name of the writer stays, as readers know some writers by their
mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sutro_mcp.results.parquet import thrift

from .footer import Chunk, Footer
from .schema import Column, Leaf
from .thrift import Kind
from .thrift_fields import MAGIC, ColumnChunk, ColumnMetaData, FileMetaData, KeyValue, RowGroup, SchemaElement


@dataclass(frozen=True, slots=True)
class Part:
    """Pages of one leaf; the first `dictionary_size` bytes of `data` are its dictionary page."""

    chunk: Chunk
    data: Sequence[bytes]
    dictionary_size: int
    values: int
    uncompressed: int


@dataclass(frozen=True, slots=True)
class PartGroup:
    """Rows of one row group; one part per leaf of the column."""

    rows: int
    parts: Sequence[Part]


def rebuild(footer: Footer, column: Column, arrow_schema: bytes | None, groups: Sequence[PartGroup]) -> bytes:
    """A Parquet file with one column and these row groups."""
    out = [MAGIC]
    position = len(MAGIC)
    rewritten: list[bytes] = []
    for group in groups:
        chunks: list[bytes] = []
        for leaf, part in zip(column.leaves, group.parts, strict=True):
            size = sum(map(len, part.data))
            chunks.append(_chunk(leaf, part, position, size))
            out += part.data
            position += size
        rewritten.append(_group(group, chunks))
    rows = sum(group.rows for group in groups)
    root = thrift.struct(
        (SchemaElement.NAME, thrift.binary(b"root")),
        (SchemaElement.NUM_CHILDREN, thrift.integer(1, Kind.I32)),
    )[1]
    fields = [
        (FileMetaData.VERSION, thrift.integer(footer.version, Kind.I32)),
        (FileMetaData.SCHEMA, thrift.array(Kind.STRUCT, [root, *column.elements])),
        (FileMetaData.NUM_ROWS, thrift.integer(rows)),
        (FileMetaData.ROW_GROUPS, thrift.array(Kind.STRUCT, rewritten)),
    ]
    if arrow_schema is not None:
        note = thrift.struct(
            (KeyValue.KEY, thrift.binary(b"ARROW:schema")), (KeyValue.VALUE, thrift.binary(arrow_schema))
        )[1]
        fields.append((FileMetaData.KEY_VALUE_METADATA, thrift.array(Kind.STRUCT, [note])))
    if footer.created_by is not None:
        fields.append((FileMetaData.CREATED_BY, thrift.binary(footer.created_by)))
    metadata = thrift.struct(*fields)[1]
    return b"".join([*out, metadata, len(metadata).to_bytes(4, "little"), MAGIC])


def _group(group: PartGroup, chunks: Sequence[bytes]) -> bytes:
    return thrift.struct(
        (RowGroup.COLUMNS, thrift.array(Kind.STRUCT, chunks)),
        (RowGroup.TOTAL_BYTE_SIZE, thrift.integer(sum(part.uncompressed for part in group.parts))),
        (RowGroup.NUM_ROWS, thrift.integer(group.rows)),
    )[1]


def _chunk(leaf: Leaf, part: Part, start: int, size: int) -> bytes:
    data_start = start + part.dictionary_size
    fields = [
        (ColumnMetaData.TYPE, thrift.integer(leaf.type, Kind.I32)),
        (ColumnMetaData.ENCODINGS, thrift.integers(part.chunk.encodings)),
        (
            ColumnMetaData.PATH_IN_SCHEMA,
            thrift.array(Kind.BINARY, [thrift.binary(name)[1] for name in leaf.path]),
        ),
        (ColumnMetaData.CODEC, thrift.integer(part.chunk.codec, Kind.I32)),
        (ColumnMetaData.NUM_VALUES, thrift.integer(part.values)),
        (ColumnMetaData.TOTAL_UNCOMPRESSED_SIZE, thrift.integer(part.uncompressed)),
        (ColumnMetaData.TOTAL_COMPRESSED_SIZE, thrift.integer(size)),
        (ColumnMetaData.DATA_PAGE_OFFSET, thrift.integer(data_start)),
    ]
    if part.dictionary_size:
        fields.append((ColumnMetaData.DICTIONARY_PAGE_OFFSET, thrift.integer(start)))
    return thrift.struct(
        (ColumnChunk.FILE_OFFSET, thrift.integer(start)), (ColumnChunk.META_DATA, thrift.struct(*fields))
    )[1]
