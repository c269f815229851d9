"""Lea-Catcheside factor of any course by its definition, integrated numerically. Slow; the oracle of closed forms.

G = 2 / D^2  int dt R(t)  int_(t' < t) dt' R(t') exp(-mu (t - t')), with R the dose rate and D its integral
(Lea and Catcheside 1942, J Genet 44:216; Sachs et al. 1997, Int J Radiat Biol 72:351).
"""

from __future__ import annotations

import numpy as np


def lea_catcheside(mu_per_h: float, fractions: int, interval_h: float, duration_h: float, steps: int = 400) -> float:
    """Of ``fractions`` rectangular pulses; midpoint rule, the inner step's own half counted as exp(0)."""
    dt = duration_h / steps
    inside = (np.arange(steps) + 0.5) * dt
    times = (np.arange(fractions)[:, None] * interval_h + inside[None, :]).ravel()
    rate = np.full(times.size, 1.0 / (fractions * duration_h))
    total = 0.0
    for i in range(times.size):
        earlier = np.sum(rate[:i] * np.exp(-mu_per_h * (times[i] - times[:i]))) * dt
        total += rate[i] * (earlier + 0.5 * rate[i] * dt) * dt
    return 2.0 * float(total)
