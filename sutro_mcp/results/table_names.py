"""Names of the tables that a SELECT may read beside `results`: which there may be, as a caller gives them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.untrusted_text import quote

_MOST = 3
_NAME = re.compile(r"[a-z]\w{0,39}", re.ASCII)
_ALIASED = re.compile(rf"\s*({_NAME.pattern})\s*=\s*(\S{{1,200}})\s*", re.ASCII)
_LETTERS = "a lower-case letter, then letters, digits or _"


def written_tables(written: Sequence[str]) -> dict[str, str]:
    """The job of each table, of texts like `before=job-1`. Raises InvalidArgumentError."""
    pairs = list[tuple[str, str]]()
    for each in written:
        match = _ALIASED.fullmatch(each)
        if match is None:
            raise _refused(
                f"{quote(each, 60)} is not an alias and a job",
                f'Write each as alias=job_id, like "before=job-1": {_LETTERS}',
            )
        pairs.append((match[1], match[2]))
    return _distinct(pairs)


def named_tables(with_jobs: object) -> dict[str, str]:
    """The job of each table, of a program's `with_jobs`. Raises InvalidArgumentError."""
    if with_jobs is None:
        return {}
    if not isinstance(with_jobs, Mapping):
        raise _refused("it does not map names to jobs", 'Pass ids of jobs by name, like {"before": "job-1"}')
    pairs = list(cast("Mapping[object, object]", with_jobs).items())
    for name, job in pairs:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _refused(f"{quote(str(name), 60)} is not the name of a table", f"Name it with {_LETTERS}")
        if not isinstance(job, str):
            raise _refused(f"what {name} stands for is not an id", "Pass the id of a job")
    return _distinct(cast("list[tuple[str, str]]", pairs))


def _distinct(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The same by name. SQL does not tell `aB` from `ab`."""
    jobs = dict[str, str]()
    taken = {"results"}
    for name, job in pairs:
        if name.lower() in taken:
            raise _refused(
                f"two tables would be called {name}", "Name each otherwise, and none of them results"
            )
        taken.add(name.lower())
        jobs[name] = job
    if len(jobs) > _MOST:
        raise _refused(f"it names {len(jobs)} tables", f"Name {_MOST} at most")
    return jobs


def _refused(happened: str, next_step: str) -> InvalidArgumentError:
    return InvalidArgumentError("read with_jobs", happened, next_step)
