"""The photons of the Monte Carlo source, drawn as the kernel draws them, against the machine and against geometry.

Statistical tests have fixed seeds; their limits are given in standard deviations with the chance of a false alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numba import njit
from scipy.integrate import dblquad
from scipy.stats import chi2

from benchmarks.reference_cases import point_source
from rtsim.beams.model import Aperture, Beam, static_control_points
from rtsim.dose.collapsed_cone.beam_dose import wedge_gradient_per_mm
from rtsim.dose.fluence import fluence_maps
from rtsim.dose.monte_carlo._kernels.history import draw_photon
from rtsim.dose.monte_carlo._kernels.random import seed_history, uniform
from rtsim.dose.monte_carlo.softening import attenuation_ratio, energy_transfer_cm2_g, off_axis
from rtsim.dose.monte_carlo.source import Source, source_of
from rtsim.machine import load_machine
from rtsim.machine.model import ExtraFocalSource, Jaws, Machine, OffAxisProfile
from rtsim.materials import get, spectrum
from rtsim.typing import FloatArray

BARE = point_source(spectrum("mohan6"), cosine_power=0.0)
LINAC = load_machine("generic_6x")
FIVE_SIGMA = 5.0
"""Chance of a false alarm 6e-7 for one comparison."""


@dataclass(frozen=True)
class Drawn:
    """Photons: (n,) map, (n, 3) source and direction, (n, 2) BLD point in the isocenter plane, (n,) energy."""

    map: FloatArray
    source_mm: FloatArray
    direction: FloatArray
    point_mm: FloatArray
    energy_mev: FloatArray


def draw(source: Source, count: int, seed: int = 1) -> Drawn:
    """The five steps of the module's docstring, for ``count`` photons at once."""
    u = np.random.default_rng(seed).random((6, count))
    pixel = np.searchsorted(source.cumulative, u[0] * source.cumulative[-1], side="right")
    m = np.searchsorted(source.start, pixel, side="right") - 1
    row, column = np.divmod(pixel - source.start[m], source.raster[m, 3].astype(int))
    x = source.raster[m, 0] + (column + u[1]) * source.raster[m, 2]
    y = source.raster[m, 1] + (row + u[2]) * source.raster[m, 2]
    local = np.stack([x, y, -source.sad_mm[m]], axis=1)
    direction = np.einsum("nij,nj->ni", source.rotation[m], local) / np.linalg.norm(local, axis=1)[:, None]
    group = source.map_spectrum[m]
    radii = source.energy_cumulative.shape[1]
    at = np.minimum((np.hypot(x, y) / source.radius_step_mm + u[3]).astype(int), radii - 1)
    e = (source.energy_cumulative[group, at] <= u[4][:, None]).sum(axis=1)
    low, high = source.energy_edges[group, e], source.energy_edges[group, e + 1]
    return Drawn(m, source.source_mm[m], direction, np.stack([x, y], axis=1), low + (high - low) * u[5])


@njit
def _drawn_by_the_kernel(source, seed, places, energies):  # type: ignore[no-untyped-def]
    state, count = np.zeros(2, np.uint64), energies.size
    for n in range(count):
        seed_history(state, seed, n)
        energies[n] = draw_photon((n + uniform(state)) / count, source, state, places[n])


def drawn_by_the_kernel(source: Source, count: int, seed: int = 1) -> tuple[FloatArray, FloatArray]:
    """(count, 6) source and direction, (count,) energy."""
    places, energies = np.empty((count, 6)), np.empty(count)
    names = (
        "rotation source_mm sad_mm raster start cumulative map_spectrum energy_edges energy_cumulative radius_step_mm"
    )
    _drawn_by_the_kernel(tuple(getattr(source, name) for name in names.split()), seed, places, energies)
    return places, energies


def field(machine: Machine, size_mm: tuple[float, float] = (100.0, 100.0), **given: float) -> Beam:
    return Beam.open_field(machine, size_mm, monitor_units=given.pop("monitor_units", 1.0), **given)  # type: ignore[arg-type]


def photons_of(beam: Beam) -> Source:
    return source_of([beam], photons_per_unit=[1.0])


@pytest.mark.parametrize("power", [-1.0, 0.0, 2.0])
def test_photons_through_the_isocenter_plane(power: float) -> None:
    """A scalar fluence cos^p(theta) sends the integral of cos^(p + 1)(theta) over the field through the plane."""
    beam = field(point_source(spectrum("mohan6"), cosine_power=power), (300.0, 120.0))
    wanted, _ = dblquad(lambda y, x: (1.0 + (x * x + y * y) / 1e4) ** (-(power + 1.0) / 2), -15.0, 15.0, -6.0, 6.0)
    # the profile is given every millimeter and interpolated; pixels have a side of 1 mm
    assert photons_of(beam).photons == pytest.approx(wanted, rel=1e-6)


def test_planar_fluence_of_the_slab_references_is_one_per_cm2() -> None:
    """cosine_power -1: scalar fluence 1/cos(theta), so that every cm2 of the plane is crossed by one photon."""
    assert photons_of(field(point_source(spectrum("mohan6"), cosine_power=-1.0))).photons == pytest.approx(
        100.0, rel=1e-6
    )


def test_scalar_fluence_of_a_flat_source_is_flat() -> None:
    """Chi-square of 1/cos(theta) summed in 10 x 10 squares; false alarm 1e-6."""
    drawn = draw(photons_of(field(BARE, (400.0, 400.0))), 400_000)
    weight = 1.0 / -(drawn.direction @ np.array([0.0, -1.0, 0.0]))  # gantry 0: photons travel along +y
    counts, squares = (
        np.histogram2d(*drawn.point_mm.T, bins=10, range=[[-200.0, 200.0]] * 2, weights=w)[0]
        for w in (weight, weight**2)
    )
    statistic = float(((counts - counts.mean()) ** 2 / squares).sum())
    assert statistic < chi2.isf(1e-6, 99)
    assert statistic > chi2.ppf(1e-6, 99)


@pytest.mark.parametrize(
    ("gantry", "couch", "collimator"), [(0, 0, 0), (90, 0, 0), (217, 0, 90), (33, 340, 12), (270, 90, 45)]
)
def test_directions_stay_within_the_field(gantry: float, couch: float, collimator: float) -> None:
    """Rays from the source through the plane of the isocenter: all in the 20 x 60 mm of the jaws, and all over it."""
    isocenter = np.array([12.0, -34.0, 56.0])
    beam = field(
        BARE, (20.0, 60.0), gantry_deg=gantry, couch_deg=couch, collimator_deg=collimator, isocenter_mm=tuple(isocenter)
    )
    drawn = draw(photons_of(beam), 20_000)
    assert np.linalg.norm(drawn.direction, axis=1) == pytest.approx(1.0, abs=1e-12)
    # IEC 61217, written out: the axes of gantry and collimator in the room, turned back by the couch, in LPS (x, -z, y)
    g, t, c = (math.radians(v) for v in (gantry, couch, collimator))

    def lps(v: FloatArray) -> FloatArray:
        x, y, z = math.cos(t) * v[0] + math.sin(t) * v[1], -math.sin(t) * v[0] + math.cos(t) * v[1], v[2]
        return np.array([x, -z, y])

    to_source = np.array([math.sin(g), 0.0, math.cos(g)])
    across, along = np.array([math.cos(g), 0.0, -math.sin(g)]), np.array([0.0, 1.0, 0.0])
    x_axis = math.cos(c) * across + math.sin(c) * along
    y_axis = -math.sin(c) * across + math.cos(c) * along
    beam_axis, x_axis, y_axis = (lps(v) for v in (to_source, x_axis, y_axis))
    assert drawn.source_mm == pytest.approx(np.broadcast_to(isocenter + 1000.0 * beam_axis, (20_000, 3)), abs=1e-9)
    path = -1000.0 / (drawn.direction @ beam_axis)
    hit = drawn.source_mm + path[:, None] * drawn.direction - isocenter
    for axis, half in ((x_axis, 10.0), (y_axis, 30.0)):
        at = hit @ axis
        assert np.abs(at).max() < half
        # uniform: mean 0 +- half/sqrt(3 n), 5 sigma; the outermost of 20 000 lies within 0.1 % of the edge but for e-10
        assert abs(at.mean()) < FIVE_SIGMA * half / math.sqrt(3 * 20_000)
        assert at.max() > 0.998 * half
        assert at.min() < -0.998 * half


def test_energies_on_the_axis_are_those_of_the_spectrum() -> None:
    """Chi-square over the bins of the spectrum; false alarm 1e-6."""
    drawn = draw(photons_of(field(BARE, (20.0, 20.0))), 200_000)
    counts, _ = np.histogram(drawn.energy_mev, BARE.spectrum.edges_mev)
    expected = 200_000 * BARE.spectrum.probabilities
    filled = expected > 0.0
    assert counts[~filled].sum() == 0
    statistic = float(((counts - expected)[filled] ** 2 / expected[filled]).sum())
    assert statistic < chi2.isf(1e-6, int(filled.sum()) - 1)


def effective(energy_mev: FloatArray, photons: FloatArray) -> float:
    """Attenuation of the energy fluence by 100 mm of water."""
    fluence = energy_mev * photons
    passed = np.exp(-10.0 * get("water").mass_attenuation_cm2_g(np.maximum(energy_mev, 0.01)))
    return -math.log(float(fluence @ passed) / float(fluence.sum()))


@pytest.mark.parametrize("radius", [20.0, 70.0, 140.0, 250.0])
def test_the_filter_changes_the_attenuation_by_the_softening_of_the_machine(radius: float) -> None:
    """mu(theta)/mu(0) = 1 + c1 t + c2 t^2 + c3 t^3 with t in degrees; root found to 1e-6 g/cm2."""
    t = math.degrees(math.atan(radius / 1000.0))
    c = LINAC.off_axis.softening
    wanted = 1.0 + c[0] * t + c[1] * t**2 + c[2] * t**3
    assert attenuation_ratio(LINAC, np.array([radius]))[0] == pytest.approx(wanted, rel=1e-12)
    row = off_axis(LINAC, np.array([radius])).shares[0]
    energy = LINAC.spectrum.bin_energy_mev
    assert row.sum() == pytest.approx(1.0, rel=1e-12)
    assert effective(energy, row) / effective(energy, LINAC.spectrum.probabilities) == pytest.approx(wanted, rel=1e-6)
    assert float(row @ energy) < LINAC.spectrum.mean_energy_mev


def test_a_softening_below_one_hardens() -> None:
    machine = replace(LINAC, off_axis=replace(LINAC.off_axis, softening=(-0.004, 0.0, 0.0)))
    row = off_axis(machine, np.array([100.0])).shares[0]
    assert float(row @ machine.spectrum.bin_energy_mev) > machine.spectrum.mean_energy_mev


def test_photons_off_the_axis_are_softer_by_as_much() -> None:
    """Attenuation of the photons drawn in rings, over that on the axis; standard deviation from 20 parts, 5 sigma."""
    drawn = draw(photons_of(field(LINAC, (400.0, 400.0))), 300_000, seed=7)
    radius = np.hypot(*drawn.point_mm.T)
    water = get("water")
    passed = np.exp(-10.0 * water.mass_attenuation_cm2_g(np.maximum(drawn.energy_mev, 0.01)))

    def measured(low: float, high: float) -> FloatArray:
        parts = np.array_split(np.flatnonzero((radius >= low) & (radius < high)), 20)
        return np.array([-math.log((drawn.energy_mev[p] @ passed[p]) / drawn.energy_mev[p].sum()) for p in parts])

    energy = LINAC.spectrum.bin_energy_mev
    on_axis = effective(energy, LINAC.spectrum.probabilities)
    for low, high in ((95.0, 105.0), (190.0, 210.0)):
        ratio = measured(low, high) / on_axis
        # inside a ring the softening is nearly linear in the radius: its value at the middle is its mean within 0.0005
        wanted = attenuation_ratio(LINAC, np.array([0.5 * (low + high)]))[0]
        assert abs(ratio.mean() - wanted) < FIVE_SIGMA * ratio.std(ddof=1) / math.sqrt(20) + 0.0005
        assert ratio.mean() > 1.03


def test_energy_transfer_of_water() -> None:
    """Hubbell and Seltzer's mu_en/rho of water, cm2/g; mu_tr is above it by the bremsstrahlung: less than 0.5 % below
    1.25 MeV, 1 to 3 % at 6 MeV. At 0.1 MeV binding counts, which the share of Klein-Nishina leaves out: 1.5 %."""
    found = energy_transfer_cm2_g(np.array([0.1, 0.5, 1.25, 6.0]))
    # source: NISTIR 5632, table 4, liquid water [M]
    assert found[0] == pytest.approx(0.02546, rel=0.015)
    assert found[1:3] == pytest.approx([0.03299, 0.02965], rel=0.005)
    assert 1.01 < found[3] / 0.01806 < 1.03


@pytest.mark.parametrize("radius", [50.0, 100.0, 200.0])
@pytest.mark.parametrize(("name", "limit"), [("generic_6x", 0.005), ("generic_15x", 0.009)])
def test_energy_off_the_axis_is_that_of_the_collapsed_cone_at_every_depth(
    name: str, limit: float, radius: float
) -> None:
    """Energy transferred to electrons by the primary: coefficients times f, as there, against the filtered spectrum.

    Equal at 100 mm; elsewhere two ways to soften a beam differ, by no more than the module says.
    """
    machine = load_machine(name)
    found, f = off_axis(machine, np.array([radius])), attenuation_ratio(machine, np.array([radius]))[0]
    energy = np.maximum(machine.spectrum.bin_energy_mev, 0.01)
    mu, transfer = get("water").mass_attenuation_cm2_g(energy), energy_transfer_cm2_g(energy)
    axis = machine.spectrum.probabilities * energy * transfer
    here = found.photons[0] * found.shares[0] * energy * transfer
    for depth, within in ((10.0, 1e-9), (1.5, limit), (5.0, limit), (20.0, limit)):
        wanted = f * float(axis @ np.exp(-f * mu * depth))
        assert float(here @ np.exp(-mu * depth)) == pytest.approx(wanted, rel=within)


def test_energy_drawn_off_the_axis_is_that_of_the_fluence_map() -> None:
    """Energy transferred behind 100 mm of water, by area: that of the map with coefficients times f, over the same in
    the middle of the field; standard deviation from 20 parts, 5 sigma."""
    beam = field(LINAC, (400.0, 400.0))
    drawn = draw(photons_of(beam), 300_000, seed=8)
    fluence = fluence_maps(beam)[0]
    radius = np.hypot(*drawn.point_mm.T)
    at = np.hypot(fluence.raster.x_mm[None, :], fluence.raster.y_mm[:, None])
    energy = np.maximum(LINAC.spectrum.bin_energy_mev, 0.01)
    mu, transfer = get("water").mass_attenuation_cm2_g(energy), energy_transfer_cm2_g(energy)
    axis = LINAC.spectrum.probabilities * energy * transfer
    table_mev = np.geomspace(0.01, 10.0, 2000)
    table = (
        table_mev * energy_transfer_cm2_g(table_mev) * np.exp(-10.0 * get("water").mass_attenuation_cm2_g(table_mev))
    )
    carried = np.interp(drawn.energy_mev, table_mev, table) * np.sqrt(1.0 + (radius / 1000.0) ** 2)

    def sums(low: float, high: float) -> tuple[FloatArray, float]:
        drawn_in = np.where((radius >= low) & (radius < high), carried, 0.0)
        f = attenuation_ratio(LINAC, np.array([0.5 * (low + high)]))[0]
        in_map = float(fluence.values[(at >= low) & (at < high)].sum())
        return drawn_in.reshape(20, -1).sum(axis=1), in_map * f * float(axis @ np.exp(-f * mu * 10.0))

    inner, inner_map = sums(0.0, 40.0)
    for low, high in ((95.0, 105.0), (180.0, 195.0)):
        outer, outer_map = sums(low, high)
        ratio = outer / outer_map / (inner.mean() / inner_map)
        spread = math.hypot(ratio.std(ddof=1), inner.std(ddof=1) / inner.mean()) / math.sqrt(20)
        # inside a ring f is taken at its middle: 0.0005
        assert abs(ratio.mean() - 1.0) < FIVE_SIGMA * spread + 0.0005


def test_mean_energy_is_that_of_the_photons_drawn() -> None:
    """5 sigma."""
    source = photons_of(field(LINAC, (400.0, 400.0)))
    energy = draw(source, 300_000, seed=3).energy_mev
    assert abs(energy.mean() - source.mean_energy_mev) < FIVE_SIGMA * energy.std() / math.sqrt(energy.size)
    assert source.mean_energy_mev < 0.95 * LINAC.spectrum.mean_energy_mev


def test_photons_of_larger_pixels_outside_the_field_are_all_there() -> None:
    """A head that leaks fills its whole raster; the part outside the field lies on larger pixels."""
    machine = replace(
        BARE,
        jaws=Jaws(distance_x_mm=400.0, distance_y_mm=300.0, limit_mm=200.0, transmission=0.01),
        extra_focal=ExtraFocalSource(fraction=0.06),
        off_axis=OffAxisProfile(radius_mm=(0.0, 100.0, 300.0), relative=(1.0, 0.9, 0.8)),
    )
    beam = field(machine, (47.0, 61.0))
    fluence = fluence_maps(beam)[0]
    r2 = fluence.raster.x_mm[None, :] ** 2 + fluence.raster.y_mm[:, None] ** 2
    wanted = float((fluence.values / np.sqrt(1.0 + r2 / 1e6)).sum()) * 0.0025
    source = photons_of(beam)
    # cos(theta) is that of the middle of 2 mm pixels: wrong by 1e-6 of a few percent of the photons
    assert source.photons == pytest.approx(wanted, rel=2e-6)
    assert source.raster.shape == (2, 5)
    assert source.cumulative.size < fluence.values.size / 5


def test_a_wedge_tilts_the_fluence() -> None:
    """Photons right and left of the axis: exp(k s) integrated over both halves; 5 sigma."""
    wedge = LINAC.wedge("virtual_45")
    beam = Beam.open_field(replace(BARE, wedges=(wedge,)), (100.0, 100.0), monitor_units=1.0, wedge=wedge)
    k = wedge_gradient_per_mm(beam)
    x = draw(photons_of(beam), 100_000).point_mm[:, 0]
    share = (math.exp(50.0 * k) - 1.0) / (math.exp(50.0 * k) - math.exp(-50.0 * k))
    assert abs((x > 0.0).mean() - share) < FIVE_SIGMA * math.sqrt(share * (1.0 - share) / x.size)


def test_beams_share_photons_by_monitor_units_and_photons_per_unit() -> None:
    """3 x 2 against 1 x 1: six photons of seven; and the sum."""
    beams = [field(BARE, monitor_units=3.0), field(BARE, monitor_units=1.0, gantry_deg=180.0)]
    source = source_of(beams, photons_per_unit=[2.0, 1.0])
    assert source.photons == pytest.approx(7.0 * photons_of(field(BARE)).photons, rel=1e-12)
    share = (draw(source, 50_000).map == 0).mean()
    assert abs(share - 6.0 / 7.0) < FIVE_SIGMA * math.sqrt(6.0 / 49.0 / 50_000)


def test_machines_of_one_delivery_keep_their_spectra() -> None:
    """Spectra of another number of bins share the arrays; no photon is drawn beyond its own; mean energies, 5 sigma."""
    cobalt = load_machine("cobalt60")
    source = source_of([field(BARE), field(cobalt, (80.0, 80.0))], photons_per_unit=[1.0, 1.0])
    drawn = draw(source, 200_000)
    for group, machine in enumerate((BARE, cobalt)):
        energy = drawn.energy_mev[source.map_spectrum[drawn.map] == group]
        own = machine.spectrum
        assert energy.max() <= own.max_energy_mev
        assert abs(energy.mean() - own.mean_energy_mev) < FIVE_SIGMA * energy.std() / math.sqrt(energy.size)


def test_the_kernel_draws_the_same_photons() -> None:
    """Two machines, two poses: energy, its square, direction and all their products; 5 sigma of the difference."""
    beams = [field(LINAC, (300.0, 200.0), collimator_deg=30.0), field(BARE, (60.0, 90.0), gantry_deg=140.0)]
    source = source_of(beams, photons_per_unit=[1.0, 7.0])
    places, energies = drawn_by_the_kernel(source, 200_000)
    here = draw(source, 200_000, seed=2)
    there = np.column_stack([places, energies])
    here_too = np.column_stack([here.source_mm, here.direction, here.energy_mev])
    for a in range(7):
        for b in range(a, 7):
            one, other = there[:, a] * there[:, b], here_too[:, a] * here_too[:, b]
            spread = math.hypot(float(one.std()), float(other.std())) / math.sqrt(one.size)
            assert abs(one.mean() - other.mean()) <= FIVE_SIGMA * spread + 1e-9 * float(np.abs(one).max()), (a, b)


def test_an_arc_is_a_map_for_each_interval() -> None:
    opening = Aperture(jaws_x_mm=(-10.0, 10.0), jaws_y_mm=(-20.0, 20.0))
    first = static_control_points(((opening, 4.0),), 10.0)[0]
    points = tuple(replace(first, cumulative_monitor_units=float(n), gantry_deg=10.0 + 5.0 * n) for n in range(4))
    beam = Beam(machine=BARE, isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=10.0, control_points=points)
    source = photons_of(beam)
    angle = np.degrees(np.arctan2(source.source_mm[:, 0], -source.source_mm[:, 1]))
    assert angle == pytest.approx([12.5, 17.5, 22.5])
    ends = source.cumulative[source.start[1:] - 1]
    assert np.diff(ends, prepend=0.0) == pytest.approx(np.full(3, ends[-1] / 3.0))
