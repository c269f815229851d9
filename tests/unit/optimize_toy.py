"""A cylinder with a horseshoe target round a cord, and an analytic pencil engine: fast ground for tests of the planner.

The engine knows an error-function penumbra, inverse square, attenuation in the cylinder, and leakage of the leaves.
The matrix does not know the leakage, so that a plan that trusts the matrix breaks the cord limit in the forward dose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import erf

from rtsim.beams.model import Beam, Beamlets
from rtsim.dose.result import Dose, Influence
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import project_to_isocenter_plane
from rtsim.machine.model import Machine
from rtsim.machine.read import load_machine
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.metric import Metric
from rtsim.protocol.model import DoseLevel, Goal, Prescription, Priority, Protocol, Sense, Source, Standing, Technique
from rtsim.typing import Progress

BODY_RADIUS_MM = 90.0
LEAKAGE = 0.02
ATTENUATION_PER_MM = 0.005
SIGMA_MM = 2.5
GY_PER_MU = 0.01
SOURCE = Source(citation="toy case of the tests", standing=Standing.ASSUMPTION)


def machine() -> Machine:
    return load_machine("generic_6x")


def phantom(spacing_mm: float = 4.0) -> Phantom:
    """Cylinder along z; target: ring of 10..24 mm round the cord without its posterior third, 40 mm long."""
    grid = Grid.covering((-100.0, -100.0, -36.0), (100.0, 100.0, 36.0), (spacing_mm,) * 3)
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    r = np.hypot(x, y)
    body = r < BODY_RADIUS_MM
    masks = {
        "body": body,
        "spinal_cord": (r < 5.0),
        "PTV": (r > 10.0) & (r < 24.0) & (np.abs(z) < 20.0) & (y < 8.0),
        "esophagus": (np.hypot(x, y + 45.0) < 8.0),
    }
    roles = {"body": Role.EXTERNAL, "spinal_cord": Role.OAR, "PTV": Role.PTV, "esophagus": Role.OAR}
    return Phantom.from_arrays(np.where(body, 0.0, -1000.0), (spacing_mm,) * 3, grid.origin_mm, masks, roles=roles)


def goal(
    structure: str, metric: str, value: float, unit: str, priority: Priority, sense: Sense = Sense.AT_MOST
) -> Goal:
    assert Metric.parse(metric, unit)
    return Goal(structure, metric, sense, value, unit, priority, SOURCE)


def protocol(cord_gy: float = 10.0, dose_gy: float = 18.0, coverage_percent: float = 90.0, *extra: Goal) -> Protocol:
    goals = (
        goal("spinal_cord", "D0.035cc", cord_gy, "Gy", Priority.HARD),
        goal("PTV", "D0.035cc", 140.0, "%", Priority.GOAL),
        goal("esophagus", "D5cc", 11.9, "Gy", Priority.GOAL),
        *extra,
    )
    return Protocol(
        name="toy",
        description="toy",
        technique=Technique.STEREOTACTIC,
        goals=goals,
        cord_margin_mm=2.0,
        ptv_margin_mm=2.0,
        coverage_percent=coverage_percent,
        dose_levels=(DoseLevel(dose_gy, 1, default=True),),
    )


def prescription(dose_gy: float = 18.0, coverage_percent: float = 90.0) -> Prescription:
    return Prescription("PTV", dose_gy, 1, coverage_percent)


def beams(gantry_deg: Sequence[float] = (100, 140, 180, 220, 260)) -> tuple[Beam, ...]:
    """Beamlets of 5 x 5 mm on the leaf rows of the machine over +- 30 x +- 25 mm."""
    x, y = np.meshgrid(np.arange(-27.5, 30.0, 5.0), np.arange(-22.5, 25.0, 5.0))
    five = np.full(x.size, 5.0)
    beamlets = Beamlets(center_x_mm=x.ravel(), center_y_mm=y.ravel(), width_x_mm=five, width_y_mm=five)
    return tuple(
        Beam(machine=machine(), isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=g, name=f"G{g:g}", beamlets=beamlets)
        for g in gantry_deg
    )


def _band(position: np.ndarray, lower: float, upper: float) -> np.ndarray:
    scale = 1.0 / (np.sqrt(2.0) * SIGMA_MM)
    return 0.5 * (erf((position - lower) * scale) - erf((position - upper) * scale))


@dataclass(frozen=True, kw_only=True)
class PencilEngine:
    """The analytic engine; ``leakage`` of closed leaves inside the jaws."""

    leakage: float = LEAKAGE
    references: tuple[str, ...] = ()

    def describe(self) -> str:
        return "analytic pencils"

    def _geometry(self, phantom: Phantom, beam: Beam) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        inside = np.flatnonzero(phantom.external_mask())
        points = phantom.grid.point_at(np.stack(np.unravel_index(inside, phantom.grid.shape), axis=1).astype(float))
        bev, distance = project_to_isocenter_plane(points, beam.isocenter_mm, beam.rotation, beam.machine.sad_mm)
        depth = distance - (beam.machine.sad_mm - np.sqrt(np.maximum(BODY_RADIUS_MM**2 - bev[:, 0] ** 2, 0.0)))
        axis = GY_PER_MU * np.exp(-ATTENUATION_PER_MM * np.maximum(depth, 0.0)) * (beam.machine.sad_mm / distance) ** 2
        return inside, bev[:, 0], bev[:, 1], axis

    def influence(self, phantom: Phantom, beams: Sequence[Beam], *, progress: Progress | None = None) -> Influence:
        blocks = []
        for beam in beams:
            inside, x, y, axis = self._geometry(phantom, beam)
            b = beam.beamlets
            assert b is not None
            columns = np.zeros((phantom.grid.size, b.count), dtype=np.float32)
            for k in range(b.count):
                hx, hy = b.width_x_mm[k] / 2, b.width_y_mm[k] / 2
                columns[inside, k] = (
                    axis
                    * _band(x, b.center_x_mm[k] - hx, b.center_x_mm[k] + hx)
                    * _band(y, b.center_y_mm[k] - hy, b.center_y_mm[k] + hy)
                )
            columns[columns < 1e-3 * columns.max()] = 0.0
            blocks.append(sparse.csr_array(columns))
        matrix = sparse.csr_array(sparse.hstack(blocks, format="csr"))
        return Influence(matrix=matrix, grid=phantom.grid, beams=tuple(beams), engine=self.describe())

    def forward(
        self, phantom: Phantom, beams: Sequence[Beam], *, fractions: int = 1, progress: Progress | None = None
    ) -> Dose:
        total = np.zeros(phantom.grid.size)
        for beam in beams:
            inside, x, y, axis = self._geometry(phantom, beam)
            for aperture, units in beam.segments():
                total[inside] += units * axis * self._opening(beam.machine, aperture, x, y)
        return Dose(
            values_gy=fractions * total.reshape(phantom.grid.shape),
            grid=phantom.grid,
            fractions=fractions,
            engine=self.describe(),
        )

    def _opening(self, m: Machine, aperture: object, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        jx, jy, leaves = aperture.jaws_x_mm, aperture.jaws_y_mm, aperture.leaf_pairs_mm  # type: ignore[attr-defined]
        jaws = _band(x, *jx) * _band(y, *jy)
        if leaves is None:
            return jaws
        gap = m.mlc.dosimetric_leaf_gap_mm / 2 if m.mlc is not None else 0.0
        out = np.zeros_like(x)
        for (left, right), low, high in zip(leaves, m.leaf_edges_mm[:-1], m.leaf_edges_mm[1:], strict=True):
            first, last = max(left - gap, jx[0]), min(right + gap, jx[1])
            if last > first and high > jy[0] and low < jy[1]:
                out += _band(x, first, last) * _band(y, max(low, jy[0]), min(high, jy[1]))
        return self.leakage * jaws + (1.0 - self.leakage) * out
