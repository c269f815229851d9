"""Statistics of the Monte Carlo engine: uncertainty, stopping, threads, Ctrl-C.

First on a simulation of known noise in place of the transport, then on the engine itself.
"""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import numba
import numpy as np
import pytest

from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.dose import DoseTo, MonteCarlo
from rtsim.dose.monte_carlo import batches as batches_module
from rtsim.dose.monte_carlo.batches import FEWEST_BATCHES, deposit, lanes
from rtsim.dose.monte_carlo.goal import LEAST_BATCHES, MOST_PER_BATCH, Goal, Schedule
from rtsim.dose.monte_carlo.interrupt import held_interrupts
from rtsim.errors import InputError, ResourceError
from rtsim.geometry.grid import Grid
from rtsim.machine import point_source
from rtsim.phantom.phantom import Phantom

SHAPE = (5, 8, 10)
HITS_PER_HISTORY = 2e-3
"""In a voxel; each leaves an exponentially distributed energy of mean 1 MeV, so that the variance is twice the hits."""


@dataclass
class Noise:
    """A simulation whose voxels are independent compound Poisson sums; ``falling`` halves the dose along x."""

    shape: tuple[int, int, int] = SHAPE
    falling: bool = False
    hits: float = HITS_PER_HISTORY
    stop_at: int | None = None
    stop_by: str = "raise"
    calls: list[tuple[int, int]] = field(default_factory=list)

    def batches(self, seed: int, first_batch: int, count: int, histories: int) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append((first_batch, count))
        if self.stop_at is not None and first_batch + count > self.stop_at:
            self.stop_at = None
            if self.stop_by == "raise":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)
        falls = np.linspace(1.0, 0.25, self.shape[2]) if self.falling else 1.0
        energy = np.empty((count, *self.shape))
        for n in range(count):
            random = np.random.default_rng([seed, first_batch + n])
            hits = random.poisson(histories * self.hits * falls, self.shape)
            energy[n] = random.gamma(np.maximum(hits, 1e-9)) * (hits > 0)
        return energy, np.tile([2.0 * histories, 0.5 * histories, 0.0, histories], (count, 1))


ONES = np.ones(SHAPE)


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Python's own handler of Ctrl-C: a process started in the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_claimed_uncertainty_is_the_spread_of_repeated_runs() -> None:
    """Sum over voxels of (variance of R runs) / (mean claimed variance): each is F(R - 1, R (B - 1)) distributed.

    Limit 4 sigma: false alarm 6e-5. A sigma wrong by 3 % would be found (6 sigma).
    """
    runs = [deposit(Noise(), Goal(histories=64_000), seed=s, weight=ONES) for s in range(24)]
    b = runs[0].statistics.batches
    means, claimed = np.array([r.energy_mev for r in runs]), np.array([r.sigma_mev for r in runs])
    ratio = means.var(axis=0, ddof=1) / (claimed**2).mean(axis=0)
    d1, d2 = len(runs) - 1.0, len(runs) * (b - 1.0)
    expected = d2 / (d2 - 2.0)
    variance = 2.0 * d2**2 * (d1 + d2 - 2.0) / (d1 * (d2 - 2.0) ** 2 * (d2 - 4.0))
    assert abs(ratio.mean() - expected) < 4.0 * math.sqrt(variance / ratio.size)


def test_mean_and_sigma_are_those_of_the_noise() -> None:
    found = deposit(Noise(), Goal(histories=256_000), seed=3, weight=ONES)
    assert found.statistics.histories == 256_000
    assert found.statistics.batches == 64
    sigma = math.sqrt(2.0 * HITS_PER_HISTORY / 256_000)
    # mean of 400 independent voxels, 4 sigma (6e-5); sigma of 64 batches is known to 9 % (normal part) a voxel
    assert found.energy_mev.mean() == pytest.approx(HITS_PER_HISTORY, abs=4 * sigma / 20)
    assert found.sigma_mev.mean() == pytest.approx(sigma, rel=4 * 0.1 / 20)
    percent = 100 * sigma / HITS_PER_HISTORY
    assert found.statistics.uncertainty_percent == pytest.approx(percent, rel=0.03)
    np.testing.assert_allclose(found.tallies / 256_000, [2.0, 0.5, 0.0, 1.0])


@pytest.mark.parametrize("percent", [10.0, 4.0])
def test_stops_at_the_wanted_uncertainty_and_not_much_later(percent: float) -> None:
    noise = Noise(hits=3e-5)
    found = deposit(noise, Goal(uncertainty_percent=percent), seed=1, weight=ONES)
    assert found.statistics.uncertainty_percent <= percent
    assert found.statistics.voxels > 300
    needed = 2.0 / 3e-5 / (percent / 100) ** 2  # Poisson number, exponential energies
    one_batch = found.statistics.histories / found.statistics.batches
    # the mean over 400 voxels of sigma / dose is right within 2 %, and the noise of the dose itself makes it a little
    # larger (1 + variance)
    assert 0.95 * needed < found.statistics.histories < 1.1 * needed + 8 * one_batch


def test_voxels_above_half_the_maximum_count_and_those_without_weight_do_not() -> None:
    whole = deposit(Noise(falling=True), Goal(histories=128_000), seed=1, weight=ONES)
    share = (np.linspace(1.0, 0.25, SHAPE[2]) > 0.5).mean()
    assert whole.statistics.voxels == pytest.approx(share * ONES.size, rel=0.2)
    weight = ONES.copy()
    weight[:, :, :5] = 0.0
    rest = deposit(Noise(falling=True), Goal(histories=128_000), seed=1, weight=weight)
    assert rest.statistics.voxels <= weight.sum()
    assert rest.statistics.uncertainty_percent > whole.statistics.uncertainty_percent
    np.testing.assert_array_equal(rest.energy_mev, whole.energy_mev)


@pytest.mark.parametrize("goal", [Goal(histories=100_000), Goal(uncertainty_percent=3.0)])
def test_threads_and_memory_change_rounds_but_not_one_bit(goal: Goal, monkeypatch: pytest.MonkeyPatch) -> None:
    results, rounds = [], []
    for count in (1, 4, 7):
        monkeypatch.setattr(batches_module, "lanes", lambda voxels, count=count: count)
        noise = Noise(hits=1e-4)
        results.append(deposit(noise, goal, seed=5, weight=ONES))
        rounds.append(len(noise.calls))
    for other in results[1:]:
        np.testing.assert_array_equal(other.energy_mev, results[0].energy_mev)
        np.testing.assert_array_equal(other.sigma_mev, results[0].sigma_mev)
        assert other.statistics.histories == results[0].statistics.histories
    assert rounds[0] > rounds[1] > rounds[2] > 1


def test_another_seed_gives_another_dose() -> None:
    one, other = (deposit(Noise(), Goal(histories=20_000), seed=s, weight=ONES).energy_mev for s in (1, 2))
    assert (one != other).mean() > 0.99


@pytest.mark.parametrize("histories", [1, 100, 12_345, 10**6, 10**8])
@pytest.mark.parametrize("voxels", [1000, 10**6, 10**8])
def test_batches_of_fixed_histories_are_enough_and_short(histories: int, voxels: int) -> None:
    schedule = Schedule(Goal(histories=histories), voxels)
    batches = next(b for b in range(1, 10**6) if schedule.done(b, math.inf))
    assert batches >= LEAST_BATCHES
    assert schedule.histories_per_batch <= MOST_PER_BATCH
    assert histories <= batches * schedule.histories_per_batch < histories + batches


def test_progress_says_uncertainty_histories_and_time_left() -> None:
    seen: list[tuple[float, str]] = []
    goal = Goal(uncertainty_percent=2.0)
    deposit(Noise(hits=1e-4), goal, seed=1, weight=ONES, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [f for f, _ in seen]
    assert len(seen) > 10
    assert all(0.0 <= f <= 1.0 for f in fractions)
    assert fractions[-1] > 0.9
    assert max(np.maximum.accumulate(fractions) - fractions) < 0.05  # the forecast is corrected a little now and then
    pattern = r"\d+(\.\d+)? % after (\d\.\de\d+|\d+) histories(, about \d+ s left)?"
    assert all(re.fullmatch(pattern, text) for _, text in seen[1:])
    assert "left" in seen[-1][1]


@pytest.mark.parametrize("stop_by", ["raise", "signal"])
def test_ctrl_c_returns_what_there_is(
    stop_by: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batches_module, "lanes", lambda voxels: 4)
    noise = Noise(stop_at=9, stop_by=stop_by)
    found = deposit(noise, Goal(histories=64_000), seed=2, weight=ONES)
    whole = 8 if stop_by == "raise" else 12  # a signal waits for the end of its round
    assert found.statistics.interrupted
    assert found.statistics.batches == whole
    assert "interrupted" in found.statistics.describe()
    assert "interrupted" in caplog.text
    again = Noise().batches(2, 0, whole, 1000)[0].sum(axis=0)
    np.testing.assert_allclose(found.energy_mev, again / (whole * 1000), rtol=1e-12)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_from_the_progress_callback_is_the_same() -> None:
    def press(fraction: float, text: str) -> None:
        if fraction > 0.3:
            raise KeyboardInterrupt

    found = deposit(Noise(), Goal(histories=64_000), seed=2, weight=ONES, progress=press)
    assert found.statistics.interrupted
    assert 0.3 < found.statistics.batches / 64 < 0.5


def test_ctrl_c_raises_when_there_is_nothing_yet_or_half_a_result_is_no_use() -> None:
    with pytest.raises(KeyboardInterrupt):
        deposit(Noise(stop_at=FEWEST_BATCHES - 1), Goal(histories=64_000), seed=2, weight=ONES)
    with pytest.raises(KeyboardInterrupt):
        deposit(Noise(stop_at=30), Goal(histories=64_000), seed=2, weight=ONES, keep_interrupted=False)


def test_second_ctrl_c_leaves_at_once() -> None:
    with held_interrupts() as held:
        os.kill(os.getpid(), signal.SIGINT)
        assert held.pending
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_histories_that_run_out_before_the_uncertainty_are_told(caplog: pytest.LogCaptureFixture) -> None:
    goal = Goal(uncertainty_percent=0.5, most_histories=300_000)
    with caplog.at_level(logging.WARNING):
        found = deposit(Noise(hits=1e-4), goal, seed=1, weight=ONES)
    assert found.statistics.uncertainty_percent > 0.5
    assert found.statistics.histories == 300_000
    assert not found.statistics.interrupted
    assert "max_histories" in caplog.text


def test_nothing_deposited_is_an_error() -> None:
    with pytest.raises(InputError, match="no energy"):
        deposit(Noise(hits=0.0), Goal(histories=1000), seed=1, weight=ONES)


def test_memory_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "available_memory_gb", lambda: 8.0)
    assert lanes(10**6) >= 4
    monkeypatch.setattr(batches_module, "available_memory_gb", lambda: 0.1)
    assert lanes(10**6) == 2  # (80 MB / 1e6 voxels - 60) / 8
    with pytest.raises(ResourceError, match=r"0\.7 GB.*spacing_mm"):
        lanes(10**7)


def water(bone: bool = False) -> Phantom:
    shape = (12, 12, 12)
    grid = Grid(shape, (10.0,) * 3, (-55.0,) * 3)
    density, index = np.ones(shape, dtype=np.float32), np.zeros(shape, dtype=np.uint8)
    if bone:
        density[:, 4:6], index[:, 4:6] = 1.85, 1
    matter = (materials.get("water"), materials.get("bone_cortical"))
    return Phantom.from_density(density, index, matter, grid)


def open_field() -> Beam:
    return Beam.open_field(point_source(materials.spectrum("mohan6")), (100.0, 100.0), monitor_units=1.0)


def test_claimed_uncertainty_of_the_engine_is_the_spread_of_repeated_runs() -> None:
    """Variance of 20 runs over the mean variance that they claim, averaged over 1200 voxels (which correlate).

    That average scatters by 0.03 (12 times 20 runs gave 0.993 with a standard deviation of 0.021; ten times 240 runs
    1.001, 0.009); limit 4 sigma, 6e-5. An uncertainty wrong by 10 % would be found.
    """
    doses = [MonteCarlo(histories=4800, seed=s).forward(water(), [open_field()]) for s in range(20)]
    values = np.array([d.values_gy for d in doses], dtype=np.float64)
    claimed = np.array([d.uncertainty_gy for d in doses], dtype=np.float64)
    hot = values.mean(axis=0) > 0.5 * values.mean(axis=0).max()
    ratio = values.var(axis=0, ddof=1) / (claimed**2).mean(axis=0)
    assert ratio[hot].mean() == pytest.approx(1.0, abs=0.12)


def test_same_seed_gives_the_same_bits_on_any_number_of_threads() -> None:
    available = numba.get_num_threads()
    doses = []
    try:
        for threads in {1, min(2, available), min(3, available), available}:
            numba.set_num_threads(threads)
            doses.append(MonteCarlo(histories=5000, seed=9).forward(water(bone=True), [open_field()]))
    finally:
        numba.set_num_threads(available)
    for other in doses[1:]:
        np.testing.assert_array_equal(other.values_gy, doses[0].values_gy)
        np.testing.assert_array_equal(other.uncertainty_gy, doses[0].uncertainty_gy)


FOUR_THREADS = """
import hashlib, numba
from tests.properties.test_monte_carlo_statistics import MonteCarlo, open_field, water
for threads in (1, 2, 4):
    numba.set_num_threads(threads)
    dose = MonteCarlo(histories=5000, seed=9).forward(water(bone=True), [open_field()])
    print(hashlib.sha256(dose.values_gy.tobytes() + dose.uncertainty_gy.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_one_two_and_four_threads_give_the_same_bits() -> None:
    environment = {**os.environ, "NUMBA_NUM_THREADS": "4"}
    out = subprocess.run(
        [sys.executable, "-c", FOUR_THREADS], env=environment, capture_output=True, text=True, check=True
    )
    digests = out.stdout.split()
    assert len(digests) == 3
    assert len(set(digests)) == 1


def test_dose_to_water_is_higher_in_bone_and_the_same_in_water() -> None:
    medium, in_water = (
        MonteCarlo(histories=5000, dose_to=d).forward(water(bone=True), [open_field()]).values_gy for d in DoseTo
    )
    field = (slice(2, 10), slice(None), slice(2, 10))
    ratio = (in_water[field] / medium[field]).mean(axis=(0, 2))  # the same histories: the noise cancels
    np.testing.assert_allclose(np.delete(ratio, [4, 5]), 1.0, rtol=1e-6)
    # the electrons of 6 MV in bone have 0.1 to 3 MeV; between these the ratio of tabulated stopping powers
    tables = [materials.electron_stopping(name).collision_at([3.0, 0.1]) for name in ("water", "bone_cortical")]
    low, high = tables[0] / tables[1]
    assert low == pytest.approx(1.123, abs=1e-3)
    assert high == pytest.approx(1.141, abs=1e-3)
    assert ((ratio[4:6] > low) & (ratio[4:6] < high)).all()


def test_ctrl_c_stops_the_engine_and_leaves_a_dose() -> None:
    """The kernel cannot be stopped within a round; the signal is heard after it."""
    pressed: list[float] = []

    def press(fraction: float, text: str) -> None:
        if "%" in text and not pressed:
            pressed.append(fraction)
            os.kill(os.getpid(), signal.SIGINT)

    dose = MonteCarlo(uncertainty_percent=0.1).forward(water(), [open_field()], progress=press)
    assert pressed
    assert dose.statistics is not None
    assert dose.statistics.interrupted
    assert dose.statistics.histories < 10**6  # of 1e9
    assert dose.uncertainty_gy is not None
    assert 0.0 < dose.uncertainty_gy[6, 6, 6] < 0.2 * dose.values_gy[6, 6, 6]
    assert "interrupted" in dose.engine
