"""Compiled kernels on several threads.

A kernel that Numba runs in parallel itself (``parallel=True``) takes three to four times as long to compile as the same
loop run by one thread, and every plan of a new installation waits for it. Kernels therefore take the range of their
outer loop as last two arguments and release the interpreter's lock, and the ranges are shared out here.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Final

import numba

_PARTS_PER_THREAD: Final = 8
"""Ranges that a thread gets on the average: so many that none waits long for the last one."""


def over_ranges(kernel: Callable[..., object], count: int, *arguments: object) -> None:
    """Call ``kernel(*arguments, first, stop)`` for ranges that make up 0 .. ``count``, on as many threads as Numba has.

    What a range computes must not depend on the others, so that neither does the result on the number of threads
    (``numba.set_num_threads``). An error in one of them is raised here.
    """
    threads = min(numba.get_num_threads(), count)
    if threads <= 1:
        if count > 0:
            kernel(*arguments, 0, count)
        return
    parts = min(count, threads * _PARTS_PER_THREAD)
    waiting = deque((n * count // parts, (n + 1) * count // parts) for n in range(parts))

    def work() -> None:
        while True:
            try:
                first, stop = waiting.popleft()
            except IndexError:
                return
            kernel(*arguments, first, stop)

    helpers: list[Future[None]] = []
    try:
        helpers += [_pool().submit(work) for _ in range(threads - 1)]
        work()
    finally:
        # whatever went wrong, no helper writes into the caller's arrays any more when the caller hears of it
        waiting.clear()
        for helper in helpers:
            helper.cancel()
        wait(helpers)
    for helper in helpers:
        if not helper.cancelled():
            helper.result()


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """The helpers, who sleep between kernels; the caller of a kernel does its share himself."""
    return ThreadPoolExecutor(max_workers=numba.config.NUMBA_NUM_THREADS, thread_name_prefix="rtsim")


if hasattr(os, "register_at_fork"):
    # the threads of a process are not there in its children
    os.register_at_fork(after_in_child=_pool.cache_clear)
