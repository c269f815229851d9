"""Progress of a long plan that can be stopped: what has begun ends with the best it has, what must be done is done."""

from __future__ import annotations

from rtsim.optimize.solver import StopOptimization
from rtsim.typing import Progress


class Interruptible:
    """The progress of a whole plan, handed out in parts.

    Once the user has raised ``StopOptimization`` every call of a part raises it again, so that each solver that is
    still asked returns the best it has at once.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self.stopped = progress, False

    def part(self, start: float, stop: float, stage: str = "") -> Progress:
        """Progress of the work from ``start`` to ``stop`` (0..1); raises when the user wants to stop.

        Args:
            stage: put before what is reported.
        """
        head = f"{stage}: " if stage else ""

        def report(done: float, text: str) -> None:
            if not self.stopped and self._progress is not None:
                try:
                    self._progress(start + (stop - start) * done, head + text)
                except StopOptimization:
                    self.stopped = True
            if self.stopped:
                raise StopOptimization

        return report

    def calm(self, start: float, stop: float, stage: str = "") -> Progress:
        """The same of work without which there would be no plan: a stop is remembered, but does not end it."""
        own = calmed(self.part(start, stop, stage))
        assert own is not None
        return own


def calmed(progress: Progress | None) -> Progress | None:
    """The same progress of work that a stop must not end."""

    def report(done: float, text: str) -> None:
        try:
            if progress is not None:
                progress(done, text)
        except StopOptimization:
            return

    return None if progress is None else report


def share(progress: Progress | None, n: int, count: int) -> Progress | None:
    """Progress of the n-th of ``count`` equal shares of a part."""
    return None if progress is None else lambda done, text: progress((n + done) / count, text)
