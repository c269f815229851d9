"""MonteCarlo as a user meets it: settings, refusals, units, what the dose says of itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rtsim as rt
from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.dose import Dose, DoseTo, MonteCarlo, MonteCarloStatistics, predicted_influence_gb
from rtsim.dose.monte_carlo import batches as batches_module
from rtsim.dose.monte_carlo import model as model_module
from rtsim.errors import GeometryError, InputError, ResourceError
from rtsim.geometry.grid import Grid
from rtsim.machine import point_source
from rtsim.materials import Spectrum
from rtsim.phantom.phantom import Phantom
from rtsim.units import GY_PER_MEV_PER_G

SOURCE = point_source(materials.spectrum("mohan6"))
SHAPE = (8, 8, 8)
SPACING_MM = 5.0


def phantom(density: float = 1.0) -> Phantom:
    grid = Grid(SHAPE, (SPACING_MM,) * 3, (-SPACING_MM * 3.5,) * 3)
    values = np.full(SHAPE, density, dtype=np.float32)
    return Phantom.from_density(values, np.zeros(SHAPE, dtype=np.uint8), (materials.get("water"),), grid)


def beam(**changes: object) -> Beam:
    return replace(Beam.open_field(SOURCE, (20.0, 20.0), monitor_units=1.0), **changes)  # type: ignore[arg-type]


class EvenScene:
    """Deposits 0.01 MeV in each voxel for each photon, with a little noise, in place of the transport."""

    made: tuple[EvenScene, ...] = ()

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        EvenScene.made = (*EvenScene.made, self)

    def batches(self, seed: int, first_batch: int, count: int, histories: int) -> tuple[np.ndarray, np.ndarray]:
        noise = [np.random.default_rng([seed, first_batch + n]).normal(1.0, 0.05, SHAPE) for n in range(count)]
        return 0.01 * histories * np.array(noise), np.zeros((count, 4))


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> type[EvenScene]:
    monkeypatch.setattr(EvenScene, "made", ())
    monkeypatch.setattr(model_module, "Scene", EvenScene)
    return EvenScene


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"histories": 0}, "histories is 0"),
        ({"histories": -5}, "histories is -5"),
        ({"histories": 1e6 + 0.5}, "histories is 1000000.5; a whole number"),
        ({"histories": True}, "histories is True"),
        ({"histories": 10**15}, "histories"),
        ({"histories": 1000, "uncertainty_percent": 1.0}, "one of them"),
        ({"uncertainty_percent": 0.0}, "uncertainty_percent is 0.0"),
        ({"uncertainty_percent": -1.0}, "uncertainty_percent is -1.0"),
        ({"uncertainty_percent": math.nan}, "uncertainty_percent is nan"),
        ({"uncertainty_percent": math.inf}, "uncertainty_percent is inf"),
        ({"uncertainty_percent": 80.0}, "uncertainty_percent is 80.0"),
        ({"uncertainty_percent": "1"}, "uncertainty_percent is '1'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": 2**64}, "seed"),
        ({"spacing_mm": 0.0}, "spacing_mm is 0.0"),
        ({"spacing_mm": math.nan}, "spacing_mm is nan"),
        ({"electron_cut_mev": 0.001}, "electron_cut_mev is 0.001"),
        ({"electron_cut_mev": math.nan}, "electron_cut_mev is nan"),
        ({"photon_cut_mev": 0.0}, "photon_cut_mev is 0.0"),
        ({"photon_cut_mev": math.inf}, "photon_cut_mev is inf"),
        ({"split": 0}, "split is 0"),
        ({"split": 2.0}, "split is 2.0"),
        ({"split": 10**6}, "split is 1000000"),
        ({"dose_to": "watr"}, "did you mean 'water'"),
        ({"max_histories": 0}, "max_histories is 0"),
    ],
)
def test_bad_settings_are_refused_with_their_value(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        MonteCarlo(**settings)


def test_one_percent_is_the_default_and_names_are_enough() -> None:
    engine = rt.MonteCarlo()
    assert engine.goal.uncertainty_percent == 1.0
    assert engine.goal.histories is None
    assert engine.dose_to is DoseTo.MEDIUM
    water = rt.MonteCarlo(histories=10, dose_to="water")  # type: ignore[arg-type]
    assert water.dose_to is DoseTo.WATER
    assert water.goal.uncertainty_percent is None
    assert all(d.startswith("10.") for d in engine.references)


def test_description_fits_a_dicom_label_with_what_matters_first() -> None:
    said = rt.MonteCarlo(spacing_mm=2.5, dose_to=DoseTo.WATER, seed=7).describe()
    assert said[:64].startswith("Monte Carlo, dose to water, 2.5 mm")
    for part in ("200 keV electrons", "50 keV photons", "seed 7"):
        assert part in said
    assert "dose to medium" in rt.MonteCarlo().describe()


def test_energies_become_gray(even: type[EvenScene]) -> None:
    """Uniform energy per photon: dose = energy x photons x fractions / mass, for any machine and density."""
    p = phantom(0.5)
    dose = MonteCarlo(histories=64_000).forward(p, [beam()], fractions=3)
    (scene,) = even.made
    photons = scene.arguments["source"].photons
    assert photons == pytest.approx(4.0, rel=0.02)  # 1 photon per cm2, 2 x 2 cm, less by the cosine
    mass_g = 0.5 * (SPACING_MM / 10.0) ** 3
    expected = 3 * photons * 0.01 * GY_PER_MEV_PER_G / mass_g
    # 64 batches of 5 % noise: 0.6 % a voxel, 0.03 % for the mean of 512
    assert dose.values_gy.mean() == pytest.approx(expected, rel=2e-3)
    assert dose.uncertainty is dose.uncertainty_gy is not None
    assert dose.uncertainty_gy.mean() == pytest.approx(expected * 0.05 / 8.0, rel=0.02)
    assert dose.fractions == 3
    assert dose.statistics is not None
    assert dose.statistics.histories == 64_000
    assert "dose to medium" in dose.engine
    assert "64000 histories" in dose.engine
    assert "1 sigma" in dose.engine
    assert scene.arguments["scored_per_deposited"] is None


def test_dose_to_water_and_settings_reach_the_simulation(even: type[EvenScene]) -> None:
    engine = MonteCarlo(histories=1000, dose_to=DoseTo.WATER, electron_cut_mev=0.3, photon_cut_mev=0.02, split=7)
    dose = engine.forward(phantom(), [beam()])
    (scene,) = even.made
    np.testing.assert_array_equal(scene.arguments["scored_per_deposited"], 1.0)  # the phantom is of water
    physics = scene.arguments["physics"]
    assert (physics.electron_cut_mev, physics.photon_cut_mev, physics.split) == (0.3, 0.02, 7)
    assert "dose to water" in dose.engine


def test_progress_ends_with_one(even: type[EvenScene]) -> None:
    seen: list[tuple[float, str]] = []
    MonteCarlo(histories=1000).forward(phantom(), [beam()], progress=lambda f, t: seen.append((f, t)))
    assert seen[0][0] == 0.0
    assert seen[-1][0] == 1.0
    assert all(len(text) <= 60 for _, text in seen[:-1])  # what a progress bar shows


def test_bad_beams_and_phantoms_are_refused(even: type[EvenScene]) -> None:
    p, engine = phantom(), MonteCarlo(histories=1000)
    with pytest.raises(InputError, match="no beams"):
        engine.forward(p, [])
    with pytest.raises(InputError, match="fractions is 0"):
        engine.forward(p, [beam()], fractions=0)
    with pytest.raises(InputError, match="delivered"):
        engine.forward(p, [beam().scaled(0.0)])
    with pytest.raises(GeometryError, match="isocenter_mm"):
        engine.forward(p, [beam(isocenter_mm=(0.0, 900.0, 0.0))])
    with pytest.raises(GeometryError, match="source"):
        engine.forward(p, [beam(machine=replace(SOURCE, sad_mm=10.0))])
    with pytest.raises(GeometryError, match="air"):
        engine.forward(phantom(0.001), [beam()])
    soft = Spectrum("soft", np.array([0.05, 0.15]), np.array([1.0]))
    with pytest.raises(InputError, match=r"electron_cut_mev is 0.2, but spectrum 'soft' ends at 0.15 MeV"):
        engine.forward(p, [Beam.open_field(point_source(soft), (20.0, 20.0), monitor_units=1.0)])
    assert not even.made


def test_too_many_voxels_are_refused_with_the_gigabytes(even: type[EvenScene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "available_memory_gb", lambda: 1e-5)
    with pytest.raises(ResourceError, match="GB"):
        MonteCarlo(histories=1000).forward(phantom(), [beam()])


def test_influence_is_refused_and_names_the_engines_that_have_one() -> None:
    with pytest.raises(InputError, match=r"CollapsedCone.*PencilBeam"):
        MonteCarlo().influence(phantom(), [beam()])
    with pytest.raises(InputError, match="does not predict"):
        predicted_influence_gb(phantom(), beam(), engine=MonteCarlo())


def test_dose_grid_is_that_of_the_collapsed_cone() -> None:
    p = phantom()
    for spacing in (None, 4.0):
        assert MonteCarlo(spacing_mm=spacing).dose_grid(p) == rt.CollapsedCone(spacing_mm=spacing).dose_grid(p)


def test_uncertainty_of_a_dose_is_checked_and_follows_it() -> None:
    grid = phantom().grid
    values, sigma = np.ones(SHAPE), np.full(SHAPE, 0.02)
    statistics = MonteCarloStatistics(histories=2_000_000, batches=64, uncertainty_percent=2.0, voxels=512, seconds=1.0)
    dose = Dose(values_gy=values, grid=grid, uncertainty_gy=sigma, statistics=statistics)
    assert dose.scaled(2.0).uncertainty_gy == pytest.approx(np.full(SHAPE, 0.04))
    finer = dose.on(grid.with_spacing(2.5))
    assert finer.uncertainty_gy is not None
    assert finer.statistics is statistics
    assert statistics.describe() == (
        "2.0e6 histories, mean uncertainty 2.0 % (1 sigma, 512 voxels above half the maximum)"
    )
    assert Dose(values_gy=values, grid=grid).uncertainty is None
    with pytest.raises(InputError, match="shape"):
        Dose(values_gy=values, grid=grid, uncertainty_gy=sigma[:3])
    wrong = sigma.copy()
    wrong[0, 0, 0] = -1.0
    with pytest.raises(InputError, match="1 voxels"):
        Dose(values_gy=values, grid=grid, uncertainty_gy=wrong)
