"""What metal does to a CT: numbers beyond the scale, and streaks through the tissue around it.

A scanner takes -ln of the measured intensity for a line integral and corrects it as if everything were water. Behind
metal the spectrum is harder than that (the line integral comes out too small: dark bands along the lines through the
most metal), and hardly any photon arrives (noise: thin streaks). The method is that of De Man et al. 1999 ("Metal
streak artifacts in X-ray computed tomography: a simulation study", IEEE Trans. Nucl. Sci. 46:691, DOI
10.1109/23.775600), reduced to what matters here: each axial slice is projected by parallel beams of a 120 kV spectrum;
the error of the water-corrected line integrals, with their noise, is reconstructed by filtered back projection and
added to the CT. That the error alone makes the streaks: Park, Chung and Seo 2015 (DOI 10.1098/rsta.2014.0388).

Left out: scatter, the helical path, the scanner's own metal artifact reduction, motion. Streaks of titanium screws
come out as large as in sheep (DOI 10.1186/s12880-021-00554-y: -848 HU at 120 kV, of carbon -11), those of carbon-PEEK
are lost in the noise as in gel (Kraetzig 2021, DOI 10.1007/s10143-020-01384-2). Their sign in the canal is not that of
the gel: there titanium darkens it by 64 HU against carbon; here the flanks of two long parallel shafts are bright, and
the canal between them gains about 90 HU at the height of the screws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from scipy.sparse import csc_array

from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_linear, resample_mean
from rtsim.materials import Material, get
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, FloatArray

LOWEST_HU: Final = -1000.0
HIGHEST_HU: Final = 3071.0
"""A 12-bit scanner shows nothing above."""
TUBE_KV: Final = 120.0
PHOTONS: Final = 1.0e6
"""Photons of a ray in air, over a view, a detector bin and a slice: they make about 12 HU of noise in a chest. [A]"""
ELECTRONIC_PHOTONS: Final = 30.0
"""Noise of the electronics, in photons; with it the least signal that the scanner takes the logarithm of. [A]"""
ANGLES: Final = 360
_PIXEL_MM: Final = 2.0
"""Of the slices on which streaks are reconstructed; finer CTs take them from there."""
_WATER_MM: Final = 250.0
"""Water that hardens the beam on its way to a spine, for the CT numbers of implants. [A]"""


@dataclass(frozen=True, eq=False)
class TubeSpectrum:
    """What the detector weighs: (n,) energies in MeV, and the share of the signal in air at each (sum 1)."""

    energy_mev: FloatArray
    signal: FloatArray


@cache
def tube_spectrum() -> TubeSpectrum:
    """120 kV by Kramers' law with the K lines of tungsten (8 % of the photons), behind 7 mm of aluminum; the detector
    integrates energy. [A]"""
    edges = np.arange(21.0, TUBE_KV + 0.1, 3.0)
    kev = (edges[:-1] + edges[1:]) / 2
    photons = TUBE_KV / kev - 1.0
    filtered = photons * np.exp(
        -0.7 * get("aluminum").density_g_cm3 * get("aluminum").mass_attenuation_cm2_g(kev / 1e3)
    )
    for line, share in ((58.0, 0.023), (59.3, 0.040), (67.2, 0.017)):  # W K alpha 2, alpha 1, beta
        filtered[int(np.argmin(np.abs(kev - line)))] += share / 0.92 * filtered.sum()
    signal = filtered * kev
    return TubeSpectrum(kev / 1e3, signal / signal.sum())


@cache
def attenuation_per_mm(material: Material) -> FloatArray:
    """(n,) linear attenuation of a material at its nominal density, at the energies of the tube, 1/mm."""
    mass = material.mass_attenuation_cm2_g(tube_spectrum().energy_mev)
    return np.asarray(0.1 * material.density_g_cm3 * mass)


@cache
def ct_number(material: Material) -> float:
    """HU that a scanner without an upper end would show for a speck of ``material`` behind 25 cm of water."""
    tube, water = tube_spectrum(), attenuation_per_mm(get("water"))
    weight = tube.signal * np.exp(-_WATER_MM * water)
    return float(1000.0 * (weight @ attenuation_per_mm(material) / (weight @ water) - 1.0))


def streaks(hu: Float32Array, grid: Grid, implants: Sequence[tuple[Material, Float32Array]], seed: int) -> Float32Array:
    """(nz, ny, nx) HU to add to a CT for the artifacts of implants; zero in slices without them.

    Args:
        hu: the CT without implants.
        implants: what they are made of, and their coverage 0..1, each (nz, ny, nx).
        seed: of the noise behind metal.
    """
    whole = np.zeros(grid.shape, dtype=np.float32)
    slices = np.flatnonzero(np.any([c.any(axis=(1, 2)) for _, c in implants], axis=0))
    if not slices.size:
        return whole
    # slices may lie apart: heights have no part in what follows
    own = Grid((slices.size, grid.shape[1], grid.shape[2]), grid.spacing_mm, grid.origin_mm)
    dx, dy, dz = own.spacing_mm
    plane = own.with_spacing((_PIXEL_MM, _PIXEL_MM, dz)) if min(dx, dy) < 0.8 * _PIXEL_MM else own
    parts = [(m, resample_mean(c[slices], own, plane)) for m, c in implants]
    free = 1.0 - np.clip(np.sum([c for _, c in parts], axis=0), 0.0, 1.0)
    tissue = free * np.clip(1.0 + resample_mean(hu[slices], own, plane, LOWEST_HU) / 1000.0, 0.0, 2.5)
    whole[slices] = resample_linear(_reconstructed(tissue, parts, plane, seed), plane, own)
    return whole


def _reconstructed(
    tissue: FloatArray, parts: Sequence[tuple[Material, FloatArray]], grid: Grid, seed: int
) -> FloatArray:
    """(nz, ny, nx) HU of the artifacts. ``tissue``: attenuation over that of water where no implant is."""
    lattice, rng = _Lattice.of(grid), np.random.default_rng(seed + 7000)
    density, covered = _columns(tissue), [_columns(c) for _, c in parts]
    measured, metal = (np.zeros((ANGLES, lattice.bins, grid.shape[0]), dtype=np.float32) for _ in range(2))
    angles = np.arange(ANGLES) * np.pi / ANGLES
    for n, angle in enumerate(angles):
        rays = lattice.rays(float(angle))
        lengths = [lattice.mm_each * (rays @ c) for c in covered]
        behind = np.sum(lengths, axis=0) > 1e-3
        if behind.any():
            water = lattice.mm_each * (rays @ density)[behind]
            through = [(m, v[behind]) for (m, _), v in zip(parts, lengths, strict=True)]
            measured[n][behind] = measured_mm(through, water, rng) - water
            metal[n][behind] = sum((1.0 + ct_number(m) / 1000.0) * v for m, v in through)
    # what is proportional to the metal makes no streaks; the CT shows it as the metal itself
    share = (measured * metal).sum(axis=(0, 1)) / np.maximum((metal * metal).sum(axis=(0, 1)), 1e-12)
    error = measured - share.astype(np.float32) * metal
    total = np.zeros_like(density)
    for n, angle in enumerate(angles):
        total += lattice.rays(float(angle)).T @ _filtered(error[n], lattice.pitch_mm)
    # back projection over half a turn; HU are 1000 times attenuation over that of water
    image = total.astype(np.float64).T.reshape(grid.shape)
    return np.asarray(1000.0 * np.pi / ANGLES * image)


def _columns(volume: FloatArray) -> Float32Array:
    """(pixels, slices): a slice a column."""
    return np.ascontiguousarray(volume.reshape(volume.shape[0], -1).T, dtype=np.float32)


def measured_mm(
    through: Sequence[tuple[Material, FloatArray]], water_mm: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """(n,) what the scanner takes for the line integral of rays through implants, in mm of water, noise included.

    Args:
        through: materials, and how many mm of each a ray crosses, (n,).
        water_mm: (n,) tissue on the ray, in mm of water.
        rng: of the noise. Only what the rays have more of than without the implants: the CT has its own already.
    """
    tube, water = tube_spectrum(), attenuation_per_mm(get("water"))
    coefficients = [attenuation_per_mm(m) for m, _ in through]
    signal = np.zeros(water_mm.shape)
    for i, share in enumerate(tube.signal):
        path = water[i] * water_mm
        for mu, (_, length) in zip(coefficients, through, strict=True):
            path = path + mu[i] * length
        signal += share * np.exp(-path)
    lengths, values = _water_signal()
    photons, clean = PHOTONS * signal, PHOTONS * np.interp(water_mm, lengths, values)
    variance = photons + ELECTRONIC_PHOTONS**2 - photons**2 / clean
    counted = photons + np.sqrt(np.maximum(variance, 0.0)) * rng.standard_normal(photons.shape)
    counted = np.maximum(counted, ELECTRONIC_PHOTONS)
    return np.asarray(np.interp(-np.log(counted / PHOTONS), -np.log(values), lengths))


@cache
def _water_signal() -> tuple[FloatArray, FloatArray]:
    """Lengths of water in mm, ascending, and the signal behind them: the scanner's correction, read backwards."""
    tube, water = tube_spectrum(), attenuation_per_mm(get("water"))
    lengths = np.linspace(-50.0, 1200.0, 2501)
    return lengths, np.exp(-np.outer(lengths, water)) @ tube.signal


@dataclass(frozen=True, eq=False)
class _Lattice:
    """The pixels of an axial slice: places about the middle in mm, and the detector that sees them all."""

    x_mm: FloatArray
    y_mm: FloatArray
    mm_each: float
    pitch_mm: float
    bins: int

    @classmethod
    def of(cls, grid: Grid) -> _Lattice:
        y, x = np.meshgrid(grid.y_mm - np.mean(grid.y_mm), grid.x_mm - np.mean(grid.x_mm), indexing="ij")
        pitch = max(grid.spacing_mm[0], grid.spacing_mm[1])
        bins = 2 * int(np.ceil(np.hypot(np.ptp(x), np.ptp(y)) / 2 / pitch)) + 5
        return cls(x.ravel(), y.ravel(), grid.spacing_mm[0] * grid.spacing_mm[1] / pitch, pitch, bins)

    def rays(self, angle: float) -> csc_array:
        """(bins, pixels): each pixel's share in the two bins that its center falls between."""
        at = (self.x_mm * np.cos(angle) + self.y_mm * np.sin(angle)) / self.pitch_mm + (self.bins - 1) / 2
        low = np.floor(at).astype(np.int32)
        high = (at - low).astype(np.float32)
        shares, bins = np.stack((1.0 - high, high), axis=1), np.stack((low, low + 1), axis=1)
        starts = np.arange(0, 2 * at.size + 1, 2, dtype=np.int32)
        return csc_array((shares.ravel(), bins.ravel(), starts), shape=(self.bins, at.size))


def _filtered(error: Float32Array, pitch_mm: float) -> Float32Array:
    """(bins, slices) convolved along the bins by the ramp of Ramachandran and Lakshminarayanan 1971, under a Hann
    window as soft-tissue kernels are."""
    bins = error.shape[0]
    padded = 1 << int(np.ceil(np.log2(2 * bins)))
    place = np.minimum(np.arange(padded), padded - np.arange(padded))
    ramp = np.where(place % 2 == 1, -1.0 / (np.pi * np.maximum(place, 1) * pitch_mm) ** 2, 0.0)
    ramp[0] = 1.0 / (4.0 * pitch_mm**2)
    frequency = np.fft.rfftfreq(padded)
    transfer = np.fft.rfft(ramp).real * (0.5 + 0.5 * np.cos(2.0 * np.pi * frequency))
    spectrum = np.fft.rfft(error, n=padded, axis=0) * transfer[:, None]
    return np.ascontiguousarray(pitch_mm * np.fft.irfft(spectrum, n=padded, axis=0)[:bins], dtype=np.float32)


def shown(hu: AnyFloatArray) -> Float32Array:
    """HU as a 12-bit scanner stores them: whole numbers, cut off at both ends of its scale."""
    return np.asarray(np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU), dtype=np.float32)


def disturbed(streak_hu: Float32Array, hu: Float32Array, inside: BoolArray, *, from_hu: float = 40.0) -> BoolArray:
    """[k, j, i] tissue like muscle (-50 to 200 HU without streaks) that streaks change by ``from_hu`` or more."""
    return np.asarray(inside & (np.abs(streak_hu) >= from_hu) & (hu > -50.0) & (hu < 200.0))
