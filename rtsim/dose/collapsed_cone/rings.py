"""Rings of polar angle about the photon direction: which, where their cones point, and sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.typing import FloatArray

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rings:
    """Rings of one part of a kernel.

    In a field of half width h a ring at angle theta brings energy from a depth interval h cot(theta) as long as that
    is short against the range, so that rings of equal energy are too few where a narrow field gathers its scattered
    dose: at small angles, where equal steps of theta count equally. The edges therefore divide the mean of the energy
    and of the energy / sin(theta) evenly, and the cones of a ring point along the energy-weighted mean of cot(theta).
    Rings of equal energy at the mean cosine left 1.7 % of the dose of a 3 x 3 cm2 field 25 cm deep, these leave 0.1 %.

    Attributes:
        edges_rad: (rings + 1,).
        theta_rad: (rings,) directions of the cones.
        bins_rad: (angles + 1,) edges of the angular bins that the rings gather.
    """

    edges_rad: FloatArray
    theta_rad: FloatArray
    bins_rad: FloatArray

    @classmethod
    def of(cls, energy: FloatArray, bins_rad: FloatArray, count: int) -> Rings:
        """``count`` rings for a part with (angles,) ``energy`` in the bins."""
        middle = 0.5 * (bins_rad[1:] + bins_rad[:-1])
        measures = [np.cumsum(e) / e.sum() for e in (energy, energy / np.sin(middle))]
        measure = np.append(0.0, 0.5 * (measures[0] + measures[1]))
        edges = np.interp(np.linspace(0.0, 1.0, count + 1), measure, bins_rad)
        bare = cls(edges_rad=edges, theta_rad=np.zeros(count), bins_rad=bins_rad)
        cotangent = bare.sums(energy / np.tan(middle)) / bare.sums(energy)
        return cls(edges_rad=edges, theta_rad=np.arctan2(1.0, cotangent), bins_rad=bins_rad)

    @property
    def count(self) -> int:
        """Number of rings."""
        return int(self.theta_rad.size)

    @property
    def cosine(self) -> FloatArray:
        """(rings,) cosine of the direction of the cones."""
        return np.asarray(np.cos(self.theta_rad))

    def sums(self, values: FloatArray) -> FloatArray:
        """(rings, ...) sums of (angles, ...); a bin that is cut is shared by angle."""
        cumulative = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        at = np.interp(self.edges_rad, self.bins_rad, np.arange(self.bins_rad.size))
        low = np.minimum(at.astype(np.int64), self.bins_rad.size - 2)
        upper = (at - low).reshape(-1, *[1] * (values.ndim - 1))
        return np.diff(cumulative[low] * (1.0 - upper) + cumulative[low + 1] * upper, axis=0)

    def spread(self, values: FloatArray, energy: FloatArray) -> FloatArray:
        """(angles, ...) of (rings, ...): each ring's value shared among its bins as (angles,) ``energy`` is."""
        low = np.maximum(self.bins_rad[:-1, None], self.edges_rad[:-1])
        inside = np.clip(np.minimum(self.bins_rad[1:, None], self.edges_rad[1:]) - low, 0.0, None)
        share = inside * (energy / np.diff(self.bins_rad))[:, None]
        return np.tensordot(share / share.sum(axis=0), values, 1)

    def directions(self, cones: int) -> tuple[FloatArray, IntArray, IntArray]:
        """(cones, 3) unit vectors, (cones,) their rings and (rings,) cones of each ring, turned against each other."""
        per_ring = np.full(self.count, cones // self.count)
        per_ring[self.count - cones % self.count :] += 1
        ring = np.repeat(np.arange(self.count), per_ring)
        number = np.concatenate([np.arange(n) for n in per_ring])
        azimuth = 2.0 * np.pi * (number + 0.5 + 0.382 * ring) / per_ring[ring]
        sine, cosine = np.sin(self.theta_rad)[ring], self.cosine[ring]
        return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1), ring, per_ring
