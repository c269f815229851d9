"""Multiple elastic scattering: the angle of an electron after many collisions with screened nuclei.

    scatter(collisions, eta, u1, u2, table) -> 1 - cos(theta)

collisions: mean number of elastic collisions of the step, 0 to 1e5 (collisions per g/cm2 of ``elastic`` times g/cm2).
eta: Moliere's screening parameter at the energy of the step; u1, u2: uniform numbers in (0, 1); table: float32
[COLLISION_NODES, WIDTH_NODES, QUANTILES] from ``tables.scattering.scattering_table()``. Both random numbers are
arguments, and the angle grows with u2, so that copies of an electron in other media can share them.

The distribution is that of Goudsmit and Saunderson for the screened Rutherford cross section, in the parts of Kawrakow
and Bielajew: no collision, exp(-k); one, k exp(-k), sampled directly; two or more from the table. There, with xi = 1 -
cos(theta) and the width a = eta * f(k), the variable u = (1 + a) xi / (xi + 2 a) is nearly uniform. The table holds r,
the ratio of the odds u / (1 - u) of the quantile of probability U to the odds U / (1 - U): smooth in all three, and one
table for all media and energies. xi = 2 a r U / ((1 + a)(1 - U) + a r U). The table was computed with the same f, so
that its choice is free.

source: I. Kawrakow and A. F. Bielajew, Nucl. Instr. Meth. B 134 (1998) 325; S. Goudsmit and J. L. Saunderson,
Phys. Rev. 57 (1940) 24.
"""

from __future__ import annotations

import math

from numba import njit

COLLISION_NODES = 61
"""Nodes of ln(1 + collisions / KNEE), uniform from 0 to that of MOST_COLLISIONS."""
WIDTH_NODES = 16
"""Nodes of a / (a + HALF_WIDTH), uniform from a = 0 to a = GREATEST_WIDTH."""
QUANTILES = 43
"""Nodes of v = b U / (1 + b - U), uniform from 0 to 1, with b = BEND: closer where the tail of large angles begins."""
KNEE = 2.0
BEND = 0.6
MOST_COLLISIONS = 1.0e5
HALF_WIDTH = 0.5
GREATEST_WIDTH = 1.0
"""First moment of about 2: directions nearly isotropic. Beyond it, and beyond MOST_COLLISIONS, the last node holds."""
MANY_COLLISIONS = 14.0
"""From here on the parts of no and of one collision (1e-5 together, 1e-6 of the mean angle) count to the others."""

COLLISION_STEP = math.log(1.0 + MOST_COLLISIONS / KNEE) / (COLLISION_NODES - 1)
WIDTH_STEP = GREATEST_WIDTH / (GREATEST_WIDTH + HALF_WIDTH) / (WIDTH_NODES - 1)

_LAST_COLLISION = COLLISION_NODES - 1.0 - 1.0e-9
_LAST_WIDTH = WIDTH_NODES - 1.0 - 1.0e-9
_PER_COLLISION_STEP = 1.0 / COLLISION_STEP
_PER_WIDTH_STEP = 1.0 / WIDTH_STEP
_PER_KNEE = 1.0 / KNEE
_BENT_CELLS = (QUANTILES - 1.0) * BEND


@njit(nogil=True, error_model="numpy", _nrt=False)
def width_over_screening(collisions, log_collisions):
    """About half the median of 1 - cos(theta) over eta at small angles, given k and ln(1 + k / KNEE)."""
    return 2.8 + collisions * (0.2 + 0.87 * log_collisions)


@njit(nogil=True, error_model="numpy", _nrt=False)
def scatter(collisions, eta, u1, u2, table):
    """1 - cos(theta) after a mean of ``collisions`` collisions of screening ``eta``; 0 without collisions."""
    if collisions < MANY_COLLISIONS:
        none = math.exp(-collisions)
        if u1 < none * (1.0 + collisions):
            return 0.0 if u1 < none else 2.0 * eta * u2 / (1.0 - u2 + eta)
    log_collisions = math.log(1.0 + collisions * _PER_KNEE)
    width = eta * width_over_screening(collisions, log_collisions)
    x = min(log_collisions * _PER_COLLISION_STEP, _LAST_COLLISION)
    y = min(width / (width + HALF_WIDTH) * _PER_WIDTH_STEP, _LAST_WIDTH)
    rest = 1.0 - u2
    z = _BENT_CELLS * u2 / (BEND + rest)
    i, j, k = int(x), int(y), int(z)
    x -= i
    y -= j
    z -= k
    near = (1.0 - y) * ((1.0 - z) * table[i, j, k] + z * table[i, j, k + 1])
    near += y * ((1.0 - z) * table[i, j + 1, k] + z * table[i, j + 1, k + 1])
    far = (1.0 - y) * ((1.0 - z) * table[i + 1, j, k] + z * table[i + 1, j, k + 1])
    far += y * ((1.0 - z) * table[i + 1, j + 1, k] + z * table[i + 1, j + 1, k + 1])
    weighted = width * ((1.0 - x) * near + x * far) * u2
    return 2.0 * weighted / ((1.0 + width) * rest + weighted)
