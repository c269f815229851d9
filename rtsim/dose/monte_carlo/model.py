"""MonteCarlo: photons and electrons, history by history. The independent check of every other dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.checks import check_fractions, placed_beams
from rtsim.dose.medium import AIR_BELOW_G_CM3
from rtsim.dose.monte_carlo.batches import Deposit, deposit
from rtsim.dose.monte_carlo.calibration import photons_per_unit
from rtsim.dose.monte_carlo.contamination import electron_dose_gy
from rtsim.dose.monte_carlo.goal import Goal
from rtsim.dose.monte_carlo.media import Voxels, voxels_of
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.dose.monte_carlo.settings import DoseTo, Physics
from rtsim.dose.monte_carlo.source import Source, source_of
from rtsim.dose.monte_carlo.tables.electrons import water_over_medium
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Float32Array, FloatArray, Progress
from rtsim.units import CM3_PER_MM3, GY_PER_MEV_PER_G

DEFAULT_UNCERTAINTY_PERCENT: Final = 1.0
_UNCERTAINTY_PERCENT: Final = (0.01, 50.0)
_MOST_HISTORIES: Final = 10**13
_MOST_SEED: Final = 2**62


@dataclass(frozen=True, kw_only=True)
class MonteCarlo:
    """Coupled photon and electron transport on voxels, with the physics of EGSnrc (spin effects off).

    The same seed and settings give the same dose, bit for bit, on any number of threads. Voxels along one ray share
    histories: the points of one depth dose move up and down together, by about one standard deviation. Doses of a
    calibrated machine have the calibration's 0.2 % in common besides.

    Attributes:
        histories: how many photons leave the source (rounded up to whole batches). Give this or
            ``uncertainty_percent``; neither = an uncertainty of 1 percent.
        uncertainty_percent: goal for the mean, over the voxels above half the maximum (air left out), of one standard
            deviation over the dose.
        seed: of the random numbers; another seed gives an independent dose.
        spacing_mm: voxel side of the dose grid, which covers the phantom without the air around it; None = the
            phantom's own grid.
        electron_cut_mev, photon_cut_mev: energies below which electrons (kinetic) and photons are absorbed on the spot,
            and above which Moller electrons and bremsstrahlung photons are followed.
        split: interaction sites along the ray of each photon, whose electrons are transported together; 1 = analog.
        dose_to: dose to the medium of each voxel, or to water in it (stopping power ratio at each deposit;
            contaminating electrons stay as they are).
        max_histories: where the search for ``uncertainty_percent`` ends, with a warning; not before 16 batches.
    """

    histories: int | None = None
    uncertainty_percent: float | None = None
    seed: int = 1
    spacing_mm: float | None = None
    electron_cut_mev: float = 0.2
    photon_cut_mev: float = 0.05
    split: int = 60
    dose_to: DoseTo = DoseTo.MEDIUM
    max_histories: int = 2 * 10**9

    def __post_init__(self) -> None:
        for name in ("histories", "max_histories"):
            value = getattr(self, name)
            if isinstance(value, float) and value.is_integer():  # 1e8 is a whole number
                object.__setattr__(self, name, int(value))
        _check_goal(self.histories, self.uncertainty_percent)
        _check_whole("seed", self.seed, 0, _MOST_SEED)
        _check_whole("max_histories", self.max_histories, 1, _MOST_HISTORIES)
        given = self.spacing_mm
        if given is not None and not (_is_number(given) and 0.1 <= given <= 20.0):
            raise InputError(f"spacing_mm is {given!r}; 0.1 <= spacing_mm <= 20 (or None for the phantom's grid)")
        object.__setattr__(self, "dose_to", self.physics.dose_to)

    @property
    def physics(self) -> Physics:
        """Cuts, splitting and what is scored."""
        return Physics(
            electron_cut_mev=self.electron_cut_mev,
            photon_cut_mev=self.photon_cut_mev,
            split=self.split,
            dose_to=self.dose_to,
        )

    @property
    def goal(self) -> Goal:
        """When there are enough histories."""
        wanted = self.uncertainty_percent
        if self.histories is None and wanted is None:
            wanted = DEFAULT_UNCERTAINTY_PERCENT
        return Goal(histories=self.histories, uncertainty_percent=wanted, most_histories=self.max_histories)

    @property
    def references(self) -> tuple[str, ...]:
        """DOIs: EGSnrc; multiple scattering; particle sets; random hinge; uncertainty; dose to water."""
        return (
            "10.1118/1.598917",
            "10.1016/S0168-583X(97)00723-4",
            "10.1007/978-3-642-18211-2_38",
            "10.1088/0031-9155/45/8/315",
            "10.1118/1.1517611",
            "10.1088/0031-9155/45/4/313",
        )

    def describe(self) -> str:
        """One line for reports."""
        grid = "phantom grid" if self.spacing_mm is None else f"{self.spacing_mm:g} mm"
        cuts = f"cuts {1e3 * self.electron_cut_mev:g} keV electrons, {1e3 * self.photon_cut_mev:g} keV photons"
        return f"Monte Carlo, dose to {self.dose_to.value}, {grid}, {cuts}, split {self.split}, seed {self.seed}"

    def forward(
        self, phantom: Phantom, beams: Sequence[Beam], *, fractions: int = 1, progress: Progress | None = None
    ) -> Dose:
        """Dose of ``fractions`` equal deliveries in Gy, with its uncertainty.

        For a machine without calibration: Gy per (photon/cm2 on the axis in the isocenter plane, in vacuum).
        Ctrl-C returns the dose of what was simulated by then, marked in ``Dose.statistics``; within the first batches
        it raises KeyboardInterrupt. Contaminating electrons are a model without noise, added as they are.

        Raises:
            GeometryError: isocenter off the phantom, source inside it, a field that misses it.
            InputError: no beams, beams that deliver nothing, densities that are not positive, a cut above a spectrum.
            ResourceError: a dose grid that does not fit in memory.
        """
        beams = placed_beams(phantom, beams)
        check_fractions(fractions)
        for beam in beams:
            self.physics.check_spectrum(beam.machine.spectrum)
        voxels = voxels_of(phantom, self.spacing_mm)
        if progress is not None and any(beam.machine.calibration is not None for beam in beams):
            progress(0.0, "photons per monitor unit")
        per_unit = [photons_per_unit(beam.machine, self.physics) for beam in beams]
        source = source_of(beams, photons_per_unit=per_unit, grid=voxels.grid)
        found = deposit(
            self._scene(voxels, source),
            self.goal,
            seed=self.seed,
            weight=np.where(voxels.density_g_cm3 < AIR_BELOW_G_CM3, 0.0, _gy_per_mev(voxels)),
            progress=progress,
        )
        if progress is not None:
            progress(1.0, found.statistics.describe())
        electrons_gy = electron_dose_gy(voxels, beams, photons_per_unit=per_unit)
        return self._dose(found, electrons_gy, voxels, source.photons, fractions)

    def influence(self, phantom: Phantom, beams: Sequence[Beam], *, progress: Progress | None = None) -> Influence:
        """Not offered: thousands of noisy beamlets would take thousands of simulations.

        Raises:
            InputError: always; it names the engines to use.
        """
        raise InputError(
            "the Monte Carlo engine computes no dose-influence matrix; compute it with rt.CollapsedCone() or "
            "rt.PencilBeam() (plan_stereotactic: planning_engine), and the dose of the plan with rt.MonteCarlo()"
        )

    def dose_grid(self, phantom: Phantom) -> Grid:
        """The grid on which this engine gives doses in a phantom: that of the collapsed cone."""
        return voxels_of(phantom, self.spacing_mm).grid

    def _scene(self, voxels: Voxels, source: Source) -> Scene:
        scored = water_over_medium(voxels.materials) if self.dose_to is DoseTo.WATER else None
        return Scene(voxels=voxels, source=source, physics=self.physics, scored_per_deposited=scored)

    def _dose(self, found: Deposit, electrons_gy: Float32Array, voxels: Voxels, photons: float, fractions: int) -> Dose:
        """Doses of all fractions from energies per photon of the source."""
        factor = fractions * photons * _gy_per_mev(voxels)
        return Dose(
            values_gy=(found.energy_mev * factor + fractions * electrons_gy).astype(np.float32),
            uncertainty_gy=(found.sigma_mev * factor).astype(np.float32),
            grid=voxels.grid,
            fractions=fractions,
            engine=f"{self.describe()}; {found.statistics.describe()}",
            statistics=found.statistics,
        )


def _gy_per_mev(voxels: Voxels) -> FloatArray:
    """(nz, ny, nx) dose of 1 MeV in each voxel."""
    volume_cm3 = float(np.prod(voxels.grid.spacing_mm)) * CM3_PER_MM3
    return np.asarray(GY_PER_MEV_PER_G / (voxels.density_g_cm3.astype(np.float64) * volume_cm3))


def _check_goal(histories: int | None, uncertainty_percent: float | None) -> None:
    if histories is not None and uncertainty_percent is not None:
        raise InputError(
            f"histories is {histories!r} and uncertainty_percent is {uncertainty_percent!r}; give one of them and "
            "leave the other None"
        )
    if histories is not None:
        _check_whole("histories", histories, 1, _MOST_HISTORIES)
    low, high = _UNCERTAINTY_PERCENT
    if uncertainty_percent is not None and not (_is_number(uncertainty_percent) and low <= uncertainty_percent <= high):
        raise InputError(
            f"uncertainty_percent is {uncertainty_percent!r}; {low:g} <= uncertainty_percent <= {high:g} is allowed "
            "(1 standard deviation, in percent of the dose)"
        )


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not (isinstance(value, int) and low <= value <= high):
        raise InputError(f"{name} is {value!r}; a whole number {low} <= {name} <= {high:.0e} is allowed")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
