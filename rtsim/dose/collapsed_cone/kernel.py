"""The collapsed dose kernel of a spectrum: cone directions, their energy shares and their exponentials.

Monte Carlo kernels (data/README.md) of twelve photon energies are mixed with the TERMA weights of the spectrum
(mono_kernels.py), gathered into rings about the photon direction (rings.py), and each ring's radial build-up is written
as

    F(r) = sum_k c_k (1 - exp(-a_k r)),   r in g/cm2

(Ahnesjo 1989, doi 10.1118/1.596360), with two fast terms (a, 4a) for primary electrons and the build-up of the
scattered part, and two slow terms (b, 2b) for scattered photons, each on rings and cones of its own (kernel_fit.py).
The exponents belong to the ring and are the same for all photon energies, so the c_k stay *linear* in the spectrum and
the hardening of the beam with depth is a linear mixture of two coefficient sets: with the lever rule f(E) = (p(E) -
p_min)/(p_max - p_min), p the primary share of the mono-energetic kernel, the kernel of any depth is (1 - f) c_soft + f
c_hard. What each step costs of the dose on the axis is asserted in tests/analytic/test_dose_kernel.py, against direct
superposition of the tabulated kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rtsim.dose.collapsed_cone.kernel_fit import RingTerms, fit_fast, fit_slow
from rtsim.dose.collapsed_cone.mono_kernels import BeamKernels, mono_kernels
from rtsim.dose.collapsed_cone.rings import Rings
from rtsim.dose.collapsed_cone.tilt import balanced, ring_tilt
from rtsim.errors import InputError
from rtsim.materials import Spectrum
from rtsim.typing import FloatArray

SLOW_CONES_PER_FAST = 1.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Cones:
    """One part of a kernel, collapsed onto ``n`` cone directions about the photon direction (0, 0, 1).

    Attributes:
        directions: (n, 3) unit vectors.
        exponents_per_cm: (n, 2) of the two terms, per g/cm2.
        soft, hard: (n, 2) energy share of each term in the two kernels of the lever rule.
        tilt: (n, 3) how the shares change when the local ray leaves the beam axis: factor 1 + A p + B p^2 + C s^2,
            with s the sine of the angle between ray and axis and p its component towards the cone.
    """

    directions: FloatArray
    exponents_per_cm: FloatArray
    soft: FloatArray
    hard: FloatArray
    tilt: FloatArray

    @property
    def count(self) -> int:
        """Number of cones."""
        return int(self.directions.shape[0])

    @property
    def ratio(self) -> int:
        """Second exponent over the first: 2 or 4, for the transport gets it by squaring exp(-x)."""
        ratio = self.exponents_per_cm[:, 1] / self.exponents_per_cm[:, 0]
        whole = round(float(ratio[0]))
        if whole not in (2, 4) or not np.allclose(ratio, whole, rtol=1e-9):
            raise ValueError(f"the ratio of the exponents is {ratio.min():g} to {ratio.max():g}; 2 or 4 for all cones")
        return whole


@dataclass(frozen=True, eq=False, kw_only=True)
class ConeKernel:
    """A kernel in two parts that are transported on grids of their own.

    Attributes:
        fast: what is absorbed within two or three g/cm2: primary electrons, and the build-up of the scattered part.
        slow: scattered photons.
        hardness_low, hardness_span: the lever rule, f = (primary share - low) / span.

    The shares of both parts together sum to 1, for soft and for hard: energy is conserved.
    """

    fast: Cones
    slow: Cones
    hardness_low: float
    hardness_span: float

    def hardness(self, energies_mev: FloatArray) -> FloatArray:
        """Lever-rule share f(E) of the hard coefficient set, at photon energies."""
        share = mono_kernels().primary_share(np.asarray(energies_mev, dtype=np.float64))
        return np.asarray((share - self.hardness_low) / self.hardness_span)


@lru_cache(maxsize=32)
def collapse(spectrum: Spectrum, cones: int) -> ConeKernel:
    """The kernel of a spectrum with ``cones`` fast and 1.5 times as many slow cones.

    The slow part needs more: it comes from farther away, and wider fields see it all.

    Raises:
        InputError: fewer than 12 cones.
    """
    if cones < 12:
        raise InputError(f"cones is {cones}; at least 12 directions are needed")
    kernels = BeamKernels.of(spectrum)
    slow_cones = round(SLOW_CONES_PER_FAST * cones)
    energy = kernels.mixed(kernels.sets).sum(axis=1)
    fast_rings = Rings.of(energy[:, 0], kernels.theta_edges_rad, max(3, round(np.sqrt(cones))))
    slow_rings = Rings.of(energy[:, 1], kernels.theta_edges_rad, max(4, round(np.sqrt(2.0 * slow_cones))))
    slow, build_up = fit_slow(kernels, slow_rings)
    fast = fit_fast(kernels, fast_rings, build_up)
    return ConeKernel(
        fast=_cones(kernels, 0, fast_rings, fast, cones),
        slow=_cones(kernels, 1, slow_rings, slow, slow_cones),
        hardness_low=kernels.low,
        hardness_span=kernels.span,
    )


def _cones(kernels: BeamKernels, part: int, rings: Rings, terms: RingTerms, count: int) -> Cones:
    """A part's rings, each shared by its cones."""
    directions, ring, per_ring = rings.directions(count)
    soft, hard = (e[ring] / per_ring[ring, None] for e in terms.energies)
    tilts = [ring_tilt(kernels, part, rings.edges_rad[m : m + 2], int(per_ring[m])) for m in range(rings.count)]
    return Cones(
        directions=directions,
        exponents_per_cm=terms.exponents_per_cm[ring],
        soft=soft,
        hard=hard,
        tilt=balanced(np.stack(tilts)[ring], kernels.mixed(np.stack([soft, hard])).sum(axis=1)),
    )
