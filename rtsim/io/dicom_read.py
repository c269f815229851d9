"""DICOM in: a CT series with its structure set as a Phantom; plans and doses beside it."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from rtsim.ct import CalibrationCurve
from rtsim.ct.volume import CT
from rtsim.errors import DicomError
from rtsim.geometry.contours import cropped_coverage
from rtsim.io.dicom_contours import check_frame, off_plane
from rtsim.io.dicom_ct import ImageSet, read_series, with_notes
from rtsim.io.dicom_inventory import DicomInventory, SeriesEntry, StructureSetEntry, scan_dicom
from rtsim.phantom.phantom import DensityOverride, Phantom
from rtsim.phantom.structure import Structure, Structures

logger = logging.getLogger(__name__)


def read_dicom(
    folder: str | Path,
    *,
    series: str | None = None,
    structure_set: str | None = None,
    calibration: CalibrationCurve | None = None,
    name: str | None = None,
) -> Phantom:
    """Read the CT series and the RTSTRUCT of a folder as a phantom.

    Files may be nested, unsorted and without suffix. What was done on the way in (slices interpolated, an oblique scan
    resampled, contours skipped) stands in ``phantom.ct.notes``; ``scan_dicom`` lists every skipped contour. Densities
    that the structure set gives to structures (ROI Physical Properties) override the CT.

    Args:
        series: Series Instance UID of the CT, needed when the folder holds several.
        structure_set: SOP Instance UID or file name of the RTSTRUCT, needed when several belong to the CT.
        calibration: HU to density; default the curve of rtsim.ct.
        name: of the phantom; default the name of the folder.

    Raises:
        DicomError: no CT, several CT and none chosen, damaged files, a structure set of another frame of reference.
    """
    inventory = scan_dicom(folder)
    images = _images(inventory, series)
    chosen = _structure_set(inventory, images.ct, structure_set)
    digest = hashlib.sha256(images.ct.hu.tobytes() + repr(images.ct.grid).encode())
    overrides: tuple[DensityOverride, ...] = ()
    if chosen is None:
        structures, notes = Structures(), ["no structure set in the folder"]
    else:
        structures, notes = _structures(chosen, images)
        overrides = _overrides(chosen, structures)
        digest.update(chosen.file.read_bytes())
    for note in notes:
        logger.warning("%s: %s", inventory.folder, note)
    ct = with_notes(images.ct, notes)
    return Phantom.from_ct(
        ct,
        structures,
        calibration=calibration,
        overrides=overrides,
        name=name or inventory.folder.resolve().name,
        case_sha256=digest.hexdigest(),
    )


def read_ct(folder: str | Path, *, series: str | None = None) -> CT:
    """Read only the CT series of a folder.

    Raises:
        DicomError: as for :func:`read_dicom`.
    """
    return _images(scan_dicom(folder), series).ct


def read_structures(folder: str | Path, *, series: str | None = None, structure_set: str | None = None) -> Structures:
    """Read only the structures of a folder, on the grid of its CT.

    Raises:
        DicomError: as for :func:`read_dicom`, and when there is no structure set.
    """
    inventory = scan_dicom(folder)
    images = _images(inventory, series)
    chosen = _structure_set(inventory, images.ct, structure_set)
    if chosen is None:
        raise DicomError(f"{inventory.folder} holds no RTSTRUCT; put the structure set beside the CT")
    return _structures(chosen, images)[0]


def _images(inventory: DicomInventory, series: str | None) -> ImageSet:
    listed = "\n  ".join(str(s) for s in inventory.ct_series)
    if inventory.damaged:
        raise DicomError(
            inventory.damaged[0][1]
            + (f" (and {len(inventory.damaged) - 1} more files)" if len(inventory.damaged) > 1 else "")
        )
    found = [s for s in inventory.ct_series if s.files]
    if not found:
        others = ", ".join(f"{n} {m}" for m, n in inventory.others) or "nothing else that rtsim reads"
        raise DicomError(
            f"{inventory.folder} holds no CT series ({len(inventory.structure_sets)} RTSTRUCT, "
            f"{len(inventory.plans)} RTPLAN, {len(inventory.doses)} RTDOSE, {others}, "
            f"{inventory.not_dicom} files that are not DICOM); give the folder with the CT slices"
        )
    if series is not None:
        matching: list[SeriesEntry] = [s for s in found if s.series_instance_uid == series]
        if not matching:
            raise DicomError(f"series {series} is not in {inventory.folder}; found:\n  {listed}")
        return read_series(matching[0])
    if len(found) > 1:
        raise DicomError(
            f"{inventory.folder} holds {len(found)} CT series; choose one with series=UID (--series UID):\n  {listed}"
        )
    return read_series(found[0])


def _structure_set(inventory: DicomInventory, ct: CT, wanted: str | None) -> StructureSetEntry | None:
    sets = inventory.structure_sets
    if wanted is not None:
        sets = tuple(s for s in sets if wanted in (s.sop_instance_uid, s.file.name, str(s.file)))
        if not sets:
            raise DicomError(f"structure set {wanted} is not in {inventory.folder}; found: {_names(inventory)}")
    if not sets:
        return None
    frame = ct.frame_of_reference_uid
    fitting = [s for s in sets if not frame or not _frames(s) or frame in _frames(s)]
    if not fitting:
        check_frame(f"structure set {sets[0].label!r} ({sets[0].file.name})", _frames(sets[0]), frame)
    if len(fitting) > 1:
        raise DicomError(
            f"{inventory.folder} holds {len(fitting)} structure sets for this CT; choose one with "
            f"structure_set= (--structure-set): {_names(inventory)}"
        )
    return fitting[0]


def _overrides(entry: StructureSetEntry, structures: Structures) -> tuple[DensityOverride, ...]:
    """What the structure set says that structures are made of; where two overlap the denser one stands."""
    found = [r.override for r in entry.rois if r.override is not None and r.name in structures]
    return tuple(sorted(found, key=lambda o: o.density_g_cm3))


def _frames(entry: StructureSetEntry) -> frozenset[str]:
    own = {r.frame_of_reference_uid for r in entry.rois if r.frame_of_reference_uid}
    return frozenset({*entry.frames_of_reference, *own})


def _names(inventory: DicomInventory) -> str:
    return ", ".join(f"{s.file.name} ({s.label!r})" for s in inventory.structure_sets) or "(none)"


def _structures(entry: StructureSetEntry, images: ImageSet) -> tuple[Structures, list[str]]:
    """Structures on the grid of the CT, and notes of what was left out."""
    ct, notes = images.ct, []
    frame = ct.frame_of_reference_uid
    if not frame or not _frames(entry):
        notes.append("frame of reference missing in the CT or the structure set; taken as the same")
    out: list[Structure] = []
    skipped = 0
    referenced: set[str] = set()
    for roi in entry.rois:
        referenced |= roi.image_uids
        skipped += len(roi.skipped)
        if roi.contours is None:
            notes.append(f"structure {roi.name!r} left out: no usable contour")
            continue
        if frame and roi.frame_of_reference_uid and roi.frame_of_reference_uid != frame:
            notes.append(f"structure {roi.name!r} left out: frame of reference {roi.frame_of_reference_uid}")
            continue
        off = off_plane(roi.contours, ct.grid)
        if off:
            notes.append(
                f"structure {roi.name!r}: {off} of {len(roi.contours)} contours lie on no CT slice; "
                "interpolated where the CT reaches"
            )
        crop, _, coverage = cropped_coverage(roi.contours, ct.grid)
        if crop is None or not coverage.any():
            notes.append(f"structure {roi.name!r} left out: it lies outside the CT")
            continue
        out.append(Structure.from_coverage(roi.name, roi.role, crop, coverage, contours=roi.contours, color=roi.color))
    if skipped:
        notes.append(f"{skipped} contours or structures skipped; rtsim info lists each with its reason")
    stray = referenced - images.sop_instance_uids - {""}
    if stray:
        notes.append(
            f"{len(stray)} CT images that the structure set refers to are not in the series; the contours are "
            "placed by their coordinates"
        )
    return Structures(tuple(out)), notes
