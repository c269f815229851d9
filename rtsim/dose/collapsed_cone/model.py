"""CollapsedCone: the dose engine of the plans. Polyenergetic TERMA, Monte Carlo kernels collapsed onto cones, plane
sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.beamlets.influence import InfluenceSettings, Request, influence_matrix, predicted_bytes
from rtsim.dose.checks import check_fractions, nothing_delivered, placed_beams
from rtsim.dose.collapsed_cone.beam_dose import beam_dose, photons_per_unit, wedge_gradient_per_mm
from rtsim.dose.fluence.model import beamlet_factors, each_fluence_map
from rtsim.dose.fluence.sectors import sectors
from rtsim.dose.medium import medium_of
from rtsim.dose.resolution.media import TwoMedia
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom
from rtsim.typing import BoolArray, Progress


@dataclass(frozen=True, kw_only=True)
class CollapsedCone:
    """Collapsed cone convolution (Ahnesjo 1989) with kernels that follow the hardening of the beam.

    Attributes:
        spacing_mm: voxel side of the dose grid, which covers the phantom without the air around it; None = the
            phantom's own grid.
        cones: directions of the primary electrons in ``forward``; scattered photons go along half as many again.
        beamlets: how ``influence`` computes beamlets (fewer cones, a lateral margin, a cut-off, a memory limit).
    """

    spacing_mm: float | None = None
    cones: int = 64
    beamlets: InfluenceSettings = field(default_factory=InfluenceSettings)

    def __post_init__(self) -> None:
        given = self.spacing_mm
        if given is not None and not (isinstance(given, (int, float)) and 0.1 <= given <= 20.0):
            raise InputError(
                f"spacing_mm is {self.spacing_mm!r}; 0.1 <= spacing_mm <= 20 (or None for the phantom's grid)"
            )
        if not (isinstance(self.cones, int) and 12 <= self.cones <= 1024):
            raise InputError(f"cones is {self.cones!r}; a whole number 12 <= cones <= 1024 is allowed")

    @property
    def references(self) -> tuple[str, ...]:
        """DOIs: collapsed cone; kernels; extra-focal source."""
        return ("10.1118/1.596360", "10.1088/0031-9155/33/1/001", "10.1118/1.597193")

    def describe(self) -> str:
        """One line for reports."""
        return self._describe(self.cones)

    def _describe(self, cones: int) -> str:
        grid = "phantom grid" if self.spacing_mm is None else f"{self.spacing_mm:g} mm"
        return f"collapsed cone, {cones} cones, {grid}"

    def forward(
        self, phantom: Phantom, beams: Sequence[Beam], *, fractions: int = 1, progress: Progress | None = None
    ) -> Dose:
        """Dose of ``fractions`` equal deliveries, to the medium of each voxel, in Gy.

        For a machine without calibration: Gy per (photon/cm2 on the axis in the isocenter plane, in vacuum).

        Raises:
            GeometryError: isocenter far off the phantom, source inside it, a field that misses it.
            InputError: no beams, beams that deliver nothing, densities that are not positive.
        """
        beams = placed_beams(phantom, beams)
        check_fractions(fractions)
        media = TwoMedia.of(medium_of(phantom, self.spacing_mm))
        steps = [max(1, len(beam.control_points) - 1) for beam in beams]
        total = np.zeros(media.fine.grid.shape, dtype=np.float32)
        delivered = False
        for n, beam in enumerate(beams):
            done = sum(steps[:n])
            for maps in sectors(each_fluence_map(beam, wedge_gradient_per_mm=wedge_gradient_per_mm(beam))):
                if progress is not None:
                    progress(min(done, sum(steps[: n + 1])) / sum(steps), f"dose of beam {beam.name}")
                done += len(maps)
                open_maps = tuple(m for m in maps if m.values.any())
                if open_maps:
                    total += beam_dose(media, beam, open_maps, self.cones)
                    delivered = True
        if not delivered:
            raise nothing_delivered(beams)
        if progress is not None:
            progress(1.0, "dose")
        return Dose(
            values_gy=total * np.float32(fractions), grid=media.fine.grid, fractions=fractions, engine=self.describe()
        )

    def influence(
        self,
        phantom: Phantom,
        beams: Sequence[Beam],
        *,
        voxels: BoolArray | None = None,
        progress: Progress | None = None,
    ) -> Influence:
        """Dose per monitor unit of each beamlet, on the grid of ``forward``; linear, truncated as ``beamlets`` says.

        Args:
            voxels: (nz, ny, nx) of the dose grid; rows outside stay empty. None = all.

        Raises:
            GeometryError: isocenter far off the phantom, source inside it, a beamlet that misses it.
            ResourceError: the matrix would not fit in memory; the message carries the gigabytes.
        """
        matrix, dropped, truncation = influence_matrix(request := self._request(phantom, beams, voxels), progress)
        return Influence(
            matrix=matrix,
            grid=request.medium.grid,
            beams=tuple(beams),
            engine=self._describe(self.beamlets.cones),
            cutoff=self.beamlets.cutoff,
            dropped_fraction=dropped,
            truncation=truncation,
        )

    def influence_bytes(self, phantom: Phantom, beams: Sequence[Beam], *, voxels: BoolArray | None = None) -> int:
        """Bytes of the matrix that :meth:`influence` will build, predicted from a sample of the beamlets of each beam.

        While it is built, about twice as much is in use; that is what ``beamlets.memory_limit_gb`` is held against.
        """
        return predicted_bytes(self._request(phantom, beams, voxels))

    def _request(self, phantom: Phantom, beams: Sequence[Beam], voxels: BoolArray | None) -> Request:
        beams = placed_beams(phantom, beams)
        return Request(
            medium=medium_of(phantom, self.spacing_mm),
            beams=beams,
            photons_per_unit=[photons_per_unit(b.machine) for b in beams],
            factors=[beamlet_factors(beam, wedge_gradient_per_mm(beam)) for beam in beams],
            settings=self.beamlets,
            voxels=voxels,
        )

    def dose_grid(self, phantom: Phantom) -> Grid:
        """The grid on which this engine gives doses in a phantom."""
        return medium_of(phantom, self.spacing_mm).grid
