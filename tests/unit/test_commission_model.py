"""The forward model of the fit: reading a dose along a line, electrons, residuals, and the machine file."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from rtsim.commission import Axis, Fitted, FittedValue, machine_toml, write_machine
from rtsim.commission.fit import nominal_endpoint_mev
from rtsim.commission.model import Model, best_scale, usable
from rtsim.commission.parameters import Parameters
from rtsim.commission.residuals import curve_residuals
from rtsim.commission.water import Line, LineDose, WaterRun, electron_shape, runs_needed
from rtsim.errors import InputError, OutputExistsError
from rtsim.machine import load_machine
from tests.unit.commission_data import SAD_MM, complete, depth_dose, output_factors, profile

RUN = WaterRun(field_mm=(40.0, 40.0), ssd_mm=1000.0, line=Line.CROSSLINE, deepest_mm=20.0)


@pytest.mark.parametrize("detector_mm", [0.0, 5.0])
def test_voxels_do_not_widen_what_is_read(detector_mm: float) -> None:
    """Voxels hold means of a Gaussian edge; the edge itself comes back, or its mean over the detector."""
    grid, sigma = RUN.grid(SAD_MM), 2.5

    def integral(x: np.ndarray) -> np.ndarray:
        z = x / (sigma * 2.0**0.5)
        return 0.5 * (x * (1 + erf(z)) + sigma * (2 / np.pi) ** 0.5 * np.exp(-(z**2)))

    edges = np.append(grid.x_mm - grid.spacing_mm[0] / 2, grid.x_mm[-1] + grid.spacing_mm[0] / 2)
    means = np.diff(integral(edges)) / np.diff(edges)
    dose = LineDose(RUN, grid, np.broadcast_to(means, grid.shape).copy(), 0.0)
    x = np.linspace(-8.0, 8.0, 33)
    half = max(detector_mm, 1e-6) / 2
    expected = (integral(x + half) - integral(x - half)) / (2 * half)
    # a cubic spline of voxels of 0.4 sigma: error of the order (h/sigma)^4/100; without the care it would be 1.3 %
    np.testing.assert_allclose(dose.across(10.0, x, detector_mm), expected, atol=1e-3)


def test_lines_of_a_run_point_along_their_axes() -> None:
    """x is crossline, z (BLD y at gantry 0) is inline, and depth starts at the surface."""
    crossline = replace(RUN, ssd_mm=900.0)
    for line, axis in ((Line.CROSSLINE, 2), (Line.INLINE, 0)):
        run = replace(crossline, line=line)
        grid = run.grid(SAD_MM)
        assert grid.y_mm[0] - grid.spacing_mm[1] / 2 == -100.0
        position = (grid.z_mm, grid.y_mm, grid.x_mm)[axis]
        values = np.broadcast_to(np.expand_dims(position, tuple({0, 1, 2} - {axis})), grid.shape).astype(np.float64)
        found = LineDose(run, grid, values.copy(), -100.0).across(10.0, np.array([-7.0, 0.0, 12.5]))
        np.testing.assert_allclose(found, [-7.0, 0.0, 12.5], atol=1e-9)
    run = replace(crossline, line=Line.DEPTH)
    grid = run.grid(SAD_MM)
    values = np.broadcast_to((grid.y_mm + 100.0)[None, :, None], grid.shape).astype(np.float64)
    np.testing.assert_allclose(
        LineDose(run, grid, values.copy(), -100.0).along_depth(np.array([3.0, 15.0])), [3.0, 15.0], atol=1e-9
    )


def test_electrons_are_those_of_the_engine() -> None:
    """The fit adds electrons by formula; the engine gives the same, within the 5 mm raster of its blur."""
    machine = load_machine("generic_6x")
    electrons = replace(machine.electrons, fraction=0.1, attenuation_per_mm=0.15)
    machine = replace(machine, electrons=electrons)
    run = WaterRun(field_mm=(100.0, 100.0), ssd_mm=1000.0, line=Line.DEPTH, deepest_mm=40.0)
    bare = replace(machine, electrons=replace(machine.electrons, fraction=0.0))
    depth = np.array([3.75, 8.75, 13.75])
    photons, both = run.dose(bare), run.dose(machine)
    # the two are calibrated to the same dose at 100 mm, where electrons are 3e-8 of it
    assert (both.along_depth(depth) > 1.01 * photons.along_depth(depth)).all()
    own = both.along_depth(depth) - photons.along_depth(depth)
    maximum = photons.along_depth(np.linspace(5.0, 30.0, 26)).max()
    fraction = machine.electrons.fraction / (1.0 - machine.extra_focal.fraction)
    shape = fraction * electron_shape(machine.electrons, run, SAD_MM, depth, np.zeros(3))
    np.testing.assert_allclose(own / maximum, shape, rtol=0.02)


def test_runs_are_shared() -> None:
    field = (100.0, 100.0)
    runs = runs_needed(
        [(field, 1000.0, 270.0), (field, 1000.0, 100.0), (field, 900.0, 100.0)],
        [(field, 1000.0, Axis.INLINE, 50.0), (field, 1000.0, Axis.INLINE, 200.0)],
    )
    assert [(r.ssd_mm, r.line, r.deepest_mm) for r in runs] == [
        (1000.0, Line.DEPTH, 270.0),
        (900.0, Line.DEPTH, 100.0),
        (1000.0, Line.INLINE, 200.0),
    ]


def test_a_surface_beyond_the_isocenter_is_refused() -> None:
    with pytest.raises(InputError, match="beyond the isocenter"):
        replace(RUN, ssd_mm=1100.0).grid(SAD_MM)


def test_residuals_of_a_known_change() -> None:
    """A depth dose that falls 3 % more slowly, edges 1 mm wider, a factor 1 % high."""
    pdd = depth_dose()
    same = curve_residuals(pdd, 7.0 * pdd.value)
    assert abs(same.max_percent) < 1e-9
    assert same.met
    slower = curve_residuals(pdd, pdd.value * np.exp(1e-4 * pdd.depth_mm))
    assert slower.max_percent == pytest.approx(100 * np.expm1(0.015), abs=0.3)  # about the middle of 300 mm
    assert slower.met
    p = profile()
    wider = profile(width_mm=112.0)
    found = curve_residuals(p, np.interp(p.position_mm, wider.position_mm, wider.value))
    assert found.edge_mm == pytest.approx(1.0, abs=0.05)
    assert abs(found.max_percent) < 0.1
    blurred = profile(sigma_mm=4.0)
    found = curve_residuals(p, np.interp(p.position_mm, blurred.position_mm, blurred.value))
    assert found.penumbra_mm == pytest.approx(2 * 0.8416, abs=0.2)
    factors = output_factors()
    high = factors.factor * np.where(factors.factor == factors.factor.max(), 1.01, 1.0)
    assert curve_residuals(factors, 5.0 * high).max_percent == pytest.approx(1.0)
    assert not curve_residuals(factors, factors.factor**1.5).met


def test_curves_are_centered_and_cut_for_the_fit() -> None:
    measured = replace(complete(), profiles=(profile(shift_mm=1.5),))
    (p,) = [c for c in usable(measured, SAD_MM) if hasattr(c, "position_mm")]
    assert np.abs(p.position_mm).max() <= 55.0 + 30.0
    assert p.value[np.argmin(np.abs(p.position_mm - 20.0))] == pytest.approx(1.01, abs=1e-3)
    left, right = np.interp([-55.0, 55.0], p.position_mm, p.value)
    assert left == pytest.approx(right, abs=0.01)


def test_the_model_knows_which_points_are_whose() -> None:
    """A made-up dose of 1/(1 + depth) along the axis and of the position across it, through all the sorting."""
    curves = usable(complete(), SAD_MM)
    model = Model.of(curves, SAD_MM)
    photons = {
        run: [1 / (1 + r.depth_mm) if run.line is Line.DEPTH else r.off_axis_mm for r in model.readings if r.run is run]
        for run in model.runs
    }
    predicted = model.predicted(photons, replace(load_machine("generic_6x").electrons, fraction=0.0))
    for curve, got in zip(curves, predicted, strict=True):
        if hasattr(curve, "position_mm"):
            np.testing.assert_array_equal(got, curve.position_mm)
        elif hasattr(curve, "factor"):
            np.testing.assert_allclose(got, np.full(4, 1 / 101.0))
        else:
            np.testing.assert_array_equal(got, 1 / (1 + curve.depth_mm))
    assert best_scale(curves[0], 0.5 * curves[0].value) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "endpoint"), [("generic_6x", 6.0), ("generic_10fff", 10.0), ("cobalt60", None), ("point_source", None)]
)
def test_endpoint_comes_from_the_nominal_energy(name: str, endpoint: float | None) -> None:
    assert nominal_endpoint_mev(load_machine(name)) == endpoint


def test_a_vector_of_values_becomes_a_machine() -> None:
    base = load_machine("generic_6x")
    parameters = Parameters.of(base, 6.0, 90.0)
    x = np.array([p.start for p in parameters.listed])
    assert np.abs(parameters.prior_residuals(x)).max() < 0.5, "the start is no surprise to the priors"
    machine = parameters.machine(x)
    assert machine.focal_spot.fwhm_x_mm == pytest.approx(base.focal_spot.fwhm_x_mm)
    assert machine.off_axis.radius_mm == (0.0, 25.0, 50.0, 75.0, 90.0, 100.0, 200.0, 250.0, 270.0)
    np.testing.assert_allclose(
        machine.off_axis.relative,
        np.interp(machine.off_axis.radius_mm, base.off_axis.radius_mm, base.off_axis.relative),
    )
    assert machine.off_axis.softening == pytest.approx(base.off_axis.softening)
    bare = Parameters.of(load_machine("point_source"), None, 90.0)
    assert not any("spot" in p.name or p.name == "tungsten" for p in bare.listed)
    assert len(bare.notes) == 3


def _fitted(base: str = "generic_6x") -> Fitted:
    parameters = Parameters.of(load_machine(base), 6.0, 90.0)
    x = np.array([p.start for p in parameters.listed])
    machine = replace(parameters.machine(x), name="mine", calibration=load_machine(base).calibration)
    residual = curve_residuals(depth_dose(), 1.001 * depth_dose().value)
    values = tuple(
        FittedValue(p.name, float(v), 0.01, p.start, p.unit) for p, v in zip(parameters.listed, x, strict=True)
    )
    return Fitted(
        machine=machine, values=values, residuals=(residual,), findings=(), notes=parameters.notes, measured=complete()
    )


@pytest.mark.parametrize("base", ["generic_6x", "generic_6fff", "generic_6x_agility", "point_source"])
def test_the_machine_file_is_read_back(base: str, tmp_path: Path) -> None:
    fitted = _fitted(base)
    path = tmp_path / "mine.toml"
    write_machine(path, fitted)
    found, given = load_machine(path), fitted.machine
    for part in ("calibration", "focal_spot", "extra_focal", "electrons", "jaws", "limits", "wedges"):
        assert getattr(found, part) == getattr(given, part), part
    np.testing.assert_allclose(found.off_axis.relative, given.off_axis.relative, rtol=1e-7)
    np.testing.assert_allclose(found.spectrum.probabilities, given.spectrum.probabilities, atol=1e-9)
    if given.mlc is not None:
        assert found.mlc is not None
        np.testing.assert_allclose(found.mlc.leaf_edges_mm, given.mlc.leaf_edges_mm)
        for f in fields(given.mlc):
            if f.name != "leaf_edges_mm":
                assert getattr(found.mlc, f.name) == getattr(given.mlc, f.name), f.name
    text = path.read_text()
    assert "fitted to measured data" in text
    assert "Not for clinical use" in text
    assert "depth dose 100 x 100 mm" in text
    with pytest.raises(OutputExistsError):
        write_machine(path, fitted)


def test_a_kept_spectrum_is_written_as_bins(tmp_path: Path) -> None:
    base = load_machine("cobalt60")
    fitted = _fitted()
    kept = replace(
        fitted,
        machine=replace(fitted.machine, spectrum=base.spectrum),
        values=tuple(v for v in fitted.values if v.name not in ("tungsten", "aluminium")),
    )
    path = tmp_path / "kept.toml"
    write_machine(path, kept)
    np.testing.assert_allclose(load_machine(path).spectrum.probabilities, base.spectrum.probabilities, rtol=1e-5)
    assert "edges_mev" in machine_toml(kept)


def test_the_output_must_be_a_toml_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.toml"):
        write_machine(tmp_path / "mine.txt", _fitted())
