"""The note of types that writers leave beside the schema (`ARROW:schema`), cut down to one column.

Parquet itself cannot tell a category from a text, a duration from a number or one time zone from another;
readers take that from an Arrow schema in the footer's free metadata. It is a FlatBuffer, in which every
reference is relative to its own place: to keep one field of many it is enough to rewrite the length and the
first slot of the vector of fields. Sources: Schema.fbs and Message.fbs of Apache Arrow, the FlatBuffers
internals page.
"""

import base64
import binascii
import struct

from .parquet_errors import UnsupportedError

# It travels with every slice of rows. A file whose columns fill more than this is read whole.
MAX_SIZE = 64 << 10

_CONTINUATION = b"\xff\xff\xff\xff"
_MESSAGE_HEADER = 2  # slots of tables, in the order of their .fbs files
_SCHEMA_FIELDS = 1
_FIELD_NAME = 0


def one_field(schema: bytes, index: int, name: str) -> bytes:
    """The same Arrow schema with its field `index` alone, which must be called `name`; base64 as in the file.

    Raises UnsupportedError when it is not such a schema, as what a reader would make of it is unknown.
    """
    try:
        message = bytearray(base64.b64decode(schema, validate=True))
        if len(message) > MAX_SIZE:
            raise UnsupportedError("the Arrow schema is too long")
        table = _follow(message, 8 if message.startswith(_CONTINUATION) else 4)
        fields = _follow(
            message, _slot(message, _follow(message, _slot(message, table, _MESSAGE_HEADER)), _SCHEMA_FIELDS)
        )
        first = fields + 4
        chosen = first + 4 * index
        if (
            index >= _number(message, fields)
            or _text(message, _slot(message, _follow(message, chosen), _FIELD_NAME)) != name
        ):
            raise UnsupportedError("the Arrow schema has other columns")
        struct.pack_into("<I", message, first, _follow(message, chosen) - first)
        struct.pack_into("<I", message, fields, 1)
    except (struct.error, binascii.Error, UnicodeDecodeError):
        raise UnsupportedError("the Arrow schema is not readable") from None
    return base64.b64encode(message)


def _number(data: bytearray, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]


def _follow(data: bytearray, at: int) -> int:
    return at + _number(data, at)


def _slot(data: bytearray, table: int, slot: int) -> int:
    """Where the table keeps that field."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, layout)[0]
    entry = 4 + 2 * slot
    offset = struct.unpack_from("<H", data, layout + entry)[0] if entry + 2 <= size else 0
    if not offset:
        raise UnsupportedError("the Arrow schema is not complete")
    return table + offset


def _text(data: bytearray, at: int) -> str:
    start = _follow(data, at)
    return bytes(data[start + 4 : start + 4 + _number(data, start)]).decode()
