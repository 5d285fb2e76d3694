"""The rows of an export, a part at a time: all results unpacked as pages are, or what a SELECT yields."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, cast

import polars as pl

from sutro_mcp.errors import counted
from sutro_mcp.results.request_models import ExportRequest, LocalArtifact, YieldedRows
from sutro_mcp.results.rows.column_roles import field_names
from sutro_mcp.results.rows.reader import Rows, open_rows
from sutro_mcp.results.rows.results_frame import TypedFrame
from sutro_mcp.results.sql.json_columns import OutputFields, open_fields
from sutro_mcp.results.worker.protocol import Channel, NullChannel
from sutro_mcp.untrusted_text import quote


class Frame(Protocol):
    """Rows of one schema. Text in `json_columns` is JSON; `remarks` say what is not as one may expect."""

    schema: dict[str, pl.DataType]
    json_columns: set[str]
    height: int
    remarks: list[str]

    @property
    def row_size(self) -> float:
        """About how many bytes a row takes in memory."""
        ...

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in order."""
        ...


class YieldedFrame:
    """The rows that a SELECT yields."""

    def __init__(self, rows: YieldedRows, channel: Channel) -> None:
        self._channel = channel
        self._rows = pl.scan_parquet(rows.path, glob=False)
        self.schema = dict(self._rows.collect_schema())
        self.json_columns = set(rows.json_columns)
        self.height = cast("int", self._rows.select(pl.len()).collect().item())
        self.remarks: list[str] = []
        self.row_size = Path(rows.path).stat().st_size / max(self.height, 1)

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in order."""
        done = 0
        for part in self._rows.collect_batches(maintain_order=True):
            yield part
            done += part.height
            self._channel.tell({"rows": [done, self.height]})


class UnpackedFrame:
    """All results: the columns of a file to join with, then those of the artifact, the outputs as fields."""

    def __init__(
        self,
        table: Rows,
        artifact: LocalArtifact,
        original: pl.DataFrame | None,
        fields: OutputFields | None,
        channel: Channel,
        *,
        output_column: str,
        step: int | None,
    ) -> None:
        """Raises InvalidArgumentError for a file that does not fit, and UnexpectedReplyError."""
        self._channel = channel
        self._original = pl.DataFrame() if original is None else original
        self._output = output_column
        self.height = table.height
        self.remarks = [] if fields is None else list(_remarks(fields, output_column))
        self._fields = fields = fields if fields and fields.names else None
        self._keeps_all = fields is None or not fields.is_complete
        shown = list(table.names)
        unpacked_size = table.size([output_column]) / max(self.height, 1) if fields else 0
        if fields and not fields.texts and fields.is_complete:
            table.names = [name for name in shown if name != output_column]
        self._carried = TypedFrame(
            table,
            artifact,
            NullChannel(),
            original,
            output_column=output_column,
            unpack_json=False,
            step=step,
        )
        self.row_size = self._carried.row_size + unpacked_size
        carried = self._carried.added
        paths = [(key,) for key in fields.names] if fields else []
        others = [*self._original.columns, *(name for name in shown if name != output_column)]
        self._names = list(field_names(paths, others, output_column).values())
        order = [*self._original.columns]
        for name in shown:
            order += self._names if name == output_column else []
            order += [name] if name in carried else []
        dtypes = dict(zip(self._names, fields.dtypes if fields else [], strict=True))
        known = {**self._original.schema, **carried, **dtypes}
        self.schema = {name: known[name] for name in order}
        self.json_columns = {self._names[place] for place in fields.json_places} if fields else set[str]()

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in order."""
        done = 0
        for columns in self._columns():
            height = len(next(iter(columns.values()), ()))
            columns |= {column.name: column for column in self._original.slice(done, height).iter_columns()}
            # By name and not as a list, in which polars would give a name to a column that has the empty one.
            yield pl.DataFrame({name: columns[name] for name in self.schema})
            done += height
            self._channel.tell({"rows": [done, self.height]})
        if done != self.height:
            raise RuntimeError("rows are missing")

    def _columns(self) -> Iterator[dict[str, pl.Series]]:
        """The columns of the artifact and the fields."""
        carried = (dict(zip(part.columns, part, strict=True)) for part in self._carried.results())
        if self._fields is None:
            yield from carried
            return
        unpacked = ([is_text, *columns] for is_text, columns in self._fields.batches())
        if not self._carried.added:
            yield from (dict(zip(self._names, columns, strict=True)) for _, *columns in unpacked)
            return
        for columns, (is_text, *values) in _side_by_side(carried, unpacked):
            if self._output in columns and not self._keeps_all:
                raw = columns[self._output]
                columns[self._output] = pl.select(pl.when(is_text).then(raw)).to_series()
            yield columns | dict(zip(self._names, values, strict=True))


def _side_by_side(
    first: Iterator[dict[str, pl.Series]], second: Iterator[list[pl.Series]]
) -> Iterator[tuple[dict[str, pl.Series], list[pl.Series]]]:
    """The same rows of both, each of which comes in parts of its own length."""
    one: dict[str, pl.Series] = {}
    other: list[pl.Series] = []
    while True:
        while not one or next(iter(one.values())).is_empty():
            if (found := next(first, None)) is None:
                return
            one = found
        while not other or other[0].is_empty():
            other = next(second)
        count = min(len(next(iter(one.values()))), len(other[0]))
        yield {name: column.head(count) for name, column in one.items()}, [each.head(count) for each in other]
        one = {name: column.slice(count) for name, column in one.items()}
        other = [each.slice(count) for each in other]


def _remarks(fields: OutputFields, output_column: str) -> Iterator[str]:
    name = quote(output_column, 60)
    if not fields.names:
        yield f"Not unpacked: {name} holds the outputs as text; no row holds a JSON object with fields."
        return
    if fields.texts:
        rows = f"{counted(fields.texts, 'row')} {'holds' if fields.texts == 1 else 'hold'} no JSON object"
        rest = " and is null in the others" if fields.is_complete else ""
        yield f"{rows}: {name} keeps {'its' if fields.texts == 1 else 'their'} text{rest}."
    if not fields.is_complete:
        yield f"{len(fields.names)} fields are columns; {name} keeps every output whole, with the others."


@contextmanager
def open_frame(
    artifact: LocalArtifact,
    request: ExportRequest,
    original: pl.DataFrame | None,
    channel: Channel,
    *,
    keep_json: bool,
    step: int | None,
) -> Generator[Frame]:
    """The rows that were asked for. Raises InvalidArgumentError and UnexpectedReplyError."""
    if request.yielded is not None:
        yield YieldedFrame(request.yielded, channel)
        return
    with ExitStack() as stack:
        name = request.output_column
        kept = [] if original is None else original.columns
        table = stack.enter_context(open_rows(artifact, name, channel, kept))
        fields: OutputFields | None = None
        if request.unpack_json and isinstance(table.part([name], 0, 1).schema[name], pl.String | pl.Null):
            fields = stack.enter_context(open_fields(artifact, keep_json=keep_json))
        yield UnpackedFrame(table, artifact, original, fields, channel, output_column=name, step=step)
