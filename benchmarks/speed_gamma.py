"""Speed of the gamma index: 2 million voxels, and beside pymedphys on a part of them."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Iterator
from typing import Final

import numba
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from benchmarks.measure import time_call
from benchmarks.row import Row, peak_rss_mb
from rtsim.dose.result import Dose
from rtsim.evaluate import gamma
from rtsim.geometry.grid import Grid
from rtsim.typing import FloatArray

GOAL_S: Final = 5.0
GRID: Final = Grid((136, 196, 240), (2.0, 2.0, 2.0), (-239.0, -195.0, -135.0))
OTHER: Final = Grid((112, 164, 200), (2.4, 2.4, 2.4), (-238.3, -195.1, -133.7))
PART: Final = Grid((8, 20, 40), (2.0, 2.0, 2.0), (-79.0, -9.0, -7.0))
"""Voxels of ``GRID`` about a field edge: what pymedphys does in some seconds."""


def gamma_rows() -> Iterator[Row]:
    """Three comparisons of 2 M voxels above 10 %, one of them also on unequal grids; then the peer."""
    cases = (
        ("moved by 1 mm, +1.5 %", GRID, 0.0, 0.0),
        ("moved by 1 mm, +1.5 %, with errors of 2 % (1 sigma) over 2 cm", GRID, 0.02, 0.0),
        ("moved by 1 mm, +1.5 %, noise of 1.5 % at the maximum in both", GRID, 0.0, 0.015),
        ("moved by 1 mm, +1.5 %, noise of 1.5 % at the maximum in both, unequal grids", OTHER, 0.0, 0.015),
    )
    for name, grid, error, noise in cases:
        reference = field(GRID, noise=noise, seed=1)
        evaluated = field(grid, 1.0, 1.015, error, noise, seed=2)
        timing = time_call(lambda r=reference, e=evaluated: gamma(r, e, dose_percent=2.0, distance_mm=2.0), repeats=2)  # type: ignore[misc]
        result = gamma(reference, evaluated, dose_percent=2.0, distance_mm=2.0)
        yield Row(
            case="gamma 2 M voxels 2 %/2 mm",
            table="engine",
            threads=numba.get_num_threads(),
            first_call_s=timing.first_s,
            warm_median_s=timing.warm_median_s,
            cpu_s=timing.cpu_s,
            peak_rss_mb=peak_rss_mb(),
            gamma_percent=result.pass_percent,
            value=result.evaluated_voxels / 1e6,
            unit="M voxels",
            goal=f"<= {GOAL_S:g} s",
            met=timing.least_s <= GOAL_S,
            note=f"{name}; quickest of {timing.count}: {timing.least_s:.2f} s, by CPU time {timing.least_cpu_s:.2f} s "
            "of all threads",
        )
    if importlib.util.find_spec("pymedphys") is not None:
        yield _beside_pymedphys()


def field(
    grid: Grid, shift_mm: float = 0.0, scale: float = 1.0, error: float = 0.0, noise: float = 0.0, *, seed: int
) -> Dose:
    """Two crossing fields and a boost with penumbras of 5 mm (80 % to 20 %), with smooth errors and with noise.

    ``error``: one sigma, relative; ``noise``: one sigma at the maximum, growing with the root of the dose.
    """
    x, y, z = (grid.x_mm - shift_mm)[None, None, :], grid.y_mm[None, :, None], grid.z_mm[:, None, None]
    inside = _window(z, 91.0)
    deep = _window(x, 60.0) * np.exp(-(y + 130.0) / 220.0) + _window(y, 60.0) * np.exp(-(x + 130.0) / 220.0)
    values = 30.0 * scale * inside * (deep + 0.5 * _window(x, 60.0) * _window(y, 60.0))
    rng = np.random.default_rng(seed)
    if error:
        bump = gaussian_filter(rng.standard_normal(grid.shape), 8.0)
        values = values * (1.0 + error * bump / bump.std())
    if noise:
        values = values + noise * np.sqrt(values * values.max()) * rng.standard_normal(grid.shape)
    return Dose(values_gy=np.maximum(values, 0.0), grid=grid)


def _window(along_mm: FloatArray, half_mm: float) -> FloatArray:
    return np.asarray(0.5 * (erf((along_mm + half_mm) / 4.2) - erf((along_mm - half_mm) / 4.2)))


def _beside_pymedphys() -> Row:
    """Both on the same small part, in turn in this process, by CPU time; the peer compiles on a call before."""
    import pymedphys

    reference, evaluated = field(PART, seed=1), field(PART, 1.0, 1.015, 0.02, seed=2)
    axes = (PART.z_mm, PART.y_mm, PART.x_mm)

    def peer() -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(
                pymedphys.gamma(
                    axes,
                    reference.values_gy.astype(np.float64),
                    axes,
                    evaluated.values_gy.astype(np.float64),
                    2.0,
                    2.0,
                    max_gamma=2.0,
                    lower_percent_dose_cutoff=10.0,
                    interp_fraction=10,
                )
            )

    peer()
    begun = time.process_time()
    theirs = peer()
    peer_s = time.process_time() - begun
    timing = time_call(lambda: gamma(reference, evaluated, dose_percent=2.0, distance_mm=2.0))
    ours = gamma(reference, evaluated, dose_percent=2.0, distance_mm=2.0).values
    inner = np.s_[1:-1, 1:-1, 1:-1]  # pymedphys drops points that rounding puts outside the outermost centers
    apart = float(np.nanmax(np.abs(ours - theirs)[inner]))
    voxels = int(np.isfinite(theirs).sum())
    return Row(
        case="gamma beside pymedphys",
        table="engine",
        cpu_s=timing.least_cpu_s,
        value=peer_s / timing.least_cpu_s,
        unit="x less CPU time",
        note=f"{voxels} voxels, same criteria and cap; pymedphys {peer_s:.2f} s, as a rate {1e6 * peer_s / voxels:.0f} "
        f"s per million voxels; gamma apart by {apart:.1e} at most within",
    )
