"""The collapsed dose kernel of a spectrum: cone directions, their energy shares and their exponentials.

Monte Carlo kernels (data/README.md) of twelve photon energies are mixed with the TERMA weights of the spectrum,
gathered into rings of equal energy about the photon direction, and each ring's radial build-up is written as

    F(r) = sum_k c_k (1 - exp(-a_k r)),   k = 2 primary (a, 4a) + 2 scattered (b, 2b) terms, r in g/cm2,

(Ahnesjo 1989, doi 10.1118/1.596360, with two terms instead of one for each part). The exponents belong to the ring
and are the same for all photon energies, so the c_k stay *linear* in the spectrum and the hardening of the beam with
depth is a
linear mixture of two coefficient sets: with the lever rule f(E) = (p(E) - p_min)/(p_max - p_min), p the primary
share of the mono-energetic kernel, the kernel of any depth is (1 - f) c_soft + f c_hard to about 0.1 % of the
energy, whereas the surface kernel alone is wrong by 3 % in 30 cm of water. Two terms instead of one cut the largest
residual of a ring from 5 to 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

import numpy as np

from rtsim.errors import InputError
from rtsim.materials import Spectrum, get
from rtsim.typing import FloatArray

PRIMARY_TERMS = 2
SCATTER_TERMS = 2
PRIMARY_RATIOS = (1.0, 4.0)
SCATTER_RATIOS = (1.0, 2.0)
"""Exponents over the first of their part; powers of two, so that the transport gets them by squaring exp(-x)."""
_FLOOR = 0.02
_DEPTHS_CM = (0.0, 5.0, 10.0, 20.0, 30.0)
_PRIMARY_PER_CM = np.geomspace(0.6, 15.0, 120)
_SCATTER_PER_CM = np.geomspace(0.02, 0.09, 120)


@dataclass(frozen=True, eq=False)
class MonoKernels:
    """Monte Carlo kernels of water: see data/README.md for shapes and source."""

    energy_mev: FloatArray
    theta_edges_rad: FloatArray
    radius_edges_cm: FloatArray
    fraction: FloatArray
    mass_attenuation_cm2_g: FloatArray

    def energy_weights(self, energies_mev: FloatArray, weights: FloatArray) -> FloatArray:
        """(12,) weights of the tabulated energies that stand for ``weights`` at ``energies_mev`` (linear in ln E)."""
        index = np.interp(np.log(energies_mev), np.log(self.energy_mev), np.arange(self.energy_mev.size))
        low = np.minimum(index.astype(np.int64), self.energy_mev.size - 2)
        out = np.zeros(self.energy_mev.size)
        np.add.at(out, low, weights * (1.0 - (index - low)))
        np.add.at(out, low + 1, weights * (index - low))
        return out

    def whole(self) -> FloatArray:
        """(energy, angle, radius + 1, part): with the energy that leaves the 60 cm sphere as one more scattered bin.

        It keeps the angular shape of the last two bins. Every kernel then sums to 1, and so does any mixture of
        kernels.
        """
        last = self.fraction[:, :, -2:, 1].sum(axis=2)
        missing = 1.0 - self.fraction.sum(axis=(1, 2, 3))
        beyond = np.zeros((*self.fraction.shape[:2], 1, 2))
        beyond[:, :, 0, 1] = last * (missing / last.sum(axis=1))[:, None]
        return np.concatenate([self.fraction, beyond], axis=2)

    def primary_share(self, energies_mev: FloatArray) -> FloatArray:
        """Share of the released energy that primary electrons carry, at ``energies_mev``."""
        share = self.fraction[..., 0].sum(axis=(1, 2))
        return np.asarray(np.interp(np.log(energies_mev), np.log(self.energy_mev), share))


@lru_cache(maxsize=1)
def mono_kernels() -> MonoKernels:
    """The kernels that ship with rtsim."""
    with resources.files(__package__).joinpath("data/edk_water.npz").open("rb") as file, np.load(file) as data:
        return MonoKernels(
            data["energy_mev"],
            np.radians(data["theta_edges_deg"]),
            data["radius_edges_cm"],
            data["fraction"].astype(np.float64),
            data["mass_attenuation_cm2_g"],
        )


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
    """The kernel of a spectrum on ``cones`` directions: rings of equal energy, each turned against its neighbors."""
    if cones < 12:
        raise InputError(f"cones is {cones}; at least 12 directions are needed")
    mono = mono_kernels()
    hardness_low, span, kernels, surface = _hardening(spectrum, mono)
    rings = max(3, round(np.sqrt(cones)))
    edges = _ring_edges(mono, surface, rings)
    per_ring = np.full(rings, cones // rings)
    per_ring[rings - cones % rings :] += 1
    columns: list[tuple[FloatArray, ...]] = []
    ring = _ring_terms(mono, kernels, surface, edges, _mean_attenuation_per_cm(spectrum))
    for m in range(rings):
        n = int(per_ring[m])
        azimuth = 2.0 * np.pi * (np.arange(n) + 0.5 + 0.382 * m) / n
        cosine = ring.cosine[m]
        sine = np.sqrt(1.0 - cosine**2)
        columns.append(
            (
                np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.full(n, cosine)], axis=-1),
                np.tile(ring.exponents[m], (n, 1)),
                np.tile(ring.soft[m] / n, (n, 1)),
                np.tile(ring.hard[m] / n, (n, 1)),
                np.tile(_tilt(mono, surface, edges[m : m + 2], n), (n, 1, 1)),
            )
        )
    directions, exponents, soft, hard, tilt = (np.concatenate([c[i] for c in columns]) for i in range(5))
    tilt = _balanced(tilt, 0.3 * soft + 0.7 * hard)
    halves = [
        Cones(
            directions=directions,
            exponents_per_cm=exponents[:, terms],
            soft=soft[:, terms],
            hard=hard[:, terms],
            tilt=tilt[:, part],
        )
        for part, terms in enumerate((slice(0, PRIMARY_TERMS), slice(PRIMARY_TERMS, PRIMARY_TERMS + SCATTER_TERMS)))
    ]
    return ConeKernel(fast=halves[0], slow=halves[1], hardness_low=hardness_low, hardness_span=span)


def _hardening(spectrum: Spectrum, mono: MonoKernels) -> tuple[float, float, FloatArray, FloatArray]:
    """Lever-rule limits and the (2, angle, radius, part) soft and hard kernels, and the surface kernel.

    The two kernels are the least-squares line through the kernels of water depths 0..30 cm against the TERMA-weighted
    mean of f; the surface kernel is met exactly.
    """
    groups = spectrum.bin_groups()
    energy = np.clip(groups.energy_mev, mono.energy_mev[0], mono.energy_mev[-1])
    attenuation = get("water").mass_attenuation_cm2_g(groups.energy_mev)
    share = mono.primary_share(energy)
    low = float(share.min())
    span = max(float(share.max()) - low, 1e-6)
    f = (share - low) / span
    whole = mono.whole()
    means, mixed = [], []
    for depth in _DEPTHS_CM:
        terma = groups.energy_fluence * attenuation * np.exp(-attenuation * depth)
        terma = terma / terma.sum()
        means.append(float(terma @ f))
        mixed.append(np.tensordot(mono.energy_weights(energy, terma), whole, 1))
    df = np.array(means) - means[0]
    norm = float(df @ df)
    slope = np.zeros_like(mixed[0]) if norm < 1e-12 else np.tensordot(df, np.stack(mixed) - mixed[0], 1) / norm
    return low, span, np.stack([mixed[0] - means[0] * slope, mixed[0] + (1.0 - means[0]) * slope]), mixed[0]


def _mean_attenuation_per_cm(spectrum: Spectrum) -> float:
    """Slope of ln TERMA in water about 10 cm depth."""
    groups = spectrum.bin_groups()
    attenuation = get("water").mass_attenuation_cm2_g(groups.energy_mev)
    terma = groups.energy_fluence * attenuation * np.exp(-10.0 * attenuation)
    return float(terma @ attenuation / terma.sum())


def _ring_edges(mono: MonoKernels, surface: FloatArray, rings: int) -> FloatArray:
    energy = surface.sum(axis=(1, 2))
    cumulative = np.concatenate([[0.0], np.cumsum(energy)]) / energy.sum()
    return np.asarray(np.interp(np.linspace(0.0, 1.0, rings + 1), cumulative, mono.theta_edges_rad))


@dataclass(frozen=True, eq=False)
class _RingTerms:
    """Per ring: cosine (m,), exponents (m, 4), soft and hard shares (m, 4)."""

    cosine: FloatArray
    exponents: FloatArray
    soft: FloatArray
    hard: FloatArray


def _ring_sum(values: FloatArray, theta_edges: FloatArray, edges: FloatArray) -> FloatArray:
    """Sum over the angle axis (0) between ring edges; a bin that is cut is shared by solid angle."""
    flat = values.reshape(values.shape[0], -1)
    cumulative = np.concatenate([np.zeros((1, flat.shape[1])), np.cumsum(flat, axis=0)])
    at_edges = np.stack([np.interp(-np.cos(edges), -np.cos(theta_edges), column) for column in cumulative.T], axis=-1)
    return np.diff(at_edges, axis=0).reshape(-1, *values.shape[1:])


def _ring_terms(
    mono: MonoKernels, kernels: FloatArray, surface: FloatArray, edges: FloatArray, attenuation_per_cm: float
) -> _RingTerms:
    theta, radius = mono.theta_edges_rad, mono.radius_edges_cm[1:]
    in_ring = _ring_sum(surface, theta, edges)
    rings = [_ring_sum(k, theta, edges) for k in kernels]
    middle = 0.5 * (np.cos(theta[1:]) + np.cos(theta[:-1]))
    energy = surface.sum(axis=(1, 2))
    cosine = _ring_sum(energy * middle, theta, edges) / _ring_sum(energy, theta, edges)
    exponents = np.empty((cosine.size, PRIMARY_TERMS + SCATTER_TERMS))
    shares = np.empty((2, *exponents.shape))
    for m in range(cosine.size):
        # the electrons that scattered photons set free take a few mm to build up, so the scattered part is fitted
        # with the
        # primary part's two fast exponents as well as its own two slow ones; the four recursions stay four
        primary = _BuildUp.of(radius, in_ring[m, :-1, 0], 0.0, 0.0)
        fast = primary.best(np.outer(_PRIMARY_PER_CM, PRIMARY_RATIOS))
        growth = attenuation_per_cm * cosine[m]
        scattered = _BuildUp.of(radius, in_ring[m, :-1, 1], in_ring[m, -1, 1], growth)
        slow = np.outer(_SCATTER_PER_CM, SCATTER_RATIOS)
        exponents[m] = scattered.best(np.concatenate([np.tile(fast, (slow.shape[0], 1)), slow], axis=1))
        for s, kernel in enumerate(rings):
            shares[s, m] = scattered.like(kernel[m, :-1, 1], kernel[m, -1, 1]).fit(exponents[m])
            shares[s, m, :PRIMARY_TERMS] += primary.like(kernel[m, :-1, 0], 0.0).fit(fast)
    return _RingTerms(cosine, exponents, shares[0], shares[1])


@dataclass(frozen=True, eq=False)
class _BuildUp:
    """What a ring's fit is held to: the dose that builds up over a depth, not the bare cumulative energy.

    In a broad beam attenuated by exp(-m z) a ring at angle theta brings G(r) = int_0^r F'(r') exp(m cos(theta) r')
    dr' of its energy to depth r cos(theta): far energy counts more than its share. A fit of F alone, however close,
    was wrong by 2 % of the dose in 25 cm of water.

    Attributes:
        radius_cm: (r,) upper edges.
        growth_per_cm: m cos(theta).
        total: energy of the ring, the part beyond the sphere included.
        curve: (r,) G of the Monte Carlo kernel.
        weight: (r,) weights of the *relative* residual, equal for equal steps of ln r: every depth is to be right.
    """

    radius_cm: FloatArray
    growth_per_cm: float
    total: float
    curve: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, radius_cm: FloatArray, energy: FloatArray, beyond: float, growth_per_cm: float) -> _BuildUp:
        """From (r,) energy per radial bin; inside a bin the energy falls as exp(-0.04 r), which matters in the wide
        ones."""
        lower = np.concatenate([[0.0], radius_cm[:-1]])
        inner = np.linspace(0.0, 1.0, 21)[1:] - 0.025
        r = lower[:, None] + inner * (radius_cm - lower)[:, None]
        fall = np.exp(-0.04 * r)
        lift = (fall * np.exp(growth_per_cm * r)).sum(axis=1) / fall.sum(axis=1)
        curve = np.cumsum(energy * lift)
        steps = np.diff(np.log(radius_cm), prepend=np.log(0.5 * radius_cm[0]))
        weight = steps * np.exp(-radius_cm / 40.0) / (curve + _FLOOR * curve.max()) ** 2
        return cls(radius_cm, growth_per_cm, float(energy.sum()) + beyond, curve, weight)

    def basis(self, exponents: FloatArray) -> FloatArray:
        """(r, terms) G of 1 - exp(-a r): a/(a - g) (1 - exp(-(a - g) r))."""
        slower = exponents - self.growth_per_cm
        slower = np.where(np.abs(slower) < 1e-6, 1e-6, slower)
        return np.asarray(exponents / slower * (1.0 - np.exp(-np.outer(self.radius_cm, slower))))

    def like(self, energy: FloatArray, beyond: float) -> _BuildUp:
        """Another kernel's energy on the same ring, with the weights of this one (fits stay linear in the kernel)."""
        return replace(_BuildUp.of(self.radius_cm, energy, beyond, self.growth_per_cm), weight=self.weight)

    def fit(self, exponents: FloatArray) -> FloatArray:
        """(terms,) energies c of the terms, with sum c = total exactly."""
        basis, root = self.basis(exponents), np.sqrt(self.weight)
        difference = basis[:, :-1] - basis[:, -1:]
        first = np.linalg.lstsq(
            difference * root[:, None], (self.curve - self.total * basis[:, -1]) * root, rcond=None
        )[0]
        return np.append(first, self.total - first.sum())

    def best(self, candidates: FloatArray) -> FloatArray:
        """The exponents among ``candidates`` (n, terms) with the least squared residual."""
        residuals = []
        for exponents in candidates:
            residual = self.basis(exponents) @ self.fit(exponents) - self.curve
            residuals.append(float(residual**2 @ self.weight))
        return np.asarray(candidates[int(np.argmin(residuals))])


def _tilt(mono: MonoKernels, surface: FloatArray, edges: FloatArray, cones: int) -> FloatArray:
    """(2, 3) coefficients A, B, C of a ring's tilt factor, for the primary and the scattered part.

    The share of a cone is the integral of the kernel over the cone's cell (its ring between its two neighbors); here
    that integral is taken about rays tilted by up to 8 degrees in all directions, and the polynomial fitted to it. A
    linear term alone left 3 % of the dose of a 20 x 20 cm2 field at 25 cm depth (no tilt at all: 10 %).
    """
    theta = 0.5 * (mono.theta_edges_rad[1:] + mono.theta_edges_rad[:-1])
    solid = 2.0 * np.pi * np.diff(-np.cos(mono.theta_edges_rad))
    u = np.linspace(np.cos(edges[0]), np.cos(edges[1]), 25)
    cosine, azimuth = np.meshgrid(
        0.5 * (u[1:] + u[:-1]), (np.arange(12) + 0.5) / 12 * 2 * np.pi / cones - np.pi / cones
    )
    sine = np.sqrt(1.0 - cosine**2)
    cell = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1).reshape(-1, 3)
    slope, around = np.meshgrid(np.linspace(0.02, 0.14, 7), np.arange(16) / 16 * 2 * np.pi)
    p, q = (slope * np.cos(around)).ravel(), (slope * np.sin(around)).ravel()
    rays = np.stack([p, q, np.sqrt(1.0 - p**2 - q**2)], axis=-1)
    out = np.zeros((2, 3))
    for part in range(2):
        density = np.log(np.maximum(surface[:, :, part].sum(axis=1) / solid, 1e-12))
        straight = np.exp(np.interp(np.arccos(cell[:, 2]), theta, density)).mean()
        tilted = np.exp(np.interp(np.arccos(np.clip(rays @ cell.T, -1.0, 1.0)), theta, density)).mean(axis=1)
        terms = np.stack([p, p**2, p**2 + q**2], axis=-1)
        out[part] = np.linalg.lstsq(terms, tilted / straight - 1.0, rcond=None)[0]
    return out


def _balanced(tilt: FloatArray, shares: FloatArray) -> FloatArray:
    """Shift the C so that tilting conserves energy: sum over cones of share x (B/2 + C) = 0 for each part."""
    out = tilt.copy()
    for part, columns in ((0, slice(0, PRIMARY_TERMS)), (1, slice(PRIMARY_TERMS, PRIMARY_TERMS + SCATTER_TERMS))):
        share = shares[:, columns].sum(axis=1)
        weight = np.abs(share)
        excess = float(share @ (0.5 * tilt[:, part, 1] + tilt[:, part, 2]))
        out[:, part, 2] -= excess * np.sign(share) / weight.sum()
    return out
