"""Dose of a square field in a water box by direct superposition of tabulated point kernels: no cones, no fits.

From Mackie, Scrimger & Battista 1985 (Med. Phys. 12, 188, doi 10.1118/1.595774) and Ahnesjo 1989 (doi
10.1118/1.596360, eq. 4): D(P) = sum_E integral of T_E(Q) k_E(|P - Q|, angle(ray at Q, P - Q)) dV(Q), T_E the TERMA.
In spherical coordinates about P, Q = P - r u, the volume element r^2 dr du cancels the 1/r^2 of the kernel: what is
needed is the energy per solid angle and radial step, which is what a Monte Carlo table holds. The field is a convex
pyramid, so that along every u the integral ends where the line leaves it.

:func:`dose_along_cones` is the same integral for a kernel collapsed onto a few directions with exponentials: what a
transport would give on an infinitely fine grid. Nothing here is taken from rtsim. Lengths cm, angles rad.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

_PIECES_PER_ANGLE = 4
_LONGEST_CM = 0.5


@dataclass(frozen=True)
class Field:
    """A square field, planar fluence uniform at the surface (scalar fluence 1/cos there), on a box of water.

    ``half`` of the side at the surface, ``ssd`` of the point source, ``depth`` of the box; the field stays inside it.
    """

    half: float
    ssd: float = 100.0
    depth: float = 30.0

    def lit(self, point: np.ndarray, toward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) distances from a point at which lines along each (n, 3) -``toward`` enter and leave the lit pyramid."""
        k = self.half / self.ssd
        normals = np.array([[1, 0, -k], [-1, 0, -k], [0, 1, -k], [0, -1, -k], [0, 0, -1], [0, 0, 1]])
        room = np.array([self.half] * 4 + [0.0, self.depth]) - normals @ point
        speed = -toward @ normals.T
        at = room / np.where(np.abs(speed) > 1e-12, speed, 1e-12)
        enter = np.where(speed < 0.0, at, 0.0).max(axis=1)
        return np.maximum(enter, 0.0), np.maximum(
            np.where(speed >= 0.0, at, np.inf).min(axis=1), np.maximum(enter, 0.0)
        )

    def ray(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(..., 3) direction of the local ray, (...,) path in water and scalar fluence at points (..., 3)."""
        ray = q + np.array([0.0, 0.0, self.ssd])
        distance = np.linalg.norm(ray, axis=-1)
        axial = ray[..., 2]
        fluence = distance / axial * (self.ssd / axial) ** 2
        return ray / distance[..., None], np.maximum(q[..., 2], 0.0) * distance / axial, fluence


@dataclass(frozen=True)
class Kernels:
    """Share of the released energy per solid angle and radial piece: ``per_sr`` (energy, angle, piece).

    ``theta`` (angle + 1,) and ``radius`` (piece + 1,) are edges.
    """

    theta: np.ndarray
    radius: np.ndarray
    per_sr: np.ndarray

    @classmethod
    def of(cls, theta: np.ndarray, radius: np.ndarray, fraction: np.ndarray) -> Kernels:
        """From (energy, angle, radius) fractions of a table; its bins are cut so that their sums stay."""
        inner = np.linspace(0.0, 1.0, _PIECES_PER_ANGLE, endpoint=False)
        fine = np.append((theta[:-1, None] + inner * np.diff(theta)[:, None]).ravel(), theta[-1])
        fraction = np.diff(PchipInterpolator(theta, _cumulative(fraction, 1), axis=1)(fine), axis=1)
        steps = [max(1, round((b - a) / _LONGEST_CM)) for a, b in itertools.pairwise(radius)]
        cut = [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(radius[:-1], radius[1:], steps, strict=True)]
        pieces = np.append(np.concatenate(cut), radius[-1])
        fraction = np.diff(PchipInterpolator(radius, _cumulative(fraction, 2), axis=2)(pieces), axis=2)
        solid = 2.0 * np.pi * np.diff(-np.cos(fine))
        return cls(fine, pieces, fraction / solid[None, :, None])


def _cumulative(values: np.ndarray, axis: int) -> np.ndarray:
    first = np.zeros_like(np.take(values, [0], axis=axis))
    return np.concatenate([first, np.cumsum(values, axis=axis)], axis=axis)


def energy_shares(table_mev: np.ndarray, energy_mev: np.ndarray) -> np.ndarray:
    """(table, energies) weights of the kernels of a table at other energies: natural cubic spline in ln E."""
    spline = CubicSpline(np.log(table_mev), np.eye(table_mev.size), bc_type="natural")
    return spline(np.log(np.clip(energy_mev, table_mev[0], table_mev[-1]))).T


@dataclass(frozen=True)
class Terma:
    """TERMA per scalar fluence of (n, energies) sets after a path in water: sum_E shares[n, E] x psi mu exp(-mu t)."""

    energy_fluence: np.ndarray
    attenuation: np.ndarray
    shares: np.ndarray

    def at(self, path: np.ndarray) -> np.ndarray:
        """(n, ...) at paths (...): interpolated in a table of 0.2 mm steps."""
        t = np.arange(0.0, 60.0, 0.02)
        table = self.shares @ (
            (self.energy_fluence * self.attenuation)[:, None] * np.exp(-np.outer(self.attenuation, t))
        )
        at = path / 0.02
        i = np.minimum(at.astype(int), t.size - 2)
        return table[:, i] * (1.0 - (at - i)) + table[:, i + 1] * (at - i)


def dose(kernels: Kernels, terma: Terma, field: Field, point: tuple[float, float, float], polar: int = 80) -> float:
    """Dose at a point of the box per unit planar fluence; ``terma`` gives one set for each kernel."""
    p = np.asarray(point, dtype=float)
    edges = np.linspace(0.0, np.pi, polar + 1)
    # on the axis an eighth of the circle stands for all
    around, circle = (4, 0.25 * np.pi) if p[0] == p[1] == 0.0 else (16, 2.0 * np.pi)
    beta, phi = np.meshgrid(0.5 * (edges[1:] + edges[:-1]), (np.arange(around) + 0.5) / around * circle, indexing="ij")
    weight = np.repeat(np.diff(-np.cos(edges)), around) * 2.0 * np.pi / around
    u = np.stack([np.sin(beta) * np.cos(phi), np.sin(beta) * np.sin(phi), np.cos(beta)], axis=-1).reshape(-1, 3)
    lower, upper = kernels.radius[:-1], kernels.radius[1:]
    enter, leave = field.lit(p, u)
    near, far = np.maximum(enter[:, None], lower), np.minimum(leave[:, None], upper)
    line, piece = np.nonzero(far > near)
    share = (far - near)[line, piece] / (upper - lower)[piece]
    r = 0.5 * (far + near)[line, piece]
    ray, path, fluence = field.ray(p - r[:, None] * u[line])
    released = terma.at(path)
    middle = 0.5 * (kernels.theta[1:] + kernels.theta[:-1])
    angle = np.arccos(np.clip((ray * u[line]).sum(axis=1), -1.0, 1.0))
    at = np.interp(angle, middle, np.arange(middle.size))
    i = np.minimum(at.astype(int), middle.size - 2)
    at -= i
    total = np.zeros(line.size)
    for e in range(released.shape[0]):
        table = kernels.per_sr[e]
        total += released[e] * (table[i, piece] * (1.0 - at) + table[i + 1, piece] * at)
    return float((total * share * fluence * weight[line]).sum())


def dose_along_cones(
    directions: np.ndarray,
    exponents: np.ndarray,
    shares: np.ndarray,
    tilt: np.ndarray,
    terma: Terma,
    field: Field,
    point: tuple[float, float, float],
) -> float:
    """Dose of a collapsed kernel: (n, 3) directions, (n, terms) exponents per cm, (sets, n, terms) energy shares.

    tilt (n, 3): factor 1 + A p + B p^2 + C s^2, s the sine of the angle between ray and axis, p its component towards
    the cone. ``terma`` gives one set of TERMA for each set of shares.
    """
    p = np.asarray(point, dtype=float)
    nodes = np.append(0.0, np.geomspace(0.01, 60.0, 220))
    enter, leave = field.lit(p, directions)
    r = np.clip(nodes, enter[:, None], np.minimum(leave, 60.0)[:, None])
    spent = np.diff(1.0 - np.exp(-exponents[:, None, :] * r[..., None]), axis=1)
    ray, path, fluence = field.ray(p - 0.5 * (r[:, 1:] + r[:, :-1])[..., None] * directions[:, None])
    across = directions[:, :2] / np.maximum(np.linalg.norm(directions[:, :2], axis=1), 1e-12)[:, None]
    toward = (ray[..., :2] * across[:, None]).sum(axis=-1)
    a, b, c = (tilt[:, [n]] for n in range(3))
    factor = 1.0 + a * toward + b * toward**2 + c * (1.0 - ray[..., 2] ** 2)
    energy = np.einsum("snt,nrt->snr", shares, spent)
    return float((terma.at(path) * energy * fluence * np.maximum(factor, 0.0)).sum())
