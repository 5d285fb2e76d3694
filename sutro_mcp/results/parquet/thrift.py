"""Thrift's compact protocol, as far as Parquet's footers and page headers use it.

Reading keeps nothing that the caller does not ask for, and believes no count or length: what is allocated
is bounded by the bytes at hand, and nesting by MAX_DEPTH. Source: thrift-compact-protocol.md of Apache
Thrift.
"""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

from .parquet_errors import DamagedError


class Kind:
    """Kinds of values, as the protocol numbers them. A boolean field's value is its kind."""

    TRUE: Final = 1
    FALSE: Final = 2
    BYTE: Final = 3
    I16: Final = 4
    I32: Final = 5
    I64: Final = 6
    DOUBLE: Final = 7
    BINARY: Final = 8
    LIST: Final = 9
    SET: Final = 10
    STRUCT: Final = 12


MAX_DEPTH: Final = 32
_INTEGERS = frozenset({Kind.I16, Kind.I32, Kind.I64})
_LAST_SHIFT = 63  # ten bytes hold any 64-bit number


class EndOfDataError(DamagedError):
    """The value goes on beyond the bytes at hand; more of them may complete it."""


class Reader:
    """A position in `data`, moved by reading. Every method raises DamagedError for what is not Thrift."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def fields(self) -> Iterator[tuple[int, int]]:
        """Id and kind of each field of the struct that begins here; read or skip each before the next."""
        field = 0
        while head := self._byte():
            delta = head >> 4
            before, field = field, field + delta if delta else self._zigzag()
            if field <= before:
                raise DamagedError("fields are repeated or out of order")
            yield field, head & 15

    def items(self, kind: int) -> "repeat[int]":
        """The kind of the items of a list, once per item; read or skip each before taking the next."""
        count, item = self._list(kind)
        return repeat(item, count)

    def integer(self, kind: int) -> int:
        """A whole number of any width."""
        if kind not in _INTEGERS:
            raise DamagedError("a number was expected")
        return self._zigzag()

    def binary(self, kind: int) -> bytes:
        """Bytes or text."""
        if kind != Kind.BINARY:
            raise DamagedError("text was expected")
        return self.raw(self.varint())

    def raw(self, count: int) -> bytes:
        """So many bytes as they are."""
        start = self._move(count)
        return self.data[start : self.position]

    def varint(self) -> int:
        """A whole number that is not negative, seven bits in a byte."""
        # Most of the work on a footer of many row groups.
        data, position = self.data, self.position
        number = shift = 0
        try:
            while (byte := data[position]) > 0x7F:
                position += 1
                number |= (byte & 0x7F) << shift
                shift += 7
                if shift > _LAST_SHIFT:
                    raise DamagedError("a number is too long")
        except IndexError:
            raise EndOfDataError("a value is longer than the data") from None
        self.position = position + 1
        number |= byte << shift
        if number >> 64:
            raise DamagedError("a number is too large")
        return number

    def struct(self, kind: int) -> Iterator[tuple[int, int]]:
        """The fields of a struct that must be one."""
        if kind != Kind.STRUCT:
            raise DamagedError("a struct was expected")
        return self.fields()

    def numbers(self, kind: int) -> dict[int, int]:
        """The whole numbers among the fields of a struct, by id; the rest is passed over."""
        found: dict[int, int] = {}
        for field, inner in self.struct(kind):
            if inner in _INTEGERS:
                found[field] = self._zigzag()
            else:
                self.skip(inner)
        return found

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over one value."""
        if depth > MAX_DEPTH:
            raise DamagedError("values are nested too deeply")
        match kind:
            case Kind.TRUE | Kind.FALSE:
                pass
            case Kind.BYTE:
                self._move(1)
            case Kind.I16 | Kind.I32 | Kind.I64:
                self.varint()
            case Kind.DOUBLE:
                self._move(8)
            case Kind.BINARY:
                self._move(self.varint())
            case Kind.LIST | Kind.SET:
                self._skip_list(kind, depth)
            case Kind.STRUCT:
                for _, inner in self.fields():
                    self.skip(inner, depth + 1)
            case _:
                raise DamagedError(f"values of kind {kind} do not occur in Parquet")

    def _skip_list(self, kind: int, depth: int) -> None:
        count, item = self._list(kind)
        if item <= Kind.BYTE:
            self._move(count)
            return
        for _ in range(count):
            self.skip(item, depth + 1)

    def _list(self, kind: int) -> tuple[int, int]:
        if kind not in (Kind.LIST, Kind.SET):
            raise DamagedError("a list was expected")
        head = self._byte()
        count = head >> 4
        if count == 15:
            count = self.varint()
        if count > len(self.data) - self.position:
            raise EndOfDataError("a list is longer than the data")
        return count, head & 15

    def _byte(self) -> int:
        try:
            byte = self.data[self.position]
        except IndexError:
            raise EndOfDataError("a value is longer than the data") from None
        self.position += 1
        return byte

    def _move(self, count: int) -> int:
        """Pass `count` bytes; gives where they begin."""
        start = self.position
        if count > len(self.data) - start:
            raise EndOfDataError("a value is longer than the data")
        self.position = start + count
        return start

    def _zigzag(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)


Value = tuple[int, bytes]  # kind and encoding


def integer(number: int, kind: int = Kind.I64) -> Value:
    """A whole number that is not negative."""
    return kind, _varint(number << 1)


def binary(data: bytes) -> Value:
    """Bytes or text."""
    return Kind.BINARY, _varint(len(data)) + data


def array(kind: int, items: Iterable[bytes]) -> Value:
    """A list of values of one kind, each encoded already."""
    encoded = list(items)
    count = len(encoded)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + _varint(count)
    return Kind.LIST, head + b"".join(encoded)


def integers(numbers: Iterable[int]) -> Value:
    """A list of 32-bit numbers that are not negative."""
    return array(Kind.I32, [_varint(number << 1) for number in numbers])


def struct(*fields: tuple[int, Value]) -> Value:
    """A struct of `fields`, by ascending id, at most 15 apart."""
    out = bytearray()
    last = 0
    for field, (kind, encoded) in fields:
        out.append((field - last) << 4 | kind)
        out += encoded
        last = field
    return Kind.STRUCT, bytes(out) + b"\0"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
