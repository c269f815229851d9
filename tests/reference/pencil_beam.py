"""Slow oracles of the pencil beam: the kernel summed bin by bin, the influence of a beamlet entry by entry."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.mono_kernels import mono_kernels
from rtsim.dose.pencil_beam.kernel import PencilKernel
from rtsim.materials import Spectrum, get
from rtsim.typing import FloatArray
from rtsim.units import GY_PER_MEV_PER_G


def depth_dose_of_round_field(spectrum: Spectrum, depth_cm: float, radius_cm: float, parts: int = 8) -> float:
    """MeV/g on the axis of a parallel round field, one photon per cm2, in a half space of water.

    Every energy bin of the spectrum, every bin of the kernels in parts x parts pieces: what a pencil deposits at
    (r, z) of itself, a field deposits on its axis from the pencils at r.
    """
    mono, groups = mono_kernels(), spectrum.bin_groups()
    attenuation = get("water").mass_attenuation_cm2_g(groups.energy_mev)
    shares = mono.energy_shares(groups.energy_mev)
    middle = (np.arange(parts) + 0.5) / parts
    cosine, edges = np.cos(mono.theta_edges_rad), mono.radius_edges_cm
    total = 0.0
    for a in range(cosine.size - 1):
        c = cosine[a] + middle * (cosine[a + 1] - cosine[a])
        for b in range(edges.size - 1):
            r = edges[b] + middle * (edges[b + 1] - edges[b])
            fall = np.exp(-0.04 * r)
            forward, aside = np.outer(c, r), np.outer(np.sqrt(1.0 - c**2), r)
            weight = np.broadcast_to(fall / fall.sum() / parts, forward.shape)
            counts = (aside < radius_cm) & (forward < depth_cm)
            if not counts.any():
                continue
            energy = shares @ mono.fraction[:, a, b].sum(axis=-1) * groups.photons * groups.energy_mev
            released = attenuation * np.exp(-np.outer(depth_cm - forward[counts], attenuation))
            total += float(weight[counts] @ released @ energy)
    return total


def beamlet_in_water(
    kernel: PencilKernel, beam: Beam, index: int, points_mm: FloatArray, surface_y_mm: float, voxel_mm: float
) -> FloatArray:
    """(n,) Gy per photon/cm2 of one beamlet of a gantry-0 beam of a point source in water below ``surface_y_mm``."""
    b, sad = beam.beamlets, beam.machine.sad_mm
    assert b is not None
    assert beam.gantry_deg == 0.0
    out = np.zeros(points_mm.shape[0])
    for n, (x, y, z) in enumerate(points_mm - np.asarray(beam.isocenter_mm)):
        scale = sad / (sad + y)
        u, v = x * scale, z * scale
        slant = np.sqrt(1.0 + (u**2 + v**2) / sad**2)
        depth = (y + beam.isocenter_mm[1] - surface_y_mm) * slant
        for m, sigma in enumerate(kernel.sigmas_mm):
            wide = np.sqrt(sigma**2 + voxel_mm**2 / 12.0) * scale
            share = 1.0
            for at, center, width in (
                (u, b.center_x_mm[index], b.width_x_mm[index]),
                (v, b.center_y_mm[index], b.width_y_mm[index]),
            ):
                share *= ndtr((center + width / 2 - at) / wide) - ndtr((center - width / 2 - at) / wide)
            amplitude = np.interp(depth, np.arange(kernel.amplitudes.shape[0]), kernel.amplitudes[:, m])
            out[n] += GY_PER_MEV_PER_G * scale**2 * share * amplitude
    return out
