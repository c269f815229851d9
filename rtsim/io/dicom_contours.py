"""RTSTRUCT regions of interest as planar contours, with every contour that cannot be used and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.errors import DicomError
from rtsim.geometry.contours import PlanarContours
from rtsim.geometry.grid import Grid
from rtsim.io.dicom_matter import read_matter
from rtsim.io.dicom_tags import Tags, items, number, numbers, text
from rtsim.phantom.phantom import DensityOverride, guess_role
from rtsim.phantom.structure import Role
from rtsim.typing import FloatArray

_PLANE_TOLERANCE_MM: Final = 0.1
_SMALLEST_AREA_MM2: Final = 1e-3
ROLE_NOTE: Final = "rtsim role "
"""Written into ROI Observation Description, so that roles DICOM has no term for (ITV, PRV) come back."""

_CLOSED: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_ROLES: Final = {
    "GTV": Role.GTV,
    "CTV": Role.CTV,
    "PTV": Role.PTV,
    "EXTERNAL": Role.EXTERNAL,
    "SUPPORT": Role.SUPPORT,
    "FIXATION": Role.SUPPORT,
    "CONTROL": Role.CONTROL,
    "DOSE_REGION": Role.CONTROL,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class RoiContours:
    """One region of interest of an RTSTRUCT.

    Attributes:
        contours: what can be used; None when nothing can.
        skipped: one sentence for each contour (or for the whole region) that cannot be used.
        image_uids: SOP Instance UIDs of the CT slices that the contours refer to.
        override: what it is made of, when the structure set says so against the CT.
    """

    number: int
    name: str
    role: Role
    color: tuple[int, int, int] | None
    frame_of_reference_uid: str
    contours: PlanarContours | None
    skipped: tuple[str, ...]
    image_uids: frozenset[str]
    override: DensityOverride | None = None

    def __str__(self) -> str:
        if self.contours is None:
            return f"{self.name} ({self.role.value}): no usable contour"
        z = self.contours.z_mm
        return f"{self.name} ({self.role.value}): {len(self.contours)} contours, z {z.min():g} .. {z.max():g} mm" + (
            f", {len(self.skipped)} skipped" if self.skipped else ""
        )


def roi_contours(tags: Tags) -> tuple[RoiContours, ...]:
    """All regions of interest of an RTSTRUCT dataset, in its order; names made unique.

    Raises:
        DicomError: the structure set defines no region at all in a way that can be read.
    """
    drawn = {_reference(i): i for i in items(tags, "ROIContourSequence")}
    observed = {_reference(i): i for i in items(tags, "RTROIObservationsSequence")}
    out: list[RoiContours] = []
    names: set[str] = set()
    for roi in items(tags, "StructureSetROISequence"):
        value = number(roi, "ROINumber")
        if value is None:
            continue
        index = int(value)
        base = text(roi, "ROIName") or f"ROI {index}"
        name, copy = base, 2
        while name in names:
            name, copy = f"{base} ({copy})", copy + 1
        names.add(name)
        out.append(_roi(index, name, text(roi, "ReferencedFrameOfReferenceUID"), drawn.get(index), observed.get(index)))
    return tuple(out)


def _reference(item: Tags) -> int:
    value = number(item, "ReferencedROINumber")
    return -1 if value is None else int(value)


def _roi(index: int, name: str, frame: str, drawn: Tags | None, observed: Tags | None) -> RoiContours:
    z: list[float] = []
    polygons: list[FloatArray] = []
    skipped: list[str] = []
    uids: set[str] = set()
    seen: set[bytes] = set()
    contours = [] if drawn is None else items(drawn, "ContourSequence")
    if not contours:
        skipped.append(f"{name}: no contours are drawn")
    for count, contour in enumerate(contours, start=1):
        uids.update(text(i, "ReferencedSOPInstanceUID") for i in items(contour, "ContourImageSequence"))
        polygon, height, reason = _polygon(contour)
        if polygon is not None and polygon.tobytes() + np.float64(height).tobytes() in seen:
            polygon, reason = None, f"drawn twice at z = {height:g} mm; the copy would cancel the original"
        if polygon is None:
            skipped.append(f"{name}: contour {count} of {len(contours)}: {reason}")
            continue
        seen.add(polygon.tobytes() + np.float64(height).tobytes())
        z.append(height)
        polygons.append(polygon)
    rgb = None if drawn is None else numbers(drawn, "ROIDisplayColor", 3)
    color = None if rgb is None else tuple(int(np.clip(v, 0, 255)) for v in rgb)
    return RoiContours(
        number=index,
        name=name,
        role=_role(name, observed),
        frame_of_reference_uid=frame,
        color=None if color is None else (color[0], color[1], color[2]),
        contours=PlanarContours(np.array(z), tuple(polygons)) if polygons else None,
        skipped=tuple(skipped),
        image_uids=frozenset(uids),
        override=read_matter(name, observed),
    )


def _polygon(contour: Tags) -> tuple[FloatArray | None, float, str]:
    """(m, 2) polygon and its z, or None and the reason."""
    kind = text(contour, "ContourGeometricType") or "(none)"
    if kind not in _CLOSED:
        return None, 0.0, f"its type is {kind}; only closed planar contours enclose a volume"
    data = numbers(contour, "ContourData")
    if data is None:
        return None, 0.0, "it holds no points that can be read"
    if data.size % 3:
        return None, 0.0, f"it holds {data.size} numbers, which is not a multiple of three"
    points = data.reshape(-1, 3)
    keep = np.concatenate(([True], np.abs(np.diff(points, axis=0)).max(axis=1) > 0)) if len(points) > 1 else [True]
    points = points[np.asarray(keep)]
    if len(points) > 1 and np.array_equal(points[0], points[-1]):
        points = points[:-1]
    height = float(np.median(points[:, 2]))
    if len(points) < 3:
        return None, height, f"it has {len(points)} distinct points at z = {height:g} mm; three are needed"
    span = float(np.ptp(points[:, 2]))
    if span > _PLANE_TOLERANCE_MM:
        return None, height, f"it does not lie in an axial plane (z spans {span:.2f} mm around {height:g} mm)"
    x, y = points[:, 0], points[:, 1]
    area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    extent = float(np.ptp(x) * np.ptp(y))
    if extent < _SMALLEST_AREA_MM2 or area < _SMALLEST_AREA_MM2:
        return None, height, f"it encloses no area at z = {height:g} mm"
    return np.ascontiguousarray(points[:, :2]), height, ""


def _role(name: str, observed: Tags | None) -> Role:
    note = "" if observed is None else text(observed, "ROIObservationDescription")
    if note.startswith(ROLE_NOTE) and note[len(ROLE_NOTE) :] in Role.__members__:
        return Role[note[len(ROLE_NOTE) :]]
    kind = "" if observed is None else text(observed, "RTROIInterpretedType").upper()
    guessed = guess_role(name)
    return guessed if guessed in (Role.ITV, Role.PRV) else _ROLES.get(kind, guessed)


def off_plane(contours: PlanarContours, grid: Grid) -> int:
    """How many contours lie on no plane of ``grid`` (further than a tenth of its z spacing)."""
    index = (contours.z_mm - grid.origin_mm[2]) / grid.spacing_mm[2]
    beyond = (index < -0.5) | (index > grid.shape[0] - 0.5)
    return int(((np.abs(index - np.round(index)) > 0.1) | beyond).sum())


def check_frame(name: str, found: frozenset[str], wanted: str | None) -> None:
    """Raise DicomError unless the frame of reference of the CT is among those found (or either is not given)."""
    if wanted and found and wanted not in found:
        raise DicomError(
            f"{name} belongs to the frame of reference {', '.join(sorted(found))}; the CT has {wanted}. "
            "Its contours lie in other coordinates: give the structure set that was drawn on this CT"
        )
