"""Random numbers: xoroshiro128+ (Blackman & Vigna 2021, doi:10.1145/3460772), one stream for each history.

The state is filled from the seed and the number of the history by splitmix64 (Steele, Lea & Flood 2014,
doi:10.1145/2714064.2660195), so that a history is the same whichever thread runs it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_HALF_STEP = 2.0**-54


@njit(nogil=True, _nrt=False)
def _mixed(x):
    """The output function of splitmix64: a bijection of 64 bits."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@njit(nogil=True, _nrt=False)
def seed_history(state, seed, history):
    """Fill ``state`` (2,) uint64 for history number ``history`` of a run with ``seed`` (both >= 0)."""
    start = _mixed(_mixed(np.uint64(seed) + _GOLDEN) ^ np.uint64(history))
    state[0] = _mixed(start + _GOLDEN)
    state[1] = _mixed(start + _GOLDEN + _GOLDEN)


@njit(nogil=True, _nrt=False)
def uniform(state):
    """A number in (0, 1], on a lattice of 2^-53 shifted by half a step (1 once in 2^53); advances ``state``."""
    a, b = state[0], state[1]
    bits = a + b
    b ^= a
    state[0] = ((a << np.uint64(24)) | (a >> np.uint64(40))) ^ b ^ (b << np.uint64(16))
    state[1] = (b << np.uint64(37)) | (b >> np.uint64(27))
    return np.float64(bits >> np.uint64(11)) * 2.0**-53 + _HALF_STEP
