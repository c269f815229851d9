"""Ctrl-C that waits for the end of a round, so that no sum is left half added."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Held:
    """Whether Ctrl-C was pressed while it was held.

    Attributes:
        pending: it was; the work should come to its end.
    """

    def __init__(self) -> None:
        self.pending = False


@contextmanager
def held_interrupts() -> Iterator[Held]:
    """Hold the first Ctrl-C back as ``Held.pending``; a second one raises at once.

    Only where Ctrl-C would raise KeyboardInterrupt here: in the main thread, with Python's own handler.
    """
    held = Held()
    here = threading.current_thread() is threading.main_thread()
    if not (here and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield held
        return

    def hold(number: int, frame: FrameType | None) -> None:
        if held.pending:
            signal.default_int_handler(number, frame)
        held.pending = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
