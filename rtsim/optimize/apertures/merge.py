"""Fewer segments: two of one beam that open nearly the same, or lie side by side, become one.

For each pair of segments of a beam two apertures are tried, each with the monitor units that fit best: the mean of
their leaf ends, weighted by monitor units, for segments that are nearly alike; and their hull, for segments beside each
other, which then need the monitor units of one instead of both. The pair whose fluence changes least is merged, as long
as that change stays below a share of the beam's fluence. What little is lost, the optimization that follows regains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rtsim.beams.apertures import parked_leaves
from rtsim.beams.model import Aperture, Beamlets
from rtsim.machine.model import Machine
from rtsim.optimize.apertures.frames import is_open
from rtsim.optimize.fluence import Planning
from rtsim.optimize.leaves import multileaf
from rtsim.optimize.segment_weights import Segment, opening_of
from rtsim.typing import FloatArray


def merged(
    planning: Planning, segments: tuple[Segment, ...], machine: Machine, tolerance: float
) -> tuple[Segment, ...]:
    """The segments with those merged that change the fluence of their beam by less than ``tolerance``.

    Args:
        tolerance: root mean square change relative to that of the beam's fluence; 0 leaves all as they are.
    """
    if tolerance <= 0.0:
        return segments
    out: list[Segment] = []
    for k in sorted({s.beam for s in segments}):
        beamlets = planning.influence.beams[k].beamlets
        own = [s for s in segments if s.beam == k]
        out += own if beamlets is None else _Beam(own, beamlets, machine).merged(tolerance)
    return tuple(out)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Merger:
    """One segment in place of two: its opening (beamlets,), and the squared change of the fluence."""

    segment: Segment
    opening: FloatArray
    change: float


class _Beam:
    """The segments of one beam with what they open; the best merger of each pair is computed once."""

    def __init__(self, segments: list[Segment], beamlets: Beamlets, machine: Machine) -> None:
        self._beamlets, self._machine = beamlets, machine
        self._parts = {n: (s, opening_of(s.aperture, beamlets, machine)) for n, s in enumerate(segments)}
        self._next = len(segments)
        self._area = beamlets.width_x_mm * beamlets.width_y_mm

    def merged(self, tolerance: float) -> list[Segment]:
        """The segments after all mergers that change the fluence by no more than ``tolerance`` (rms, relative)."""
        fluence = sum((s.monitor_units * o for s, o in self._parts.values()), np.zeros(self._beamlets.count))
        allowed = tolerance**2 * float(self._area @ fluence**2)
        pairs = {p: self._merger(*p) for p in combinations(self._parts, 2)}
        spent = 0.0
        while pairs:
            best = min(pairs, key=lambda p: pairs[p].change)
            spent += pairs[best].change
            if spent > allowed:
                break
            new, self._next = self._next, self._next + 1
            self._parts[new] = (pairs[best].segment, pairs[best].opening)
            for gone in best:
                del self._parts[gone]
            pairs = {p: m for p, m in pairs.items() if not set(p) & set(best)}
            pairs |= {(other, new): self._merger(other, new) for other in self._parts if other != new}
        return [s for s, _ in self._parts.values()]

    def _merger(self, a: int, b: int) -> _Merger:
        (one, open_one), (two, open_two) = self._parts[a], self._parts[b]
        wanted = one.monitor_units * open_one + two.monitor_units * open_two
        found = []
        for shape in (_mean(one, two, self._machine), _hull(one, two, self._machine)):
            opening = opening_of(shape, self._beamlets, self._machine)
            power = float(self._area @ opening**2)
            units = float(self._area @ (opening * wanted)) / power if power > 0 else 0.0
            change = float(self._area @ (wanted - units * opening) ** 2)
            found.append(
                _Merger(segment=replace(one, aperture=shape, monitor_units=units), opening=opening, change=change)
            )
        return min(found, key=lambda m: m.change)


def _mean(one: Segment, two: Segment, machine: Machine) -> Aperture:
    """Mean leaf ends, weighted by monitor units; a pair that only one of them opens is open when that has more."""
    share = one.monitor_units / max(one.monitor_units + two.monitor_units, 1e-9)
    a, b, open_a, open_b = _both(one, two, machine)
    leaves = parked_leaves(machine, one.aperture.jaws_x_mm)
    both = open_a & open_b
    leaves[both] = share * a[both] + (1.0 - share) * b[both]
    only = open_a & ~open_b if share > 0.5 else open_b & ~open_a
    leaves[only] = (a if share > 0.5 else b)[only]
    return replace(one.aperture, leaf_pairs_mm=leaves)


def _hull(one: Segment, two: Segment, machine: Machine) -> Aperture:
    """Open wherever one of them is, and between them."""
    a, b, open_a, open_b = _both(one, two, machine)
    leaves = parked_leaves(machine, one.aperture.jaws_x_mm)
    leaves[open_a], leaves[open_b & ~open_a] = a[open_a], b[open_b & ~open_a]
    both = open_a & open_b
    leaves[both] = np.stack((np.minimum(a, b)[both, 0], np.maximum(a, b)[both, 1]), axis=1)
    return replace(one.aperture, leaf_pairs_mm=leaves)


def _both(one: Segment, two: Segment, machine: Machine) -> tuple[FloatArray, FloatArray, np.ndarray, np.ndarray]:
    multileaf(machine)
    a, b = one.aperture.leaf_pairs_mm, two.aperture.leaf_pairs_mm
    assert a is not None
    assert b is not None
    return a, b, is_open(one.aperture, machine), is_open(two.aperture, machine)
