"""The columns of a result artifact by their role, in the documented order.

The name of the output column inside an artifact is not documented; `sutro-api.md` §7.4 gives the order in
which candidates are tried. Importing this module must not import polars: SQL needs it without.
"""

from collections.abc import Callable, Iterable, Sequence

from sutro_mcp.errors import InvalidArgumentError, UnexpectedReplyError
from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.untrusted_text import quote, visible

from .json_fields import Path

# The column of the outputs, unless a caller calls it otherwise.
OUTPUT = "inference_result"
_OPTIONAL = ("inputs", "cumulative_logprobs")
_KNOWN = (*_OPTIONAL, "confidence_score")


# Stored columns by the names they get, in order, for the names in a file and that of the output column.
Naming = Callable[[Sequence[str], LocalArtifact, str], dict[str, str]]


def arrangement(columns: Sequence[str], ref: LocalArtifact, output_column: str) -> dict[str, str]:
    """Names and order of the official SDK (0.1.67)."""
    outputs, in_order = _in_order(columns, ref)
    if output_column != outputs and output_column in columns:
        raise InvalidArgumentError(
            ref.spec.doing,
            f"they already carry a column named {quote(output_column, 60)}",
            "Choose another output_column",
        )
    return {output_column if name == outputs else name: name for name in in_order}


def shown_columns(
    columns: Sequence[str], ref: LocalArtifact, output_column: str, kept: Sequence[str] = ()
) -> dict[str, str]:
    """The names wherever results are shown, in the same order.

    Case is not told apart, and `row` and the outputs are columns: another one that has such a name, an empty
    one, or that of a column before it stands behind `carried`, unless it is one of those `kept`.
    """
    outputs, in_order = _in_order(columns, ref)
    taken = {_compared(name) for name in ("row", OUTPUT, output_column, *kept)}
    shown: dict[str, str] = {}
    for name in in_order:
        is_kept = name in kept and name != output_column
        shown[output_column if name == outputs else name if is_kept else _free(name, "carried", taken)] = name
    return shown


def _in_order(columns: Sequence[str], ref: LocalArtifact) -> tuple[str, list[str]]:
    """The column of the outputs, and all columns."""
    outputs = _find_outputs(columns, ref)
    wanted = ref.spec.optional_columns
    order = [
        *(["inputs"] if wanted["inputs"] else []),
        *(c for c in columns if c != outputs and c not in diagnostics(ref)),
        outputs,
        *(["cumulative_logprobs"] if wanted["cumulative_logprobs"] else []),
        "confidence_score",
    ]
    return outputs, [name for name in dict.fromkeys(order) if name in columns]


def diagnostics(ref: LocalArtifact) -> set[str]:
    """The columns that Sutro adds beside the outputs. All others came from the input."""
    return {"confidence_score", *(name for name, asked in ref.spec.optional_columns.items() if asked)}


def field_names(
    paths: Iterable[Path], carried: Sequence[str], output_column: str = OUTPUT
) -> dict[Path, str]:
    """The name of the column of each field, and of each object that it is in, wherever results are shown.

    That is its path with dots, unless it is empty, one of ours, or that of another column, whatever the case:
    then it stands behind the name of the output column. Fields at the top come first, then the one seen
    first; `paths` are in that order, and `carried` are the other columns as they are shown.
    """
    inner: dict[Path, dict[Path, None]] = {}
    for path in paths:
        for depth in range(1, len(path) + 1):
            inner.setdefault(path[: depth - 1], {})[path[:depth]] = None
    taken = {_compared(name) for name in ("row", OUTPUT, output_column, *carried)}
    names: dict[Path, str] = {}
    level: list[Path] = [()]
    while level := [path for outer in level for path in inner.get(outer, ())]:
        names.update({path: _free(".".join(path), output_column, taken) for path in level})
    return names


def _free(name: str, prefix: str, taken: set[str]) -> str:
    """`name`, behind `prefix` until nothing that is taken is shown alike."""
    while not name or _compared(name) in taken:
        name = f"{prefix}.{name}"
    taken.add(_compared(name))
    return name


def _compared(name: str) -> str:
    return visible(name).lower()


def _find_outputs(columns: Sequence[str], ref: LocalArtifact) -> str:
    for candidate in ("outputs", ref.spec.job_id, OUTPUT, "output"):
        if candidate in columns:
            return candidate
    rest = [c for c in columns if c not in _KNOWN]
    if len(rest) == 1:
        return rest[0]
    names = ", ".join(quote(c, 60) for c in columns[:10])
    raise unreadable(ref, f"none of its columns is known to hold the outputs ({names})")


def unreadable(ref: LocalArtifact, happened: str) -> UnexpectedReplyError:
    """The error for an artifact that cannot be read, whoever reads it."""
    return UnexpectedReplyError(
        ref.spec.doing,
        happened,
        "Call again with disable_cache; if it stays, report it to Sutro",
    )
