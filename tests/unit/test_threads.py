"""Ranges of a kernel on several threads."""

from __future__ import annotations

from threading import Event, Lock, current_thread
from time import sleep

import numba
import pytest

from rtsim.threads import over_ranges


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 1000])
def test_every_number_is_passed_once(threads: int, count: int) -> None:
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("numba has one thread here")
    seen: list[int] = []
    lock = Lock()

    def kernel(word: str, first: int, stop: int) -> None:
        assert word == "word"
        assert first < stop
        with lock:
            seen.extend(range(first, stop))

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(threads)
        over_ranges(kernel, count, "word")
    finally:
        numba.set_num_threads(before)
    assert sorted(seen) == list(range(count))


def test_an_error_in_any_range_is_raised() -> None:
    def kernel(first: int, stop: int) -> None:
        if first <= 60 < stop:
            raise ValueError("number 60")

    with pytest.raises(ValueError, match="number 60"):
        over_ranges(kernel, 100)
    over_ranges(lambda first, stop: None, 100)


def test_after_an_error_no_helper_is_at_work() -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here")
    here, started, at_work = current_thread(), Event(), []

    def kernel(first: int, stop: int) -> None:
        if current_thread() is here:
            assert started.wait(10.0)
            raise ValueError("the caller's own range")
        started.set()
        sleep(0.2)
        at_work.append(first)

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(2)
        with pytest.raises(ValueError, match="own range"):
            over_ranges(kernel, 100)
    finally:
        numba.set_num_threads(before)
    assert len(at_work) == 1  # it had ended when the error was raised, and began no other
