"""Ctrl-C in a long optimization: the first ends the search and keeps the best plan so far, a second ends everything."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from rtsim.cli.console import Steps
from rtsim.optimize import StopOptimization
from rtsim.typing import Progress

STOPPING: Final = "stopping: the best plan so far is being finished; Ctrl-C again ends at once"
STOPPED: Final = (
    "Stopped by the user (Ctrl-C): this is the best plan that was found by then, not the end of the search."
)


class Stopping:
    """Whether Ctrl-C was pressed, and the callback that tells the optimizer.

    Attributes:
        asked: it was.
    """

    def __init__(self) -> None:
        self.asked = False

    def stops(self, progress: Progress) -> Progress:
        """``progress`` that raises :class:`rtsim.optimize.StopOptimization` from the first Ctrl-C on."""

        def update(fraction: float, text: str) -> None:
            progress(fraction, text)
            if self.asked:
                raise StopOptimization

        return update


@contextmanager
def stoppable(bars: Steps, *, has_search: bool = True) -> Iterator[Stopping]:
    """Let the first Ctrl-C stop the optimizer instead of the program.

    Args:
        has_search: False: there is no search whose best could be kept, and Ctrl-C ends the program as ever.

    Where Ctrl-C was to mean something else (another handler, another thread), it still does.

    Raises:
        KeyboardInterrupt: Ctrl-C came before there was any plan to finish, or for the second time.
    """
    stopping = Stopping()
    here = threading.current_thread() is threading.main_thread()
    is_ours = has_search and here and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.asked:
            signal.default_int_handler(number, frame)
        stopping.asked = True
        bars.notice(STOPPING)

    if is_ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield stopping
    except StopOptimization as early:
        raise KeyboardInterrupt from early
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
