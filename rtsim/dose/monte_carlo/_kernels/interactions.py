"""One interaction of one photon or electron: energies and polar cosines of what leaves it.

Energies are kinetic energies and photon energies in MeV. Cosines are relative to the direction of the particle that
interacts; azimuths are the caller's (two electrons of a scatter, or photon and electron, are half a turn apart).
``state`` is the (2,) uint64 state of ``random.uniform``.
"""

from __future__ import annotations

import math

from numba import njit

from rtsim.dose.monte_carlo._kernels.random import uniform

REST = 0.51099895  # MeV, CODATA 2018
_Z_CUBE_ROOT_111 = 7.4 ** (1.0 / 3.0) / 111.0  # screening of the angle of bremsstrahlung, Z of water


@njit(nogil=True, error_model="numpy", _nrt=False)
def _compton_share_low(kappa, lowest, state):
    """eps = E'/E drawn uniform and kept by eps + 1/eps - sin^2, no logarithm: efficient below 0.5 MeV."""
    bound = lowest + 1.0 / lowest
    while True:
        eps = lowest + (1.0 - lowest) * uniform(state)
        inverse = 1.0 / eps
        t = (inverse - 1.0) / kappa
        if uniform(state) * bound < eps + inverse - t * (2.0 - t):
            return eps


@njit(nogil=True, error_model="numpy", _nrt=False)
def _compton_share_high(kappa, lowest, state):
    """eps = E'/E drawn from 1/eps and eps, kept with 1 - eps sin^2/(1 + eps^2): efficient at all energies."""
    log_range = -math.log(lowest)
    square_range = 1.0 - lowest * lowest
    share = log_range / (log_range + 0.5 * square_range)
    while True:
        if uniform(state) < share:
            eps = math.exp(-log_range * uniform(state))
        else:
            eps = math.sqrt(lowest * lowest + square_range * uniform(state))
        t = (1.0 - eps) / (kappa * eps)
        even = 1.0 + eps * eps
        if uniform(state) * even < even - eps * t * (2.0 - t):
            return eps


@njit(nogil=True, error_model="numpy", _nrt=False)
def compton(energy, state):
    """Klein-Nishina scatter: (scattered_energy, cos_photon, electron_kinetic, cos_electron).

    dsigma/deps ~ eps + 1/eps - sin^2 for 1/(1 + 2 E/mc2) <= eps = E'/E <= 1, 1 - cos = mc2/E (1/eps - 1), by rejection
    (Butcher & Messel 1960, Nucl Phys 20:15; EGS). The electron is free and at rest, so that its angle follows.
    """
    kappa = energy / REST
    lowest = 1.0 / (1.0 + 2.0 * kappa)
    eps = _compton_share_low(kappa, lowest, state) if energy < 0.5 else _compton_share_high(kappa, lowest, state)
    t = min(max((1.0 - eps) / (kappa * eps), 0.0), 2.0)  # 1 - cos of the photon
    scattered = energy * eps
    kinetic = energy - scattered
    momentum = math.sqrt(kinetic * (kinetic + 2.0 * REST))
    if momentum <= 0.0:
        return scattered, 1.0 - t, 0.0, 1.0
    # E - E' cos = T + E' (1 - cos), without the difference of two large numbers
    return scattered, 1.0 - t, kinetic, min(1.0, (kinetic + scattered * t) / momentum)


@njit(nogil=True, error_model="numpy", _nrt=False)
def pair_density(share, kappa):
    """Bethe-Heitler cross section per energy share of the positron, any unit; ``kappa`` = E/mc2 > 2, 0 < share < 1.

    Born approximation without screening (Heitler, The Quantum Theory of Radiation, 3rd ed., sec. 26 eq. 8), exact in
    the electron mass, so that it holds from the threshold; share of the kinetic energy. Integrated it meets the XCOM
    pair cross section of carbon to 1 % from 1.5 to 25 MeV.
    """
    e1 = 1.0 + share * (kappa - 2.0)
    e2 = kappa - e1
    p1 = math.sqrt(e1 * e1 - 1.0)
    p2 = math.sqrt(e2 * e2 - 1.0)
    ee, pp = e1 * e2, p1 * p2
    l1 = 2.0 * math.log(e1 + p1)
    l2 = 2.0 * math.log(e2 + p2)
    big = 2.0 * math.log((ee + pp + 1.0) / kappa)
    cube1, cube2 = p1 * p1 * p1, p2 * p2 * p2
    plain = -4.0 / 3.0 - 2.0 * ee * (p1 * p1 + p2 * p2) / (pp * pp) + l1 * e2 / cube1 + l2 * e1 / cube2 - l1 * l2 / pp
    bracket = kappa * kappa * (ee * ee + pp * pp) / (pp * pp * pp) - 8.0 / 3.0 * ee / pp
    bracket -= (
        kappa / (2.0 * pp) * ((ee - p2 * p2) / cube2 * l2 + (ee - p1 * p1) / cube1 * l1 + 2.0 * kappa * ee / (pp * pp))
    )
    return pp * (plain + big * bracket)


@njit(nogil=True, error_model="numpy", _nrt=False)
def _pair_cosine(kinetic, state):
    """dP/dcos ~ 1/(E - p cos)^2: the leading term of the angle, of the order of mc2/E."""
    total = kinetic + REST
    momentum = math.sqrt(kinetic * (kinetic + 2.0 * REST))
    x = 2.0 * uniform(state) - 1.0
    return (total * x + momentum) / (momentum * x + total)


@njit(nogil=True, error_model="numpy", _nrt=False)
def pair(energy, state):
    """Pair production: (kinetic_electron, cos_electron, kinetic_positron, cos_positron).

    The kinetic energy E - 2 mc2 is shared by ``pair_density``, which up to 25 MeV is nowhere more than 1.01 times its
    value for equal shares; nothing is drawn at or below the threshold, where both energies are 0. A triplet is treated
    as a pair: the electron that recoils gets nothing.
    """
    available = energy - 2.0 * REST
    if available <= 0.0:
        return 0.0, 1.0, 0.0, 1.0
    kappa = energy / REST
    bound = 1.01 * pair_density(0.5, kappa)
    share = 0.5
    if available > 1e-3 * REST:  # closer to the threshold rounding would rule, and equal shares do
        while True:
            share = 1e-3 + 0.998 * uniform(state)  # the density falls to zero at both ends
            if uniform(state) * bound < pair_density(share, kappa):
                break
    positron = share * available
    electron = available - positron
    return electron, _pair_cosine(electron, state), positron, _pair_cosine(positron, state)


@njit(nogil=True, error_model="numpy", _nrt=False)
def photo(energy, state):
    """Photoabsorption: (kinetic, cos). The whole energy goes to the electron, binding included; Sauter's angle.

    dP/dnu ~ nu (2 - nu)/(A + nu)^3 [1/(A + nu) + beta gamma (gamma - 1)(gamma - 2)/2], nu = 1 - cos, A = 1/beta - 1
    (Sauter 1931, Ann Phys 11:454; sampled as in PENELOPE: inverse of the first factor, rejection of the second).
    """
    gamma = 1.0 + energy / REST
    beta = math.sqrt(1.0 - 1.0 / (gamma * gamma))
    a = 1.0 / beta - 1.0
    second = 0.5 * beta * gamma * (gamma - 1.0) * (gamma - 2.0)
    largest = 2.0 * (1.0 / a + second)
    while True:
        u = uniform(state)
        nu = 2.0 * a / ((a + 2.0) * (a + 2.0) - 4.0 * u) * (2.0 * u + (a + 2.0) * math.sqrt(u))
        if uniform(state) * largest < (2.0 - nu) * (1.0 / (a + nu) + second):
            break
    return energy, 1.0 - nu


@njit(nogil=True, error_model="numpy", _nrt=False)
def moller(kinetic, cut, state):
    """Moller scatter with cut <= W <= T/2: (kinetic_secondary, cos_primary, cos_secondary), the slower as secondary.

    With eps = W/T and a = ((gamma - 1)/gamma)^2: dsigma/deps ~ 1/eps^2 + 1/(1 - eps)^2 + a - (1 - a)/(eps (1 - eps)).
    eps is drawn from 1/eps^2 + 5 a, which is nowhere below it (Salvat, PENELOPE), and accepted by the ratio. With
    kinetic < 2 cut, where the cross section is 0 but for its interpolation, the two share equally.
    """
    gamma = 1.0 + kinetic / REST
    a = (gamma - 1.0) / gamma
    a *= a
    low = min(cut / kinetic, 0.5)
    inverse_range = 1.0 / low - 2.0
    flat = 5.0 * a * (0.5 - low)
    while True:
        x = uniform(state) * (inverse_range + flat)
        eps = 1.0 / (1.0 / low - x) if x < inverse_range else low + (x - inverse_range) / (5.0 * a)
        r = eps / (1.0 - eps)
        squared = eps * eps
        if uniform(state) * (1.0 + 5.0 * a * squared) < 1.0 + a * squared + r * (r - 1.0 + a):
            break
    secondary = eps * kinetic
    left = kinetic - secondary
    whole = kinetic + 2.0 * REST
    cos_primary = math.sqrt(left * whole / (kinetic * (left + 2.0 * REST)))
    cos_secondary = math.sqrt(secondary * whole / (kinetic * (secondary + 2.0 * REST)))
    return secondary, min(1.0, cos_primary), min(1.0, cos_secondary)


@njit(nogil=True, error_model="numpy", _nrt=False)
def bremsstrahlung(kinetic, cut, table, log_min, inverse_step, state):
    """Bremsstrahlung with cut <= k <= T: (photon_energy, cos_photon). The electron keeps its direction.

    ``table`` [energy, share] is the shape k dsigma/dk, at most 1, on the grid of energies (log_min, inverse_step) and
    k/T uniform from 0 to 1: k is drawn from 1/k and kept with that probability. Needs kinetic > cut.
    """
    x = (math.log(kinetic) - log_min) * inverse_step
    row = min(max(int(x), 0), table.shape[0] - 2)
    upper = min(max(x - row, 0.0), 1.0)
    bins = table.shape[1] - 1
    log_range = math.log(kinetic / cut)
    while True:
        photon = cut * math.exp(log_range * uniform(state))
        place = min(photon / kinetic, 1.0) * bins
        i = min(int(place), bins - 1)
        w = place - i
        shape = (1.0 - upper) * ((1.0 - w) * table[row, i] + w * table[row, i + 1])
        shape += upper * ((1.0 - w) * table[row + 1, i] + w * table[row + 1, i + 1])
        if uniform(state) < shape:
            break
    return photon, _bremsstrahlung_cosine(kinetic, min(photon, kinetic), state)


@njit(nogil=True, error_model="numpy", _nrt=False)
def _bremsstrahlung_cosine(kinetic, photon, state):
    """Polar angle of the photon, Koch & Motz 1959 formula 2BS (Rev Mod Phys 31:920), screening of water.

    With y = beta (1 + beta) gamma^2 (1 - cos), which is (gamma theta)^2 at small angles, and r = E'/E:
    dP/dy ~ 1/(1 + y)^2 {16 r y/(1 + y)^2 - (1 + r)^2 + [1 + r^2 - 4 r y/(1 + y)^2] ln M},
    1/M = (k/(2 E E'))^2 + (Z^(1/3)/(111 (1 + y)))^2. y is drawn from the first factor; the rest grows with M and has
    y/(1 + y)^2 <= 1/4, which gives the bound.
    """
    gamma = 1.0 + kinetic / REST
    left = max(gamma - photon / REST, 1.0)
    r = left / gamma
    beta_gamma = math.sqrt(gamma * gamma - 1.0)
    longest = 2.0 * beta_gamma * (gamma + beta_gamma)  # y of cos = -1
    drawn = longest / (1.0 + longest)
    unscreened = 0.5 * (gamma - left) / (gamma * left)
    unscreened *= unscreened
    largest = -math.log(unscreened + (_Z_CUBE_ROOT_111 / (1.0 + longest)) ** 2)
    rest = -(1.0 + r) * (1.0 + r)
    even = 1.0 + r * r
    bound = rest + even * largest + r * max(0.0, 4.0 - largest)
    while True:
        v = drawn * uniform(state)
        y = v / (1.0 - v)
        hump = 4.0 * r * v * (1.0 - v)  # 4 r y/(1 + y)^2
        screened = _Z_CUBE_ROOT_111 * (1.0 - v)
        log_m = -math.log(unscreened + screened * screened)
        if uniform(state) * bound < rest + 4.0 * hump + (even - hump) * log_m:
            break
    return max(1.0 - 2.0 * y / longest, -1.0)
