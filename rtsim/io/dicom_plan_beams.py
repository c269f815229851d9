"""One beam of an RTPLAN: its control points, with what they leave standing from one to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np

from rtsim.beams.model import WIDEST_INTERVAL_DEG, Aperture, Beam, ControlPoint, same_aperture
from rtsim.errors import DicomError, InputError
from rtsim.io.dicom_plan_machine import angle_deg, machine_of, wedge_of, with_leaves
from rtsim.io.dicom_tags import Tags, items, number, numbers, text
from rtsim.machine import Machine
from rtsim.typing import FloatArray

Turned: TypeAlias = tuple[float, float, float]
"""(gantry shift, sign of couch, couch shift) of a patient position; see ``dicom_plan``."""

_CROSSING_TOLERANCE_MM: Final = 0.5
_ISOCENTER_TOLERANCE_MM: Final = 0.01
_ANGLE_TOLERANCE_DEG: Final = 0.01
_WEIGHT_TOLERANCE: Final = 1e-3
_ARC_STEP_DEG: Final = 5.0
_JITTER_DEG: Final = 1.0
_X_JAWS: Final = ("ASYMX", "X")
_Y_JAWS: Final = ("ASYMY", "Y")
_ABSENT: Final = (
    ("NumberOfBlocks", "BlockSequence", "blocks"),
    ("NumberOfBoli", "ReferencedBolusSequence", "boli"),
    ("NumberOfCompensators", "CompensatorSequence", "compensators"),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Setting:
    """What the control points leave standing from one to the next."""

    jaws_x_mm: tuple[float, float] | None = None
    jaws_y_mm: tuple[float, float] | None = None
    leaves_mm: FloatArray | None = None
    gantry_deg: float | None = None
    turns: str = "NONE"
    couch_deg: float | None = None
    collimator_deg: float | None = None
    isocenter_mm: tuple[float, float, float] | None = None
    wedges_in: frozenset[int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Point:
    """A control point: monitor units, aperture, gantry of a head-first supine patient, wedges that are in."""

    units: float
    aperture: Aperture
    gantry_deg: float
    turns: str
    wedges: frozenset[int]


def read_beam(
    where: str,
    name: str,
    beam: Tags,
    meterset: float,
    given: Machine | Sequence[Machine] | None,
    reach_mm: float,
    turned: Turned,
    notes: list[str],
    without: list[str],
) -> tuple[Beam, ...]:
    """A beam of the file; two or more where a wedge is in for a part of it.

    Args:
        where: how messages call it.
        meterset: its monitor units in one fraction.
        reach_mm: how far any leaf of the plan stands from the axis.
        notes: gets what is left out or taken otherwise.
        without: gets what lies in the beam and is not computed.

    Raises:
        DicomError: what would give a wrong dose: no photons, no positions, a moving couch, weights that do not add up.
    """
    radiation = text(beam, "RadiationType", "PHOTON")
    if radiation != "PHOTON":
        raise DicomError(f"{where} is of {radiation.lower()}s; only photon beams can be read")
    unit = text(beam, "PrimaryDosimeterUnit", "MU")
    if unit != "MU":
        raise DicomError(f"{where} counts its dose in {unit}; only monitor units (MU) can be read")
    applicators = [text(a, "ApplicatorID") or text(a, "ApplicatorType") for a in items(beam, "ApplicatorSequence")]
    if applicators:
        raise DicomError(
            f"{where} is shaped by an applicator or cone ({', '.join(applicators)}), not by its jaws; rtsim models "
            "jaws and one layer of leaves"
        )
    left_out = _left_out(beam)
    without += left_out
    notes += [f"beam {name!r}: {what} are not modeled and were left out" for what in left_out]
    machine = with_leaves(where, machine_of(where, name, beam, given, notes), beam, reach_mm, notes)
    points = items(beam, "ControlPointSequence")
    if len(points) < 2:
        raise DicomError(f"{where} has {len(points)} control points; at least two are needed")
    settings = _settings(where, beam, points)
    first = settings[0]
    if first.isocenter_mm is None:
        raise DicomError(f"{where} has no Isocenter Position")
    if first.gantry_deg is None:
        raise DicomError(f"{where} has no Gantry Angle at its first control point; where it comes from is unknown")
    _check_openings(where, name, beam, first, machine, notes)
    units = _units(where, beam, points, meterset)
    read = [_point(where, s, u, machine, turned) for s, u in zip(settings, units, strict=True)]
    wedges = {int(number(w, "WedgeNumber", 0.0) or 0): w for w in items(beam, "WedgeSequence")}
    out = []
    for part, inside in _parts(where, read, wedges):
        wedge = wedge_of(where, wedges[inside], machine, notes, without) if inside is not None else None
        controls = _control_points(where, part)
        whole = part[0] is read[0] and part[-1] is read[-1]
        try:
            out.append(
                Beam(
                    machine=machine if wedge is None else machine.with_wedge(wedge),
                    isocenter_mm=first.isocenter_mm,
                    gantry_deg=controls[0].gantry_deg,
                    couch_deg=angle_deg(turned[1] * (first.couch_deg or 0.0) + turned[2]),
                    collimator_deg=angle_deg(first.collimator_deg or 0.0),
                    name=name if whole else f"{name} ({'open' if wedge is None else wedge.name})",
                    control_points=controls,
                    wedge=wedge,
                )
            )
        except InputError as error:
            raise DicomError(f"{where}: {error}") from error
    if len(out) > 1:
        notes.append(f"beam {name!r}: its wedge is in for a part of it; read as {len(out)} beams")
    return tuple(out)


def _left_out(beam: Tags) -> tuple[str, ...]:
    """What lies in the beam that rtsim does not compute."""
    accessories = [
        text(a, "GeneralAccessoryID") or text(a, "GeneralAccessoryType") or "unnamed"
        for a in items(beam, "GeneralAccessorySequence")
    ]
    lying = [what for count, listed, what in _ABSENT if (number(beam, count, 0.0) or 0.0) > 0 or items(beam, listed)]
    return (*lying, *([f"accessories ({', '.join(accessories)})"] if accessories else []))


def _units(where: str, beam: Tags, points: list[Tags], meterset: float) -> list[float]:
    """Monitor units given up to each control point.

    Raises:
        DicomError: weights that are missing, fall, or do not run from 0 to the Final Cumulative Meterset Weight.
    """
    weights = [number(point, "CumulativeMetersetWeight") for point in points]
    found = [w for w in weights if w is not None]
    if len(found) < len(weights):
        raise DicomError(f"{where}: a control point has no Cumulative Meterset Weight")
    last = found[-1]
    final = number(beam, "FinalCumulativeMetersetWeight") or last
    if last <= 0.0 or abs(last - final) > _WEIGHT_TOLERANCE * final:
        raise DicomError(
            f"{where}: its control points end at a meterset weight of {last:g}, its Final Cumulative Meterset Weight "
            f"is {final:g}; which monitor units go with which aperture is unknown. Export the plan again"
        )
    if abs(found[0]) > _WEIGHT_TOLERANCE * final or any(b < a - 1e-9 * final for a, b in pairwise(found)):
        raise DicomError(
            f"{where}: its meterset weights start at {found[0]:g} and must start at 0 and never fall; export it again"
        )
    return [0.0, *(meterset * (w / last) for w in found[1:])]


def _settings(where: str, beam: Tags, points: list[Tags]) -> list[_Setting]:
    """The whole setting at each control point."""
    setting, out = _Setting(), []
    for point in points:
        after = _follow(where, setting, point)
        for what, a, b in (
            ("couch", setting.couch_deg, after.couch_deg),
            ("collimator", setting.collimator_deg, after.collimator_deg),
        ):
            if a is not None and b is not None and abs((b - a + 180.0) % 360.0 - 180.0) > _ANGLE_TOLERANCE_DEG:
                raise DicomError(
                    f"{where}: couch or collimator turn while the beam is on ({what} from {a:g} to {b:g} degrees); "
                    "that cannot be delivered here"
                )
        if setting.isocenter_mm is not None and after.isocenter_mm is not None:
            moved = math.dist(setting.isocenter_mm, after.isocenter_mm)
            if moved > _ISOCENTER_TOLERANCE_MM:
                raise DicomError(f"{where}: the isocenter moves by {moved:g} mm while the beam is on; split the beam")
        setting = after
        out.append(setting)
    return out


def _follow(where: str, before: _Setting, point: Tags) -> _Setting:
    """The setting after a control point: what it does not name stays."""
    found = _positions(where, point)
    for pitch in ("TableTopPitchAngle", "TableTopRollAngle", "GantryPitchAngle", "TableTopEccentricAngle"):
        tilt = number(point, pitch, 0.0) or 0.0
        if abs((tilt + 180.0) % 360.0 - 180.0) > _ANGLE_TOLERANCE_DEG:
            raise DicomError(f"{where}: {pitch} is {number(point, pitch)} degrees; only 0 can be read")
    isocenter = numbers(point, "IsocenterPosition", 3)
    wedges = before.wedges_in
    for position in items(point, "WedgePositionSequence"):
        index = frozenset({int(number(position, "ReferencedWedgeNumber", 0.0) or 0)})
        wedges = (
            (wedges or frozenset()) | index if text(position, "WedgePosition") == "IN" else (wedges or index) - index
        )
    return _Setting(
        jaws_x_mm=_jaws(where, found, _X_JAWS, before.jaws_x_mm),
        leaves_mm=_leaves(where, found["MLCX"]) if "MLCX" in found else before.leaves_mm,
        jaws_y_mm=_jaws(where, found, _Y_JAWS, before.jaws_y_mm),
        gantry_deg=number(point, "GantryAngle", before.gantry_deg),
        turns=text(point, "GantryRotationDirection", before.turns),
        couch_deg=number(point, "PatientSupportAngle", before.couch_deg),
        collimator_deg=number(point, "BeamLimitingDeviceAngle", before.collimator_deg),
        isocenter_mm=(
            before.isocenter_mm
            if isocenter is None
            else (float(isocenter[0]), float(isocenter[1]), float(isocenter[2]))
        ),
        wedges_in=wedges,
    )


def _positions(where: str, point: Tags) -> dict[str, FloatArray]:
    """Positions by device, of those that the control point names."""
    found: dict[str, FloatArray] = {}
    for device in items(point, "BeamLimitingDevicePositionSequence"):
        kind, positions = text(device, "RTBeamLimitingDeviceType"), numbers(device, "LeafJawPositions")
        if positions is None:
            raise DicomError(f"{where}: the positions of {kind or 'a device'} cannot be read; export the plan again")
        if kind == "MLCY":
            raise DicomError(f"{where}: its leaves move along BLD y (MLCY); rtsim models leaves along x")
        if kind not in (*_X_JAWS, *_Y_JAWS, "MLCX"):
            raise DicomError(f"{where} is shaped by {kind!r}; rtsim models one layer of leaves along x (MLCX) and jaws")
        if positions.size % 2 or (kind != "MLCX" and positions.size != 2):
            raise DicomError(f"{where}: {kind} has {positions.size} positions; two a pair are needed")
        found[kind] = positions
    return found


def _leaves(where: str, positions: FloatArray) -> FloatArray:
    """(n, 2) left and right ends; pairs that cross by rounding meet in their middle."""
    half = positions.size // 2
    leaves = np.stack([positions[:half], positions[half:]], axis=1)
    crossing = leaves[:, 0] - leaves[:, 1]
    if crossing.max() > _CROSSING_TOLERANCE_MM:
        raise DicomError(f"{where}: leaf pair {int(crossing.argmax())} crosses by {crossing.max():g} mm")
    middle = leaves.mean(axis=1)
    leaves[crossing > 0] = middle[crossing > 0, None]
    return leaves


def _jaws(
    where: str, found: dict[str, FloatArray], kinds: tuple[str, ...], before: tuple[float, float] | None
) -> tuple[float, float] | None:
    for kind in kinds:
        if kind in found:
            low, high = float(found[kind][0]), float(found[kind][1])
            if high < low - _CROSSING_TOLERANCE_MM:
                raise DicomError(f"{where}: the jaws {kind} cross: {low:g} > {high:g} mm")
            return (low, high) if high >= low else (0.5 * (low + high),) * 2
    return before


def _check_openings(where: str, name: str, beam: Tags, first: _Setting, machine: Machine, notes: list[str]) -> None:
    """Every device that the beam has must stand somewhere from the first control point on; missing jaws are open."""
    has = {text(d, "RTBeamLimitingDeviceType") for d in items(beam, "BeamLimitingDeviceSequence")}
    stands = {"x jaws": first.jaws_x_mm, "y jaws": first.jaws_y_mm, "leaves": first.leaves_mm}
    for what, kinds in (("x jaws", _X_JAWS), ("y jaws", _Y_JAWS), ("leaves", ("MLCX",))):
        if stands[what] is None and has & set(kinds):
            raise DicomError(f"{where} has {what}, but its first control point gives them no position")
    if machine.jaws is not None and first.jaws_y_mm is None:
        notes.append(f"beam {name!r} has no y jaws in the plan; they are taken as wide open")
    if machine.jaws is not None and first.jaws_x_mm is None and not machine.leaves_bound_x:
        notes.append(f"beam {name!r} has no x jaws in the plan; they are taken as wide open")
    if first.leaves_mm is None and machine.leaves_bound_x:
        raise DicomError(
            f"{where} gives no leaf positions, and {machine.name} has no jaws along x. Give machine= with x jaws"
        )


def _point(where: str, setting: _Setting, units: float, machine: Machine, turned: Turned) -> _Point:
    half = machine.max_field_mm / 2
    wide = half if machine.jaws is None else min(half, machine.jaws.limit_mm)
    x, y = setting.jaws_x_mm, setting.jaws_y_mm
    if machine.leaves_bound_x and x is not None and setting.leaves_mm is not None:
        opened = setting.leaves_mm[setting.leaves_mm[:, 1] - setting.leaves_mm[:, 0] > 1.0]
        if opened.size and (opened[:, 0].min() < x[0] - 1.0 or opened[:, 1].max() > x[1] + 1.0):
            raise DicomError(
                f"{where}: x jaws at {x[0]:g} and {x[1]:g} mm cover leaves that are open; {machine.name} has no x "
                "jaws. Give machine= with x jaws"
            )
    try:
        aperture = Aperture(
            jaws_x_mm=(-half, half) if x is None and machine.leaves_bound_x else x or (-wide, wide),
            jaws_y_mm=y or (-wide, wide),
            leaf_pairs_mm=setting.leaves_mm,
        )
    except InputError as error:
        raise DicomError(f"{where}: {error}") from error
    return _Point(
        units=units,
        aperture=aperture,
        gantry_deg=angle_deg((setting.gantry_deg or 0.0) + turned[0]),
        turns=setting.turns.upper(),
        wedges=setting.wedges_in if setting.wedges_in is not None else frozenset({-1}),
    )


def _parts(where: str, points: list[_Point], wedges: dict[int, Tags]) -> list[tuple[list[_Point], int | None]]:
    """The control points by what wedge is in; where the file says no positions, all its wedges are.

    Raises:
        DicomError: a wedge moves while monitor units are given, or two are in.
    """
    states = [frozenset(wedges) if p.wedges == frozenset({-1}) else p.wedges & frozenset(wedges) for p in points]
    parts: list[tuple[list[_Point], int | None]] = []
    start = 0
    for k in range(1, len(points)):
        if states[k] == states[start] and k + 1 < len(points):
            continue
        own, gives = points[start : k + 1], points[k].units > points[k - 1].units
        if states[k] != states[start]:
            if gives:
                raise DicomError(f"{where}: wedges move while the beam is on, or two are in; split the beam")
            own = points[start:k]
        if len(states[start]) > 1:
            raise DicomError(f"{where}: wedges move while the beam is on, or two are in; split the beam")
        if len(own) > 1 and own[-1].units > own[0].units:
            parts.append((own, next(iter(states[start]), None)))
        start = k
    return parts


def _control_points(where: str, points: list[_Point]) -> tuple[ControlPoint, ...]:
    """From 0 monitor units on; long turns of the gantry in steps of ``_ARC_STEP_DEG`` that go the way the file says."""
    first = points[0]
    out = [ControlPoint(cumulative_monitor_units=0.0, aperture=first.aperture, gantry_deg=first.gantry_deg)]
    for a, b in pairwise(points):
        turn = _turn(where, a, b, len(points)) if b.units > a.units else 0.0
        steps = math.ceil(abs(turn) / _ARC_STEP_DEG) if abs(turn) > WIDEST_INTERVAL_DEG else 1
        for n in range(1, steps):
            t = n / steps
            out.append(
                ControlPoint(
                    cumulative_monitor_units=(1 - t) * a.units + t * b.units - first.units,
                    aperture=_between(a.aperture, b.aperture, t),
                    gantry_deg=angle_deg(a.gantry_deg + t * turn),
                )
            )
        out.append(
            ControlPoint(cumulative_monitor_units=b.units - first.units, aperture=b.aperture, gantry_deg=b.gantry_deg)
        )
    return tuple(out)


def _turn(where: str, a: _Point, b: _Point, count: int) -> float:
    """Degrees from one control point to the next, clockwise positive, in the direction of rotation of the first."""
    short = (b.gantry_deg - a.gantry_deg + 180.0) % 360.0 - 180.0
    if a.turns not in ("CW", "CC"):
        return short
    if abs(short) < 1e-9:
        if count == 2:
            raise DicomError(
                f"{where}: the gantry turns {a.turns} from {a.gantry_deg:g} to {b.gantry_deg:g} degrees; a full turn "
                "or none? Give control points in between"
            )
        return 0.0
    turn = short % 360.0 if a.turns == "CW" else short % 360.0 - 360.0
    return short if abs(turn) > 360.0 - _JITTER_DEG and count > 2 else turn


def _between(a: Aperture, b: Aperture, t: float) -> Aperture:
    if same_aperture(a, b):
        return a

    def mix(p: tuple[float, float], q: tuple[float, float]) -> tuple[float, float]:
        return (1 - t) * p[0] + t * q[0], (1 - t) * p[1] + t * q[1]

    leaves = a.leaf_pairs_mm
    if leaves is not None and b.leaf_pairs_mm is not None:
        leaves = (1 - t) * leaves + t * b.leaf_pairs_mm
    return replace(
        a, jaws_x_mm=mix(a.jaws_x_mm, b.jaws_x_mm), jaws_y_mm=mix(a.jaws_y_mm, b.jaws_y_mm), leaf_pairs_mm=leaves
    )
