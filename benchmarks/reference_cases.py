"""The EGSnrc reference doses as Phantom + Beam + arrays: what tests and the accuracy benchmark compare engines with.

Two formats are read, told apart by their keys, from any .npz with a ``dose``:

* slab and water cases (``edges_z``): point source 1 m above the surface, planar photon fluence uniform over a square
at the
  surface. The scalar fluence relative to the axis is 1/cos(theta). Files are cropped laterally; the 30 x 30 x 30 cm
  phantom is restored by repeating the outermost columns.
* CT cases (``spacing_mm``): isotropic point source; the scalar fluence in the isocenter plane goes as cos^2(theta).

Doses are Gy per (photon/cm2 on the axis in the isocenter plane).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsim.beams.model import Aperture, Beam, static_control_points
from rtsim.geometry.grid import Grid
from rtsim.machine.model import Machine, OffAxisProfile
from rtsim.materials import Material, Spectrum, get
from rtsim.phantom.phantom import Phantom
from rtsim.typing import FloatArray

# source: composition tables of the two README files beside the doses
BONE = {
    "H": 0.047234,
    "C": 0.14433,
    "N": 0.04199,
    "O": 0.446096,
    "Mg": 0.0022,
    "P": 0.10497,
    "S": 0.00315,
    "Ca": 0.20993,
    "Zn": 0.0001,
}
LUNG = {"H": 0.103, "C": 0.105, "N": 0.031, "O": 0.749, "Na": 0.002, "P": 0.002, "S": 0.003, "Cl": 0.003, "K": 0.002}
TISSUE = {"H": 0.101172, "C": 0.111, "N": 0.026, "O": 0.761828}
AIR = {"C": 0.000124, "N": 0.7552, "O": 0.2318, "Ar": 0.01283}


@dataclass(frozen=True, eq=False, kw_only=True)
class ReferenceCase:
    """One Monte Carlo case.

    Attributes:
        name: file name without suffix.
        phantom, beam: what was irradiated; ``beam`` carries 1 photon/cm2.
        dose: Monte Carlo dose in Gy per (photon/cm2), on its own rectilinear voxels, in the order [k, j, i] of LPS.
        sigma: relative standard uncertainty, same shape.
        edges_mm: voxel edges along x, y, z of ``dose``.
    """

    name: str
    phantom: Phantom
    beam: Beam
    dose: FloatArray
    sigma: FloatArray
    edges_mm: tuple[FloatArray, FloatArray, FloatArray]

    @property
    def is_ct(self) -> bool:
        """True for a case on a real CT."""
        return self.name.startswith("ct_")

    @property
    def field_mm(self) -> float:
        """Side of the field along BLD x in the isocenter plane."""
        low, high = self.beam.control_points[0].aperture.jaws_x_mm
        return high - low

    @property
    def interfaces_mm(self) -> tuple[float, ...]:
        """Depths along the axis at which the material changes; none on a CT."""
        if self.is_ct:
            return ()
        grid = self.phantom.grid
        line = self.phantom.material_index[grid.shape[0] // 2, :, grid.shape[2] // 2]
        return tuple(float(grid.y_mm[j] + grid.spacing_mm[1] / 2) for j in np.flatnonzero(np.diff(line.astype(int))))

    @property
    def centers_mm(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Voxel centers along x, y, z."""
        x, y, z = ((e[1:] + e[:-1]) / 2 for e in self.edges_mm)
        return x, y, z


def reference_names(folder: Path) -> tuple[str, ...]:
    """Names of the doses in a folder."""
    return tuple(sorted(p.stem for p in folder.glob("*.npz") if "dose" in np.load(p).files))


def reference_cases(folder: Path) -> Iterator[ReferenceCase]:
    """All doses in a folder."""
    for name in reference_names(folder):
        yield load_case(folder, name)


def load_case(folder: Path, name: str, *, spacing_mm: tuple[float, float, float] | None = None) -> ReferenceCase:
    """One case; ``spacing_mm`` (x, y, z) of the phantom of a slab case (default 2.5 mm, 1 mm about a rod)."""
    with np.load(folder / f"{name}.npz") as data:
        arrays = {k: data[k] for k in data.files}
    if "edges_z" in arrays:
        return _slab(name, arrays, _mohan(folder), spacing_mm)
    return _ct(name, arrays)


def point_source(spectrum: Spectrum, *, cosine_power: float) -> Machine:
    """A bare point source whose fluence in the isocenter plane goes as cos(theta)^cosine_power."""
    radius = np.linspace(0.0, 300.0, 301)
    relative = (1.0 + (radius / 1000.0) ** 2) ** (-cosine_power / 2)
    return Machine(
        name="point source",
        description="EGSnrc reference beam",
        spectrum=spectrum,
        off_axis=OffAxisProfile(radius_mm=tuple(radius), relative=tuple(relative)),
    )


def _mohan(folder: Path) -> Spectrum:
    low, high, photons = np.loadtxt(folder / "spectrum_mohan6.csv", delimiter=",", skiprows=2, unpack=True)
    return Spectrum("mohan6", np.append(low, high[-1]), photons, "EGSnrc mohan6.spectrum")


def _field(
    machine: Machine, size_mm: tuple[float, float], isocenter_mm: tuple[float, float, float], gantry_deg: float
) -> Beam:
    aperture = Aperture(jaws_x_mm=(-size_mm[0] / 2, size_mm[0] / 2), jaws_y_mm=(-size_mm[1] / 2, size_mm[1] / 2))
    return Beam(
        machine=machine,
        isocenter_mm=isocenter_mm,
        gantry_deg=gantry_deg,
        name="reference",
        control_points=static_control_points(((aperture, 1.0),), gantry_deg),
    )


def _slab(
    name: str, a: dict[str, np.ndarray], spectrum: Spectrum, spacing_mm: tuple[float, float, float] | None
) -> ReferenceCase:
    """Reference z (depth) becomes LPS y (gantry 0 travels +y), reference y becomes LPS z."""
    meta = json.loads(str(a["meta"]))
    side = float(str(meta["field_cm_at_surface"]).split("x")[0]) * 10.0
    materials = (
        get("water"),
        Material.from_mass_fractions("ICRP bone", 1.85, BONE),
        Material.from_mass_fractions("lung", 0.26, LUNG),
        Material.from_mass_fractions("titanium", 4.54, {"Ti": 1.0}),
    )
    spacing = spacing_mm or ((1.0, 1.0, 5.0) if "tirod" in name else (2.5, 2.5, 2.5))
    half = 100.0 if "tirod" in name else 150.0
    grid = Grid.covering((-half, 0.0, -half), (half, 300.0, half), spacing)
    ex, ey, ez = (np.round(np.asarray(a[k], dtype=np.float64) * 10.0, 4) for k in ("edges_x", "edges_y", "edges_z"))
    nearest = [
        np.clip(np.searchsorted(e, c, side="right") - 1, 0, e.size - 2)
        for e, c in ((ez, grid.y_mm), (ey, grid.z_mm), (ex, grid.x_mm))
    ]
    cut = np.ix_(*nearest)
    density = np.asarray(a["density"])[cut].transpose(1, 0, 2)
    index = (np.asarray(a["material"])[cut] - 1).astype(np.uint8).transpose(1, 0, 2)
    phantom = Phantom.from_density(
        np.ascontiguousarray(density), np.ascontiguousarray(index), materials, grid, name=name
    )
    beam = _field(point_source(spectrum, cosine_power=-1.0), (side, side), (0.0, 0.0, 0.0), 0.0)
    return ReferenceCase(
        name=name,
        phantom=phantom,
        beam=beam,
        dose=np.asarray(a["dose"], dtype=np.float64).transpose(1, 0, 2),
        sigma=np.asarray(a["uncertainty"], dtype=np.float64).transpose(1, 0, 2),
        edges_mm=(ex, ez, ey),
    )


def _ct(name: str, a: dict[str, np.ndarray]) -> ReferenceCase:
    spacing, origin, isocenter = (tuple(float(v) for v in a[k]) for k in ("spacing_mm", "origin_mm", "isocenter_mm"))
    shape = a["dose"].shape
    grid = Grid((shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]))
    materials = (
        Material.from_mass_fractions("air", 0.0012048, AIR),
        Material.from_mass_fractions("lung", 0.26, LUNG),
        Material.from_mass_fractions("ICRU tissue", 1.0, TISSUE),
        Material.from_mass_fractions("ICRP bone", 1.85, BONE),
        Material.from_mass_fractions("titanium", 4.54, {"Ti": 1.0}),
    )
    phantom = Phantom.from_density(a["density"], a["material"].astype(np.uint8), materials, grid, name=name)
    spectrum = Spectrum(
        "as in the case", np.append(a["spectrum_e_lo_mev"], a["spectrum_e_hi_mev"][-1]), a["spectrum_probability"]
    )
    size = (float(a["field_mm"][0]), float(a["field_mm"][1]))
    if not math.isclose(float(a["source_to_isocenter_mm"]), 1000.0):
        raise ValueError(f"case {name}: source at {a['source_to_isocenter_mm']} mm; 1000 mm is expected")
    beam = _field(
        point_source(spectrum, cosine_power=2.0),
        size,
        (isocenter[0], isocenter[1], isocenter[2]),
        float(a["gantry_deg"]),
    )
    edges = [o - s / 2 + s * np.arange(n + 1) for o, s, n in zip(origin, spacing, shape[::-1], strict=True)]
    return ReferenceCase(
        name=name,
        phantom=phantom,
        beam=beam,
        dose=a["dose"].astype(np.float64),
        sigma=a["uncertainty"].astype(np.float64),
        edges_mm=(edges[0], edges[1], edges[2]),
    )
