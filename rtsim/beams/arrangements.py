"""The usual beam arrangements of the spine: angles (and wedges) only; shapes come from conform or with_beamlets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.machine.model import Machine, Wedge
from rtsim.phantom.structure import Structure
from rtsim.typing import Vector3

ANTERIOR: Final[Vector3] = (0.0, -1.0, 0.0)
"""LPS unit vector to the front of the patient."""

_POSTERIOR_STEP_DEG: Final = {7: 25.0, 8: 22.5, 9: 20.0, 13: 15.0}


def coplanar(
    machine: Machine,
    *,
    gantry_deg: Iterable[float],
    isocenter_mm: Vector3 | None = None,
    target: Structure | None = None,
    collimator_deg: float = 0.0,
    couch_deg: float = 0.0,
) -> tuple[Beam, ...]:
    """Beams at the given gantry angles, one couch and collimator angle, around one isocenter.

    Args:
        gantry_deg: IEC 61217 angles, 0 <= gantry_deg < 360, each once.
        isocenter_mm: LPS mm; or
        target: its center of volume becomes the isocenter.

    Raises:
        InputError: no angle, an angle twice or out of range; both or neither of isocenter_mm and target.
    """
    angles = [float(g) for g in gantry_deg]
    if not angles:
        raise InputError("gantry_deg is empty; give at least one angle")
    if len(set(angles)) != len(angles):
        raise InputError(f"gantry_deg is {angles}; each angle may be given once")
    isocenter = _isocenter(isocenter_mm, target)
    return tuple(
        Beam(
            machine=machine,
            isocenter_mm=isocenter,
            gantry_deg=g,
            couch_deg=couch_deg,
            collimator_deg=collimator_deg,
            name=f"G{g:g}",
        )
        for g in angles
    )


def _isocenter(isocenter_mm: Vector3 | None, target: Structure | None) -> Vector3:
    if isocenter_mm is not None and target is None:
        return isocenter_mm
    if target is not None and isocenter_mm is None:
        return target.centroid_mm
    given = "both are given" if target is not None else "neither is given"
    raise InputError(f"isocenter_mm or target: {given}; give isocenter_mm (x, y, z) in LPS mm, or a target structure")


def posterior_anterior(
    machine: Machine, *, isocenter_mm: Vector3 | None = None, target: Structure | None = None
) -> tuple[Beam, ...]:
    """One field from posterior (PA, gantry 180)."""
    return _named(coplanar(machine, gantry_deg=(180.0,), isocenter_mm=isocenter_mm, target=target), ("PA",))


def anterior_posterior(
    machine: Machine, *, isocenter_mm: Vector3 | None = None, target: Structure | None = None
) -> tuple[Beam, ...]:
    """Two opposed fields, from anterior and posterior (AP/PA, gantry 0 and 180)."""
    return _named(coplanar(machine, gantry_deg=(0.0, 180.0), isocenter_mm=isocenter_mm, target=target), ("AP", "PA"))


def lateral_pair(
    machine: Machine, *, isocenter_mm: Vector3 | None = None, target: Structure | None = None
) -> tuple[Beam, ...]:
    """Two opposed fields from the patient's left (gantry 90) and right (gantry 270), usual in the neck."""
    pair = coplanar(machine, gantry_deg=(90.0, 270.0), isocenter_mm=isocenter_mm, target=target)
    return _named(pair, ("LEFT", "RIGHT"))


def posterior_with_wedged_obliques(
    machine: Machine,
    *,
    isocenter_mm: Vector3 | None = None,
    target: Structure | None = None,
    oblique_deg: float = 120.0,
    wedge_deg: float | None = 30.0,
) -> tuple[Beam, ...]:
    """PA and two wedged posterior obliques at gantry ``oblique_deg`` and ``360 - oblique_deg``.

    The three beams enter side by side through the back, so that without wedges the posterior part of the target, which
    all of them reach first, is hot. The wedges make up for it: their thick ends (heels) face each other posteriorly and
    their thin ends (toes, the hot side) point anteriorly. Physical wedges are used, in the slot whose toe points most
    nearly anterior; for a pair alone the textbook wedge angle is 90 deg - hinge / 2 (30 deg at a hinge of 120 deg).

    Args:
        oblique_deg: gantry of the left oblique, 90 < oblique_deg < 180.
        wedge_deg: angle of the physical wedge of the machine; None leaves the obliques open, to be evened by subfields.

    Raises:
        InputError: an oblique that is not posterior, or no physical wedge of that angle.
    """
    if not 90.0 < oblique_deg < 180.0:
        raise InputError(f"oblique_deg is {oblique_deg}; a left posterior oblique has 90 < oblique_deg < 180")
    wedge = None if wedge_deg is None else _physical_wedge(machine, wedge_deg)
    angles = (180.0, oblique_deg, 360.0 - oblique_deg)
    pa, left, right = _named(
        coplanar(machine, gantry_deg=angles, isocenter_mm=isocenter_mm, target=target), ("PA", "LPO", "RPO")
    )
    if wedge is None:
        return pa, left, right
    return pa, wedge_toward(left, wedge, ANTERIOR), wedge_toward(right, wedge, ANTERIOR)


def posterior(
    machine: Machine,
    *,
    count: int = 9,
    isocenter_mm: Vector3 | None = None,
    target: Structure | None = None,
    step_deg: float | None = None,
    collimator_deg: float = 0.0,
) -> tuple[Beam, ...]:
    """A fan of beams symmetric about gantry 180, for stereotactic treatment of the spine.

    13 beams: 90 to 270 by 15; 9: 100 to 260 by 20; 8: 101.25 to 258.75 by 22.5; 7: 105 to 255 by 25.

    Args:
        count: number of beams; other than 7, 8, 9, 13 need ``step_deg``.
        step_deg: angle between neighbors.

    Raises:
        InputError: a count without a step, or a fan of 360 degrees and more.
    """
    if count < 1:
        raise InputError(f"count is {count}; at least 1 beam is needed")
    step = _POSTERIOR_STEP_DEG.get(count) if step_deg is None else step_deg
    if step is None:
        raise InputError(f"count is {count}; 7, 8, 9 and 13 posterior beams have a usual spacing, others need step_deg")
    if not step > 0.0 or (count - 1) * step >= 360.0:
        raise InputError(f"step_deg is {step} for {count} beams; 0 < (count - 1) step_deg < 360 is needed")
    first = 180.0 - step * (count - 1) / 2
    return coplanar(
        machine,
        gantry_deg=[(first + step * k) % 360.0 for k in range(count)],
        isocenter_mm=isocenter_mm,
        target=target,
        collimator_deg=collimator_deg,
    )


def equidistant(
    machine: Machine,
    *,
    count: int = 9,
    isocenter_mm: Vector3 | None = None,
    target: Structure | None = None,
    start_deg: float = 0.0,
    collimator_deg: float = 0.0,
) -> tuple[Beam, ...]:
    """``count`` beams at equal angles around the patient; 9 from 0 by 40 degrees is TG-119 (doi:10.1118/1.3238104)."""
    if count < 1:
        raise InputError(f"count is {count}; at least 1 beam is needed")
    return coplanar(
        machine,
        gantry_deg=[(start_deg + 360.0 * k / count) % 360.0 for k in range(count)],
        isocenter_mm=isocenter_mm,
        target=target,
        collimator_deg=collimator_deg,
    )


def wedge_toward(beam: Beam, wedge: Wedge, toe_direction_lps: Vector3) -> Beam:
    """The beam with the wedge in the slot (0, 90, 180, 270 deg) whose toe points most nearly along an LPS direction.

    Args:
        toe_direction_lps: where the thin end (hot side) is to point; only its part across the beam counts.

    Raises:
        InputError: the direction lies along the beam, where no wedge can point.
    """
    across = np.asarray(toe_direction_lps, dtype=np.float64) @ beam.rotation[:, :2]
    norm = float(np.linalg.norm(toe_direction_lps))
    if norm == 0.0 or float(np.abs(across).max()) < 1e-6 * norm:
        raise InputError(
            f"toe_direction_lps {toe_direction_lps} lies along {beam.label} (gantry "
            f"{beam.gantry_deg:g}); a wedge can only point across the beam"
        )
    slots = (across[0], across[1], -across[0], -across[1])
    return replace(beam, wedge=replace(wedge, orientation_deg=90.0 * int(np.argmax(slots))))


def _physical_wedge(machine: Machine, wedge_deg: float) -> Wedge:
    physical = [w for w in machine.wedges if w.physical]
    for wedge in physical:
        if wedge.angle_deg == wedge_deg:
            return wedge
    angles = ", ".join(f"{w.angle_deg:g}" for w in physical) or "no physical wedge"
    raise InputError(f"wedge_deg is {wedge_deg}; {machine.name} has {angles}")


def _named(beams: tuple[Beam, ...], names: tuple[str, ...]) -> tuple[Beam, ...]:
    return tuple(replace(b, name=n) for b, n in zip(beams, names, strict=True))
