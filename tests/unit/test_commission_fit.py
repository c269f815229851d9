"""Self-consistency: curves made by a known machine are fitted from another, and its parameters come back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtsim.cli.console import ExitCode
from rtsim.cli.main import main
from rtsim.commission import Axis, DepthDose, MeasuredSet, OutputFactors, Profile, fit_machine, write_curves
from rtsim.commission.water import Line, WaterRun
from rtsim.machine import Machine, linac_spectrum, load_machine
from tests.unit.commission_data import complete, profile

SIDES = (30.0, 60.0, 100.0, 200.0)


def known_machine() -> Machine:
    """Not the base of the fit in anything that is fitted."""
    base = load_machine("generic_6x")
    assert base.jaws is not None
    return replace(
        base,
        spectrum=linac_spectrum("known", endpoint_mev=6.0, tungsten_g_cm2=1.2, aluminium_g_cm2=33.0),
        focal_spot=replace(base.focal_spot, fwhm_x_mm=1.8, fwhm_y_mm=0.6),
        extra_focal=replace(base.extra_focal, fraction=0.09, sigma_mm=20.0),
        electrons=replace(base.electrons, fraction=0.06, attenuation_per_mm=0.15),
        off_axis=replace(base.off_axis, radius_mm=(0.0, 400.0), relative=(1.0, 1.16)),
        jaws=replace(base.jaws, transmission=0.007, monitor_backscatter=0.01),
    )


def synthetic(machine: Machine) -> MeasuredSet:
    """Depth doses of 30 and 100 mm, profiles of 100 and 200 mm, four output factors at SSD 1000."""
    depth = np.concatenate([np.arange(2.0, 20.0, 2.0), np.arange(20.0, 211.0, 10.0)])
    curves: dict[float, np.ndarray] = {}
    at_100 = []
    for side in SIDES:
        run = WaterRun(field_mm=(side, side), ssd_mm=1000.0, line=Line.DEPTH, deepest_mm=210.0)
        dose = run.dose(machine)
        curves[side] = dose.along_depth(depth)
        at_100.append(float(dose.along_depth(np.array([100.0]))[0]))
    profiles = []
    for side, axis in ((100.0, Axis.CROSSLINE), (100.0, Axis.INLINE), (200.0, Axis.CROSSLINE)):
        dose = WaterRun(field_mm=(side, side), ssd_mm=1000.0, line=Line.of(axis), deepest_mm=100.0).dose(machine)
        for depth_mm in (50.0, 100.0):
            half = 0.5 * side * (1000.0 + depth_mm) / 1000.0
            x = np.unique(np.concatenate([np.arange(0.0, half + 28.0, 4.0), half + np.arange(-8.0, 8.5, 1.0)]))
            x = np.concatenate([-x[:0:-1], x])
            profiles.append(
                Profile(
                    field_mm=(side, side),
                    ssd_mm=1000.0,
                    depth_mm=depth_mm,
                    axis=axis,
                    position_mm=x,
                    value=np.maximum(dose.across(depth_mm, x), 0.0),
                )
            )
    return MeasuredSet(
        depth_doses=tuple(
            DepthDose(field_mm=(s, s), ssd_mm=1000.0, depth_mm=depth, value=curves[s]) for s in (30.0, 100.0)
        ),
        profiles=tuple(profiles),
        output_factors=OutputFactors(
            fields_mm=tuple((s, s) for s in SIDES),
            factor=np.array(at_100),
            depth_mm=100.0,
            ssd_mm=1000.0,
            dose_gy_per_mu=at_100[2],
        ),
    )


@pytest.fixture
def coarse_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Voxels across the beam 1.5 times as wide, less than half as many: on both sides of the fit alike."""
    fine = WaterRun._spacing_mm

    def coarse(run: WaterRun) -> tuple[float, float]:
        x, z = fine(run)
        return 1.5 * x, 1.5 * z

    monkeypatch.setattr(WaterRun, "_spacing_mm", coarse)


@pytest.mark.slow
@pytest.mark.usefixtures("coarse_runs")
def test_the_parameters_of_a_known_machine_come_back() -> None:
    """Same engine on both sides: what is left comes from the fit's weights, its priors and where it stops.

    Every parameter lies within two of the standard deviations that the fit states for it; the curves, without noise,
    are met closer than they are weighted (0.4 % on the axis and in output factors, 0.5 % and 0.4 mm in profiles).
    """
    known = known_machine()
    measured = synthetic(known)
    fitted = fit_machine(measured, load_machine("generic_6x"))
    assert fitted.within_tolerance
    for value in fitted.values:
        print(value)
    for residual in fitted.residuals:
        print(residual)
        assert abs(residual.max_percent) < 0.8, residual
        if residual.edge_mm is not None and residual.penumbra_mm is not None:
            assert abs(residual.edge_mm) < 0.1, residual
            assert abs(residual.penumbra_mm) < 0.5, residual
    assert known.jaws is not None
    spot, source = known.focal_spot, known.extra_focal
    truth = {
        "tungsten": 1.2,
        "aluminium": 33.0,
        "focal_spot_x": (spot.fwhm_x_mm / 2.3548) ** 2,
        "focal_spot_y": (spot.fwhm_y_mm / 2.3548) ** 2,
        "extra_focal_fraction": source.fraction,
        "extra_focal_sigma": source.sigma_mm,
        "jaw_transmission": known.jaws.transmission,
        "monitor_backscatter": known.jaws.monitor_backscatter,
        "electron_fraction": known.electrons.fraction,
        "electron_attenuation": known.electrons.attenuation_per_mm,
        "softening": 1.0,
    }
    for value in fitted.values:
        wanted = truth.get(value.name) or 1.0 + 0.0004 * float(value.name.removeprefix("off_axis_"))
        assert abs(value.value - wanted) <= 2.0 * value.uncertainty, value
    found = fitted.machine
    assert found.spectrum.mean_energy_mev == pytest.approx(known.spectrum.mean_energy_mev, rel=0.02)
    assert found.focal_spot.fwhm_x_mm == pytest.approx(1.8, abs=0.15)
    assert found.extra_focal.fraction == pytest.approx(0.09, abs=0.01)
    assert found.calibration is not None
    assert measured.output_factors is not None
    assert found.calibration.dose_gy_per_mu == measured.output_factors.dose_gy_per_mu


def test_the_command_refuses_thin_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_curves(replace(complete(), output_factors=None), tmp_path / "measured")
    assert (
        main(["commission", str(tmp_path / "measured"), "-o", str(tmp_path / "m.toml"), "--quiet"])
        == ExitCode.BAD_INPUT
    )
    assert "output factors of at least 4 fields (0 are there)" in capsys.readouterr().err
    assert not (tmp_path / "m.toml").exists()


def test_the_command_reports_a_tilted_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tilted = replace(complete(), profiles=(*complete().profiles[1:], profile(depth_mm=50.0, tilt_percent=4.0)))
    write_curves(tilted, tmp_path / "measured")
    assert (
        main(["commission", str(tmp_path / "measured"), "-o", str(tmp_path / "m.toml"), "--quiet"])
        == ExitCode.BAD_INPUT
    )
    text = " ".join(capsys.readouterr().err.split())
    assert "crossline profile 100 x 100 mm at 50 mm (crossline_100x100_d50.csv): is tilted" in text
    assert "4.0 % higher" in text


def test_the_command_writes_nothing_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.toml").write_text("mine")
    assert main(["commission", str(tmp_path), "-o", str(tmp_path / "m.toml")]) == ExitCode.OUTPUT_EXISTS
    text = " ".join(capsys.readouterr().err.split())
    assert "is there already; choose another name, or replace it with --overwrite" in text
    assert main(["commission", str(tmp_path), "-o", str(tmp_path / "m.txt")]) == ExitCode.BAD_INPUT


def test_the_command_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table, JSON and exit status, with a fit that does nothing."""
    from rtsim.commission.residuals import CurveResidual
    from tests.unit.test_commission_model import _fitted

    write_curves(complete(), tmp_path / "measured")
    fitted = _fitted()
    name = "crossline profile 100 x 100 mm at 100 mm (" + "a_long_name_of_a_file_" * 4 + ".csv)"
    long = CurveResidual(
        curve=name, max_percent=1.25, mean_percent=-0.5, edge_mm=0.1, penumbra_mm=-0.2, outside_percent=0.3, met=True
    )
    fitted = replace(fitted, residuals=(*fitted.residuals, long))
    off = replace(
        fitted, residuals=(*fitted.residuals, CurveResidual(curve="x", max_percent=5.0, mean_percent=1.0, met=False))
    )
    argv = ["commission", str(tmp_path / "measured"), "--quiet", "--overwrite", "-o", str(tmp_path / "m.toml")]
    monkeypatch.setattr("rtsim.cli.commission.fit_machine", lambda *_, **__: fitted)
    assert main(argv) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "not for clinical use" in out
    assert "extra_focal_sigma" in out
    (line,) = [row for row in out.splitlines() if name in row]
    assert line.removeprefix(f" {name}").split() == ["+1.25", "-0.50", "+0.10", "-0.20", "+0.30", "yes"]
    assert load_machine(tmp_path / "m.toml").focal_spot.fwhm_x_mm == pytest.approx(1.0)
    monkeypatch.setattr("rtsim.cli.commission.fit_machine", lambda *_, **__: off)
    assert main(argv) == ExitCode.LIMIT_NOT_HELD
    assert "out of tolerance: x" in capsys.readouterr().out
    assert main([*argv, "--json"]) == ExitCode.LIMIT_NOT_HELD
    record = json.loads(capsys.readouterr().out)
    assert record["not_for_clinical_use"] is True
    assert [r["met"] for r in record["residuals"]] == [True, True, False]
