"""The processes of one server: how many there are, and what each may use."""

from collections import Counter
from functools import partial

import anyio

from .memory_shares import MemoryShares
from .supervisor import QueryRunner, Worker

# What a SELECT for an export may take.
_EXPORT_SECONDS = 120.0


class Processes:
    """The processes of one server, as many as there is memory for.

    Where it suffices, a page need not wait for somebody's summary of ten million rows, nor a question for
    somebody's export.
    """

    def __init__(self, memory: MemoryShares, *, lock_suffices: bool = False) -> None:
        self.ends = Counter[str]()
        turns = anyio.Lock() if memory.one_by_one else None
        worker = partial(Worker, ends=self.ends, share=memory.reader)
        self.pages = worker()
        self.long = self.pages if memory.one_by_one else worker()
        runner = partial(
            QueryRunner, lock_suffices=lock_suffices, ends=self.ends, share=memory.query, turns=turns
        )
        self.queries = runner()
        self.sql_exports = runner(query_seconds=_EXPORT_SECONDS)
