"""Sliding window: leaf ends that sweep over a map once, in the least beam-on time. Pure arrays.

Each row of a map is formed by a leading (right) and a trailing (left) leaf end that move towards +x and never back. A
place x is open from the monitor units m_R(x) at which the leading end passes it to those m_L(x) at which the trailing
one does: a(x) = m_L(x) - m_R(x). Where the wanted a rises the leading end moves at its largest speed, where it falls
the trailing end does, so that with the pace s (monitor units per mm at the largest speed)

    m_R' = s + max(0, -a'),   m_L' = s + max(0, a').

A row of the width X takes s X + sum of its rising steps, and no other sweep over X takes less; the beam takes the
longest of its rows. At a step of a map of beamlets the end that waits stands still.

Sources: Spirou and Chui, Med Phys 21 (1994) 1031, DOI 10.1118/1.597345 [V: piecewise linear profiles, one of the two
ends at its largest speed all the time]; the same by Stein et al., Radiother Oncol 32 (1994), and Svensson et al., Phys
Med Biol 39 (1994) [M].
"""

from __future__ import annotations

import math

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray, FloatArray


def least_sweep_units(open_units: AnyFloatArray, x_edges_mm: AnyFloatArray, pace_mu_mm: float) -> float:
    """Monitor units of the shortest sweep: pace times width, and the largest sum of rising steps of a row.

    Args:
        open_units: (rows, columns) monitor units for which each column is to be open, >= 0.
        x_edges_mm: (columns + 1,).
        pace_mu_mm: monitor units per mm at the largest leaf speed: dose rate / speed.
    """
    edges = np.asarray(x_edges_mm, dtype=np.float64)
    return float(pace_mu_mm * (edges[-1] - edges[0]) + _steps(_checked(open_units, edges))[0].sum(axis=1).max())


def sweep(
    open_units: AnyFloatArray,
    x_edges_mm: AnyFloatArray,
    units: AnyFloatArray,
    *,
    pace_mu_mm: float,
    least_gap_mm: float,
    park_mm: float,
    lingers: bool = False,
) -> FloatArray:
    """(rows, control points, 2) left and right end of the opening of each row, in mm, when ``units`` have been given.

    All rows begin at the left edge of the map. A row that is done before the others goes on to ``park_mm``. Where
    the ends would come nearer than ``least_gap_mm`` the leading one goes ahead: a sweep opens every place for
    ``pace_mu_mm * least_gap_mm`` at least.

    Args:
        units: (control points,) rising monitor units from 0 to at least those of :func:`least_sweep_units`. Between
            them the ends move linearly; as they are those of the exact sweep at each, none moves faster than allowed.
        park_mm: where the left end of a row that is done waits, beyond the right edge of the map.
        lingers: it takes until the end of the sweep to get there, so that what its gap leaks is spread; else it goes
            there at full speed.
    """
    edges = np.asarray(x_edges_mm, dtype=np.float64)
    rising, falling = _steps(_checked(open_units, edges))
    at = pace_mu_mm * (edges - edges[0])
    given = np.asarray(units, dtype=np.float64)
    out = np.empty((len(rising), given.size, 2))
    for row, (rise, fall) in enumerate(zip(rising, falling, strict=True)):
        done = given[-1] if lingers else 0.0
        trailing = _passage(rise, edges, at, given, pace_mu_mm, park_mm, done)
        leading = _passage(fall, edges, at, given, pace_mu_mm, park_mm + least_gap_mm, done)
        out[row, :, 0], out[row, :, 1] = trailing, np.maximum(leading, trailing + least_gap_mm)
    return out


def open_units_of(ends_mm: AnyFloatArray, units: AnyFloatArray, x_edges_mm: AnyFloatArray) -> FloatArray:
    """(rows, columns) monitor units for which each column is open on average over its width, exactly.

    With ends that move linearly from p to q the mean opening left of the end is (C(q) - C(p))/(q - p), C the integral
    of clip((x - left)/width, 0, 1).

    Args:
        ends_mm: (rows, control points, 2).
    """
    ends, edges = np.asarray(ends_mm, dtype=np.float64), np.asarray(x_edges_mm, dtype=np.float64)
    left, width = edges[:-1], np.diff(edges)
    along = ends[..., None] - left  # (rows, control points, 2, columns)
    inside = np.clip(along, 0.0, width)
    integral = 0.5 * inside**2 / width + np.maximum(along - width, 0.0)
    moved = np.diff(ends, axis=1)[..., None]
    still = np.abs(moved) < 1e-9
    middle = np.clip(0.5 * (along[:, 1:] + along[:, :-1]), 0.0, width) / width
    mean = np.where(still, middle, np.diff(integral, axis=1) / np.where(still, 1.0, moved))
    opened = mean[:, :, 1] - mean[:, :, 0]
    return np.asarray(np.einsum("rkc,k->rc", opened, np.diff(np.asarray(units, dtype=np.float64))))


def slowed(ends_mm: AnyFloatArray, units: AnyFloatArray, pace_mu_mm: float) -> FloatArray:
    """The same ends (rows, control points), held back where they would move more than 1/pace per monitor unit."""
    reach = np.asarray(units, dtype=np.float64) / pace_mu_mm
    return np.asarray(np.minimum.accumulate(np.asarray(ends_mm) - reach, axis=1) + reach)


def _passage(
    waits: FloatArray, edges: FloatArray, at: FloatArray, units: FloatArray, pace: float, park_mm: float, done: float
) -> FloatArray:
    """(control points,) position of an end that waits ``waits`` at each edge; then it goes on to ``park_mm``, until
    ``done`` or as fast as it can."""
    leaves = at + np.cumsum(waits)
    when, where = np.repeat(leaves, 2), np.repeat(edges, 2)
    when[::2] -= waits  # it arrives, and leaves after its wait
    beyond = max(park_mm, float(edges[-1]))
    when = np.append(when, max(when[-1] + pace * (beyond - edges[-1]), done))
    return np.asarray(np.interp(units, when, np.append(where, beyond)))


def _steps(open_units: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(rows, columns + 1) rising and falling steps at the edges of the columns."""
    step = np.diff(open_units, axis=1, prepend=0.0, append=0.0)
    return np.maximum(step, 0.0), np.maximum(-step, 0.0)


def _checked(open_units: AnyFloatArray, edges: FloatArray) -> FloatArray:
    a = np.asarray(open_units, dtype=np.float64)
    if a.ndim != 2 or a.shape[1] + 1 != edges.size or not a.size:
        raise InputError(f"open_units has shape {a.shape} for {edges.size} column edges; (rows, edges - 1) are needed")
    if not np.isfinite(a).all() or (a < 0).any():
        raise InputError("open_units must be finite and >= 0 MU")
    if not (np.diff(edges) > 0).all() or not math.isfinite(float(edges[0] + edges[-1])):
        raise InputError("x_edges_mm must be finite and rise")
    return a
