"""Which machine delivers a beam of an RTPLAN: by name or by energy, with the leaf boundaries and the wedge of the
file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.errors import DicomError, InputError
from rtsim.io.dicom_tags import Tags, items, number, numbers, text
from rtsim.machine import Machine, Wedge, load_machine, names

_EDGE_TOLERANCE_MM: Final = 0.01
_SAME_ENERGY_MV: Final = 0.5
_SAD_TOLERANCE_MM: Final = 1.0
_DEVICES: Final = ("X", "Y", "ASYMX", "ASYMY", "MLCX", "MLCY")


def machine_of(
    where: str, name: str, beam: Tags, given: Machine | Sequence[Machine] | None, notes: list[str]
) -> Machine:
    """The machine of a beam: the given one, the one of the given ones that has its energy, or the one it names.

    Raises:
        DicomError: none, with the bundled machines of the same energy; the one it names is of another energy.
    """
    energy, free = _energy(beam)
    wanted = "unknown energy" if energy is None else f"{energy:g} MV" + (" FFF" if free else "")
    if isinstance(given, Machine):
        if not _fits(given, energy, free):
            notes.append(f"beam {name!r} is of {wanted}; it is read for {given.name} of {given.nominal_energy}")
        machine = given
    elif given is not None:
        fitting = [m for m in given if _fits(m, energy, free)]
        if not fitting:
            have = ", ".join(f"{m.name} ({m.nominal_energy})" for m in given)
            raise DicomError(
                f"{where} is of {wanted}, the machines given are {have}. Give one of this energy and filter, too: "
                f"machine=(one, other); bundled: {_close(energy, free)}"
            )
        machine = fitting[0]
    else:
        machine = _named(where, beam, wanted, energy, free)
        if not _fits(machine, energy, free):
            raise DicomError(
                f"{where} is of {wanted}, the machine it names is {machine.name} ({machine.nominal_energy}). Give "
                f"machine= of this energy and filter; bundled: {_close(energy, free)}"
            )
    distance = number(beam, "SourceAxisDistance")
    if distance is not None and abs(distance - machine.sad_mm) > _SAD_TOLERANCE_MM:
        raise DicomError(
            f"{where} has a Source-Axis Distance of {distance:g} mm; {machine.name} has {machine.sad_mm:g} mm. Give "
            "machine= with that distance"
        )
    return machine


def angle_deg(degrees: float) -> float:
    """0 <= angle < 360, rid of the 1e-9 that planning systems write."""
    value = degrees % 360.0
    near = round(value, 6)
    return (near if abs(near - value) < 1e-8 else value) % 360.0


def nominal_energy_mv(machine: Machine) -> float | None:
    """The number in ``Machine.nominal_energy`` ("6 MV FFF" -> 6), or None."""
    match = re.search(r"\d+(\.\d+)?", machine.nominal_energy)
    return float(match.group()) if match else None


def is_filter_free(machine: Machine) -> bool:
    """Whether ``Machine.nominal_energy`` says FFF."""
    return "FFF" in machine.nominal_energy.upper()


def _energy(beam: Tags) -> tuple[float | None, bool | None]:
    """Nominal energy in MV, and whether the beam is without flattening filter; None where it is not said."""
    points = items(beam, "ControlPointSequence")
    energy = number(points[0], "NominalBeamEnergy") if points else None
    modes = items(beam, "PrimaryFluenceModeSequence")
    mode = text(modes[0], "FluenceMode").upper() if modes else ""
    which = text(modes[0], "FluenceModeID").upper() if modes else ""
    if not mode or (mode != "STANDARD" and not which):
        return energy, None
    return energy, "FFF" in which


def _fits(machine: Machine, energy: float | None, free: bool | None) -> bool:
    own = nominal_energy_mv(machine)
    if energy is not None and own is not None and abs(own - energy) > _SAME_ENERGY_MV:
        return False
    return free is None or free == is_filter_free(machine)


def _named(where: str, beam: Tags, wanted: str, energy: float | None, free: bool | None) -> Machine:
    known = names()
    for keyword in ("TreatmentMachineName", "ManufacturerModelName"):
        if text(beam, keyword) in known:
            return _bundled(text(beam, keyword))
    raise DicomError(
        f"{where}, {wanted}, is for the machine {text(beam, 'TreatmentMachineName')!r}, which rtsim does not know; "
        f"give machine=, fitted to its beam data (rtsim commission) or, for a first look, a generic one. Of this "
        f"energy: {_close(energy, free)}. Known: {', '.join(known)}"
    )


@lru_cache(maxsize=32)
def _bundled(name: str) -> Machine:
    """One machine for all beams of a plan: its calibration is computed once a machine."""
    return load_machine(name)


def _close(energy: float | None, free: bool | None) -> str:
    bundled = [_bundled(n) for n in names()]
    close = [m.name for m in bundled if m.nominal_energy and energy is not None and _fits(m, energy, free)]
    return ", ".join(close) or "none"


def leaf_reach_mm(beams: Sequence[Tags]) -> float:
    """How far from the axis any leaf of a file stands."""
    far = 0.0
    for beam in beams:
        for point in items(beam, "ControlPointSequence"):
            for device in items(point, "BeamLimitingDevicePositionSequence"):
                positions = numbers(device, "LeafJawPositions")
                if text(device, "RTBeamLimitingDeviceType") == "MLCX" and positions is not None:
                    far = max(far, float(np.abs(positions).max()))
    return far


def with_leaves(where: str, machine: Machine, beam: Tags, reach_mm: float, notes: list[str]) -> Machine:
    """The machine with the leaf boundaries of the file, when the beam has an MLC; its leaves reach as far as needed.

    Raises:
        DicomError: devices that rtsim does not model, an MLC without boundaries or on a machine without.
    """
    devices = {text(d, "RTBeamLimitingDeviceType"): d for d in items(beam, "BeamLimitingDeviceSequence")}
    strange = [d for d in devices if d not in _DEVICES]
    if strange:
        raise DicomError(
            f"{where} is shaped by {', '.join(strange)}; rtsim models one layer of leaves along x and jaws "
            f"({', '.join(_DEVICES[:-1])})"
        )
    if "MLCY" in devices:
        raise DicomError(f"{where}: its leaves move along BLD y (MLCY); rtsim models leaves along x")
    if "MLCX" not in devices:
        return machine
    edges = numbers(devices["MLCX"], "LeafPositionBoundaries")
    if edges is None:
        raise DicomError(f"{where}: its MLC has no Leaf Position Boundaries")
    if machine.mlc is None:
        raise DicomError(
            f"{where} has an MLC of {edges.size - 1} leaf pairs; machine {machine.name!r} has none. "
            "Give machine= with an MLC, whose transmission and leaf ends then hold"
        )
    if edges.size < 2 or not (np.diff(edges) > 0).all():
        raise DicomError(f"{where}: its Leaf Position Boundaries do not rise; export the plan again")
    own = np.asarray(machine.mlc.leaf_edges_mm)
    if own.shape != edges.shape or np.abs(own - edges).max() > _EDGE_TOLERANCE_MM:
        notes.append(
            f"leaf boundaries are those of the plan ({edges.size - 1} pairs, {edges[0]:g} .. {edges[-1]:g} mm), not"
            f" those of {machine.name}"
        )
        own = edges
    if reach_mm > machine.mlc.max_position_mm:
        notes.append(
            f"leaves stand up to {reach_mm:g} mm from the axis; those of {machine.name} reach "
            f"{machine.mlc.max_position_mm:g} mm, and are let go as far"
        )
    try:
        return _with_mlc(machine, tuple(float(e) for e in own), max(reach_mm, machine.mlc.max_position_mm))
    except InputError as error:
        raise DicomError(f"{where}: {error}") from error


@lru_cache(maxsize=32)
def _with_mlc(machine: Machine, edges_mm: tuple[float, ...], reach_mm: float) -> Machine:
    """One machine for all beams of a plan: its calibration is computed once a machine."""
    mlc = machine.mlc
    assert mlc is not None
    if edges_mm == tuple(mlc.leaf_edges_mm) and reach_mm == mlc.max_position_mm:
        return machine
    return replace(machine, mlc=replace(mlc, leaf_edges_mm=edges_mm, max_position_mm=reach_mm))


def wedge_of(where: str, tags: Tags, machine: Machine, notes: list[str], without: list[str]) -> Wedge:
    """A wedge of the file: the machine's own where it has the name, kind, angle and factor.

    Where neither the file nor the machine knows its factor, or the file does not say that of a dynamic wedge, the dose
    is that of monitor units behind the wedge: ``without`` says so.
    """
    angle, orientation = number(tags, "WedgeAngle", 0.0) or 0.0, number(tags, "WedgeOrientation", 0.0) or 0.0
    name = text(tags, "WedgeID") or f"wedge {angle:g}"
    physical = text(tags, "WedgeType", "STANDARD") != "DYNAMIC"
    # IEC 61217 3.6: Yw of the wedge filter system points to the thin end; rtsim counts that direction from BLD +x
    toward = angle_deg(orientation + 90.0)
    factor = number(tags, "WedgeFactor", None)
    alike = [w for w in machine.wedges if w.physical == physical and abs(w.angle_deg - angle) <= 0.5]
    if not factor:
        factor = alike[0].factor if alike else 1.0
        origin = f"that of {machine.name}, {factor:g}," if alike else "1"
        notes.append(f"wedge {name!r} has no factor in the plan; {origin} is taken")
        # the monitor units of a dynamic wedge depend on its field: those of a table by angle are no one's
        without += [] if alike and physical else [f"the factor of wedge {name!r}, which is not known"]
    for own in alike:  # Wedge Angle is a whole number, Wedge ID has 16 characters
        if own.name[:16] == name and abs(own.factor - factor) < 1e-12:
            return replace(own, orientation_deg=toward)
    try:
        return Wedge(name=name, angle_deg=angle, orientation_deg=toward, physical=physical, factor=factor)
    except InputError as error:
        raise DicomError(f"{where}: {error}") from error
