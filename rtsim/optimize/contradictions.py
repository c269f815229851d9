"""What no fluence can give, found before one is sought: hard goals that exclude each other, doses out of reach.

Two structures that overlap share their doses: where a hard goal wants D on p percent of one, and a hard limit lets only
v cm3 of the other above L < D, the shared volume W must not be larger than what both leave out, W <= (1 - p) V + v.
"""

from __future__ import annotations

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import InfeasiblePlanError, MachineLimitError
from rtsim.geometry.grid import Grid
from rtsim.optimize.find import find_structure
from rtsim.optimize.goals import DoseVolumeLimit, SortedGoals, lower_wish, necessary_percent
from rtsim.optimize.objectives import Region
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Goal, Prescription
from rtsim.typing import FloatArray

_SPARE = 0.02
"""Part of a volume that partial voxels may feign."""


def check_goals(goals: SortedGoals, prescription: Prescription, phantom: Phantom, grid: Grid) -> None:
    """Hard limits against hard least doses, and against the prescription, on the same and on overlapping structures.

    Raises:
        InfeasiblePlanError: two cannot both hold; both are named.
    """
    for goal in goals.unheld:
        structure = find_structure(phantom, goal.structure, prescription)
        wish = None if structure is None else lower_wish(goal, structure, prescription)
        if structure is not None and wish is not None:
            for limit in goals.hard:
                _check_pair(limit, goal, structure, *wish, grid)
    target = phantom.structures[prescription.target]
    for limit in goals.hard:
        _check_prescription(limit, prescription, target, grid)


def _check_pair(
    limit: DoseVolumeLimit, goal: Goal, structure: Structure, dose_gy: float, percent: float, grid: Grid
) -> None:
    if limit.mean:
        if limit.structure.name == structure.name and percent / 100.0 * dose_gy > limit.limit_gy:
            raise InfeasiblePlanError(
                f"two hard goals contradict each other: '{goal}' alone makes a mean of "
                f"{percent / 100.0 * dose_gy:.3g} Gy, but '{limit.goal}' allows {limit.limit_gy:.3g} Gy; change one of "
                "them"
            )
        return
    if limit.limit_gy >= dose_gy:
        return
    shared = _shared_cm3(limit.structure, structure, grid)
    free = (1.0 - necessary_percent(goal, percent) / 100.0) * structure.volume_cm3 + limit.volume_cm3
    if shared > free + _SPARE * structure.volume_cm3:
        raise InfeasiblePlanError(
            f"two hard goals contradict each other: {structure.name} shares {shared:.3g} cm3 with "
            f"{limit.structure.name}; '{goal}' and '{limit.goal}' together leave {free:.3g} cm3 of it free "
            f"({dose_gy:.3g} Gy at least against {limit.limit_gy:.3g} Gy at most). Raise the limit, ask for less, or "
            f"cut {limit.structure.name} out of {structure.name}"
        )


def _check_prescription(limit: DoseVolumeLimit, prescription: Prescription, target: Structure, grid: Grid) -> None:
    """A limit that leaves some coverage is held at its cost; one that leaves none is a mistake."""
    if limit.limit_gy >= prescription.dose_gy:
        return
    if limit.mean:
        asked = prescription.coverage_percent / 100.0 * prescription.dose_gy
        if limit.structure.name == target.name and asked > limit.limit_gy:
            raise InfeasiblePlanError(
                f"the hard goal '{limit.goal}' contradicts the prescription {prescription}, which alone makes a mean "
                f"of {asked:.3g} Gy: raise the limit or prescribe less"
            )
        return
    shared = _shared_cm3(limit.structure, target, grid)
    left = target.volume_cm3 - shared + limit.volume_cm3
    if left <= _SPARE * target.volume_cm3:
        raise InfeasiblePlanError(
            f"{limit.structure.name} contains the whole target {target.name}, and its hard goal '{limit.goal}' "
            f"({limit.limit_gy:.3g} Gy) lies below the prescription {prescription}: no part of the target could be "
            "covered. Raise the limit, prescribe less, or cut the target out of that structure"
        )


def _shared_cm3(one: Structure, other: Structure, grid: Grid) -> float:
    """Volume that two structures have in common, from the coverage of voxels."""
    if one.name == other.name:
        return other.volume_cm3
    return float(np.minimum(one.coverage_on(grid), other.coverage_on(grid)).sum()) * grid.voxel_volume_cm3


def check_reach(
    highest_gy: FloatArray, target: Region, prescription: Prescription, beams: tuple[Beam, ...], name: str
) -> None:
    """What the target gets when every beamlet is open for all monitor units that its machine gives a beam.

    Args:
        highest_gy: (rows,) that dose; no fluence gives more anywhere.

    Raises:
        InfeasiblePlanError: beamlets miss so much of the target that the wanted coverage cannot be.
        MachineLimitError: the monitor units do not suffice.
    """
    dose = highest_gy[target.rows]
    missed = 100.0 * float(target.share[dose <= 0.0].sum())
    if missed > 100.0 - prescription.coverage_percent + 100.0 * _SPARE:
        raise InfeasiblePlanError(
            f"no beamlet reaches {missed:.3g} % of the target {name!r}, and {prescription.coverage_percent:g} % shall "
            "be covered: check isocenter, beam directions and the margin with which beamlets are laid around it"
        )
    covered = float(target.share[dose >= prescription.dose_gy].sum())
    if 100.0 * covered < prescription.coverage_percent - 100.0 * _SPARE:
        order = np.argsort(-dose, kind="stable")
        at = min(
            int(np.searchsorted(np.cumsum(target.share[order]), prescription.coverage_percent / 100.0)), len(order) - 1
        )
        machine = beams[0].machine
        raise MachineLimitError(
            f"{machine.name} cannot reach {prescription}: with all {len(beams)} beams fully open for the "
            f"{machine.limits.max_monitor_units_per_beam:g} MU that it gives a beam (max_monitor_units_per_beam), "
            f"{prescription.coverage_percent:g} % of {name!r} get {dose[order[at]] / prescription.fractions:.3g} of "
            f"{prescription.dose_per_fraction_gy:.3g} Gy a fraction. Use more beams or more fractions"
        )
