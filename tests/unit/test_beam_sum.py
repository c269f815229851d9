"""Doses of beams that were computed one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams.model import Beam
from rtsim.dose.beam_sum import sum_of_beams
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.optimize.candidate import deliver
from rtsim.optimize.fluence import prepare
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress
from tests.unit import optimize_toy as toy

GRID = Grid((2, 3, 4), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def dose(gy: float, sigma_gy: float | None = None, fractions: int = 1) -> Dose:
    sigma = None if sigma_gy is None else np.full(GRID.shape, sigma_gy, dtype=np.float32)
    values = np.full(GRID.shape, gy, dtype=np.float32)
    return Dose(values_gy=values, grid=GRID, fractions=fractions, engine="toy", uncertainty_gy=sigma)


def test_noise_adds_in_quadrature_and_that_of_an_engine_without_is_none() -> None:
    total = sum_of_beams((dose(1.0, 0.3), dose(2.0, 0.4), dose(4.0)))
    assert total.uncertainty_gy is not None
    # source: float32
    assert total.values_gy == pytest.approx(7.0, rel=1e-6)
    assert total.uncertainty_gy == pytest.approx(0.5, rel=1e-6)
    assert total.statistics is None
    assert sum_of_beams((dose(1.0), dose(2.0))).uncertainty_gy is None


def test_doses_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="no dose is given"):
        sum_of_beams(())
    with pytest.raises(InputError, match=r"of 1 fractions and .* of 3;"):
        sum_of_beams((dose(1.0), dose(1.0, fractions=3)))
    coarse = Grid(GRID.shape, (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="doses of beams differ"):
        sum_of_beams((dose(1.0), replace(dose(1.0), grid=coarse)))


class Noisy(toy.PencilEngine):
    """Each beam with a noise of its own: 0.01 Gy from gantry 100, 0.02 Gy from gantry 200."""

    def forward(
        self, phantom: Phantom, beams: Sequence[Beam], *, fractions: int = 1, progress: Progress | None = None
    ) -> Dose:
        found = super().forward(phantom, beams, fractions=fractions)
        sigma = np.full(found.grid.shape, 1e-4 * beams[0].gantry_deg, dtype=np.float32)
        return replace(found, uncertainty_gy=sigma)


def test_a_plan_of_a_noisy_engine_has_the_noise_of_all_its_beams() -> None:
    phantom, beams = toy.phantom(8.0), toy.beams((100.0, 200.0))
    planning = prepare(toy.PencilEngine().influence(phantom, beams), phantom, toy.prescription(), toy.protocol())
    fields = [Beam.open_field(b.machine, (50.0, 40.0), gantry_deg=b.gantry_deg) for b in beams]
    found = deliver(Noisy(), phantom, fields, planning, None).dose
    assert found.uncertainty_gy is not None
    assert found.uncertainty_gy == pytest.approx(np.hypot(0.01, 0.02), rel=1e-6)
