"""The ``[[expect]]`` rows of the bundled cases that only measure dose: what rtsim gets for each published number.

Tests and the accuracy benchmark both iterate over ``expectations()``. All of these numbers are EGSnrc results for one
source, which the expectations name: Mohan 6 MV, a point 1 m above the surface, planar photon fluence uniform over a
square at the surface. A quantity is one function in ``QUANTITIES``; a case that names another is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from benchmarks.reference_cases import point_source
from rtsim import materials
from rtsim.beams.model import Aperture, Beam, static_control_points
from rtsim.dose import CollapsedCone, Dose
from rtsim.errors import CaseFileError, unknown_name
from rtsim.geometry.grid import Grid
from rtsim.io.case import Case, Expectation, case_names, load_case
from rtsim.io.case_phantom import PaintedRecipe
from rtsim.phantom.structure import Role
from rtsim.typing import FloatArray, Vector3

ENGINE: Final = CollapsedCone()
SOURCE: Final = "6 MV Mohan spectrum, point source 100 cm from the surface, uniform planar fluence"
"""What the source of an expectation must say: the beam that ``_field`` builds."""
MAXIMUM_BETWEEN_MM: Final = (8.0, 26.0)
# source: README of the EGSnrc doses: Dmax of a cubic fit, 0.8 < z < 2.6 cm
ROD_MM: Final = 2.0
BESIDE_MM: Final = (10.0, 15.0)
ALONG_MM: Final = 5.0
# source: the same README: D(|x| < .2)/D(x 1-1.5) cm, voxels of 5 mm along the rod


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One expectation beside what the engine gives."""

    case: Case
    expectation: Expectation
    value: float

    @property
    def deviation_percent(self) -> float:
        """100 (value / expected - 1)."""
        return 100.0 * (self.value / self.expectation.value - 1.0)

    @property
    def met(self) -> bool:
        """True within the tolerance, which is in percent of the expected value."""
        return abs(self.deviation_percent) <= self.expectation.tolerance


def expectations() -> Iterator[tuple[Case, Expectation]]:
    """All rows of the bundled cases that have no prescription (a plan's rows belong to the suite of plans)."""
    for name in case_names():
        case = load_case(name)
        if case.prescription is None:
            for expectation in case.expects:
                yield case, expectation


def measure(case: Case, expectation: Expectation, *, spacing_mm: Vector3 | None = None) -> Measured:
    """What the engine gives for an expectation.

    Args:
        spacing_mm: voxels (x, y, z) to paint the case on; None = its own.

    Raises:
        CaseFileError: a quantity, source or unit of tolerance that this table does not know, or no depth or field.
    """
    where = f"case {case.name!r}"
    if expectation.quantity not in QUANTITIES:
        raise CaseFileError(f"{where}: " + unknown_name("quantity", expectation.quantity, QUANTITIES))
    if SOURCE not in expectation.source:
        raise CaseFileError(
            f"{where}: the source {expectation.source!r} does not say {SOURCE!r}; no other beam is built here"
        )
    if "tolerance in % of the value" not in expectation.note:
        raise CaseFileError(f"{where}: the note {expectation.note!r} does not say 'tolerance in % of the value'")
    if expectation.depth_mm is None or expectation.field_mm is None:
        raise CaseFileError(f"{where}: {expectation.quantity} needs depth_mm and field_mm")
    fields = _Fields(case.name, expectation.field_mm, spacing_mm)
    value = QUANTITIES[expectation.quantity](fields, expectation, expectation.depth_mm)
    return Measured(case=case, expectation=expectation, value=value)


@dataclass(frozen=True)
class _Fields:
    """The doses that an expectation may ask for; each is computed once."""

    case_name: str
    field_mm: tuple[float, float]
    spacing_mm: Vector3 | None

    def dose(self) -> Dose:
        """In the case."""
        return _dose(self.case_name, self.field_mm, self.spacing_mm, False)

    def water(self) -> Dose:
        """In the outline of the case, without what was painted into it."""
        return _dose(self.case_name, self.field_mm, self.spacing_mm, True)


@lru_cache(maxsize=8)
def _dose(case_name: str, field_mm: tuple[float, float], spacing_mm: Vector3 | None, only_outline: bool) -> Dose:
    case = load_case(case_name)
    recipe = case.recipe
    if not isinstance(recipe, PaintedRecipe):
        raise CaseFileError(f"case {case_name!r} is not painted on a [grid]; its expectations cannot be measured here")
    if spacing_mm is not None:
        recipe = replace(recipe, grid=Grid.covering(recipe.grid.lower_mm, recipe.grid.upper_mm, spacing_mm))
    if only_outline:
        recipe = replace(recipe, layers=tuple(layer for layer in recipe.layers if layer.role is Role.EXTERNAL))
    phantom = recipe.build(name=case.name, description=case.description, case_sha256=case.sha256, progress=None)
    return ENGINE.forward(phantom, [_field(case, field_mm)])


def _field(case: Case, field_mm: tuple[float, float]) -> Beam:
    """The beam that SOURCE names, from gantry 0, isocenter on the surface; planar fluence uniform: scalar 1/cos."""
    machine = point_source(materials.spectrum("mohan6"), cosine_power=-1.0)
    if case.beams.ssd_mm != machine.sad_mm or case.beams.gantry_deg != (0.0,):
        raise CaseFileError(
            f"case {case.name!r}: [beams] has ssd_mm {case.beams.ssd_mm} and gantry_deg {case.beams.gantry_deg}; "
            f"the reference beam has {machine.sad_mm:g} mm and gantry 0"
        )
    half_x, half_y = field_mm[0] / 2, field_mm[1] / 2
    aperture = Aperture(jaws_x_mm=(-half_x, half_x), jaws_y_mm=(-half_y, half_y))
    return Beam(
        machine=machine,
        isocenter_mm=(0.0, _surface_mm(case.name), 0.0),
        gantry_deg=0.0,
        name="reference",
        control_points=static_control_points(((aperture, 1.0),), 0.0),
    )


@lru_cache(maxsize=8)
def _surface_mm(case_name: str) -> float:
    """y of the front face: where the painted box begins."""
    recipe = load_case(case_name).recipe
    if not isinstance(recipe, PaintedRecipe):
        raise CaseFileError(f"case {case_name!r} is not painted on a [grid]; it has no front face")
    outline = next(layer for layer in recipe.layers if layer.role is Role.EXTERNAL)
    return float(outline.shape.bounds_mm()[0][1])


def _axis(fields: _Fields, dose: Dose, depth_mm: FloatArray) -> FloatArray:
    """Dose at depths on the axis: mean over the centers of the reference's four voxels about the axis."""
    side = 1.25  # source: README of the EGSnrc doses: voxels of 2.5 mm about the axis
    corners = np.array([[x, 0.0, z] for x in (-side, side) for z in (-side, side)])
    points = np.repeat(corners[:, None, :], depth_mm.size, axis=1)
    points[..., 1] = _surface_mm(fields.case_name) + depth_mm
    return np.asarray(dose.at(points).mean(axis=0))


def _pdd_percent(fields: _Fields, expectation: Expectation, depth_mm: float) -> float:
    """Dose on the axis in percent of the maximum of a cubic fit."""
    dose = fields.dose()
    depths = dose.grid.y_mm - _surface_mm(fields.case_name)
    depths = depths[(depths > MAXIMUM_BETWEEN_MM[0]) & (depths < MAXIMUM_BETWEEN_MM[1])]
    fit = np.polynomial.Polynomial.fit(depths, _axis(fields, dose, depths), 3)
    maximum = float(fit(np.linspace(depths[0], depths[-1], 1801)).max())
    return 100.0 * float(_axis(fields, dose, np.array([depth_mm]))[0]) / maximum


def _ratio_to_water(fields: _Fields, expectation: Expectation, depth_mm: float) -> float:
    """Dose on the axis over that in water, mean of the ratio over the depths that the note names."""
    where = f"case {fields.case_name!r}"
    found = re.search(r"mean over (\d+)-(\d+) cm depth", expectation.note)
    if found is None:
        raise CaseFileError(f"{where}: the note {expectation.note!r} does not say 'mean over A-B cm depth'")
    low, high = 10.0 * float(found[1]), 10.0 * float(found[2])
    if not low < depth_mm < high:
        raise CaseFileError(f"{where}: depth_mm {depth_mm:g} lies outside the {low:g}-{high:g} mm of its note")
    depths = np.arange(low + 0.5, high, 1.0)
    return float((_axis(fields, fields.dose(), depths) / _axis(fields, fields.water(), depths)).mean())


def _ratio_rod_to_side(fields: _Fields, expectation: Expectation, depth_mm: float) -> float:
    """Dose in the shadow of the rod over that beside it, at one depth."""
    x = np.arange(0.5, BESIDE_MM[1], 1.0)
    z = np.linspace(-ALONG_MM, ALONG_MM, 3)
    y = _surface_mm(fields.case_name) + depth_mm
    points = np.array([[[sign * u, y, w] for sign in (-1.0, 1.0) for w in z] for u in x])
    dose = fields.dose().at(points).mean(axis=1)
    return float(dose[x < ROD_MM].mean() / dose[x > BESIDE_MM[0]].mean())


QUANTITIES: Final[dict[str, Callable[[_Fields, Expectation, float], float]]] = {
    "pdd_percent": _pdd_percent,
    "ratio_to_water": _ratio_to_water,
    "ratio_rod_to_side": _ratio_rod_to_side,
}
"""What a dose-only case may name, and how it is measured."""
