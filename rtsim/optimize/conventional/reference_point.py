"""The point that an emergency field is prescribed to, its depth below the skin, and the field about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from rtsim.beams.model import Beam
from rtsim.beams.outline import project_outline
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.resample import sample_linear
from rtsim.machine.model import Machine
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.nomenclature import canonical
from rtsim.typing import FloatArray, Vector3

_STEP_MM = 0.5
_NEAR_MM = 10.0
"""What lies within this of the beam's axis counts as on it."""

WHOLE_MM = 5.0
"""Fields that follow from a target are rounded up to this."""


class PrescribedTo(Enum):
    """Where on the axis of a posterior field the dose is prescribed."""

    VERTEBRAL_BODY = "the middle of the vertebral body"
    TARGET_CENTER = "the center of the target"
    TARGET_ANTERIOR = "the anterior edge of the target"
    CORD = "the depth of the spinal cord"
    MIDPLANE = "the midplane"
    ISOCENTER = "the isocenter"


@dataclass(frozen=True, kw_only=True)
class Path:
    """The axis of a beam from the skin to a point.

    Attributes:
        ssd_mm: source to skin.
        depth_mm: skin to point.
        water_mm: that path as water: electron density along it.
    """

    ssd_mm: float
    depth_mm: float
    water_mm: float


def skin_mm(phantom: Phantom, isocenter_mm: Vector3) -> tuple[float, float]:
    """(anterior, posterior) LPS y of the skin on the vertical line through a point.

    Raises:
        GeometryError: the line misses the patient.
    """
    grid = phantom.grid
    x, _, z = isocenter_mm
    y = np.arange(grid.lower_mm[1], grid.upper_mm[1], _STEP_MM)
    line = np.stack([np.full_like(y, x), y, np.full_like(y, z)], axis=1)
    outline = phantom.structures.with_role(Role.EXTERNAL)[0].coverage_on(grid)
    inside = np.flatnonzero(sample_linear(outline, grid, line) >= 0.5)
    if not inside.size:
        raise GeometryError(
            f"the vertical line through isocenter_mm {tuple(round(v, 1) for v in isocenter_mm)} misses the patient, "
            f"whose CT reaches from {grid.lower_mm} to {grid.upper_mm} mm; give an isocenter inside"
        )
    return float(y[inside[0]]), float(y[inside[-1]])


def path_to(phantom: Phantom, beam: Beam, point_mm: Vector3) -> Path:
    """The way of a vertical beam to a point on its axis."""
    anterior, posterior = skin_mm(phantom, point_mm)
    entry = posterior if beam.gantry_deg == 180.0 else anterior
    depth = abs(point_mm[1] - entry)
    count = max(2, round(depth / _STEP_MM))
    t = (np.arange(count) + 0.5) / count
    line = np.stack(
        [np.full(count, point_mm[0]), entry + (point_mm[1] - entry) * t, np.full(count, point_mm[2])], axis=1
    )
    water = float(_electron_density(phantom, line).mean()) * depth
    return Path(ssd_mm=abs(float(beam.source_mm[1]) - entry), depth_mm=depth, water_mm=water)


def _electron_density(phantom: Phantom, points_mm: FloatArray) -> FloatArray:
    """(n,) relative to water of 1 g/cm3."""
    kji = np.clip(np.round(phantom.grid.index_of(points_mm)).astype(int), 0, np.array(phantom.grid.shape) - 1)
    ratio = np.array([m.electrons_per_gram_ratio for m in phantom.materials])
    density = sample_linear(phantom.density_g_cm3, phantom.grid, points_mm)
    return np.asarray(density * ratio[phantom.material_index[tuple(kji.T)]], dtype=np.float64)


def reference_y_mm(
    phantom: Phantom, target: Structure | None, at: PrescribedTo, line_mm: Vector3, depth_mm: float | None
) -> tuple[float, str]:
    """LPS y of the reference point on the vertical line through ``line_mm``, and where that is in words.

    Args:
        depth_mm: below the posterior skin; goes before ``at``.

    Raises:
        InputError: what it is to follow is not drawn, or a depth outside the patient.
    """
    anterior, posterior = skin_mm(phantom, line_mm)
    if depth_mm is not None:
        if not 0.0 < depth_mm < posterior - anterior:
            raise InputError(
                f"depth_mm is {depth_mm:g}; on this axis the patient is {posterior - anterior:.0f} mm thick: "
                f"0 < depth_mm < {posterior - anterior:.0f} is allowed"
            )
        return posterior - depth_mm, f"a depth of {depth_mm:g} mm below the posterior skin"
    if at is PrescribedTo.MIDPLANE:
        return (anterior + posterior) / 2, f"{at.value}, {(posterior - anterior) / 2:.0f} mm from either skin"
    if at is PrescribedTo.ISOCENTER:
        return line_mm[1], at.value
    if at is PrescribedTo.VERTEBRAL_BODY:
        body = vertebral_body_y_mm(phantom, line_mm[2])
        if body is None:
            raise InputError(
                f"at is {at.name}, but no vertebra (vertebra_T8, ...) and cord or canal are drawn at z "
                f"{line_mm[2]:.0f} mm; give depth_mm, or at=PrescribedTo.TARGET_CENTER"
            )
        low, high, name = body
        return (low + high) / 2, f"{at.value} of {name}, {posterior - (low + high) / 2:.0f} mm below the posterior skin"
    drawn = find_structure(phantom, "spinal_cord") if at is PrescribedTo.CORD else target
    if drawn is None:
        missing = "spinal cord" if at is PrescribedTo.CORD else "target"
        raise InputError(f"at is {at.name}, but no {missing} is drawn; give depth_mm, or at=PrescribedTo.ISOCENTER")
    if at is PrescribedTo.TARGET_CENTER:
        return drawn.centroid_mm[1], f"the depth of the center of {drawn.name}"
    points = _on_axis(drawn, line_mm, across=at is not PrescribedTo.CORD)
    if at is PrescribedTo.CORD:
        return float(points[:, 1].mean()), f"the depth of {drawn.name}"
    return float(points[:, 1].min()), f"the anterior edge of {drawn.name}"


def _on_axis(drawn: Structure, line_mm: Vector3, *, across: bool) -> FloatArray:
    """(n, 3) voxels of a structure near the vertical line; near its slice if ``across`` is False; else all of them."""
    points = _points(drawn)
    near = np.abs(points[:, 2] - line_mm[2]) <= _NEAR_MM
    if across:
        near &= np.abs(points[:, 0] - line_mm[0]) <= _NEAR_MM
    return np.asarray(points[near] if near.any() else points, dtype=np.float64)


def vertebral_body_y_mm(phantom: Phantom, z_mm: float) -> tuple[float, float, str] | None:
    """(anterior, posterior) LPS y of the vertebral body nearest to a slice, and its vertebra; None where not drawn.

    The body is what a vertebra has in its midline in front of the cord or canal.
    """
    cords = (find_structure(phantom, name) for name in ("spinal_canal", "thecal_sac", "spinal_cord"))
    canal = next((c for c in cords if c is not None), None)
    drawn = [s for s in phantom.structures.values() if _is_vertebra(s)]
    if canal is None or not drawn:
        return None
    vertebra = min(drawn, key=lambda s: abs(sum(_body_z_mm(s)) / 2 - z_mm))
    low, high = _body_z_mm(vertebra)
    if not low - _NEAR_MM <= z_mm <= high + _NEAR_MM:
        return None
    points, inside = _points(vertebra), _points(canal)
    middle = (low + high) / 2
    here = inside[np.abs(inside[:, 2] - middle) <= _NEAR_MM]
    if not here.size:
        return None
    x, y_mm = float(np.median(here[:, 0])), float(here[:, 1].min())
    near = (np.abs(points[:, 0] - x) <= _NEAR_MM / 2) & (points[:, 1] < y_mm)
    front = points[near & (points[:, 2] >= low) & (points[:, 2] <= high)]
    half = vertebra.grid.spacing_mm[1] / 2
    if not front.size:
        return None
    return float(front[:, 1].min()) - half, float(front[:, 1].max()) + half, vertebra.name


def _points(drawn: Structure) -> FloatArray:
    """(n, 3) voxels that a structure fills at least by half of its fullest."""
    return drawn.grid.point_at(np.argwhere(drawn.coverage >= 0.5 * drawn.coverage.max()).astype(np.float64))


def field_about(
    machine: Machine, isocenter_mm: Vector3, gantry_deg: tuple[float, ...], target: Structure, margin_mm: float
) -> tuple[float, float]:
    """(x, y) full widths, symmetric about the axis, of the open field that covers a target with a margin from each
    side, rounded up."""
    widths = [0.0, 0.0]
    for gantry in gantry_deg:
        outline = project_outline(Beam(machine=machine, isocenter_mm=isocenter_mm, gantry_deg=gantry), target)
        for axis, (low, high) in enumerate((outline.bounds_x_mm, outline.bounds_y_mm)):
            widths[axis] = max(widths[axis], 2.0 * (max(-low, high) + margin_mm))
    return rounded_up(widths[0]), rounded_up(widths[1])


def rounded_up(width_mm: float) -> float:
    """To the next WHOLE_MM."""
    return float(np.ceil(width_mm / WHOLE_MM - 1e-6) * WHOLE_MM)


def levels_about(phantom: Phantom, target: Structure, levels: int) -> tuple[float, float, str]:
    """(inferior, superior) LPS z of the vertebral bodies ``levels`` below and above those of a target, and their names.

    Raises:
        InputError: no vertebrae are drawn, or too few.
    """
    drawn = sorted(
        ((*_body_z_mm(s), s.name) for s in phantom.structures.values() if _is_vertebra(s)), key=lambda v: v[0] + v[1]
    )
    low, high = _body_z_mm(target)  # a spinous process hangs down over the next vertebra
    own = [n for n, (a, b, _) in enumerate(drawn) if min(b, high) - max(a, low) >= 0.5 * (b - a)]
    if not own or own[0] - levels < 0 or own[-1] + levels >= len(drawn):
        raise InputError(
            f"levels is {levels}, but {'no' if not own else 'not enough'} vertebrae are drawn about {target.name!r} "
            f"(drawn: {', '.join(name for *_, name in drawn) or 'none'}); draw them (vertebra_T10, ...), or give "
            "field_mm"
        )
    first, last = drawn[own[0] - levels], drawn[own[-1] + levels]
    return first[0], last[1], f"{last[2]} to {first[2]}"


def _is_vertebra(structure: Structure) -> bool:
    return (canonical(structure.name) or "").startswith("vertebra_")


def _body_z_mm(vertebra: Structure) -> tuple[float, float]:
    """LPS z of the endplates: where the anterior half of a vertebra fills at least a quarter of its fullest slice."""
    front = vertebra.grid.y_mm < vertebra.centroid_mm[1]
    area = vertebra.coverage[:, front, :].sum(axis=(1, 2))
    filled = vertebra.grid.z_mm[area >= 0.25 * area.max()]
    half = vertebra.grid.spacing_mm[2] / 2
    return float(filled.min() - half), float(filled.max() + half)
