"""Commissioning from Monte Carlo tables: EGSnrc depth doses, profiles, output factors of a bare point source in water.

The fit starts at a clinical linac (focal spot 1 mm, 6 % head scatter, horns, softening, contamination, leaking jaws)
and must find that there is no head; the machine that it writes is then laid beside the absolute doses.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtsim.cli.console import ExitCode
from rtsim.cli.main import main
from rtsim.commission import Axis, DepthDose, MeasuredSet, OutputFactors, Profile, check_measured, write_curves
from rtsim.commission.checks import Severity
from rtsim.commission.water import Line, WaterRun
from rtsim.machine import load_machine
from tests.shared import SHARED, requires_shared

TABLES = SHARED / "reference" / "egsnrc"
SIDES_CM = (3, 5, 10, 20)
PROFILES_OF_CM = (10, 20)
DEPTHS_CM = (5.0, 10.0)
PHOTONS_PER_MU = 1e9
"""One 'monitor unit' of the bare source: 1e9 photons per cm2, so that its calibration is of the order of a linac's."""
DEEPEST_MM = 250.0
"""Behind it lies the far side of the reference's phantom, whose scatter is missing there."""


def table(name: str) -> dict[str, np.ndarray]:
    """Columns of one of the tables by name."""
    lines = [line for line in (TABLES / name).read_text().splitlines() if not line.startswith("#")]
    values = np.array([[float(v) for v in line.split(",")] for line in lines[1:]])
    return dict(zip(lines[0].split(","), values.T, strict=True))


def measured() -> MeasuredSet:
    """The tables as a user's curves. Profiles are mirrored, and crossline and inline alike: the tables are so by
    construction (one octant was scored). Output factors: ln dose at 100 mm, of a line through 80 to 120 mm."""
    axis = table("water_pdd.csv")
    depth = 10.0 * axis["z_mid_cm"]
    seen = depth <= DEEPEST_MM
    depth_doses, profiles, at_100 = [], [], []
    for side in SIDES_CM:
        dose = axis[f"dose_{side}x{side}"]
        field = (10.0 * side, 10.0 * side)
        depth_doses.append(DepthDose(field_mm=field, ssd_mm=1000.0, depth_mm=depth[seen], value=dose[seen]))
        near = np.abs(depth - 100.0) <= 20.0
        at_100.append(float(np.exp(np.polynomial.Polynomial.fit(depth[near], np.log(dose[near]), 1)(100.0))))
        across = table(f"water_{side}x{side}_profiles.csv")
        x = 10.0 * across["x_mid_cm"]
        for depth_cm in DEPTHS_CM if side in PROFILES_OF_CM else ():
            value = across[f"dose_d{depth_cm:g}"]
            profiles += [
                Profile(
                    field_mm=field,
                    ssd_mm=1000.0,
                    depth_mm=10.0 * depth_cm,
                    axis=a,
                    position_mm=np.concatenate([-x[::-1], x]),
                    value=np.concatenate([value[::-1], value]),
                    detector_mm=2.5,
                )
                for a in (Axis.CROSSLINE, Axis.INLINE)
            ]
    return MeasuredSet(
        depth_doses=tuple(depth_doses),
        profiles=tuple(profiles),
        output_factors=OutputFactors(
            fields_mm=tuple((10.0 * s, 10.0 * s) for s in SIDES_CM),
            factor=np.array(at_100),
            depth_mm=100.0,
            ssd_mm=1000.0,
            dose_gy_per_mu=at_100[SIDES_CM.index(10)] * PHOTONS_PER_MU,
        ),
    )


def smoothed(depth: np.ndarray, deviation: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Mean over 2 cm, weights 1/sigma^2: what is left when the noise of single voxels (0.2 to 0.9 %) is taken out."""
    together = (np.abs(depth[:, None] - depth[None, :]) <= 10.0) / sigma[None, :] ** 2
    return np.asarray(together @ deviation / together.sum(axis=1))


@requires_shared
@pytest.mark.slow
def test_a_machine_is_commissioned_from_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_curves(measured(), tmp_path / "measured")
    path = tmp_path / "bare.toml"
    argv = ["commission", str(tmp_path / "measured"), "-o", str(path), "--base", "generic_6x", "--json", "--quiet"]
    assert main(argv) in (ExitCode.DONE, ExitCode.LIMIT_NOT_HELD)
    record = json.loads(capsys.readouterr().out)
    found = {v["name"]: v for v in record["values"]}
    for v in found.values():
        print(f"{v['name']}: {v['value']:.4g} +- {v['uncertainty']:.1g} {v['unit']}, from {v['start']:.4g}")
    # no head: what each limit means in dose. 0.15 mm2 of source variance is 0.05 mm of a penumbra of 6 mm; 1 % of
    # extra-focal fluence moves an output factor by up to 0.3 %; 5 % of electrons is what 0.2 mm of build-up is;
    # two profiles at 50 and 100 mm hold the softening to +- 0.2 of the base's
    for name, limit in (
        ("focal_spot_x", 0.15),
        ("focal_spot_y", 0.15),
        ("extra_focal_fraction", 0.01),
        ("jaw_transmission", 0.002),
        ("electron_fraction", 0.05),
        ("softening", 0.4),
    ):
        assert found[name]["value"] <= limit, found[name]
    machine = load_machine(path)
    # the tables' fluence is even on a plane: 1/cos in what passes a sphere, +0.4 % at 90 mm
    np.testing.assert_allclose(machine.off_axis.relative[1:5], 1.0, atol=0.02)
    # Mohan 6 MV: mean energy 1.90 MeV. What a depth dose fixes of a spectrum is its attenuation, not its mean
    assert machine.spectrum.mean_energy_mev == pytest.approx(1.90, abs=0.15)
    axis = table("water_pdd.csv")
    depth = 10.0 * axis["z_mid_cm"]
    beyond = (depth > 17.0) & (depth <= DEEPEST_MM)
    for side in SIDES_CM:
        run = WaterRun(field_mm=(10.0 * side, 10.0 * side), ssd_mm=1000.0, line=Line.DEPTH, deepest_mm=DEEPEST_MM)
        dose = run.dose(machine).along_depth(depth[beyond]) / PHOTONS_PER_MU
        sigma = axis[f"u_{side}x{side}"][beyond]
        deviation = 100.0 * (dose / axis[f"dose_{side}x{side}"][beyond] - 1.0)
        smooth = smoothed(depth[beyond], deviation, sigma)
        print(
            f"{side} x {side} cm: single voxels {deviation[np.argmax(np.abs(deviation))]:+.2f} %, over 2 cm "
            f"{smooth[np.argmax(np.abs(smooth))]:+.2f} %, mean {deviation.mean():+.2f} %, rms "
            f"{np.sqrt(np.mean((deviation / sigma / 100) ** 2)):.2f} sigma"
        )
        # goal: axis <= 1 % beyond the maximum, absolute. A mean over 2 cm takes out the noise of single voxels, but not
        # what is common to a curve: that is "about as large as its single-voxel uncertainty" (README of the reference)
        assert (np.abs(smooth) <= 1.0 + 100.0 * sigma).all()
    for r in record["residuals"]:
        print(r["curve"], {k: round(v, 2) for k, v in r.items() if isinstance(v, float)})
        if "profile" in r["curve"]:
            assert abs(r["max_percent"]) <= 1.5, r  # 3 sigma of a voxel at 100 mm depth
            assert abs(r["edge_mm"]) <= 0.3, r


@requires_shared
def test_the_tables_pass_the_checks() -> None:
    assert check_measured(measured(), sad_mm=1000.0) == ()


@requires_shared
@pytest.mark.parametrize("percent", [2.5, 5.0])
def test_a_tilt_in_the_tables_is_reported(percent: float) -> None:
    given = next(p for p in measured().profiles if p.field_mm[0] == 100.0)
    half = 0.4 * given.nominal_width_mm(1000.0)
    tilted = replace(given, value=given.value * (1.0 + 0.005 * percent * given.position_mm / half).clip(0.1))
    (finding,) = check_measured(MeasuredSet(profiles=(tilted,)), sad_mm=1000.0)
    assert finding.severity is Severity.ASYMMETRY
    assert "positive side" in finding.text
    said = re.search(r"up to ([\d.]+) % higher", finding.text)
    assert said is not None
    # it is said in percent of the axis; the dose at 80 % of the width is up to 5 % lower than there
    assert float(said[1]) == pytest.approx(percent, rel=0.05, abs=0.05)


@requires_shared
def test_a_swapped_axis_in_the_tables_is_reported() -> None:
    """A 5 x 20 cm field would have the tables' 20 cm profile inline; given as crossline it is found out."""
    given = next(p for p in measured().profiles if p.field_mm[0] == 200.0)
    swapped = replace(given, field_mm=(50.0, 200.0), axis=Axis.CROSSLINE)
    (finding,) = check_measured(MeasuredSet(profiles=(swapped,)), sad_mm=1000.0)
    assert finding.severity is Severity.REFUSED
    assert "crossline and inline are swapped" in finding.text
    right = replace(given, field_mm=(50.0, 200.0), axis=Axis.INLINE)
    assert check_measured(MeasuredSet(profiles=(right,)), sad_mm=1000.0) == ()


@requires_shared
def test_a_depth_axis_from_the_bottom_is_reported() -> None:
    pdd = measured().depth_doses[2]
    (finding,) = check_measured(
        MeasuredSet(depth_doses=(replace(pdd, depth_mm=DEEPEST_MM - pdd.depth_mm),)), sad_mm=1000.0
    )
    assert "swapped axis" in finding.text
