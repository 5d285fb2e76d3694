"""The Range header of one GET (RFC 9110 §14). Pure; the store decides when a range counts at all."""

import re

_ONE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class UnsatisfiableError(Exception):
    """A well-formed range that holds no byte of the object: a 416."""


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and one past the last; None for the whole object.

    A malformed header, another unit and several ranges at once count as no range, as in the real stores.
    """
    match = _ONE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        wanted = int(last)
        if wanted == 0 or size == 0:
            raise UnsatisfiableError
        return max(0, size - wanted), size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise UnsatisfiableError
    return start, min(int(last) + 1, size) if last else size
