"""How the share of a cone changes when the local ray is not parallel to the beam axis."""

from __future__ import annotations

import numpy as np

from rtsim.dose.collapsed_cone.mono_kernels import ANGLES_PER_BIN, BeamKernels
from rtsim.typing import FloatArray

_SLOPES = np.linspace(0.02, 0.14, 7)
"""Sines of the angles between ray and axis: to 8 degrees, the half diagonal of a 20 x 20 cm2 field."""


def ring_tilt(kernels: BeamKernels, part: int, edges_rad: FloatArray, cones: int) -> FloatArray:
    """(3,) coefficients A, B, C of the tilt factor 1 + A p + B p^2 + C s^2 of the cones of a ring.

    The share of a cone is the integral of the kernel over the cone's cell (its ring between its two neighbors); here
    that integral is taken about rays tilted in all directions, and the polynomial fitted to it. A linear term alone
    left 3 % of the dose of a 20 x 20 cm2 field at 25 cm depth (no tilt at all: 10 %).
    """
    bins = kernels.theta_edges_rad[::ANGLES_PER_BIN]
    theta = 0.5 * (bins[1:] + bins[:-1])
    energy = kernels.mixed(kernels.sets[..., part]).sum(axis=1).reshape(theta.size, -1).sum(axis=1)
    density = np.log(np.maximum(energy / (2.0 * np.pi * np.diff(-np.cos(bins))), 1e-12))
    u = np.linspace(np.cos(edges_rad[0]), np.cos(edges_rad[1]), 25)
    cosine, azimuth = np.meshgrid(
        0.5 * (u[1:] + u[:-1]), (np.arange(12) + 0.5) / 12 * 2 * np.pi / cones - np.pi / cones
    )
    sine = np.sqrt(1.0 - cosine**2)
    cell = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1).reshape(-1, 3)
    slope, around = np.meshgrid(_SLOPES, np.arange(16) / 16 * 2 * np.pi)
    p, q = (slope * np.cos(around)).ravel(), (slope * np.sin(around)).ravel()
    rays = np.stack([p, q, np.sqrt(1.0 - p**2 - q**2)], axis=-1)
    straight = np.exp(np.interp(np.arccos(cell[:, 2]), theta, density)).mean()
    tilted = np.exp(np.interp(np.arccos(np.clip(rays @ cell.T, -1.0, 1.0)), theta, density)).mean(axis=1)
    terms = np.stack([p, p**2, p**2 + q**2], axis=-1)
    return np.asarray(np.linalg.lstsq(terms, tilted / straight - 1.0, rcond=None)[0])


def balanced(tilt: FloatArray, shares: FloatArray) -> FloatArray:
    """(n, 3) tilt with C shifted so that tilting conserves energy: sum over cones of share x (B/2 + C) = 0; shares
    (n,)."""
    out = tilt.copy()
    excess = float(shares @ (0.5 * tilt[:, 1] + tilt[:, 2]))
    out[:, 2] -= excess * np.sign(shares) / np.abs(shares).sum()
    return out
