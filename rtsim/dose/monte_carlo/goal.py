"""Goal: when a simulation has enough histories; Schedule: the batches that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

LEAST_BATCHES: Final = 16
"""The standard deviation from n batches is itself uncertain by 1/sqrt(2 (n - 1)): 18 % for one voxel and 16 batches;
the mean over the voxels above half the maximum much less."""

MOST_PER_BATCH: Final = 25_000
"""So that a round takes a second or two, and Ctrl-C is heard."""

LEAST_PER_BATCH: Final = 5_000
VOXELS_PER_HISTORY: Final = 50
"""Tallying a batch costs a pass through the grid; with fewer voxels a history than this it costs a few percent of the
simulation."""

BATCHES_OF_FIXED: Final = 64
LOOK_AGAIN: Final = 2
"""Batches more, at least, when the uncertainty was nearly reached; 2 keep two cores busy."""
_SPARE: Final = 1.01
"""Of the batches expected: to look a batch too early costs a look and a short round."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """How many histories, or how sure. Exactly one of the first two is given.

    Attributes:
        histories: rays that leave the source (rounded up to whole batches).
        uncertainty_percent: mean of one standard deviation over the dose, of voxels above half the maximum.
        most_histories: where the search for ``uncertainty_percent`` ends.
    """

    histories: int | None = None
    uncertainty_percent: float | None = None
    most_histories: int = 10**10


class Schedule:
    """Size and number of batches, from the goal and the grid only: never from speed or threads."""

    def __init__(self, goal: Goal, voxels: int) -> None:
        self._goal = goal
        if goal.histories is None:
            self.histories_per_batch = min(max(voxels // VOXELS_PER_HISTORY, LEAST_PER_BATCH), MOST_PER_BATCH)
            self._batches = max(goal.most_histories // self.histories_per_batch, LEAST_BATCHES)
        else:
            least = max(voxels // VOXELS_PER_HISTORY, 1000)
            several = min(max(goal.histories // least, LEAST_BATCHES), BATCHES_OF_FIXED)
            self._batches = max(several, math.ceil(goal.histories / MOST_PER_BATCH))
            self.histories_per_batch = math.ceil(goal.histories / self._batches)

    def done(self, batches: int, percent: float) -> bool:
        """Whether these batches, with this mean uncertainty, are enough."""
        wanted = self._goal.uncertainty_percent
        return batches >= self._batches or (wanted is not None and batches >= LEAST_BATCHES and percent <= wanted)

    def missed(self, percent: float) -> bool:
        """Whether the histories ran out before the wanted uncertainty."""
        wanted = self._goal.uncertainty_percent
        return wanted is not None and percent > wanted

    def expected_batches(self, batches: int, percent: float) -> float:
        """How many batches it will take, judged from the uncertainty after ``batches``."""
        wanted = self._goal.uncertainty_percent
        if wanted is None:
            return float(self._batches)
        return float(min(max(batches * (percent / wanted) ** 2, LEAST_BATCHES), self._batches))

    def next_look(self, batches: int, percent: float, *, watched: bool) -> int:
        """After how many batches to look again: at most twice as many, and not past what is expected.

        Args:
            watched: somebody reads the uncertainty on the way; if not, fixed histories need no look before their end.
        """
        if self._goal.uncertainty_percent is None and not watched:
            return self._batches
        sooner = min(2 * batches, math.ceil(_SPARE * self.expected_batches(batches, percent)))
        return min(max(sooner, batches + max(LOOK_AGAIN, batches // 32)), self._batches)
