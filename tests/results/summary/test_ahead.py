"""Reading ahead: what is made, when, and what becomes of errors."""

import threading
from collections.abc import Iterator

import pytest

from sutro_mcp.results.summary.ahead import one_ahead
from sutro_mcp.results.worker.protocol import StoppedError

PATIENCE = 20


def test_one_item_is_made_ahead_and_no_more() -> None:
    """While the first is worked on, the second is made, and the third is not begun."""
    made: list[int] = []
    second, third = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number, event in ((1, threading.Event()), (2, second), (3, third)):
            made.append(number)
            event.set()
            yield number

    with one_ahead(items()) as ahead:
        assert next(ahead) == 1
        assert second.wait(PATIENCE)
        assert made == [1, 2]
        assert list(ahead) == [2, 3]
    assert made == [1, 2, 3]


def test_an_error_comes_in_the_place_of_the_item() -> None:
    """Also one that is no Exception, as when the bytes cannot be had."""

    def items() -> Iterator[int]:
        yield 1
        raise StoppedError

    found: list[int] = []
    with pytest.raises(StoppedError), one_ahead(items()) as ahead:
        found.extend(ahead)
    assert found == [1]


def test_nothing_is_being_made_once_the_block_has_ended() -> None:
    """The file that is read is closed then."""
    ended = False
    begun, may_end = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        nonlocal ended
        yield 1
        begun.set()
        assert may_end.wait(PATIENCE)
        ended = True
        yield 2

    with one_ahead(items()) as ahead:
        assert next(ahead) == 1
        assert begun.wait(PATIENCE)
        threading.Timer(0.05, may_end.set).start()
    assert ended
