"""Phantom: what is irradiated. A CT (or densities), what it is made of, and the structures drawn on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rtsim.ct import CT, AboveCurve, CalibrationCurve, calibration_notes, matter_from_hu
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.materials import Material
from rtsim.phantom.structure import Role, Structure, Structures
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, UInt8Array, Vector3


@dataclass(frozen=True, kw_only=True)
class DensityOverride:
    """Give a structure a density (and a material): metal, cement, contrast, couch. Fractional voxels are blended.

    Attributes:
        structure: name of the structure.
        density_g_cm3: mass density, 0 < density < 25.
        material: what it is made of; None keeps the composition that the HU gave.
    """

    structure: str
    density_g_cm3: float
    material: Material | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.density_g_cm3 < 25.0:
            raise InputError(
                f"density_g_cm3 of the override of {self.structure!r} is {self.density_g_cm3}; "
                "allowed are 0 < density_g_cm3 < 25"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Phantom:
    """What is irradiated.

    Attributes:
        ct: the CT; for phantoms given as densities a CT computed from them.
        structures: regions of interest.
        density_g_cm3: (nz, ny, nx) float32 mass density, overrides applied, read-only.
        material_index: (nz, ny, nx) uint8 into ``materials``, read-only.
        materials: what the indices mean.
        name, description: for reports.
        case_sha256: of the case file or DICOM instances it came from; goes into every result.
        notes: what was done on the way from the CT to here, in sentences, for reports.
        overrides: the densities (and materials) given to structures against the CT, in the order they were given.
    """

    ct: CT
    structures: Structures
    density_g_cm3: Float32Array
    material_index: UInt8Array
    materials: tuple[Material, ...]
    name: str = "phantom"
    description: str = ""
    case_sha256: str = ""
    notes: tuple[str, ...] = ()
    overrides: tuple[DensityOverride, ...] = ()

    def __repr__(self) -> str:
        return f"Phantom({self.name!r}, {self.grid.describe()}, {len(self.structures)} structures)"

    def __post_init__(self) -> None:
        density = np.ascontiguousarray(self.density_g_cm3, dtype=np.float32)
        index = np.ascontiguousarray(self.material_index, dtype=np.uint8)
        for field, array in (("density_g_cm3", density), ("material_index", index)):
            if array.shape != self.grid.shape:
                raise InputError(f"{field} has shape {array.shape}; the grid has {self.grid.shape} (nz, ny, nx)")
        _check_density(density)
        if index.size and int(index.max()) >= len(self.materials):
            raise InputError(
                f"material_index reaches {int(index.max())}; only {len(self.materials)} materials are given"
            )
        for field, array in (("density_g_cm3", density), ("material_index", index)):
            array = array.copy() if array.flags.writeable and array is getattr(self, field) else array
            array.flags.writeable = False
            object.__setattr__(self, field, array)

    @property
    def grid(self) -> Grid:
        """The grid of the CT, LPS mm."""
        return self.ct.grid

    def __getitem__(self, name: str) -> Structure:
        return self.structures[name]

    def __contains__(self, name: object) -> bool:
        return name in self.structures

    def __iter__(self) -> Iterator[str]:
        return iter(self.structures)

    @classmethod
    def from_ct(
        cls,
        ct: CT,
        structures: Structures,
        *,
        calibration: CalibrationCurve | None = None,
        above: AboveCurve = AboveCurve.REFUSE,
        overrides: tuple[DensityOverride, ...] = (),
        name: str = "phantom",
        description: str = "",
        case_sha256: str = "",
    ) -> Phantom:
        """From a CT by a calibration curve (default: the one of rtsim.ct), then density overrides by structure.

        Raises:
            InputError: HU above the curve (unless ``above`` allows it), an override of an unknown structure.
        """
        matter = matter_from_hu(ct.hu, calibration, above=above)
        notes = (*ct.notes, *calibration_notes(ct.hu, calibration, above=above))
        phantom = cls(
            ct=ct,
            structures=structures,
            density_g_cm3=matter.density_g_cm3,
            material_index=matter.material_index,
            materials=matter.materials,
            name=name,
            description=description,
            case_sha256=case_sha256,
            notes=notes,
        )
        return phantom.overriding(*overrides)

    @classmethod
    def from_arrays(
        cls,
        hu: AnyFloatArray,
        spacing_mm: Vector3,
        origin_mm: Vector3 = (0.0, 0.0, 0.0),
        masks: Mapping[str, BoolArray | AnyFloatArray] | None = None,
        *,
        roles: Mapping[str, Role] | None = None,
        calibration: CalibrationCurve | None = None,
        overrides: tuple[DensityOverride, ...] = (),
        name: str = "phantom",
    ) -> Phantom:
        """From arrays: HU [k, j, i] in LPS, and masks (or coverages 0..1) of the same shape by name.

        A role that is not given is guessed from the name: PTV.., CTV.., GTV.. are targets, BODY and EXTERNAL the
        outline, everything else an organ at risk.

        Raises:
            InputError: wrong shapes, empty masks, a role for a mask that is not there.
        """
        array = np.asarray(hu)
        if array.ndim != 3:
            raise InputError(f"hu has {array.ndim} axes; a volume (nz, ny, nx) is needed")
        grid = Grid((array.shape[0], array.shape[1], array.shape[2]), spacing_mm, origin_mm)
        given = dict(roles or {})
        stray = set(given) - set(masks or {})
        if stray:
            raise InputError(f"roles are given for {sorted(stray)}, but there is no mask of that name")
        found = tuple(
            Structure.from_coverage(k, given.get(k, guess_role(k)), grid, np.asarray(m, dtype=np.float32))
            for k, m in (masks or {}).items()
        )
        return cls.from_ct(
            CT(array.astype(np.float32), grid),
            Structures(found),
            calibration=calibration,
            overrides=overrides,
            name=name,
        )

    @classmethod
    def from_density(
        cls,
        density_g_cm3: AnyFloatArray,
        material_index: UInt8Array,
        materials: tuple[Material, ...],
        grid: Grid,
        structures: Structures | None = None,
        *,
        hu: AnyFloatArray | None = None,
        name: str = "phantom",
        description: str = "",
        case_sha256: str = "",
    ) -> Phantom:
        """From densities and materials given directly. Without ``hu`` the CT shows 1000 (density - 1), to look at."""
        _check_density(np.asarray(density_g_cm3))
        shown = 1000.0 * (np.asarray(density_g_cm3, dtype=np.float32) - 1.0) if hu is None else np.asarray(hu)
        return cls(
            ct=CT(shown.astype(np.float32), grid),
            structures=structures or Structures(),
            density_g_cm3=np.asarray(density_g_cm3, dtype=np.float32),
            material_index=material_index,
            materials=materials,
            name=name,
            description=description,
            case_sha256=case_sha256,
        )

    def with_structures(self, *structures: Structure) -> Phantom:
        """The same phantom with structures added (or replaced by name)."""
        return replace(self, structures=self.structures.adding(*structures))

    def overriding(self, *overrides: DensityOverride) -> Phantom:
        """The same phantom with densities (and materials) overridden by structure, in order."""
        if not overrides:
            return self
        density = self.density_g_cm3.astype(np.float64)
        index = self.material_index.copy()
        materials = list(self.materials)
        for o in overrides:
            coverage = self.structures[o.structure].coverage_on(self.grid).astype(np.float64)
            density = density * (1.0 - coverage) + o.density_g_cm3 * coverage
            if o.material is not None:
                if o.material not in materials:
                    materials.append(o.material)
                index[coverage >= 0.5] = materials.index(o.material)
        said = tuple(
            f"density of {o.structure} overridden: {o.density_g_cm3:g} g/cm3"
            + (f", {o.material.name}" if o.material else "")
            for o in overrides
        )
        return replace(
            self,
            density_g_cm3=density.astype(np.float32),
            material_index=index,
            materials=tuple(materials),
            notes=self.notes + said,
            overrides=self.overrides + overrides,
        )

    def external_mask(self) -> BoolArray:
        """Boolean [k, j, i] of the patient outline: the EXTERNAL structure, else density > 0.2 g/cm3."""
        outline = self.structures.with_role(Role.EXTERNAL)
        return outline[0].mask_on(self.grid) if outline else np.asarray(self.density_g_cm3 > 0.2)


def _check_density(density_g_cm3: AnyFloatArray) -> None:
    """Raise InputError with the first voxel whose density is zero, negative, NaN or infinite."""
    bad = ~(np.isfinite(density_g_cm3) & (density_g_cm3 > 0))
    if bad.any():
        first = tuple(int(n) for n in np.argwhere(bad)[0])
        raise InputError(
            f"density_g_cm3 is {density_g_cm3[first]:g} in voxel [k, j, i] = {list(first)}, and zero, negative or NaN "
            f"in {int(bad.sum())} voxels; every voxel needs a finite density > 0 g/cm3 (air is 0.0012)"
        )


def guess_role(name: str) -> Role:
    """The role that a structure's name tells (PTV.., CTV.., GTV.., ITV.., ..PRV.., BODY/EXTERNAL/SKIN), else OAR."""
    upper = name.upper()
    for role in (Role.PTV, Role.CTV, Role.GTV, Role.ITV):
        if upper.startswith(role.value):
            return role
    if "PRV" in upper:
        return Role.PRV
    if upper in {"BODY", "EXTERNAL", "SKIN", "OUTLINE", "BODY_DERIVED", "PATIENT"}:
        return Role.EXTERNAL
    if "COUCH" in upper or "TABLE" in upper:
        return Role.SUPPORT
    return Role.OAR
