"""Phantoms from shapes: water box, slabs, the TG-119 C-shape, or any list of painted layers.

water = builders.water_box(side_mm=300, spacing_mm=2)
chest = builders.slabs([Slab(30, materials.get("water")), Slab(100, materials.get("lung")), ...])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtsim import materials
from rtsim.ct import default_curve
from rtsim.errors import InputError
from rtsim.geometry.coverage import cover, coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Axis, Box, Cylinder, Extrusion, Shape
from rtsim.materials import Material
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import spine
from rtsim.phantom.structure import Role, Structure, Structures
from rtsim.typing import Vector3

__all__ = ["Layer", "Slab", "painted", "slabs", "spine", "tg119_c_shape", "water_box"]

AIR_VOXELS = 2
"""Voxels of air around a box, so that it has an outside."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One shape to paint, to draw as a structure, or both.

    Attributes:
        shape: where, LPS mm.
        material: what it is made of; None draws a structure and paints nothing.
        density_g_cm3: None takes the nominal density of the material.
        structure, role: name and role of the structure; None draws none.
    """

    shape: Shape
    material: Material | None = None
    density_g_cm3: float | None = None
    structure: str | None = None
    role: Role = Role.OAR

    def __post_init__(self) -> None:
        if self.material is None and self.structure is None:
            raise InputError("a layer has neither a material nor a structure; give one of them")
        if self.material is None and self.density_g_cm3 is not None:
            raise InputError(f"density_g_cm3 of {self.structure!r} is given without a material; give the material too")
        if self.density_g_cm3 is not None and not 0.0 < self.density_g_cm3 < 25.0:
            raise InputError(f"density_g_cm3 is {self.density_g_cm3}; allowed are 0 < density_g_cm3 < 25")


@dataclass(frozen=True)
class Slab:
    """A layer across the beam, thickness along y (anterior to posterior)."""

    thickness_mm: float
    material: Material
    density_g_cm3: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.thickness_mm) and self.thickness_mm > 0):
            raise InputError(f"thickness_mm is {self.thickness_mm}; a slab is > 0 mm thick")


def painted(
    grid: Grid,
    layers: Sequence[Layer],
    *,
    background: Material | None = None,
    supersample: int = 3,
    name: str = "phantom",
    description: str = "",
    case_sha256: str = "",
) -> Phantom:
    """Paint layers in order on a background (air). Densities are blended by the fraction of a voxel that lies inside;
    a voxel takes the material that covers at least half of it. HU follow from the densities by the default curve.

    Raises:
        InputError: a structure that lies off the grid, two of one name.
    """
    ground = materials.get("air") if background is None else background
    used: list[Material] = [ground]
    density = np.full(grid.shape, ground.density_g_cm3)
    index = np.zeros(grid.shape, dtype=np.uint8)
    drawn: list[Structure] = []
    for layer in layers:
        part = cover(layer.shape, grid, supersample)
        if layer.material is not None and part is not None:
            rho = layer.material.density_g_cm3 if layer.density_g_cm3 is None else layer.density_g_cm3
            if layer.material not in used:
                used.append(layer.material)
            density[part.slices] += part.fraction * (rho - density[part.slices])
            index[part.slices][part.fraction >= 0.5] = used.index(layer.material)
        if layer.structure is not None:
            whole = coverage(layer.shape, grid, supersample)
            drawn.append(Structure.from_coverage(layer.structure, layer.role, grid, whole))
    return Phantom.from_density(
        density,
        index,
        tuple(used),
        grid,
        Structures(tuple(drawn)),
        hu=default_curve().hu_at(density),
        name=name,
        description=description,
        case_sha256=case_sha256,
    )


def water_box(side_mm: float = 300.0, spacing_mm: float = 2.0) -> Phantom:
    """A cube of water centered on the origin, with a little air around it. Structure: BODY.

    The surface that gantry 0 enters is at y = -side_mm / 2.
    """
    if not (math.isfinite(side_mm) and side_mm > 0):
        raise InputError(f"side_mm is {side_mm}; a box needs a side > 0 mm")
    half = side_mm / 2
    box = Box((-half, -half, -half), (half, half, half))
    layer = Layer(shape=box, material=materials.get("water"), structure="BODY", role=Role.EXTERNAL)
    return painted(
        _around(box, (spacing_mm,) * 3), [layer], name="water_box", description=f"water cube of {side_mm:g} mm"
    )


def slabs(layers: Sequence[Slab], *, side_mm: float = 300.0, spacing_mm: Vector3 = (2.0, 2.0, 2.0)) -> Phantom:
    """Slabs one behind the other along y; gantry 0 enters the first. The front surface is at y = -total / 2.

    Structures: BODY, and slab_1, slab_2, ... from the front. Interfaces that do not lie on voxel edges are blended:
    choose ``spacing_mm`` so that they do.
    """
    if not layers:
        raise InputError("slabs is empty; give at least one Slab(thickness_mm, material)")
    total, half = sum(s.thickness_mm for s in layers), side_mm / 2
    body = Box((-half, -total / 2, -half), (half, total / 2, half))
    found = [Layer(shape=body, material=layers[0].material, structure="BODY", role=Role.EXTERNAL)]
    front = -total / 2
    for number, slab in enumerate(layers, start=1):
        box = Box((-half, front, -half), (half, front + slab.thickness_mm, half))
        found.append(
            Layer(
                shape=box,
                material=slab.material,
                density_g_cm3=slab.density_g_cm3,
                structure=f"slab_{number}",
                role=Role.CONTROL,
            )
        )
        front += slab.thickness_mm
    return painted(
        _around(body, spacing_mm),
        found,
        name="slabs",
        description=", ".join(f"{s.thickness_mm:g} mm {s.material.name}" for s in layers),
    )


def c_shape(
    inner_mm: float = 15.0, outer_mm: float = 37.0, length_mm: float = 80.0, opening_deg: float = 120.0
) -> Shape:
    """The C of AAPM TG-119: a tube along z less a sector ``opening_deg`` wide, open to posterior."""
    half = math.radians(opening_deg) / 2
    reach = 3.0 * outer_mm
    corner = (reach * math.sin(half), reach * math.cos(half))
    sector = Extrusion(((0.0, 0.0), corner, (-corner[0], corner[1])), -length_mm, length_mm)
    tube = Cylinder((0.0, 0.0, 0.0), outer_mm, length_mm) - Cylinder((0.0, 0.0, 0.0), inner_mm, 2.0 * length_mm)
    return tube - sector


def tg119_c_shape(spacing_mm: float = 2.5) -> Phantom:
    """The C-shape test of AAPM TG-119 (DOI 10.1118/1.3238104): PTV around a cylinder, Core, in a block of water.

    From the report, quoted from memory: PTV inner radius 15, outer 37, length 80 mm; core radius 10, length 100 mm;
    gap 5 mm. Assumed here: the opening of 120 degrees, posterior, and the block of 300 x 200 x 220 mm.
    """
    body = Box((-150.0, -100.0, -110.0), (150.0, 100.0, 110.0))
    core = Cylinder((0.0, 0.0, 0.0), 10.0, 100.0, Axis.Z)
    return painted(
        _around(body, (spacing_mm,) * 3),
        [
            Layer(shape=body, material=materials.get("water"), structure="BODY", role=Role.EXTERNAL),
            Layer(shape=c_shape(), structure="PTV", role=Role.PTV),
            Layer(shape=core, structure="Core", role=Role.OAR),
        ],
        name="tg119_c_shape",
        description="AAPM TG-119 C-shape",
    )


def _around(box: Box, spacing_mm: Vector3) -> Grid:
    if not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise InputError(f"spacing_mm is {spacing_mm}; lengths > 0 mm are needed")
    air = tuple(AIR_VOXELS * s for s in spacing_mm)
    lower = tuple(lo - a for lo, a in zip(box.lower_mm, air, strict=True))
    upper = tuple(u + a for u, a in zip(box.upper_mm, air, strict=True))
    return Grid.covering((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]), spacing_mm)
