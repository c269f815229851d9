"""Bad input on the way to a dose: each has an error of its own with field, value and unit; NaN never gets through."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtsim import materials
from rtsim.beams.model import Aperture, Beam, Beamlets, ControlPoint, static_control_points
from rtsim.dose import CollapsedCone, Dose, Engine, PencilBeam, forward, influence
from rtsim.dose.beamlets.settings import InfluenceSettings
from rtsim.errors import GeometryError, InputError, MachineLimitError
from rtsim.geometry.grid import Grid
from rtsim.machine import load_machine, point_source
from rtsim.machine.model import (
    Calibration,
    ElectronContamination,
    ExtraFocalSource,
    FocalSpot,
    Jaws,
    OffAxisProfile,
    Wedge,
)
from rtsim.materials import Material, Spectrum
from rtsim.phantom.phantom import DensityOverride, Phantom

NAN = math.nan
SOURCE = point_source()
LINAC = load_machine("generic_6x")
ENGINE = CollapsedCone(cones=12)
OPEN = Aperture(jaws_x_mm=(-10.0, 10.0), jaws_y_mm=(-10.0, 10.0))


def water(bad: float | None = None) -> Phantom:
    grid = Grid.covering((-50.0,) * 3, (50.0,) * 3, (5.0,) * 3)
    density = np.ones(grid.shape, dtype=np.float32)
    if bad is not None:
        density[3, 4, 5] = bad
    return Phantom.from_density(density, np.zeros(grid.shape, np.uint8), (materials.get("water"),), grid)


def beamlets(center_mm: float = 0.0, width_mm: float = 10.0) -> Beamlets:
    at, width = np.array([center_mm]), np.array([width_mm])
    return Beamlets(center_x_mm=at, center_y_mm=np.zeros(1), width_x_mm=width, width_y_mm=width)


def planned(weight: float = 1.0, center_mm: float = 0.0) -> Beam:
    return Beam(
        machine=LINAC,
        isocenter_mm=(0.0, 0.0, 0.0),
        gantry_deg=0.0,
        beamlets=beamlets(center_mm),
        beamlet_monitor_units=np.array([weight]),
    )


def delivered(units: float = 1.0, gantry_deg: float = 0.0) -> Beam:
    points = (
        ControlPoint(cumulative_monitor_units=0.0, aperture=OPEN, gantry_deg=0.0),
        ControlPoint(cumulative_monitor_units=units, aperture=OPEN, gantry_deg=gantry_deg),
    )
    return Beam(machine=SOURCE, isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=0.0, control_points=points)


def refused(make: Callable[[], Any], *words: str, error: type[Exception] = InputError) -> None:
    """``make`` raises, and the message holds each of the words."""
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"


@pytest.mark.parametrize("bad", [0.0, -1.0, NAN, math.inf])
def test_a_density_that_is_none(bad: float) -> None:
    refused(lambda: water(bad), "density_g_cm3", f"{bad:g}", "[3, 4, 5]", "g/cm3")


def test_a_ct_with_nan_and_overrides_and_materials_without_density() -> None:
    hu = np.zeros((2, 2, 2))
    hu[1, 0, 1] = NAN
    refused(lambda: Phantom.from_arrays(hu, (1.0, 1.0, 1.0)), "hu", "NaN")
    refused(lambda: DensityOverride(structure="rod", density_g_cm3=NAN), "density_g_cm3", "nan", "'rod'")
    for density in (0.0, NAN):
        refused(lambda rho=density: Material.from_mass_fractions("x", rho, {"H": 1.0}), "density_g_cm3", f"{density:g}")


def test_a_resampled_density_stays_positive_and_its_dose_finite() -> None:
    """Where matter ends inside a dose voxel, and where it is as thin as a voxel can say."""
    phantom = water(1e-30)
    for spacing in (3.3, 7.0, 11.0):
        dose = forward(phantom, Beam.open_field(SOURCE, (40.0, 40.0)), engine=replace(ENGINE, spacing_mm=spacing))
        assert np.isfinite(dose.values_gy).all()
        assert dose.max_gy > 0.0


def test_a_source_inside_the_patient() -> None:
    near = replace(SOURCE, sad_mm=20.0)
    refused(
        lambda: forward(water(), Beam.open_field(near, (20.0, 20.0), name="B7"), engine=ENGINE),
        "'B7'", "source", "-20.0", "mm", "inside the phantom", error=GeometryError,
    )  # fmt: skip
    beam = Beam(machine=near, isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=0.0, beamlets=beamlets())
    refused(lambda: influence(water(), beam, engine=ENGINE), "source", "inside the phantom", error=GeometryError)
    behind = replace(SOURCE, sad_mm=52.0)
    turned = Beam.open_field(behind, (20.0, 20.0), gantry_deg=45.0)
    refused(lambda: forward(water(), turned, engine=ENGINE), "source", "mm", error=GeometryError)


@pytest.mark.parametrize("engine", [ENGINE, PencilBeam()], ids=lambda e: type(e).__name__)
def test_a_beam_without_a_name_is_told_by_number_and_angle(engine: Engine) -> None:
    good = planned()
    bad = replace(good, name="", gantry_deg=90.0, isocenter_mm=(0.0, 0.0, 5000.0))
    for make in (engine.forward, engine.influence):
        refused(lambda make=make: make(water(), (good, bad)), "number 2, gantry 90 deg", error=GeometryError)
        empty = replace(bad, isocenter_mm=(0.0, 0.0, 0.0), beamlets=None, beamlet_monitor_units=None)
        refused(lambda make=make, b=empty: make(water(), (good, b)), "number 2, gantry 90 deg", "beamlets")


@pytest.mark.parametrize("size_mm", [(2.0, 2.0), (4.0, 40.0), (40.0, 4.0)])
def test_a_spacing_that_cannot_hold_the_field_edge(size_mm: tuple[float, float]) -> None:
    beam = Beam.open_field(SOURCE, size_mm)
    refused(
        lambda: forward(water(), beam, engine=ENGINE),
        f"{size_mm[0]:g} x {size_mm[1]:g} mm", "5.0", "spacing_mm", error=GeometryError,
    )  # fmt: skip
    for spacing in (NAN, 0.0, -1.0, 50.0):
        refused(lambda s=spacing: CollapsedCone(spacing_mm=s), "spacing_mm", f"{spacing}")


def test_a_field_beyond_the_jaws() -> None:
    refused(lambda: Beam.open_field(LINAC, (420.0, 100.0)), "jaws_x_mm", "210", "400 mm", error=MachineLimitError)
    wide = Aperture(jaws_x_mm=(-205.0, 0.0), jaws_y_mm=(-10.0, 10.0))
    beam = Beam.open_field(LINAC)
    refused(lambda: beam.with_segments(((wide, 1.0),)), "-205", "mm", error=MachineLimitError)
    refused(lambda: planned(center_mm=198.0), "beamlet 0", "203 mm", "200 mm", error=MachineLimitError)


def test_more_monitor_units_than_the_machine_gives() -> None:
    much = Beam.open_field(LINAC, (20.0, 20.0), monitor_units=12000.0, name="B7")
    for engine in (ENGINE, PencilBeam()):
        refused(
            lambda e=engine: forward(water(), much, engine=e),
            "'B7'", "12000 MU", "generic_6x", "9999 MU", "max_monitor_units_per_beam", error=MachineLimitError,
        )  # fmt: skip
    fluence = Beam.open_field(SOURCE, (20.0, 20.0), monitor_units=1e8)  # photons per cm2: no limit
    assert forward(water(), fluence, engine=ENGINE).max_gy > 0.0


def test_a_wedge_of_another_machine() -> None:
    """What is asked is the machine's angle and factor, not the name alone; turning a wedge changes neither."""
    heavy = load_machine("generic_15x").wedge("physical_30", orientation_deg=90.0)
    refused(
        lambda: Beam.open_field(LINAC, wedge=heavy, name="B7"),
        "'physical_30'", "factor 0.68", "'B7'", "generic_6x", "factor 0.63", "machine.wedge", error=MachineLimitError,
    )  # fmt: skip
    for machine, words in ((LINAC, "virtual_45"), (SOURCE, "no wedges")):
        refused(
            lambda m=machine: Beam.open_field(m, wedge=load_machine("generic_6x_agility").wedge("motorized_60")),
            "'motorized_60'", "angle_deg 60", "G0", machine.name, words, error=MachineLimitError,
        )  # fmt: skip
    assert Beam.open_field(LINAC, wedge=LINAC.wedge("physical_30", orientation_deg=270.0)).wedge is not None
    given = LINAC.with_wedge(heavy)
    assert Beam.open_field(given, wedge=heavy).wedge == heavy
    assert [w.factor for w in given.wedges if w.name == "physical_30"] == [0.68]
    assert given is LINAC.with_wedge(replace(heavy, orientation_deg=0.0))
    assert LINAC.with_wedge(LINAC.wedge("virtual_15", orientation_deg=90.0)) is LINAC


def test_leaves_that_cross_or_are_nowhere() -> None:
    def leaves(left: float, right: float) -> Aperture:
        pairs = np.tile([-1.0, 1.0], (60, 1))
        pairs[7] = (left, right)
        return replace(OPEN, leaf_pairs_mm=pairs)

    refused(lambda: leaves(3.0, -2.0), "leaf pair 7", "3 mm", "-2 mm")
    refused(lambda: leaves(NAN, 1.0), "leaf_pairs_mm", "finite")
    far = leaves(-400.0, 400.0)
    beam = Beam.open_field(LINAC)
    refused(lambda: beam.with_segments(((far, 1.0),)), "leaf pair 7", "400 mm", error=MachineLimitError)
    refused(lambda: replace(OPEN, jaws_x_mm=(NAN, 1.0)), "jaws_x_mm", "nan", "mm")


@pytest.mark.parametrize(
    ("edges_mev", "photons", "words"),
    [
        ((0.0, 1.0, 2.0), (1.0, -0.5), ("photons", "-0.5", "1 to 2 MeV")),
        ((0.0, 1.0, 2.0), (1.0, NAN), ("photons", "nan", "1 to 2 MeV")),
        ((0.0, 2.0, 1.0), (1.0, 1.0), ("edges_mev", "[0.0, 2.0, 1.0] MeV", "ascend")),
        ((0.0, NAN, 2.0), (1.0, 1.0), ("edges_mev", "nan", "MeV")),
        ((0.0, 1.0, 30.0), (1.0, 1.0), ("edges_mev", "30", "25 MeV")),
        ((0.0, 1.0, 2.0), (0.0, 0.0), ("empty",)),
        ((0.0, 1.0), (1.0, 1.0), ("edges_mev", "(2,)")),
    ],
)
def test_a_spectrum_that_is_none(edges_mev: tuple[float, ...], photons: tuple[float, ...], words: tuple[str]) -> None:
    refused(lambda: Spectrum("mine", np.array(edges_mev), np.array(photons)), "'mine'", *words)


@pytest.mark.parametrize("units", [NAN, math.inf, -1.0])
def test_monitor_units_that_are_none(units: float) -> None:
    refused(lambda: Beam.open_field(SOURCE, (20.0, 20.0), monitor_units=units), "monitor units", f"{units}")
    refused(lambda: static_control_points(((OPEN, units),), 0.0), "monitor units", f"{units}")
    if units != -1.0:
        refused(lambda: delivered(units=units), "cumulative_monitor_units", "control point 1", f"{units}")
    else:
        refused(lambda: delivered(units=units), "cumulative_monitor_units", "never fall", f"{units}")
    refused(lambda: planned(weight=units), "beamlet_monitor_units", "beamlet 0", f"{units:g}")
    refused(lambda: Beam.open_field(SOURCE).scaled(units), "factor", f"{units}")


@pytest.mark.parametrize("name", ["gantry_deg", "couch_deg", "collimator_deg"])
@pytest.mark.parametrize("angle", [NAN, math.inf, -1.0, 360.0])
def test_angles_that_are_none(name: str, angle: float) -> None:
    refused(lambda: Beam.open_field(SOURCE, **{name: angle}), name, f"{angle}")
    if name == "gantry_deg":
        refused(lambda: delivered(gantry_deg=angle), name, "control point 1", f"{angle}")


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_an_isocenter_and_sizes_that_are_nowhere(bad: float) -> None:
    refused(lambda: Beam.open_field(SOURCE, isocenter_mm=(0.0, bad, 0.0)), "isocenter_mm", f"{bad}", "mm")
    refused(lambda: Beam.open_field(SOURCE, (20.0, bad)), "size_mm", f"{bad}", "mm")
    refused(lambda: beamlets(width_mm=bad), "width_x_mm", "finite")
    refused(lambda: beamlets(center_mm=bad), "center_x_mm", "finite")
    refused(lambda: Grid((2, 2, 2), (1.0, bad, 1.0), (0.0, 0.0, 0.0)), "spacing_mm", f"{bad}", "mm")
    refused(lambda: Grid((2, 2, 2), (1.0, 1.0, 1.0), (bad, 0.0, 0.0)), "origin_mm", f"{bad}")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: replace(SOURCE, sad_mm=NAN), "sad_mm"),
        (lambda: replace(SOURCE, max_field_mm=NAN), "max_field_mm"),
        (lambda: FocalSpot(fwhm_x_mm=NAN), "fwhm_x_mm"),
        (lambda: ExtraFocalSource(fraction=NAN), "fraction"),
        (lambda: ElectronContamination(sigma_mm=NAN), "sigma_mm"),
        (lambda: OffAxisProfile(radius_mm=(0.0, 100.0), relative=(1.0, NAN)), "relative"),
        (lambda: OffAxisProfile(softening=(0.0, NAN, 0.0)), "softening"),
        (lambda: OffAxisProfile(radius_mm=(0.0, NAN), relative=(1.0, 1.0)), "radius_mm"),
        (lambda: Jaws(distance_x_mm=400.0, distance_y_mm=400.0, limit_mm=200.0, transmission=NAN), "transmission"),
        (lambda: Calibration(dose_gy_per_mu=NAN, depth_mm=100.0, ssd_mm=900.0), "dose_gy_per_mu"),
        (lambda: Wedge(name="w", angle_deg=NAN), "angle_deg"),
        (lambda: Wedge(name="w", angle_deg=30.0, factor=NAN), "factor"),
    ],
)
def test_nan_in_a_machine(make: Callable[[], Any], word: str) -> None:
    refused(make, word, "nan")


@pytest.mark.parametrize("fractions", [0, -3, NAN, 1.5])
def test_fractions_that_are_none(fractions: float) -> None:
    beam = Beam.open_field(SOURCE, (20.0, 20.0))
    refused(lambda: forward(water(), beam, engine=ENGINE, fractions=fractions), "fractions", f"{fractions}")  # type: ignore[arg-type]


def test_nan_and_overflow_end_at_the_dose() -> None:
    """The last door: whatever else happens, a Dose holds finite numbers."""
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    refused(lambda: Dose(values_gy=np.full(grid.shape, NAN, np.float32), grid=grid), "values_gy", "8", "NaN")
    refused(lambda: Dose(values_gy=np.ones(grid.shape, np.float32), grid=grid).scaled(NAN), "factor", "nan")
    endless = Beam.open_field(SOURCE, (20.0, 20.0), monitor_units=1e60)
    with np.errstate(over="ignore"):
        refused(lambda: forward(water(), endless, engine=ENGINE), "values_gy", "infinite")
    matrix = influence(water(), planned(), engine=ENGINE)
    refused(lambda: matrix.dose([NAN]), "beamlet 0", "nan MU")  # type: ignore[arg-type]
    dose = forward(water(), Beam.open_field(SOURCE, (20.0, 20.0)), engine=ENGINE)
    refused(lambda: dose.at(np.array([NAN, 0.0, 0.0])), "outside", error=GeometryError)


def test_settings_of_an_influence_are_checked() -> None:
    for given in ({"cones": 3}, {"cones": 24.5}, {"margin_mm": math.nan}, {"memory_limit_gb": math.nan}):
        with pytest.raises(InputError, match=next(iter(given))):
            InfluenceSettings(**given)  # type: ignore[arg-type]


def test_a_beam_of_no_monitor_units_adds_nothing_and_no_beam_with_any_is_an_error() -> None:
    some, none = (Beam.open_field(SOURCE, (20.0, 20.0), monitor_units=u, name=f"{u:g}") for u in (1.0, 0.0))
    with pytest.raises(InputError, match="nothing is delivered by '0': 0 MU"):
        forward(water(), none, engine=ENGINE)
    both, alone = (forward(water(), beams, engine=ENGINE).values_gy for beams in ((some, none), (some,)))
    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize("weight", [-1.0, NAN, math.inf])
def test_weights_of_an_influence_are_finite_and_not_negative(weight: float) -> None:
    matrix = influence(water(), planned(weight=1.0), engine=ENGINE)
    with pytest.raises(InputError, match="beamlet_monitor_units of beamlet 0"):
        matrix.dose(np.array([weight]))


@pytest.mark.parametrize("last_deg", [170.0, 180.0, 200.0])
def test_an_arc_whose_way_round_is_not_told_is_refused(last_deg: float) -> None:
    refused(lambda: delivered(gantry_deg=last_deg), "0 to ", "control points 0 and 1", "20 degrees")


def test_closed_intervals_of_an_arc_are_skipped() -> None:
    shut = Aperture(jaws_x_mm=(0.0, 0.0), jaws_y_mm=(-10.0, 10.0))
    states = ((0.0, OPEN, 0.0), (10.0, OPEN, 5.0), (10.0, shut, 5.0), (20.0, shut, 10.0))
    points = [ControlPoint(cumulative_monitor_units=u, aperture=a, gantry_deg=g) for u, a, g in states]
    beams = [
        Beam(machine=SOURCE, isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=0.0, control_points=tuple(p), name="arc")
        for p in (points, points[:2])
    ]
    both, first = (forward(water(), beam, engine=ENGINE).values_gy for beam in beams)
    np.testing.assert_array_equal(both, first)


def test_an_angle_that_is_not_that_of_the_control_points_and_a_machine_that_is_a_name() -> None:
    shown = delivered()
    refused(lambda: replace(shown, gantry_deg=90.0), "gantry_deg", "90 degrees", "0 degrees")
    refused(lambda: Beam.open_field("generic_6x"), "machine", "'generic_6x'", "load_machine")  # type: ignore[arg-type]
