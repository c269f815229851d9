"""The seam between fluence and machine: beamlet maps, leaves, jaws, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams import beamlet_opening
from rtsim.errors import InputError, MachineLimitError
from rtsim.optimize.aperture_search import best_intervals
from rtsim.optimize.decomposition import Decomposition
from rtsim.optimize.leaves import BeamletMap, dosimetric
from rtsim.optimize.sequencing import StepAndShoot, sequence_beams
from tests.unit import optimize_toy as toy

BEAM = toy.beams((180,))[0]


def weighted(values: np.ndarray) -> object:
    return replace(BEAM, beamlet_monitor_units=values)


@pytest.mark.parametrize("method", list(Decomposition))
def test_segments_open_the_quantized_fluence(method: Decomposition) -> None:
    assert BEAM.beamlets is not None
    levels = np.random.default_rng(2).integers(0, 6, BEAM.beamlets.count)
    levels[0] = 5
    beam = sequence_beams(
        (weighted(10.0 * levels),),
        toy.machine(),  # type: ignore[arg-type]
        settings=StepAndShoot(levels=5, method=method, min_open_mm2=0.0),
    )[0]
    mlc = toy.machine().mlc
    assert mlc is not None
    given = sum(u * beamlet_opening(dosimetric(a, mlc), BEAM.beamlets, toy.machine()) for a, u in beam.segments())
    assert given == pytest.approx(10.0 * levels, abs=1e-6)
    # source: Engel 2005: least beam-on time, here in monitor units
    rising = np.maximum(np.diff(BeamletMap.of(BEAM.beamlets).fluence(levels), axis=1, prepend=0), 0).sum(axis=1)
    assert beam.monitor_units == pytest.approx(10.0 * rising.max())


def test_best_intervals_equal_brute_force() -> None:
    gain = np.random.default_rng(5).normal(size=(20, 9))
    gain[3] = -1.0
    gain[4, 2:4] = -np.inf
    interval, best = best_intervals(gain)
    for row in range(20):
        sums = {(a, b): gain[row, a:b].sum() for a in range(9) for b in range(a + 1, 10)}
        top = max(0.0, *sums.values())
        assert best[row] == pytest.approx(top)
        assert (sums[tuple(interval[row])] if top > 0 else 0.0) == pytest.approx(top)
    assert interval[3, 0] == interval[3, 1]


def test_what_cannot_be_sequenced_is_refused() -> None:
    assert BEAM.beamlets is not None
    with pytest.raises(InputError, match="optimize its fluence first"):
        sequence_beams((BEAM,), toy.machine())
    with pytest.raises(InputError, match="all beamlet weights are zero"):
        sequence_beams((weighted(np.zeros(BEAM.beamlets.count)),), toy.machine())  # type: ignore[arg-type]
    ones = weighted(np.ones(BEAM.beamlets.count))
    with pytest.raises(MachineLimitError, match="no multileaf collimator"):
        sequence_beams((ones,), replace(toy.machine(), mlc=None))  # type: ignore[arg-type]
    limits = replace(toy.machine().limits, min_monitor_units_per_beam=0.0, max_monitor_units_per_beam=0.5)
    weak = replace(toy.machine(), limits=limits)
    with pytest.raises(MachineLimitError, match=r"gives at most 0 MU a beam|needs 1 MU"):
        sequence_beams((ones,), weak)  # type: ignore[arg-type]
    off = replace(BEAM.beamlets, center_x_mm=BEAM.beamlets.center_x_mm + np.linspace(0.0, 3.0, BEAM.beamlets.count))
    with pytest.raises(InputError, match="one pitch"):
        BeamletMap.of(off)
