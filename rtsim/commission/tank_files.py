"""ASCII exports of water-tank software: PTW MEPHYSTO (.mcc), IBA / Wellhofer RFA300 and Varian W2CAD (.asc).

* ``.mcc`` is read by pymedphys (``pip install 'rtsim[commission]'``).
* RFA300 ("BDS format") and W2CAD are line formats that no library on Python 3.11 reads; they are read here. Lengths are
  mm. A W2CAD point is ``<x y z dose>`` in IEC 1217 axes, z the depth. An RFA300 point is ``= X Y Z dose``, Z the depth;
  whether its X runs crossline or inline depends on the scanner's set-up and is not in the file: the caller says.

Open photon fields only: wedged, electron and other scans are left out, each with a sentence that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtsim.commission.measured import Axis, DepthDose, Profile
from rtsim.errors import CaseFileError, InputError, MissingDependencyError

SUFFIXES: Final = (".mcc", ".asc")
_W2CAD_OPEN: Final = {"OPD", "OPP", "DPR"}
_FLAT_MM: Final = 1.0
"""A coordinate that changes by less than this along a scan counts as fixed."""


@dataclass(frozen=True)
class TankScans:
    """The curves of one file, and what was left out of it."""

    curves: tuple[DepthDose | Profile, ...]
    notes: tuple[str, ...]


def read_tank_file(path: Path, *, rfa300_x: Axis | None = None) -> TankScans:
    """All open-field photon scans of one export.

    Args:
        rfa300_x: along what the X of an RFA300 file runs: Axis.CROSSLINE or Axis.INLINE.

    Raises:
        CaseFileError: not one of the formats, or a scan that cannot be read.
        InputError: an RFA300 file with profiles, and ``rfa300_x`` is None.
        MissingDependencyError: an .mcc file, and pymedphys is not installed.
    """
    if path.suffix.lower() == ".mcc":
        return _read_mcc(path)
    lines = path.read_text(encoding="latin-1").splitlines()
    if any(line.startswith("$STOM") for line in lines):
        return _read_w2cad(path.name, lines)
    if any(line.startswith((":MSR", ":SYS BDS")) for line in lines):
        return _read_rfa300(path.name, lines, rfa300_x)
    raise CaseFileError(
        f"{path.name} is neither W2CAD (no line $STOM) nor RFA300 (no line :MSR); export the scans in one of these "
        "formats, or as CSV (docs/commissioning.md)"
    )


@dataclass
class _Block:
    """One scan as it stands in a file: %KEY texts, and points (x, y, z, dose)."""

    keys: dict[str, str]
    points: list[tuple[float, ...]]

    def array(self, where: str) -> np.ndarray:
        if len(self.points) < 4 or any(len(p) != 4 for p in self.points):
            raise CaseFileError(f"{where}: a scan needs at least 4 points of x, y, z and dose")
        return np.array(self.points, dtype=np.float64)

    def number(self, key: str, where: str) -> float:
        try:
            return float(self.keys[key].split()[0].replace(",", "."))
        except (KeyError, IndexError, ValueError) as error:
            raise CaseFileError(f"{where}: %{key} is {self.keys.get(key)!r}; a number is needed") from error

    def field(self, key: str, where: str) -> tuple[float, float]:
        found = re.findall(r"\d+(?:\.\d+)?", self.keys.get(key, ""))
        if len(found) != 2:
            raise CaseFileError(f"{where}: %{key} is {self.keys.get(key)!r}; two field widths in mm are needed")
        return float(found[0]), float(found[1])


def _numbers(text: str, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in text.split())
    except ValueError as error:
        raise CaseFileError(f"{where}: the point {text.strip()!r} is not four numbers") from error


def _w2cad_blocks(name: str, lines: list[str]) -> Iterator[_Block]:
    block: _Block | None = None
    for line in lines:
        if line.startswith("$STOM"):
            block = _Block({}, [])
        elif line.startswith("$ENOM") and block is not None:
            yield block
            block = None
        elif block is not None and line.startswith("%"):
            key, _, value = line[1:].partition(" ")
            block.keys[key.strip()] = value.split("#")[0].strip()
        elif block is not None and line.startswith("<"):
            block.points.append(_numbers(line.strip().strip("<>"), name))
    if block is not None:
        raise CaseFileError(f"{name}: a scan has no end ($ENOM); the file is cut off")


def _read_w2cad(name: str, lines: list[str]) -> TankScans:
    curves: list[DepthDose | Profile] = []
    notes: list[str] = []
    for n, block in enumerate(_w2cad_blocks(name, lines), start=1):
        where = f"{name} scan {n}"
        kind, beam = block.keys.get("TYPE", ""), block.keys.get("BMTY", "PHO")
        if kind not in _W2CAD_OPEN or beam != "PHO":
            notes.append(f"{where} left out: TYPE {kind or '?'}, beam {beam}; open photon fields are used")
            continue
        field, ssd = block.field("FLSZ", where), block.number("SSD", where)
        curves.append(_curve(where, block.array(where), field, ssd, (Axis.CROSSLINE, Axis.INLINE)))
    return TankScans(tuple(curves), tuple(notes))


def _rfa300_blocks(name: str, lines: list[str]) -> Iterator[_Block]:
    block: _Block | None = None
    for line in lines:
        if line.startswith(("%VNR", ":EOM", ":EOF")):  # a measurement starts with its version
            if block is not None and block.points:
                yield block
            block = _Block({}, [])
        if block is not None and line.startswith("%"):
            key, _, value = line[1:].replace("\t", " ").partition(" ")
            block.keys[key.strip()] = value.split("#")[0].strip()
        elif block is not None and line.startswith("="):
            block.points.append(_numbers(line[1:], name))
    if block is not None and block.points:
        yield block


def _read_rfa300(name: str, lines: list[str], x_axis: Axis | None) -> TankScans:
    curves: list[DepthDose | Profile] = []
    notes: list[str] = []
    for n, block in enumerate(_rfa300_blocks(name, lines), start=1):
        where = f"{name} scan {n}"
        beam = (block.keys.get("BMT", "PHO").split() or ["?"])[0]
        wedge = block.number("WEG", where) if block.keys.get("WEG") else 0.0
        if beam not in {"PHO", "COB"} or block.keys.get("TYP", "SCN") != "SCN" or wedge != 0.0:
            notes.append(f"{where} left out: beam {beam}, type {block.keys.get('TYP')}, wedge {wedge:g}")
            continue
        points = block.array(where)
        if x_axis not in (Axis.CROSSLINE, Axis.INLINE) and np.ptp(points[:, 2]) < _FLAT_MM:
            raise InputError(
                f"{name}: an RFA300 file does not say whether its X runs crossline or inline; "
                "say so with --rfa300-x crossline (or inline)"
            )
        axes = (Axis.INLINE, Axis.CROSSLINE) if x_axis is Axis.INLINE else (Axis.CROSSLINE, Axis.INLINE)
        curves.append(_curve(where, points, block.field("FSZ", where), block.number("SSD", where), axes))
    return TankScans(tuple(curves), tuple(notes))


def _curve(
    where: str, points: np.ndarray, field_mm: tuple[float, float], ssd_mm: float, axes: tuple[Axis, Axis]
) -> DepthDose | Profile:
    """A depth dose or profile, by which of x, y, z changes; ``axes``: along what x and y run."""
    x, y, depth, dose = points.T
    moves = [float(np.ptp(v)) >= _FLAT_MM for v in (x, y, depth)]
    if moves == [False, False, True]:
        return DepthDose(field_mm=field_mm, ssd_mm=ssd_mm, depth_mm=depth, value=dose, source=where)
    if moves[2] or not (moves[0] or moves[1]):
        raise CaseFileError(f"{where}: the scan runs neither along depth nor at one depth; such scans cannot be used")
    if moves == [True, True, False]:
        axis, position = Axis.DIAGONAL, np.sign(x) * np.hypot(x, y)
    else:
        axis, position = (axes[0], x) if moves[0] else (axes[1], y)
    return Profile(
        field_mm=field_mm,
        ssd_mm=ssd_mm,
        depth_mm=float(depth.mean()),
        axis=axis,
        position_mm=position,
        value=dose,
        source=where,
    )


def _read_mcc(path: Path) -> TankScans:
    core = _mephysto()
    lines = np.array(path.read_text(encoding="latin-1").splitlines(keepends=True))
    try:
        positions, doses = core.pull_mephysto_data(lines)
        text = {key: core.pull_mephysto_item(key, lines) for key in ("SCAN_CURVETYPE", "MODALITY", "SCAN_DIAGONAL")}
        number = {
            key: core.pull_mephysto_number(key, lines)
            for key in ("SSD", "SCAN_DEPTH", "FIELD_INPLANE", "FIELD_CROSSPLANE", "WEDGE_ANGLE")
        }
    except (AttributeError, IndexError, AssertionError, ValueError) as error:
        raise CaseFileError(f"{path.name} cannot be read as PTW MEPHYSTO data: {error}") from error
    if not positions:
        raise CaseFileError(f"{path.name}: there is no scan in it (BEGIN_SCAN)")
    curves: list[DepthDose | Profile] = []
    notes: list[str] = []
    for n, (position, dose) in enumerate(zip(positions, doses, strict=True)):
        where = f"{path.name} scan {n + 1}"
        kind, beam, diagonal = (str(text[k][n]) for k in ("SCAN_CURVETYPE", "MODALITY", "SCAN_DIAGONAL"))
        wedge = float(np.nan_to_num(number["WEDGE_ANGLE"][n]))  # no entry: no wedge
        if beam not in {"X", "CO60", "nan"} or wedge != 0.0:
            notes.append(f"{where} left out: modality {beam}, wedge angle {wedge:g}")
            continue
        field = (float(number["FIELD_CROSSPLANE"][n]), float(number["FIELD_INPLANE"][n]))
        ssd = float(number["SSD"][n])
        if kind == "PDD":
            curves.append(DepthDose(field_mm=field, ssd_mm=ssd, depth_mm=position, value=dose, source=where))
            continue
        axis = {"CROSSPLANE_PROFILE": Axis.CROSSLINE, "INPLANE_PROFILE": Axis.INLINE}.get(kind)
        if axis is None:
            notes.append(f"{where} left out: curve type {kind}")
            continue
        curves.append(
            Profile(
                field_mm=field,
                ssd_mm=ssd,
                depth_mm=float(number["SCAN_DEPTH"][n]),
                axis=Axis.DIAGONAL if diagonal in {"FIRST_DIAGONAL", "SECOND_DIAGONAL"} else axis,
                position_mm=position,
                value=dose,
                source=where,
            )
        )
    return TankScans(tuple(curves), tuple(notes))


def _mephysto() -> Any:
    """The reader of MEPHYSTO files in pymedphys; imported only when such a file is there."""
    try:
        from pymedphys._experimental.fileformats.mephysto import core
    except ImportError as error:
        raise MissingDependencyError(
            "PTW .mcc files are read by pymedphys, which is not installed (or has moved its reader): "
            "pip install 'rtsim[commission]', or export the scans as W2CAD, RFA300 or CSV"
        ) from error
    return core
