"""New apertures where they pay: column generation for the segments of a plan.

The price of dose in every row, carried back to the beamlets, says how much the plan would gain from opening each of
them a little. The best aperture of a beam is, row by row, the interval of beamlets with the largest summed gain.

Source: Romeijn et al., SIAM J Optim 15 (2005) 838, DOI 10.1137/040606612 (column generation for aperture modulation).
"""

from __future__ import annotations

import numpy as np

from rtsim.beams.model import Aperture
from rtsim.machine.model import Machine
from rtsim.optimize.decomposition import Shape
from rtsim.optimize.fluence import Planning
from rtsim.optimize.leaves import BeamletMap, aperture
from rtsim.optimize.solver import Solution
from rtsim.typing import FloatArray, IntArray


def best_intervals(gain: FloatArray) -> tuple[IntArray, FloatArray]:
    """Per row the interval [first, last) of columns with the largest sum (rows, 2), and that sum (rows,); else empty.

    Args:
        gain: (rows, columns); -inf where there is no beamlet.
    """
    rows, columns = gain.shape
    low, start = np.zeros(rows), np.zeros(rows, dtype=np.int64)
    best, interval = np.zeros(rows), np.zeros((rows, 2), dtype=np.int64)
    for j in range(columns):
        # Kadane: a running sum that fell below zero starts anew
        restart = low <= 0.0
        start = np.where(restart, j, start)
        low = np.where(restart, 0.0, low) + gain[:, j]
        better = low > best
        best = np.where(better, low, best)
        interval[better] = np.stack((start, np.full(rows, j + 1)), axis=1)[better]
    return interval, best


def search(
    planning: Planning, solution: Solution, machine: Machine, frames: dict[int, Aperture], min_open_mm2: float
) -> tuple[tuple[int, Aperture], ...]:
    """For each beam the aperture with the largest gain, as (beam index, aperture); beams without any gain are left out.

    Args:
        frames: per beam an aperture whose jaws stay as they are.
    """
    transposed = planning.adjoint
    gain = -np.asarray(transposed @ solution.slope_gy.astype(np.float32), dtype=np.float64)
    out = []
    for k, beam in enumerate(planning.influence.beams):
        if beam.beamlets is None or k not in frames:
            continue
        edges = BeamletMap.of(beam.beamlets)
        values = np.full(edges.shape, -np.inf)
        values[edges.row, edges.column] = gain[planning.influence.columns_of(k)]
        values[~_inside(edges, frames[k])] = -np.inf
        interval, best = best_intervals(values)
        heights = edges.y_edges_mm[:, 1] - edges.y_edges_mm[:, 0]
        area = float(((interval[:, 1] - interval[:, 0]) * heights).sum() * (edges.x_edges_mm[1] - edges.x_edges_mm[0]))
        if best.sum() > 0 and area >= min_open_mm2:
            jaws = (frames[k].jaws_x_mm, frames[k].jaws_y_mm)
            out.append((k, aperture(Shape(open_columns=interval, time=1), edges, machine, jaws)))
    return tuple(out)


def _inside(edges: BeamletMap, frame: Aperture) -> np.ndarray:
    """(rows, columns) True where a beamlet lies wholly between the jaws."""
    slack = 1e-6
    x = (edges.x_edges_mm[:-1] >= frame.jaws_x_mm[0] - slack) & (edges.x_edges_mm[1:] <= frame.jaws_x_mm[1] + slack)
    y = (edges.y_edges_mm[:, 0] >= frame.jaws_y_mm[0] - slack) & (edges.y_edges_mm[:, 1] <= frame.jaws_y_mm[1] + slack)
    return np.asarray(y[:, None] & x[None, :])
