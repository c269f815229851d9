"""From the TOML of a case to the recipe of its phantom: painted shapes, the spine generator, or a DICOM folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rtsim import materials
from rtsim.errors import CaseFileError
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import (
    Axis,
    Box,
    Capsule,
    Cylinder,
    Ellipsoid,
    Extrusion,
    Intersection,
    Shape,
    Sphere,
    Union,
)
from rtsim.io.case_fields import Table
from rtsim.io.case_spine import spine_spec
from rtsim.materials import Material
from rtsim.phantom.builders import Layer, painted
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import SpineSpec, spine
from rtsim.phantom.structure import Role
from rtsim.typing import Progress

_AXES = {"x": Axis.X, "y": Axis.Y, "z": Axis.Z}
_ROLES = {role.value: role for role in Role}


class PhantomRecipe(Protocol):
    """How a phantom is built, once it is asked for."""

    def build(self, *, name: str, description: str, case_sha256: str, progress: Progress | None) -> Phantom:
        """Build it."""
        ...


@dataclass(frozen=True)
class PaintedRecipe:
    """Shapes painted in order on a grid."""

    grid: Grid
    layers: tuple[Layer, ...]
    background: Material
    supersample: int

    def build(self, *, name: str, description: str, case_sha256: str, progress: Progress | None) -> Phantom:
        """See PhantomRecipe."""
        return painted(
            self.grid,
            self.layers,
            background=self.background,
            supersample=self.supersample,
            name=name,
            description=description,
            case_sha256=case_sha256,
        )


@dataclass(frozen=True)
class SpineRecipe:
    """The spine generator."""

    spec: SpineSpec

    def build(self, *, name: str, description: str, case_sha256: str, progress: Progress | None) -> Phantom:
        """See PhantomRecipe."""
        return spine(self.spec, name=name, description=description, case_sha256=case_sha256, progress=progress)


@dataclass(frozen=True)
class DicomRecipe:
    """A folder with a CT series and an RTSTRUCT."""

    folder: Path

    def build(self, *, name: str, description: str, case_sha256: str, progress: Progress | None) -> Phantom:
        """See PhantomRecipe."""
        from rtsim.io.dicom_read import read_dicom  # pydicom is loaded only when a case needs it

        return replace(read_dicom(self.folder, name=name), description=description, case_sha256=case_sha256)


def phantom_recipe(top: Table, folder: Path) -> PhantomRecipe:
    """The recipe that a case asks for: exactly one of [spine], [grid] and [ct]. ``folder`` is that of the case file."""
    given = [key for key in ("spine", "grid", "ct") if key in top]
    if len(given) != 1:
        raise CaseFileError(
            f"{top.where}: {', '.join(f'[{g}]' for g in given) or 'none of them'} given; "
            "exactly one of [spine], [grid] and [ct] says what is irradiated"
        )
    if given != ["grid"] and "structures" in top:
        raise CaseFileError(f"{top.where}: [[structures]] are painted on a [grid]; they do not go with [{given[0]}]")
    if given == ["spine"]:
        return SpineRecipe(spine_spec(top.table("spine")))
    if given == ["ct"]:
        t = top.table("ct")
        t.allow("dicom")
        return DicomRecipe((folder / t.text("dicom")).resolve())
    return _painted(top)


def _painted(top: Table) -> PaintedRecipe:
    t = top.table("grid")
    t.allow("lower_mm", "upper_mm", "spacing_mm", "background", "supersample")
    grid = Grid.covering(t.vector("lower_mm"), t.vector("upper_mm"), t.vector("spacing_mm"))
    layers = tuple(_layer(s) for s in top.tables("structures"))
    if not layers:
        raise CaseFileError(f"{top.where}: [grid] is given but no [[structures]]; paint at least one")
    return PaintedRecipe(grid, layers, materials.get(t.text("background", "air")), t.integer("supersample", 3))


def _layer(t: Table) -> Layer:
    t.allow("name", "role", "material", "density_g_cm3", "shape", "draw")
    name = t.text("name")
    return Layer(
        shape=_shape(t.table("shape")),
        material=materials.get(t.text("material")) if "material" in t else None,
        density_g_cm3=t.optional_number("density_g_cm3"),
        structure=name if t.flag("draw", True) else None,
        role=t.choice("role", _ROLES, Role.OAR),
    )


_SHAPE_KEYS = {
    "sphere": ("center_mm", "radius_mm"),
    "ellipsoid": ("center_mm", "radii_mm"),
    "box": ("lower_mm", "upper_mm", "rounding_mm"),
    "cylinder": ("center_mm", "radius_mm", "length_mm", "axis"),
    "extrusion": ("polygon_mm", "lower_mm", "upper_mm", "axis", "rounding_mm"),
    "tube": ("start_mm", "end_mm", "start_radius_mm", "end_radius_mm"),
    "union": ("shapes", "blend_mm"),
    "intersection": ("shapes",),
    "difference": ("base", "cut"),
}


def _shape(t: Table) -> Shape:
    """A shape: kind = "..." and its own keys; rotated_deg about the axis rotated_about, then moved_mm, come after."""
    kind = t.choice("kind", {k: k for k in _SHAPE_KEYS})
    t.allow("kind", "moved_mm", "rotated_deg", "rotated_about", *_SHAPE_KEYS[kind])
    shape = _bare(kind, t)
    if "rotated_deg" in t:
        shape = shape.rotated(t.choice("rotated_about", _AXES), t.number("rotated_deg"))
    return shape.moved(t.vector("moved_mm")) if "moved_mm" in t else shape


def _bare(kind: str, t: Table) -> Shape:
    match kind:
        case "sphere":
            return Sphere(t.vector("center_mm"), t.number("radius_mm"))
        case "ellipsoid":
            return Ellipsoid(t.vector("center_mm"), t.vector("radii_mm"))
        case "box":
            return Box(t.vector("lower_mm"), t.vector("upper_mm"), t.number("rounding_mm", 0.0))
        case "cylinder":
            return Cylinder(
                t.vector("center_mm"), t.number("radius_mm"), t.number("length_mm"), t.choice("axis", _AXES, Axis.Z)
            )
        case "tube":
            radius = t.number("start_radius_mm")
            return Capsule(t.vector("start_mm"), t.vector("end_mm"), radius, t.number("end_radius_mm", radius))
        case "extrusion":
            return Extrusion(
                _polygon(t),
                t.number("lower_mm"),
                t.number("upper_mm"),
                t.choice("axis", _AXES, Axis.Z),
                t.number("rounding_mm", 0.0),
            )
        case "difference":
            return _shape(t.table("base")) - _shape(t.table("cut"))
        case _:
            parts = tuple(_shape(s) for s in t.tables("shapes"))
            if not parts:
                raise CaseFileError(f"{t.where}: shapes is empty; a {kind} needs at least one")
            return Union(parts, t.number("blend_mm", 0.0)) if kind == "union" else Intersection(parts)


def _polygon(t: Table) -> tuple[tuple[float, float], ...]:
    value = t.raw.get("polygon_mm")
    good = isinstance(value, list) and all(
        isinstance(v, list) and len(v) == 2 and all(isinstance(c, (int, float)) for c in v) for v in value
    )
    if not good or value is None:
        raise CaseFileError(f"{t.where}: polygon_mm is {value!r}; it must be a list of [a, b] vertices")
    return tuple((float(a), float(b)) for a, b in value)
