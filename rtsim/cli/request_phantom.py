"""Which phantom ``rtsim run`` plans on: of a case or a DICOM folder, with the cord found and planning volumes made."""

from __future__ import annotations

import argparse

from rtsim.ct import CalibrationCurve, read_calibration
from rtsim.errors import InputError
from rtsim.evaluate import find_cord, find_structure
from rtsim.io.case import Case
from rtsim.io.dicom_read import read_dicom
from rtsim.phantom.external import with_external
from rtsim.phantom.phantom import DensityOverride, Phantom
from rtsim.phantom.structure import Role
from rtsim.phantom.targets import CORD, CORD_PRV, PlanningVolumes, with_planning_volumes
from rtsim.protocol import Protocol, Technique
from rtsim.protocol.nomenclature import canonical
from rtsim.typing import Progress


def phantom_of(arguments: argparse.Namespace, case: Case | None, progress: Progress | None) -> Phantom:
    """The phantom of a case or a DICOM folder, with the densities that the user overrides.

    Raises:
        RtsimError: whatever is wrong with the input, with what to do.
    """
    overrides = tuple(_override(text) for text in arguments.override)
    if case is not None:
        if arguments.calibration is not None:
            raise InputError(
                "--calibration belongs to a CT of your own (--dicom); a case file says its own [ct] calibration"
            )
        return case.build(progress).overriding(*overrides)
    curve: CalibrationCurve | None = None if arguments.calibration is None else read_calibration(arguments.calibration)
    phantom = read_dicom(
        arguments.dicom, series=arguments.series, structure_set=arguments.structure_set, calibration=curve
    )
    if not phantom.structures:
        raise InputError(
            f"{arguments.dicom} holds a CT but no RTSTRUCT; --target {arguments.target} needs one. "
            f"'rtsim info {arguments.dicom}' lists what was found"
        )
    return phantom.overriding(*overrides)


def _override(text: str) -> DensityOverride:
    name, _, value = text.rpartition("=")
    try:
        return DensityOverride(structure=name, density_g_cm3=float(value))
    except ValueError as error:
        raise InputError(
            f"--override {text!r} is not STRUCTURE=DENSITY with a density in g/cm3, e.g. Screw=4.43 ({error})"
        ) from None


def planned_on(arguments: argparse.Namespace, phantom: Phantom, protocol: Protocol, target: str) -> tuple[Phantom, str]:
    """The phantom with its planning volumes, and the name of the PTV."""
    if arguments.cord is None and phantom[target].role is Role.PTV and not protocol.cord_limit:
        return with_external(phantom), target
    cord, is_only_cord = _cord(arguments, phantom)
    drawn = find_structure(phantom, CORD_PRV)
    volumes = PlanningVolumes(
        target=target,
        cord=cord,
        ptv_margin_mm=protocol.ptv_margin_mm,
        cord_margin_mm=protocol.cord_margin_mm,
        spare_cord=protocol.technique is Technique.STEREOTACTIC,
        is_only_cord=is_only_cord,
        cord_prv=None if drawn is None else drawn.name,
        set_aside=tuple(name for name in _named_cord(phantom) if name != cord),
    )
    return with_planning_volumes(phantom, volumes)


def _cord(arguments: argparse.Namespace, phantom: Phantom) -> tuple[str, bool]:
    """The structure that is the cord, and whether goals on the cord find it by its name, all others set aside."""
    named = _named_cord(phantom)
    if arguments.cord is not None:
        chosen = phantom[arguments.cord].name
        return chosen, chosen in named
    if len(named) > 1:
        raise InputError(
            f"{len(named)} structures are named like a spinal cord: {', '.join(named)}; say which one is it with --cord"
        )
    found = find_cord(phantom)
    if found is None:
        raise InputError(
            "no structure is named like a spinal cord, canal or thecal sac; say which it is with --cord NAME. "
            f"Drawn are: {', '.join(phantom.structures)}"
        )
    return found.name, named == [found.name]


def _named_cord(phantom: Phantom) -> list[str]:
    return [s.name for s in phantom.structures.values() if canonical(s.name) == CORD]
