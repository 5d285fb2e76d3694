"""The schema of a Parquet file: a tree of nodes, of which the children of the root are its columns."""

from collections.abc import Iterator
from dataclasses import dataclass

from .parquet_errors import DamagedError, HostileError, UnsupportedError
from .thrift import Reader
from .thrift_fields import FieldRepetitionType, SchemaElement

MAX_COLUMNS = 10_000
MAX_DEPTH = 50
MAX_COLUMN_SIZE = 1 << 20  # of its schema, which travels with every slice of rows


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of values, as opposed to a list or struct around some; `path` leads to it from the root."""

    path: tuple[bytes, ...]
    type: int


@dataclass(frozen=True, slots=True)
class Column:
    """A top-level column. `elements` are the nodes of its schema as the file encodes them.

    A flat one is a single leaf with exactly one value or null per row.
    """

    name: str
    index: int
    flat: bool
    elements: tuple[bytes, ...]
    leaves: tuple[Leaf, ...]
    first_leaf: int


@dataclass(frozen=True, slots=True)
class _Node:
    raw: bytes
    name: bytes
    type: int | None
    children: int
    repeated: bool


def read_schema(reader: Reader, kind: int) -> tuple[Column, ...]:
    """The top-level columns, in order; their names are distinct text.

    Raises DamagedError, UnsupportedError, and HostileError for a schema beyond MAX_COLUMNS leaves or
    MAX_DEPTH, which crash readers.
    """
    nodes = _nodes(reader, kind)
    root = next(nodes, None)
    if root is None:
        raise DamagedError("the schema has no root")
    if root.children > MAX_COLUMNS:
        raise HostileError("the schema has too many columns")
    columns: list[Column] = []
    first_leaf = 0
    for index in range(root.children):
        column = _column(nodes, index, first_leaf)
        columns.append(column)
        first_leaf += len(column.leaves)
        if first_leaf > MAX_COLUMNS:
            raise HostileError("the schema has too many columns")
    if next(nodes, None) is not None:
        raise DamagedError("the schema has nodes outside its tree")
    if len({column.name for column in columns}) < len(columns):
        raise UnsupportedError("several columns have one name")
    return tuple(columns)


def _nodes(reader: Reader, kind: int) -> Iterator[_Node]:
    is_root = True
    for element in reader.items(kind):
        start = reader.position
        name = node_type = None
        children, repeated = 0, False
        for field, inner in reader.struct(element):
            match field:
                case SchemaElement.TYPE:
                    node_type = reader.integer(inner)
                case SchemaElement.REPETITION_TYPE:
                    repeated = reader.integer(inner) == FieldRepetitionType.REPEATED
                case SchemaElement.NAME:
                    name = reader.binary(inner)
                case SchemaElement.NUM_CHILDREN:
                    children = reader.integer(inner)
                case _:
                    reader.skip(inner)
        if (
            name is None
            or children < 0
            or (node_type or 0) < 0
            or (node_type is not None and children and not is_root)
        ):
            raise DamagedError("a node of the schema is not complete")
        # Some writers give a type to the root, which means nothing.
        yield _Node(reader.data[start : reader.position], name, node_type, children, repeated)
        is_root = False


def _column(nodes: Iterator[_Node], index: int, first_leaf: int) -> Column:
    elements: list[bytes] = []
    leaves: list[Leaf] = []
    path: list[bytes] = []
    missing: list[int] = [1]  # children still to come, of each node that is open
    top: _Node | None = None
    size = 0
    while missing:
        if not missing[-1]:
            missing.pop()
            path = path[:-1]
            continue
        missing[-1] -= 1
        node = next(nodes, None)
        if node is None:
            raise DamagedError("the schema is cut off")
        if len(missing) > MAX_DEPTH or len(elements) > MAX_COLUMNS:
            raise HostileError("the schema is too deep or too wide")
        size += len(node.raw)
        top = top or node
        elements.append(node.raw)
        if node.type is None:
            path.append(node.name)
            missing.append(node.children)
        else:
            leaves.append(Leaf((*path, node.name), node.type))
    if size > MAX_COLUMN_SIZE:
        raise UnsupportedError("the schema of a column is too long")
    if top is None or not leaves:
        raise UnsupportedError("a column holds nothing")
    try:
        name = top.name.decode()
    except UnicodeDecodeError:
        raise DamagedError("the name of a column is not text") from None
    flat = top.type is not None and not top.repeated
    return Column(name, index, flat, tuple(elements), tuple(leaves), first_leaf)
