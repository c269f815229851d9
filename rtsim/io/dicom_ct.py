"""A CT series to HU on a grid along LPS, whatever its orientation, order and gaps; what was done is in CT.notes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy.ndimage import map_coordinates

from rtsim.ct.volume import CT
from rtsim.errors import DicomError
from rtsim.geometry.grid import Grid
from rtsim.io.dicom_inventory import SeriesEntry
from rtsim.io.dicom_tags import NotDicomError, Tags, number, numbers, quiet, read_tags, text
from rtsim.typing import Float32Array, FloatArray

_SAME_PLACE_MM: Final = 0.01
_REGULAR: Final = 0.02
"""Slice distances within this fraction of their median are regular."""
_AIR_HU: Final = -1000.0
_LOWEST_HU: Final = -1024.0
_POSITIONS: Final = ("HFS", "HFP", "FFS", "FFP")


@dataclass(frozen=True, eq=False)
class _Slice:
    path: Path
    uid: str
    position: FloatArray
    orientation: FloatArray
    spacing: FloatArray
    hu: Float32Array
    thickness: float | None
    padded: int
    tags: Tags


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A CT and the SOP Instance UIDs of the slices that it came from."""

    ct: CT
    sop_instance_uids: frozenset[str]


def read_series(series: SeriesEntry) -> ImageSet:
    """Build the CT of one series.

    Raises:
        DicomError: damaged files, missing geometry, two images at one place, gaps of more than one slice.
    """
    if series.enhanced:
        raise DicomError(
            f"{series} is an Enhanced (multi-frame) CT; rtsim reads single-frame CT. Export it as CT "
            "Image Storage, one file a slice"
        )
    if not series.files:
        raise DicomError(f"series {series.series_instance_uid} holds only localizers; give one with axial slices")
    slices = [_read_slice(p) for p in series.files]
    notes: list[str] = []
    if series.localizers:
        notes.append(f"{series.localizers} localizer images left out")
    _check_alike(slices)
    normal = np.cross(slices[0].orientation[:3], slices[0].orientation[3:])
    slices.sort(key=lambda s: float(s.position @ normal))
    slices = _without_copies(slices, normal, notes)
    hu, step = _regular(slices, normal, notes)
    hu, grid = _along_lps(hu, slices[0], step, notes)
    padded = sum(s.padded for s in slices)
    if padded:
        notes.append(f"{padded} padding voxels set to {_AIR_HU:g} HU")
    position = text(slices[0].tags, "PatientPosition")
    if position and position != "HFS":
        notes.append(f"patient position {position}: coordinates are those of the patient (LPS) all the same")
    if position and position not in _POSITIONS:
        notes.append(f"patient position {position} is unusual; check left and right")
    first = slices[0].tags
    ct = CT(
        hu,
        grid,
        frame_of_reference_uid=text(first, "FrameOfReferenceUID") or None,
        series_instance_uid=text(first, "SeriesInstanceUID") or None,
        study_instance_uid=text(first, "StudyInstanceUID") or None,
        patient_id=text(first, "PatientID"),
        patient_name=text(first, "PatientName"),
        notes=tuple(notes),
    )
    return ImageSet(ct, frozenset(s.uid for s in slices))


def _read_slice(path: Path) -> _Slice:
    try:
        tags = read_tags(path, pixels=True)
    except NotDicomError as error:
        raise DicomError(f"{path} changed while it was read") from error
    position = numbers(tags, "ImagePositionPatient", 3)
    orientation = numbers(tags, "ImageOrientationPatient", 6)
    spacing = numbers(tags, "PixelSpacing", 2)
    for keyword, value in (
        ("ImagePositionPatient", position),
        ("ImageOrientationPatient", orientation),
        ("PixelSpacing", spacing),
    ):
        if value is None:
            raise DicomError(f"{path} has no usable {keyword}; without it the slice cannot be placed in the patient")
    assert position is not None
    assert orientation is not None
    assert spacing is not None
    if (
        spacing.min() <= 0
        or abs(np.linalg.norm(orientation[:3]) - 1) > 0.01
        or abs(np.linalg.norm(orientation[3:]) - 1) > 0.01
        or abs(orientation[:3] @ orientation[3:]) > 0.01
    ):
        raise DicomError(f"{path}: PixelSpacing {spacing} or ImageOrientationPatient {orientation} is not valid")
    stored = _pixels(path, tags)
    slope, intercept = number(tags, "RescaleSlope", 1.0), number(tags, "RescaleIntercept", 0.0)
    hu = (stored * np.float32(slope) + np.float32(intercept)).astype(np.float32)
    padded = 0
    padding = number(tags, "PixelPaddingValue")
    if padding is not None:
        blank = (stored == padding) & (hu < _LOWEST_HU)
        padded = int(blank.sum())
        hu[blank] = _AIR_HU
    thickness = number(tags, "SliceThickness")
    with quiet():
        tags = _without_pixels(tags)
    return _Slice(path, text(tags, "SOPInstanceUID"), position, orientation, spacing, hu, thickness, padded, tags)


def _without_pixels(tags: Tags) -> Tags:
    if "PixelData" in tags:
        del tags.PixelData
    return tags


def _pixels(path: Path, tags: Tags) -> FloatArray:
    syntax = tags.file_meta.get("TransferSyntaxUID", None) if hasattr(tags, "file_meta") else None
    if syntax is None:
        tags.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    elif syntax.is_compressed:
        try:
            with quiet():
                return np.asarray(tags.pixel_array)
        except Exception as error:
            raise DicomError(
                f"{path} is compressed ({syntax.name}) and cannot be unpacked here ({error}). Install "
                "pylibjpeg with pip install 'pydicom[pixeldata]' pylibjpeg pylibjpeg-libjpeg "
                "pylibjpeg-openjpeg, or export it uncompressed"
            ) from error
    try:
        with quiet():
            pixels = np.asarray(tags.pixel_array)
    except Exception as error:
        raise DicomError(
            f"{path} is damaged or cut off: its pixels cannot be read ({error}); copy it again from its source"
        ) from error
    if pixels.ndim != 2:
        raise DicomError(f"{path} holds pixels of shape {pixels.shape}; one gray image (rows, columns) is needed")
    return pixels


def _check_alike(slices: list[_Slice]) -> None:
    first = slices[0]
    for s in slices:
        if s.hu.shape != first.hu.shape or np.abs(s.spacing - first.spacing).max() > 1e-3:
            raise DicomError(
                f"{s.path} has {s.hu.shape} pixels of {s.spacing} mm, {first.path} has {first.hu.shape} "
                f"of {first.spacing} mm; the slices of one series must match"
            )
        if np.abs(s.orientation - first.orientation).max() > 1e-3:
            raise DicomError(
                f"{s.path} is oriented {s.orientation}, {first.path} {first.orientation}; the slices of "
                "one series must be parallel. Take the odd ones (often scout views) out of the folder"
            )


def _without_copies(slices: list[_Slice], normal: FloatArray, notes: list[str]) -> list[_Slice]:
    out = [slices[0]]
    for s in slices[1:]:
        if float((s.position - out[-1].position) @ normal) > _SAME_PLACE_MM:
            out.append(s)
        elif not np.array_equal(s.hu, out[-1].hu):
            raise DicomError(
                f"{s.path} and {out[-1].path} are different images at the same place "
                f"(z = {s.position[2]:g} mm); the folder mixes two scans or phases. Separate them"
            )
    if len(out) < len(slices):
        notes.append(f"{len(slices) - len(out)} copies of slices left out")
    return out


def _regular(slices: list[_Slice], normal: FloatArray, notes: list[str]) -> tuple[Float32Array, FloatArray]:
    """(n, rows, columns) at equal steps, and the step (3,) in LPS mm from slice to slice."""
    hu = np.stack([s.hu for s in slices])
    if len(slices) == 1:
        thickness = slices[0].thickness
        if thickness is None or thickness <= 0:
            raise DicomError(
                f"the series is the one slice {slices[0].path} without a Slice Thickness; its extent in z is unknown"
            )
        notes.append(f"a single slice of {thickness:g} mm")
        return hu, normal * thickness
    along = np.array([float(s.position @ normal) for s in slices])
    gaps = np.diff(along)
    step = float(np.median(gaps))
    wide = int(np.argmax(gaps))
    if gaps[wide] > 2.0 * step * (1 + _REGULAR) or gaps.min() < step / 2 * (1 - _REGULAR):
        z0, z1 = slices[wide].position[2], slices[wide + 1].position[2]
        raise DicomError(
            f"slices lie {gaps.min():g} .. {gaps.max():g} mm apart (most {step:g} mm); between z = {z0:g} "
            f"and {z1:g} mm more than one is missing. Give the whole series, or resample it evenly"
        )
    count = round((along[-1] - along[0]) / step) + 1
    fine = (along[-1] - along[0]) / (count - 1)
    total = slices[-1].position - slices[0].position
    if count == len(slices) and np.abs(gaps - step).max() <= _REGULAR * step:
        return hu, np.asarray(total / (count - 1))
    missing = [k for k, g in enumerate(gaps) if g > 1.5 * step]
    for k in missing:
        notes.append(
            f"a slice is missing between z = {slices[k].position[2]:g} and {slices[k + 1].position[2]:g} mm; "
            "interpolated"
        )
    if len(missing) < int((np.abs(gaps - step) > _REGULAR * step).sum()) or count != len(slices) + len(missing):
        notes.append(f"slices lie {gaps.min():g} .. {gaps.max():g} mm apart; interpolated linearly to {fine:g} mm")
    return _interpolated(hu, along, along[0] + fine * np.arange(count)), np.asarray(total / (count - 1))


def _interpolated(hu: Float32Array, along: FloatArray, wanted: FloatArray) -> Float32Array:
    low = np.clip(np.searchsorted(along, wanted, side="right") - 1, 0, len(along) - 2)
    weight = np.clip((wanted - along[low]) / (along[low + 1] - along[low]), 0.0, 1.0)
    snapped = np.where(weight < 1e-3, 0.0, np.where(weight > 1 - 1e-3, 1.0, weight))
    upper = snapped.astype(np.float32)[:, None, None]
    return np.asarray(hu[low] * (1 - upper) + hu[low + 1] * upper, dtype=np.float32)


def _along_lps(hu: Float32Array, first: _Slice, step: FloatArray, notes: list[str]) -> tuple[Float32Array, Grid]:
    """Volume [k, j, i] along LPS: flipped and transposed when its axes are those of the patient, else resampled."""
    along_row, down = first.orientation[:3] * first.spacing[1], first.orientation[3:] * first.spacing[0]
    return along_lps(hu, first.position, np.stack([along_row, down, step], axis=1), notes, fill=_AIR_HU)


def along_lps(
    volume: Float32Array, origin: FloatArray, columns: FloatArray, notes: list[str], *, fill: float
) -> tuple[Float32Array, Grid]:
    """Bring a volume [c, b, a] at ``origin + columns @ (a, b, c)`` onto a grid along LPS.

    Args:
        columns: (3, 3) LPS mm per index step a (along a row), b (down the rows), c (from plane to plane).
        fill: value outside the volume when it has to be resampled.
    """
    lengths: FloatArray = np.linalg.norm(columns, axis=0)
    unit = columns / lengths
    nearest = np.abs(unit).argmax(axis=0)
    straight = bool(len(set(nearest.tolist())) == 3 and np.abs(np.abs(unit).max(axis=0) - 1.0).max() < 1e-5)
    if not straight:
        return _resampled(volume, origin, columns, notes, fill)
    out: Float32Array = volume
    corner = np.array(origin, dtype=np.float64)
    for axis in range(3):  # index axis 0 = a, 1 = b, 2 = c; array axis is 2 - axis
        if unit[nearest[axis], axis] < 0:
            out = np.flip(out, axis=2 - axis)
            corner = corner + columns[:, axis] * (volume.shape[2 - axis] - 1)
    order = [int(np.flatnonzero(nearest == lps)[0]) for lps in (2, 1, 0)]
    out = np.transpose(out, [2 - axis for axis in order])
    spacing = [float(lengths[int(np.flatnonzero(nearest == lps)[0])]) for lps in range(3)]
    if order != [2, 1, 0] or (unit[nearest, range(3)] < 0).any():
        notes.append("image axes flipped or exchanged to run along LPS")
    grid = Grid(
        (out.shape[0], out.shape[1], out.shape[2]),
        (spacing[0], spacing[1], spacing[2]),
        (float(corner[0]), float(corner[1]), float(corner[2])),
    )
    return np.ascontiguousarray(out), grid


def _resampled(
    volume: Float32Array, origin: FloatArray, columns: FloatArray, notes: list[str], fill: float
) -> tuple[Float32Array, Grid]:
    lengths = np.linalg.norm(columns, axis=0)
    share = np.abs(columns / lengths)
    spacing = [float(lengths[int(share[lps].argmax())]) for lps in range(3)]
    count = np.array(volume.shape[::-1], dtype=np.float64)
    corners = np.array([[a, b, c] for a in (0, count[0]) for b in (0, count[1]) for c in (0, count[2])]) - 0.5
    world = corners @ columns.T + origin
    lo, hi = world.min(axis=0), world.max(axis=0)
    grid = Grid.covering(
        (float(lo[0]), float(lo[1]), float(lo[2])),
        (float(hi[0]), float(hi[1]), float(hi[2])),
        (spacing[0], spacing[1], spacing[2]),
    )
    inverse = np.linalg.inv(columns)
    out = np.empty(grid.shape, dtype=np.float32)
    x, y = np.meshgrid(grid.x_mm, grid.y_mm)
    for k, z in enumerate(grid.z_mm):
        index = np.stack([x, y, np.full_like(x, z)], axis=-1) - origin
        abc = index @ inverse.T
        plane = map_coordinates(volume, [abc[..., 2], abc[..., 1], abc[..., 0]], order=1, mode="nearest")
        inside = ((abc >= -0.5) & (abc <= count - 0.5)).all(axis=-1)
        out[k] = np.where(inside, plane, fill)
    tilt = math.degrees(math.acos(min(1.0, float(share.max(axis=0).min()))))
    notes.append(f"oblique or tilted by {tilt:.2f} degrees: resampled trilinearly to {grid.describe()} along LPS")
    return out, grid


def with_notes(ct: CT, notes: list[str]) -> CT:
    """The same CT with more notes."""
    return replace(ct, notes=(*ct.notes, *notes)) if notes else ct
