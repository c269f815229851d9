"""The pencil kernel of a spectrum in water: Gaussians of fixed widths whose weights follow the depth.

A pencil of photons that enters water releases TERMA along its axis, and each released energy spreads as the Monte
Carlo kernels of the collapsed cone say (Ahnesjo 1992, doi 10.1118/1.596856, builds pencil kernels so). With h_E(R,
t) the share of the energy deposited in a spherical-conical bin, the energy per depth inside a cylinder of radius r
about the pencil is

    C(r, z) = sum_E psi_E (mu/rho)_E e^(-mu_E z) sum_bins h_E [R sin(t) < r, R cos(t) < z] e^(mu_E R cos(t)),

exactly, bins cut in 24 parts. It is the depth dose on the axis of a parallel round field of radius r. Primary and
scattered parts are each written as

    C(r, z) = sum_n a_n(z) (1 - exp(-r^2 / 2 s_n^2)),   a_n >= 0,

by non-negative least squares of the relative residual. A sum of Gaussians keeps three things that the influence of
rectangular beamlets is fast by: each is a product of two one-dimensional error functions, blur by focal spot and voxel
adds to its variance, and a stretch by density keeps its energy. Four primary and five scattered widths meet C within
1 % for r > 3 mm down to 35 cm of water; the ladders of widths are sought for each spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.optimize import nnls

from rtsim.dose.collapsed_cone.mono_kernels import MonoKernels, mono_kernels
from rtsim.dose.terma.fan import energy_groups
from rtsim.materials import EnergyGroups, Spectrum, get
from rtsim.typing import AnyFloatArray, FloatArray

PRIMARY_TERMS: Final = 4
SCATTER_TERMS: Final = 5
DEEPEST_MM: Final = 800.0
_DEPTHS_CM: Final = np.concatenate([np.arange(0, 30) * 0.1, np.arange(6, 61) * 0.5, np.arange(32, 81, 2.0)])
_RADII_CM: Final = np.geomspace(0.02, 60.0, 71)
_FITTED: Final = np.abs(np.log(_RADII_CM / np.sqrt(0.05 * 40.0))) < 0.5 * np.log(40.0 / 0.05)
"""Radii from 0.5 to 400 mm."""
_LADDER_DEPTHS_CM: Final = (1.5, 5.0, 10.0, 20.0, 30.0)
_RATIOS: Final = np.linspace(1.8, 4.0, 12)
_WIDEST_CM: Final = (np.geomspace(0.2, 2.0, 14), np.geomspace(8.0, 40.0, 14))
_ANGLE_PARTS: Final = 4
_RADIUS_PARTS: Final = 6
_FLOOR: Final = 0.02


@dataclass(frozen=True, eq=False, kw_only=True)
class PencilKernel:
    """Energy deposited about a pencil of photons in water of 1 g/cm3, per photon of the spectrum.

    Attributes:
        amplitudes: (depths, terms) MeV cm2/g at depths 0, 1, 2 .. 800 mm: weight of each Gaussian of unit integral.
            Their sum is the depth dose of an infinite parallel beam of one photon per cm2, in MeV/g.
        sigmas_mm: (terms,) widths; the first ``PRIMARY_TERMS`` belong to the primary electrons.
        primary_reach_mm, scatter_reach_mm: mean distance that the energy of each part travels; the matter that its
            lateral spread sees lies so far upstream.
        attenuation_energy_mev, attenuation_weights: photon energies, and their shares of the TERMA at 100 mm depth:
            over these other matter is compared with water.
    """

    amplitudes: FloatArray
    sigmas_mm: FloatArray
    primary_reach_mm: float
    scatter_reach_mm: float
    attenuation_energy_mev: FloatArray
    attenuation_weights: FloatArray

    def inside_radius(self, depth_mm: float, radius_mm: AnyFloatArray) -> FloatArray:
        """(...,) depth dose, MeV/g, on the axis of a parallel round field (one photon per cm2) of that radius."""
        at = np.array([np.interp(depth_mm, np.arange(a.size, dtype=np.float64), a) for a in self.amplitudes.T])
        r = np.asarray(radius_mm, dtype=np.float64)[..., None]
        return np.asarray((at * (1.0 - np.exp(-0.5 * (r / self.sigmas_mm) ** 2))).sum(axis=-1))


@lru_cache(maxsize=32)
def pencil_kernel(spectrum: Spectrum) -> PencilKernel:
    """The pencil kernel of a spectrum."""
    mono, groups = mono_kernels(), energy_groups(spectrum)
    inside = energy_inside(spectrum, _DEPTHS_CM, _RADII_CM)
    parts = [_Part.of(inside[p], inside.sum(axis=0), count, _WIDEST_CM[p]) for p, count in enumerate(_COUNTS)]
    nodes = np.arange(0.0, DEEPEST_MM + 1.0)
    weights = np.concatenate([p.weights() for p in parts], axis=1)
    attenuation = get("water").mass_attenuation_cm2_g(groups.energy_mev)
    terma = groups.energy_fluence * attenuation * np.exp(-10.0 * attenuation)
    reach = [_mean_distance_cm(mono, groups, attenuation, p) for p in range(2)]
    return PencilKernel(
        amplitudes=np.stack([np.interp(nodes, 10.0 * _DEPTHS_CM, w) for w in weights.T], axis=1),
        sigmas_mm=10.0 * np.concatenate([p.sigmas_cm for p in parts]),
        primary_reach_mm=10.0 * reach[0],
        scatter_reach_mm=10.0 * reach[1],
        attenuation_energy_mev=groups.energy_mev,
        attenuation_weights=terma / terma.sum(),
    )


_COUNTS: Final = (PRIMARY_TERMS, SCATTER_TERMS)


def energy_inside(spectrum: Spectrum, depths_cm: FloatArray, radii_cm: FloatArray) -> FloatArray:
    """(part, depths, radii) C(r, z) in MeV cm2/g per photon: energy per mass depth inside a cylinder about a pencil.

    ``depths_cm`` ascend from 0; parts: 0 primary, 1 scattered. What is released beyond the entrance scatters back.
    """
    mono, groups = mono_kernels(), energy_groups(spectrum)
    attenuation = get("water").mass_attenuation_cm2_g(groups.energy_mev)
    forward, aside, share = _samples(mono)
    # a sample counts at every depth beyond its own forward distance, and in every cylinder wider than its own radius
    first = np.searchsorted(depths_cm, forward, side="left")
    column = np.searchsorted(radii_cm, aside, side="left")
    place, shape = first * (radii_cm.size + 1) + column, (depths_cm.size + 1, radii_cm.size + 1)
    out = np.zeros((2, depths_cm.size, radii_cm.size))
    shares = mono.energy_shares(groups.energy_mev)
    for g, mu in enumerate(attenuation):
        kernel = np.tensordot(shares[g], mono.fraction, 1)
        lift = share * np.exp(mu * forward)
        scale = groups.photons[g] * groups.energy_mev[g] * mu * np.exp(-mu * depths_cm)
        for part in range(2):
            weight = np.broadcast_to(kernel[:, :, part, None, None], (*kernel.shape[:2], _ANGLE_PARTS, _RADIUS_PARTS))
            sums = np.bincount(place, weight.ravel() * lift, minlength=shape[0] * shape[1]).reshape(shape)[:-1, :-1]
            out[part] += scale[:, None] * sums.cumsum(axis=0).cumsum(axis=1)
    return out


def _samples(mono: MonoKernels) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(samples,) forward distance, distance from the axis, and share of its bin, for parts of every kernel bin.

    Order: angle bin, radius bin, part in angle (equal solid angles), part in radius (in a wide bin the energy falls as
    exp(-0.04 r), as in the collapsed cone).
    """
    cosine, radius = np.cos(mono.theta_edges_rad), mono.radius_edges_cm
    middle = (np.arange(_ANGLE_PARTS) + 0.5) / _ANGLE_PARTS
    c = (cosine[:-1, None] + middle * np.diff(cosine)[:, None])[:, None, :, None]
    r = radius[:-1, None] + (np.arange(_RADIUS_PARTS) + 0.5) / _RADIUS_PARTS * np.diff(radius)[:, None]
    fall = np.exp(-0.04 * r)
    share = (fall / fall.sum(axis=1, keepdims=True) / _ANGLE_PARTS)[None, :, None, :]
    r = r[None, :, None, :]
    forward = c * r
    return forward.ravel(), (np.sqrt(1.0 - c**2) * r).ravel(), np.broadcast_to(share, forward.shape).ravel()


def _mean_distance_cm(mono: MonoKernels, groups: EnergyGroups, attenuation: FloatArray, part: int) -> float:
    """Mean distance from release to deposit of one part, over the TERMA at the surface."""
    terma = groups.energy_fluence * attenuation
    kernel = np.tensordot(terma @ mono.energy_shares(groups.energy_mev), mono.fraction, 1)
    per_radius = kernel[:, :, part].sum(axis=0)
    middle = 0.5 * (mono.radius_edges_cm[1:] + mono.radius_edges_cm[:-1])
    return float(per_radius @ middle / per_radius.sum())


@dataclass(frozen=True, eq=False)
class _Part:
    """One part of C to be fitted: (depths, radii) values, weights of the residual, and the widths that were chosen."""

    inside: FloatArray
    scale: FloatArray
    sigmas_cm: FloatArray

    @classmethod
    def of(cls, inside: FloatArray, total: FloatArray, count: int, widest_cm: FloatArray) -> _Part:
        """The ladder of ``count`` widths, widest and ratio sought, that leaves the least relative residual."""
        scale = 1.0 / (total + _FLOOR * total[:, -1:])
        rows = [int(np.argmin(np.abs(_DEPTHS_CM - z))) for z in _LADDER_DEPTHS_CM]
        ladders = [top * ratio ** -np.arange(count) for top in widest_cm for ratio in _RATIOS]
        residuals = [sum(cls(inside, scale, ladder).fit(row)[1] ** 2 for row in rows) for ladder in ladders]
        return cls(inside, scale, ladders[int(np.argmin(residuals))])

    def fit(self, row: int) -> tuple[FloatArray, float]:
        """(terms,) weights a_n >= 0 at one depth, and the norm of the relative residual."""
        near = _FITTED
        basis = 1.0 - np.exp(-0.5 * (_RADII_CM[near, None] / self.sigmas_cm) ** 2)
        scale = self.scale[row, near]
        weights, residual = nnls(basis * scale[:, None], self.inside[row, near] * scale)
        return weights, float(residual)

    def weights(self) -> FloatArray:
        """(depths, terms)."""
        return np.stack([self.fit(row)[0] for row in range(_DEPTHS_CM.size)])
