"""PencilBeam: a fast, approximate engine for dose-influence matrices. Plans end with the collapsed cone's forward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.checks import placed_beams
from rtsim.dose.collapsed_cone.beam_dose import photons_per_unit, wedge_gradient_per_mm
from rtsim.dose.fluence.model import beamlet_factors, fluence_maps
from rtsim.dose.medium import medium_of
from rtsim.dose.pencil_beam import influence as matrix
from rtsim.dose.pencil_beam.kernel import pencil_kernel
from rtsim.dose.pencil_beam.rays import Body, Widths, beamlets_of
from rtsim.dose.pencil_beam.superposition import superpose
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom
from rtsim.typing import BoolArray, FloatArray, Progress


@dataclass(frozen=True, kw_only=True)
class PencilBeam:
    """Pencil beams in water, scaled by what each voxel's ray has met: for influence matrices, not for final doses.

    The kernel comes from the machine's own spectrum and the Monte Carlo kernels of the collapsed cone (see
    ``pencil_beam.kernel``). Depth is scaled by attenuation along the ray, lateral spread by the electron density just
    upstream, dose is that to the voxel's matter. What it leaves out: matter beside and behind the ray (build-up and
    lost scatter at interfaces and near the exit), contaminating electrons. Doses are given inside the body: in matter,
    and in cavities that it surrounds.

    Attributes:
        spacing_mm: voxel side of the dose grid, which covers the phantom without the air around it; None = the
            phantom's own grid.
        lateral_cutoff_mm: entries of the matrix farther than this from their beamlet's center, in the isocenter plane,
            are dropped.
        cutoff: so are entries below this fraction of the most that the beamlet gives in water. What both drop is
            measured: ``Influence.dropped_fraction``.
        memory_limit_gb: largest matrix that may be built; None = 80 % of the memory that is free.
    """

    spacing_mm: float | None = None
    lateral_cutoff_mm: float = 50.0
    cutoff: float = 0.001
    memory_limit_gb: float | None = None

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and not (math.isfinite(self.spacing_mm) and 0.1 <= self.spacing_mm <= 20.0):
            raise InputError(
                f"spacing_mm is {self.spacing_mm}; 0.1 <= spacing_mm <= 20 (or None for the phantom's grid)"
            )
        if not 5.0 <= self.lateral_cutoff_mm <= 500.0:
            raise InputError(f"lateral_cutoff_mm is {self.lateral_cutoff_mm}; 5 <= lateral_cutoff_mm <= 500 is allowed")
        if not 0.0 <= self.cutoff < 0.5:
            raise InputError(f"cutoff is {self.cutoff}; 0 <= cutoff < 0.5 is allowed")
        if self.memory_limit_gb is not None and not self.memory_limit_gb > 0.0:
            raise InputError(f"memory_limit_gb is {self.memory_limit_gb}; it must be > 0")

    @property
    def references(self) -> tuple[str, ...]:
        """DOIs: photon pencil beams; pencil kernels from point kernels; finite-size pencil beams; point kernels."""
        return (
            "10.1118/1.597070",
            "10.1118/1.596856",
            "10.1088/0031-9155/50/8/009",
            "10.1088/0031-9155/33/1/001",
        )

    def describe(self) -> str:
        """One line for reports."""
        grid = "phantom grid" if self.spacing_mm is None else f"{self.spacing_mm:g} mm"
        return f"pencil beam (approximate), {self.lateral_cutoff_mm:g} mm lateral cut-off, {grid}"

    def forward(
        self, phantom: Phantom, beams: Sequence[Beam], *, fractions: int = 1, progress: Progress | None = None
    ) -> Dose:
        """Approximate dose of ``fractions`` equal deliveries, in Gy: the superposition of pencil beams, not truncated.

        For a machine without calibration: Gy per (photon/cm2 on the axis in the isocenter plane, in vacuum).

        Raises:
            GeometryError: isocenter far off the phantom, source inside it, a field that misses it.
            InputError: no beams, a beam that delivers nothing, densities that are not positive.
        """
        beams = placed_beams(phantom, beams)
        medium = medium_of(phantom, self.spacing_mm)
        total = np.zeros(medium.grid.shape, dtype=np.float32)
        for n, beam in enumerate(beams):
            if progress is not None:
                progress(n / len(beams), f"dose of beam {beam.name}")
            kernel = pencil_kernel(beam.machine.spectrum)
            body, widths = Body.of(medium, kernel), Widths.of(kernel)
            own = np.zeros_like(total)
            for fluence in fluence_maps(beam, wedge_gradient_per_mm=wedge_gradient_per_mm(beam)):
                superpose(body, beam, fluence, widths, own)
            total += own * np.float32(photons_per_unit(beam.machine) * fractions)
        if progress is not None:
            progress(1.0, "dose")
        return Dose(values_gy=total, grid=medium.grid, fractions=fractions, engine=self.describe())

    def influence(
        self,
        phantom: Phantom,
        beams: Sequence[Beam],
        *,
        voxels: BoolArray | None = None,
        progress: Progress | None = None,
    ) -> Influence:
        """Dose per monitor unit of each beamlet, on the grid of ``forward``.

        ``dropped_fraction`` of the result is measured: full against truncated dose of the beams with their
        ``beamlet_monitor_units`` (all alike where there are none), over a sample of
        the wanted voxels.

        Args:
            voxels: (nz, ny, nx) of the dose grid; rows outside stay empty. None = all inside the body.

        Raises:
            GeometryError: isocenter far off the phantom, source inside it, a beamlet that misses it.
            InputError: no beams, a beam without beamlets, ``voxels`` of another shape.
            ResourceError: the matrix would not fit in memory; known before it is allocated.
        """
        works = self._works(phantom, beams)
        wanted = matrix.wanted_voxels(works, voxels)
        counted = matrix.count(works, wanted)
        counted.check(self.memory_limit_gb)
        built, dropped = matrix.fill(works, wanted, counted, [_plan(b) for b in beams], progress)
        return Influence(
            matrix=built,
            grid=works[0].body.medium.grid,
            beams=tuple(beams),
            engine=self.describe(),
            cutoff=self.cutoff,
            dropped_fraction=dropped,
        )

    def influence_bytes(self, phantom: Phantom, beams: Sequence[Beam], *, voxels: BoolArray | None = None) -> int:
        """Bytes of the matrix that ``influence`` would build, counted entry by entry before any is allocated."""
        works = self._works(phantom, beams)
        return matrix.count(works, matrix.wanted_voxels(works, voxels)).bytes

    def dose_grid(self, phantom: Phantom) -> Grid:
        """The grid on which this engine gives doses in a phantom."""
        return medium_of(phantom, self.spacing_mm).grid

    def _works(self, phantom: Phantom, beams: Sequence[Beam]) -> list[matrix.BeamWork]:
        beams = placed_beams(phantom, beams)
        factors = [beamlet_factors(b, wedge_gradient_per_mm(b)) for b in beams]
        units = [photons_per_unit(b.machine) for b in beams]
        truncation = matrix.Truncation(lateral_mm=self.lateral_cutoff_mm, fraction=self.cutoff)
        return matrix.works_of(medium_of(phantom, self.spacing_mm), beams, units, factors, truncation)


def _plan(beam: Beam) -> FloatArray:
    """Weights with which the truncation is measured."""
    if beam.beamlet_monitor_units is not None and bool(beam.beamlet_monitor_units.any()):
        return beam.beamlet_monitor_units
    return np.ones(beamlets_of(beam).count)
