"""Rounds of batches until the wanted number of histories, the wanted uncertainty, or Ctrl-C.

A batch is a fixed number of histories with a fixed place in the stream of random numbers; how many of them make up a
round (one call of the kernel) depends on threads and memory, the result does not. The spread of the batches gives the
standard deviation of each voxel (Walters, Kawrakow & Rogers 2002, doi:10.1118/1.1517611, section on batches).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final, Protocol

import numba
import numpy as np

from rtsim.dose.beamlets.settings import available_memory_gb
from rtsim.dose.monte_carlo.goal import LEAST_BATCHES, Goal, Schedule
from rtsim.dose.monte_carlo.interrupt import held_interrupts
from rtsim.dose.monte_carlo.tally import Tally
from rtsim.dose.result import MonteCarloStatistics, histories_text, percent_text
from rtsim.errors import InputError, ResourceError
from rtsim.typing import AnyFloatArray, FloatArray, Progress
from rtsim.units import BYTES_PER_GB

LEAST_LANES: Final = 4
"""Batches in a round, or the next multiple of the number of threads."""

FEWEST_BATCHES: Final = 4
"""With fewer than these there is no uncertainty worth its name: Ctrl-C then returns nothing."""

_BYTES_PER_VOXEL: Final = 60
"""Matter on the grid, sums, squares, mean and their standard deviation."""

_BYTES_PER_LANE_VOXEL: Final = 8

_log = logging.getLogger(__name__)


class Simulation(Protocol):
    """What can simulate batches: a Scene."""

    def batches(self, seed: int, first_batch: int, count: int, histories: int) -> tuple[AnyFloatArray, FloatArray]:
        """Batches ``first_batch`` .. ``first_batch + count - 1`` of ``histories`` each.

        The result of a batch depends on ``seed``, its number and ``histories`` alone.

        Returns:
            (count, nz, ny, nx) energy deposited in MeV; (count, 4) incident MeV, escaped MeV, and what else the kernel
            counts.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Deposit:
    """Energy deposited per history.

    Attributes:
        energy_mev: (nz, ny, nx) mean per history.
        sigma_mev: (nz, ny, nx) one standard deviation of that mean, from the spread of the batches. 0 where nothing
            was deposited.
        tallies: (4,) sums over all histories of what the kernel counts.
        statistics: how many, how sure, how long.
    """

    energy_mev: FloatArray
    sigma_mev: FloatArray
    tallies: FloatArray
    statistics: MonteCarloStatistics


def deposit(
    simulation: Simulation,
    goal: Goal,
    *,
    seed: int,
    weight: FloatArray,
    progress: Progress | None = None,
    keep_interrupted: bool = True,
) -> Deposit:
    """Simulate batches until the goal is reached.

    Args:
        weight: (nz, ny, nx) dose per deposited energy (any unit); 0 for voxels that the mean uncertainty leaves out
            (air). It says which voxels are above half the maximum.
        progress: "2.1 % after 1.2e6 histories, about 14 s left".
        keep_interrupted: Ctrl-C returns what there is; False = it raises.

    Raises:
        ResourceError: not even one batch a round fits in memory.
        InputError: no energy was deposited anywhere.
        KeyboardInterrupt: before the fourth batch, or when ``keep_interrupted`` is False.
    """
    run = _Run(simulation, goal, seed, weight, progress)
    while run.tally.batches < FEWEST_BATCHES:
        run.round()  # Ctrl-C leaves at once: there is nothing to keep
    run.assess()
    interrupted = False
    with held_interrupts() as held:
        try:
            while not run.finished():
                if held.pending:
                    raise KeyboardInterrupt
                run.say()
                run.round()
        except KeyboardInterrupt:
            if not (keep_interrupted and run.tally.whole):
                raise
            interrupted = True
    return run.result(interrupted=interrupted)


def lanes(voxels: int) -> int:
    """Batches in a round: as many as the threads can share evenly and memory can hold.

    Raises:
        ResourceError: memory does not hold one.
    """
    threads = int(numba.get_num_threads())
    wanted = threads * -(-LEAST_LANES // threads)
    usable = 0.8 * available_memory_gb() * BYTES_PER_GB
    fitting = int((usable / voxels - _BYTES_PER_VOXEL) // _BYTES_PER_LANE_VOXEL)
    if fitting < 1:
        needed = voxels * (_BYTES_PER_VOXEL + _BYTES_PER_LANE_VOXEL) / BYTES_PER_GB
        raise ResourceError(
            f"a Monte Carlo dose of {voxels:,} voxels needs at least {needed:.1f} GB; {usable / BYTES_PER_GB:.1f} GB "
            "may be used. Use a larger spacing_mm"
        )
    return min(wanted, fitting)


class _Run:
    """The state of one simulation: what was tallied, when to look, what to say."""

    def __init__(
        self, simulation: Simulation, goal: Goal, seed: int, weight: FloatArray, progress: Progress | None
    ) -> None:
        self._simulation, self._seed, self._weight, self._progress = simulation, seed, weight, progress
        self._schedule = Schedule(goal, weight.size)
        self._lanes = lanes(weight.size)
        self.tally = Tally(weight.shape)
        self._start = self._warm = time.perf_counter()
        self._warm_batches = 0
        self._percent, self._counted, self._looked_at = np.inf, 0, 0
        self._next_look = FEWEST_BATCHES
        self._done = False
        if progress is not None:
            progress(0.0, "first histories")

    def round(self) -> None:
        """Simulate one round, up to the next look."""
        count = min(self._lanes, self._next_look - self.tally.batches)
        energy, tallies = self._simulation.batches(
            self._seed, self.tally.batches, count, self._schedule.histories_per_batch
        )
        self.tally.add(energy, tallies)
        if self._warm_batches == 0:  # the first round may have compiled the kernel: it says nothing of the speed
            self._warm, self._warm_batches = time.perf_counter(), self.tally.batches

    def finished(self) -> bool:
        """Look, when it is time to: only what was tallied decides, so that the result depends on nothing else."""
        if self.tally.batches == self._next_look:
            self.assess()
        return self._done

    def assess(self) -> None:
        """Mean uncertainty by now; whether that is enough; when to look again."""
        batches = self.tally.batches
        self._percent, self._counted = self.tally.mean_uncertainty_percent(self._weight)
        self._looked_at = batches
        self._done = self._schedule.done(batches, self._percent)
        self._next_look = self._schedule.next_look(batches, self._percent, watched=self._progress is not None)

    def say(self) -> None:
        """Tell the progress callback how far it is."""
        if self._progress is None:
            return
        batches, total = self.tally.batches, self._schedule.expected_batches(self._looked_at, self._percent)
        percent = self._percent * np.sqrt(self._looked_at / batches)
        sure = f"{percent_text(percent)} %" if self._counted else "no dose"
        text = f"{sure} after {histories_text(batches * self._schedule.histories_per_batch)} histories"
        timed = batches - self._warm_batches
        if timed > 0 and np.isfinite(total):
            seconds = (time.perf_counter() - self._warm) / timed * max(total - batches, 0)
            text += f", about {seconds_text(seconds)} left"
        self._progress(min(batches / total, 0.999), text)

    def result(self, *, interrupted: bool) -> Deposit:
        """What was tallied, and how sure it is."""
        if self._looked_at != self.tally.batches:
            self._percent, self._counted = self.tally.mean_uncertainty_percent(self._weight)
        histories = self.tally.batches * self._schedule.histories_per_batch
        if not self._counted:
            raise InputError(
                f"{histories_text(histories)} histories deposited no energy in the phantom: more histories are needed, "
                "or the beams pass it by"
            )
        statistics = MonteCarloStatistics(
            histories=histories,
            batches=self.tally.batches,
            uncertainty_percent=self._percent,
            voxels=self._counted,
            seconds=time.perf_counter() - self._start,
            interrupted=interrupted,
        )
        self._warn(statistics)
        mean, sigma = self.tally.mean_and_sigma(self._schedule.histories_per_batch)
        return Deposit(energy_mev=mean, sigma_mev=sigma, tallies=self.tally.tallies, statistics=statistics)

    def _warn(self, statistics: MonteCarloStatistics) -> None:
        if statistics.interrupted:
            _log.warning("interrupted; the dose is what there is: %s", statistics.describe())
        elif self._schedule.missed(statistics.uncertainty_percent):
            _log.warning("max_histories is used up before the wanted uncertainty: %s", statistics.describe())
        elif statistics.batches < LEAST_BATCHES:
            _log.warning("the uncertainty rests on few batches: %s", statistics.describe())


def seconds_text(seconds: float) -> str:
    """Seconds below two minutes, then minutes, then hours."""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} h"
