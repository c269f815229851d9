"""DVH: how much of a structure gets how much dose, with fractional voxels and sub-voxel dose.

A voxel that the structure covers partly is cut by a level surface of the smoothed coverage, which bends with the
structure, at the level that conserves the covered volume. (A plane for each voxel, Youngs 1982, errs twice as much
where the radius of a structure is only two or three voxels.) The n^3 dose samples of a voxel (trilinear) lie on a
rank-1 lattice, so that n^3 instead of n different positions fall along each axis: a thin rim of a structure that lies
along the grid is resolved to 1/n^3 of a voxel. Measured against even spreading in tests/analytic/test_dvh.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Final

import numpy as np
from scipy.ndimage import correlate1d

from rtsim.dose.dvh._kernels import dose_histogram
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.phantom.structure import Structure
from rtsim.threads import over_ranges
from rtsim.typing import AnyFloatArray, Float32Array, FloatArray

BINS: Final = 4096
"""Dose bins from 0 to the maximum: 24 Gy x 1.4 in steps of 8 mGy."""
LARGE_STRUCTURE_VOXELS: Final = 400_000
"""Above this many voxels a structure is sampled once a voxel unless ``subvoxels`` is given (the DVH says which)."""
COARSE_MM: Final = 2.2
"""Voxels with a longer edge than this are sampled 5 x 5 x 5 instead of 3 x 3 x 3: about one sample in 0.6 mm."""
_BLOCKS: Final = 32


@dataclass(frozen=True, eq=False, kw_only=True)
class DVH:
    """A cumulative dose-volume histogram.

    Attributes:
        structure: its name.
        dose_gy: (n + 1,) rising doses from 0, read-only.
        cumulative_cm3: (n + 1,) volume that gets at least ``dose_gy``, read-only.
        volume_cm3: of the whole structure.
        min_gy, max_gy, mean_gy: over the sub-voxel samples.
        outside_cm3: volume that lies outside the dose grid. It counts as 0 Gy, so with any of it every D, V and mean of
            this DVH is a lower bound.
        subvoxels: n of the n^3 dose samples in each voxel.
        fractions: of the dose.
    """

    structure: str
    dose_gy: FloatArray
    cumulative_cm3: FloatArray
    volume_cm3: float
    min_gy: float
    max_gy: float
    mean_gy: float
    outside_cm3: float = 0.0
    subvoxels: int = 3
    fractions: int = 1

    def __post_init__(self) -> None:
        for name in ("dose_gy", "cumulative_cm3"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def is_truncated(self) -> bool:
        """True when more than 0.1 % of the structure lies outside the dose grid."""
        return self.outside_cm3 > 1e-3 * self.volume_cm3

    def volume_cm3_at(self, dose_gy: float) -> float:
        """Volume in cm3 that gets at least ``dose_gy``."""
        if not np.isfinite(dose_gy) or dose_gy < 0:
            raise InputError(f"dose_gy is {dose_gy}; a finite dose >= 0 Gy is needed")
        if dose_gy > self.max_gy:
            return 0.0
        return float(np.interp(dose_gy, self.dose_gy, self.cumulative_cm3))

    def volume_percent_at(self, dose_gy: float) -> float:
        """Volume in percent of the structure that gets at least ``dose_gy``."""
        return 100.0 * self.volume_cm3_at(dose_gy) / self.volume_cm3

    def dose_gy_at(self, volume_cm3: float) -> float:
        """The largest dose that at least ``volume_cm3`` gets; the minimum dose when the structure is smaller than
        that.
        """
        if not np.isfinite(volume_cm3) or volume_cm3 < 0:
            raise InputError(f"volume_cm3 is {volume_cm3}; a finite volume >= 0 cm3 is needed")
        # The histogram falls with dose: reversed it rises, and equal volumes (empty bins) resolve to the lower dose.
        reached = np.interp(volume_cm3, self.cumulative_cm3[::-1], self.dose_gy[::-1])
        return float(np.clip(reached, self.min_gy, self.max_gy))

    def dose_gy_at_percent(self, volume_percent: float) -> float:
        """The largest dose that at least ``volume_percent`` (0..100) of the structure gets, e.g. 95 for D95%."""
        if not 0.0 <= volume_percent <= 100.0:
            raise InputError(f"volume_percent is {volume_percent}; 0 <= volume_percent <= 100")
        return self.dose_gy_at(self.volume_cm3 * volume_percent / 100.0)

    def differential(self) -> tuple[FloatArray, FloatArray]:
        """(bin centers in Gy, volume of each bin in cm3), empty bins left out: the form that biology models take."""
        volume = -np.diff(self.cumulative_cm3)
        center = 0.5 * (self.dose_gy[1:] + self.dose_gy[:-1])
        keep = volume > 0
        return np.clip(center[keep], self.min_gy, self.max_gy), volume[keep]


def dvh(dose: Dose, structure: Structure, *, subvoxels: int | None = None) -> DVH:
    """Cumulative DVH of ``structure`` in ``dose`` (their grids need not match).

    Args:
        subvoxels: n of the n^3 dose samples in each voxel of the structure's grid, 1..10. Default 3, in voxels with an
            edge of more than 2.2 mm 5, and 1 for structures of more than ``LARGE_STRUCTURE_VOXELS`` voxels (the outline
            of a patient), where the surface hardly counts.

    Raises:
        GeometryError: the structure lies wholly outside the dose grid.
    """
    coverage = structure.coverage
    if subvoxels is None:
        subvoxels = default_subvoxels(structure)
    if not 1 <= subvoxels <= 10:
        raise InputError(f"subvoxels is {subvoxels}; 1 <= subvoxels <= 10 gives that number cubed of samples a voxel")
    top_gy = max(dose.max_gy, 1e-30) * (1.0 + 1e-6)
    scale, shift = index_map(structure, dose)
    padded = np.pad(np.asarray(coverage, dtype=np.float32), 1)
    histogram, summary = np.zeros((_BLOCKS, BINS)), np.empty((_BLOCKS, 4))
    over_ranges(
        dose_histogram,
        _BLOCKS,
        _read_only(np.ascontiguousarray(dose.values_gy, dtype=np.float32)),
        padded,
        _read_only(smoothed(padded)),
        scale,
        shift,
        lattice_points(subvoxels**3),
        top_gy,
        histogram,
        summary,
    )
    voxel_cm3 = structure.grid.voxel_volume_cm3
    counts = histogram.sum(axis=0)
    total = float(counts.sum())
    outside = float(summary[:, 3].sum())
    if outside > (1.0 - 1e-9) * total:
        raise GeometryError(
            f"structure {structure.name!r} lies wholly outside the dose grid "
            f"{dose.grid.lower_mm} .. {dose.grid.upper_mm} mm; compute the dose on a larger grid"
        )
    cumulative = np.concatenate((np.cumsum(counts[::-1])[::-1], [0.0])) * voxel_cm3
    return DVH(
        structure=structure.name,
        dose_gy=np.linspace(0.0, top_gy, BINS + 1),
        cumulative_cm3=cumulative,
        volume_cm3=total * voxel_cm3,
        min_gy=float(summary[:, 0].min()),
        max_gy=float(summary[:, 1].max()),
        mean_gy=float(summary[:, 2].sum()) / total,
        outside_cm3=outside * voxel_cm3,
        subvoxels=subvoxels,
        fractions=dose.fractions,
    )


def _read_only(array: Float32Array) -> Float32Array:
    """A view that cannot be written to: a kernel is compiled for such arrays, and once more for others."""
    view = array.view()
    view.flags.writeable = False
    return view


def default_subvoxels(structure: Structure) -> int:
    """n of the n^3 samples in each voxel, by the size of voxels and structure."""
    if np.count_nonzero(structure.coverage) > LARGE_STRUCTURE_VOXELS:
        return 1
    return 5 if max(structure.grid.spacing_mm) > COARSE_MM else 3


def smoothed(coverage: Float32Array) -> Float32Array:
    """The coverage after weights 1 2 1 along each axis: it falls outward through all boundary voxels."""
    out = np.asarray(coverage, dtype=np.float32)
    for axis in range(3):
        out = correlate1d(out, np.array([0.25, 0.5, 0.25]), axis=axis, mode="constant")
    return np.ascontiguousarray(out)


def index_map(structure: Structure, dose: Dose) -> tuple[AnyFloatArray, AnyFloatArray]:
    """(scale, shift), each (3,) in the order (x, y, z): dose index = shift + scale * index on the structure's grid."""
    step = np.array(dose.grid.spacing_mm)
    scale = np.array(structure.grid.spacing_mm) / step
    shift = (np.array(structure.grid.origin_mm) - np.array(dose.grid.origin_mm)) / step
    return scale, shift


@lru_cache(maxsize=16)
def lattice_points(count: int) -> FloatArray:
    """(count, 3) points in the cube -0.5..0.5: the Korobov lattice frac((m + 1/2) (1, a, a^2) / count) - 1/2.

    It is symmetric about the center, each axis sees ``count`` evenly spaced positions, and ``a`` is the odd number that
    makes the least distance between points largest (Korobov 1959; Sloan & Joe 1994, Lattice Methods, section 4.4).
    """
    if count == 1:
        return np.zeros((1, 3))
    best, chosen = -1.0, 1
    numerator = np.arange(1, count, dtype=np.int64)
    for a in range(1, count, 2):
        if gcd(a, count) != 1:
            continue
        steps = np.stack([numerator, numerator * a % count, numerator * (a * a % count) % count], axis=1) / count
        nearest = float((np.minimum(steps, 1.0 - steps) ** 2).sum(axis=1).min())
        if nearest > best + 1e-12:
            best, chosen = nearest, a
    half = np.arange(count) + 0.5
    points = np.stack([half, half * chosen, half * (chosen * chosen % (2 * count))], axis=1) / count
    points = points % 1.0 - 0.5
    points.flags.writeable = False
    return np.asarray(points, dtype=np.float64)
