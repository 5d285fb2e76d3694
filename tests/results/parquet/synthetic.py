"""Parquet files put together by hand, so that each number in them can be wrong.

One required column of 32-bit numbers, plain and not compressed; a test replaces what it wants to lie about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sutro_mcp.results.parquet import thrift_fields as names
from sutro_mcp.results.parquet.thrift import Kind, Value, array, binary, integers, struct

Fields = Mapping[int, Value | None]
INT32 = 1
REQUIRED = 0
PLAIN = 0
RLE_DICTIONARY = 8


def i32(number: int) -> Value:
    """A number that may be negative, unlike those that the package writes."""
    left = 2 * number if number >= 0 else -2 * number - 1
    out: list[int] = []
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return Kind.I32, bytes([*out, left])


def i64(number: int) -> Value:
    """A 64-bit number that may be negative."""
    return Kind.I64, i32(number)[1]


def fields(usual: Fields, other: Fields) -> Value:
    """A struct of the usual fields, some replaced, added or (by None) left out."""
    merged = {**usual, **other}
    return struct(*((number, value) for number, value in sorted(merged.items()) if value is not None))


def data_page(count: int, header: Fields | None = None, inner: Fields | None = None) -> bytes:
    """A page of `count` numbers; `header` and `inner` replace fields of its header."""
    body = b"".join(number.to_bytes(4, "little") for number in range(count))
    usual_inner: Fields = {
        names.DataPageHeader.NUM_VALUES: i32(count),
        names.DataPageHeader.ENCODING: i32(PLAIN),
        3: i32(3),
        4: i32(3),
    }
    usual: Fields = {
        names.PageHeader.TYPE: i32(names.PageType.DATA_PAGE),
        names.PageHeader.UNCOMPRESSED_PAGE_SIZE: i32(len(body)),
        names.PageHeader.COMPRESSED_PAGE_SIZE: i32(len(body)),
        names.PageHeader.DATA_PAGE_HEADER: fields(usual_inner, inner or {}),
    }
    return fields(usual, header or {})[1] + body


def data_page_v2(count: int, inner: Fields | None = None) -> bytes:
    """A page of the second kind, without levels."""
    usual: Fields = {
        names.DataPageHeaderV2.NUM_VALUES: i32(count),
        2: i32(0),
        names.DataPageHeaderV2.NUM_ROWS: i32(count),
        names.DataPageHeaderV2.ENCODING: i32(PLAIN),
        names.DataPageHeaderV2.DEFINITION_LEVELS_BYTE_LENGTH: i32(0),
        names.DataPageHeaderV2.REPETITION_LEVELS_BYTE_LENGTH: i32(0),
        7: (Kind.FALSE, b""),
    }
    header: Fields = {
        names.PageHeader.TYPE: i32(names.PageType.DATA_PAGE_V2),
        names.PageHeader.DATA_PAGE_HEADER: None,
        names.PageHeader.DATA_PAGE_HEADER_V2: fields(usual, inner or {}),
    }
    return data_page(count, header)


def dictionary_page(count: int) -> bytes:
    """A dictionary of `count` numbers."""
    inner: Fields = {1: i32(count), 2: i32(PLAIN)}
    header: Fields = {
        names.PageHeader.TYPE: i32(names.PageType.DICTIONARY_PAGE),
        names.PageHeader.DATA_PAGE_HEADER: None,
        names.PageHeader.DICTIONARY_PAGE_HEADER: fields(inner, {}),
    }
    return data_page(count, header)


def element(name: bytes, other: Fields | None = None) -> Value:
    """A leaf of the schema."""
    usual: Fields = {
        names.SchemaElement.TYPE: i32(INT32),
        names.SchemaElement.REPETITION_TYPE: i32(REQUIRED),
        names.SchemaElement.NAME: binary(name),
    }
    return fields(usual, other or {})


def node(name: bytes, children: int) -> Value:
    """A struct in the schema, or its root."""
    return element(name, {names.SchemaElement.TYPE: None, names.SchemaElement.NUM_CHILDREN: i32(children)})


@dataclass(frozen=True)
class File:
    """Pages of one row group, and fields of the footer that are other than usual."""

    pages: Sequence[bytes] = field(default_factory=lambda: [data_page(10), data_page(10)])
    rows: int = 20
    footer: Fields = field(default_factory=dict[int, Value | None])
    group: Fields = field(default_factory=dict[int, Value | None])
    chunk: Fields = field(default_factory=dict[int, Value | None])
    metadata: Fields = field(default_factory=dict[int, Value | None])
    index: Sequence[tuple[int, int, int]] | None = None
    padding: int = 0

    def but(self, **changes: object) -> "File":
        """The same file but for these."""
        return replace(self, **changes)  # pyright: ignore[reportArgumentType]

    def row_group(self) -> bytes:
        """The one that the footer lists."""
        size = sum(map(len, self.pages)) + self.padding
        metadata: Fields = {
            names.ColumnMetaData.TYPE: i32(INT32),
            names.ColumnMetaData.ENCODINGS: integers([PLAIN]),
            names.ColumnMetaData.PATH_IN_SCHEMA: array(Kind.BINARY, [binary(b"a")[1]]),
            names.ColumnMetaData.CODEC: i32(0),
            names.ColumnMetaData.NUM_VALUES: i64(self.rows),
            names.ColumnMetaData.TOTAL_UNCOMPRESSED_SIZE: i64(size),
            names.ColumnMetaData.TOTAL_COMPRESSED_SIZE: i64(size),
            names.ColumnMetaData.DATA_PAGE_OFFSET: i64(4),
        }
        chunk: Fields = {
            names.ColumnChunk.FILE_OFFSET: i64(4),
            names.ColumnChunk.META_DATA: fields(metadata, self.metadata),
        }
        if self.index is not None:
            chunk = {
                **chunk,
                names.ColumnChunk.OFFSET_INDEX_OFFSET: i64(4 + size),
                names.ColumnChunk.OFFSET_INDEX_LENGTH: i32(len(_index(self.index))),
            }
        group: Fields = {
            names.RowGroup.COLUMNS: array(Kind.STRUCT, [fields(chunk, self.chunk)[1]]),
            names.RowGroup.TOTAL_BYTE_SIZE: i64(size),
            names.RowGroup.NUM_ROWS: i64(self.rows),
        }
        return fields(group, self.group)[1]

    def data(self) -> bytes:
        """The file. An index lies between pages and footer; padding makes the chunk longer than its pages."""
        footer: Fields = {
            names.FileMetaData.VERSION: i32(1),
            names.FileMetaData.SCHEMA: array(Kind.STRUCT, [node(b"root", 1)[1], element(b"a")[1]]),
            names.FileMetaData.NUM_ROWS: i64(self.rows),
            names.FileMetaData.ROW_GROUPS: array(Kind.STRUCT, [self.row_group()]),
        }
        index = b"" if self.index is None else _index(self.index)
        pages = b"".join(self.pages) + bytes(self.padding)
        return framed(fields(footer, self.footer)[1], pages + index)


def framed(footer: bytes, pages: bytes = b"") -> bytes:
    """A file with this footer, whatever it says."""
    return b"PAR1" + pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _index(places: Sequence[tuple[int, int, int]]) -> bytes:
    location = names.PageLocation
    encoded = [
        struct(
            (location.OFFSET, i64(start)),
            (location.COMPRESSED_PAGE_SIZE, i32(size)),
            (location.FIRST_ROW_INDEX, i64(first)),
        )[1]
        for start, size, first in places
    ]
    return struct((names.OffsetIndex.PAGE_LOCATIONS, array(Kind.STRUCT, encoded)))[1]
