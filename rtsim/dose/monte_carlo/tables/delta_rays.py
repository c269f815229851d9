"""Electrons knocked on above a cut: how many, and how much energy they take (Moller's cross section, integrated)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rtsim.dose.monte_carlo.tables.stopping import STOPPING_CONSTANT, collision_mev_cm2_g
from rtsim.errors import InputError
from rtsim.materials import Material
from rtsim.typing import FloatArray
from rtsim.units import ELECTRON_REST_MEV


def moller_cm2_g(material: Material, kinetic_mev: ArrayLike, cut_mev: float) -> FloatArray:
    """Moller events per g/cm2 with cut <= W <= T/2 at kinetic energies T (any shape); 0 below T = 2 cut.

    With e = W/T and t = T/mc2 the cross section per electron is 2 pi r_e^2 mc2/(beta^2 T) times the integral of
    1/e^2 + 1/(1 - e)^2 + (t/(t + 1))^2 - (2 t + 1)/(t + 1)^2 / (e (1 - e)).
    """
    t, e, ratio = _relative(kinetic_mev, cut_mev)
    number = 1.0 / e - 1.0 / (1.0 - e) + (t / (t + 1.0)) ** 2 * (0.5 - e) - ratio * np.log((1.0 - e) / e)
    return np.asarray(_scale(material, t) / ELECTRON_REST_MEV / t * number)


def delta_ray_mev_cm2_g(material: Material, kinetic_mev: ArrayLike, cut_mev: float) -> FloatArray:
    """Energy per g/cm2 that electrons lose in Moller events with cut <= W <= T/2, in MeV cm2/g; 0 below T = 2 cut."""
    t, e, ratio = _relative(kinetic_mev, cut_mev)
    loss = np.log(0.25 / (e * (1.0 - e))) + 2.0 - 1.0 / (1.0 - e)
    loss += (t / (t + 1.0)) ** 2 * 0.5 * (0.25 - e * e) - ratio * np.log(2.0 * (1.0 - e))
    return np.asarray(_scale(material, t) * loss)


def restricted_collision_mev_cm2_g(material: Material, kinetic_mev: ArrayLike, cut_mev: float) -> FloatArray:
    """Collision stopping power of losses below ``cut_mev``: all collisions less ``delta_ray_mev_cm2_g``, MeV cm2/g."""
    return np.asarray(collision_mev_cm2_g(material, kinetic_mev) - delta_ray_mev_cm2_g(material, kinetic_mev, cut_mev))


def _relative(kinetic_mev: ArrayLike, cut_mev: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """t = T/mc2, the cut as a fraction of T (1/2 at most) and (2 t + 1)/(t + 1)^2."""
    if not (np.isfinite(cut_mev) and cut_mev > 0.0):
        raise InputError(f"cut_mev is {cut_mev}; the cut of delta rays must be finite and above 0 MeV")
    kinetic = np.asarray(kinetic_mev, dtype=np.float64)
    t = kinetic / ELECTRON_REST_MEV
    return t, np.minimum(cut_mev / kinetic, 0.5), (2.0 * t + 1.0) / (t + 1.0) ** 2


def _scale(material: Material, t: FloatArray) -> FloatArray:
    """K Z/A / beta^2 in MeV cm2/g."""
    return np.asarray(STOPPING_CONSTANT * material.z_over_a * (t + 1.0) ** 2 / (t * (t + 2.0)))
