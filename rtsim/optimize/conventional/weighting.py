"""The weights of segments: even in the target, cool in the body around it.

With s the shares of the target's mean dose that the segments give (sum 1), and d the dose relative to that mean,

        minimize  rms of (d - 1) in the target / 5 %
                  + (sum over the body outside the target of  V / 2 cm3 ((d - 1)+ / 7 %)^8)^(1/8)

a convex problem in one unknown a segment. The tolerances are those of ICRU 50: 95 to 107 % in the target, and outside
it a hot spot above 100 % matters from 15 mm across (a sphere of 1.8 cm3). The high power makes the second term follow
the hottest tissue; the mean square of the target alone buys evenness with hot entrances. A single field has no second
term: it is hottest behind its entrance whatever its weights, and shielding that would make the target behind it cold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import LinearConstraint, minimize

from rtsim.typing import BoolArray, FloatArray, IntArray

LEAST_SHARE = 0.4
"""No field of a technique gives the target less than this share of what it would give if all gave the same."""

EVEN_WITHIN = 0.05
"""Unevenness of the target that counts as one: the -5 % of ICRU 50."""

HOT_ABOVE = 0.07
"""Excess over the prescription that counts as one in the hot spot volume: the +7 % of ICRU 50."""

HOT_SPOT_CM3 = 2.0
"""Volume of a hot spot that matters: a sphere 15 mm across (ICRU 50) has 1.8 cm3."""

NEARLY_HOT = 0.9
"""Voxels below this dose are looked at again only after the weights are found."""

_HOT_POWER = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """What each segment gives, relative to the mean dose that it gives the target.

    Attributes:
        inside: (points, segments) in the target; ``inside_share`` (points,) of its volume, sum 1.
        outside: (voxels, segments) where the body outside the target can be hot; ``outside_cm3`` (voxels,).
        field: (segments,) number of the field that each belongs to; a single field has no second term.
    """

    inside: FloatArray
    inside_share: FloatArray
    outside: FloatArray
    outside_cm3: FloatArray
    field: IntArray

    def with_outside(self, chosen: BoolArray) -> Columns:
        """The same with some of the voxels outside."""
        return replace(self, outside=self.outside[chosen], outside_cm3=self.outside_cm3[chosen])

    def unevenness(self, shares: FloatArray) -> tuple[float, FloatArray]:
        """The first term, and its slope in the dose of each point of the target."""
        off = self.inside @ shares - 1.0
        rms = float(np.sqrt(self.inside_share @ off**2))
        return rms / EVEN_WITHIN, self.inside_share * off / max(rms, 1e-12) / EVEN_WITHIN

    def heat(self, shares: FloatArray) -> tuple[float, FloatArray]:
        """The second term, and its slope in the dose of each voxel outside."""
        if not self.field.any():
            return 0.0, np.zeros(self.outside_cm3.size)
        excess = np.maximum(self.outside @ shares - 1.0, 0.0) / HOT_ABOVE
        weight = self.outside_cm3 / HOT_SPOT_CM3
        norm = float(weight @ excess**_HOT_POWER) ** (1.0 / _HOT_POWER)
        relative = excess / max(norm, 1e-12)
        return norm, weight * relative ** (_HOT_POWER - 1) / HOT_ABOVE

    def cost(self, shares: FloatArray) -> tuple[float, FloatArray]:
        """Both terms, and their slope in the shares."""
        (uneven, slope_in), (heat, slope_out) = self.unevenness(shares), self.heat(shares)
        return uneven + heat, slope_in @ self.inside + slope_out @ self.outside


def weigh(columns: Columns, start: FloatArray | None = None) -> FloatArray:
    """(segments,) shares >= 0, sum 1, that minimize the sum at the head of this module.

    Every field keeps LEAST_SHARE of its equal part, all of its segments together. Voxels outside that stay cool on the
    way are left out of the work and looked at in the end.

    Args:
        start: (segments,) shares to begin with; default: every field the same.
    """
    fields = int(columns.field.max()) + 1
    equal = 1.0 / (fields * np.bincount(columns.field)[columns.field])
    shares = equal if start is None else 0.9 * start / start.sum() + 0.1 * equal
    if shares.size == 1:
        return shares
    near = columns.outside @ shares > NEARLY_HOT
    while True:
        found = _minimum(columns.with_outside(near), shares)
        hot = columns.outside @ found > 1.0
        if not (hot & ~near).any():
            return found
        near |= columns.outside @ found > NEARLY_HOT
        shares = found


def _minimum(columns: Columns, start: FloatArray) -> FloatArray:
    fields = int(columns.field.max()) + 1
    in_field = (columns.field[None, :] == np.arange(fields)[:, None]).astype(np.float64)
    found = minimize(
        columns.cost,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * start.size,
        constraints=[
            LinearConstraint(np.ones((1, start.size)), 1.0, 1.0),
            LinearConstraint(in_field, LEAST_SHARE / fields, 1.0),
        ],
        options={"ftol": 1e-7, "maxiter": 300},
    )
    shares = np.maximum(found.x, 0.0)
    shares = shares / shares.sum()
    better = np.isfinite(shares).all() and columns.cost(shares)[0] <= columns.cost(start)[0]
    return np.asarray(shares if better else start, dtype=np.float64)
