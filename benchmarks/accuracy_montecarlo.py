"""Every Monte Carlo dose of the reference folder beside the engine, in absolute Gy cm2 per photon, by regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.accuracy_regions import Region, maximum_mm, noise_maximum_percent, regions, smoothed_percent
from benchmarks.compare import AxisCurve, build_up, ct_axis, gamma_percent, penumbra_shift_mm, slab_axis
from benchmarks.measure import time_call
from benchmarks.reference_cases import ReferenceCase, load_case, reference_names
from benchmarks.row import Row
from rtsim.dose import CollapsedCone, Dose, forward

BUILD_UP_MM: Final = 1.0
BUILD_UP_PERCENT: Final = 5.0
FAR_MM: Final = 10.0
"""Farther off than this is no agreement: the dose behind the maximum passes the same values again."""


@dataclass(frozen=True, kw_only=True)
class GammaGoal:
    """Criterion of the gamma of a kind of case, and the share that must pass (None: printed, not judged)."""

    dose_percent: float
    distance_mm: float
    pass_percent: float | None

    def __str__(self) -> str:
        wanted = "" if self.pass_percent is None else f" >= {self.pass_percent:g} %"
        return f"gamma {self.dose_percent:g} %/{self.distance_mm:g} mm{wanted}"


def gamma_goal(case: ReferenceCase) -> GammaGoal:
    """Judged in water and on a CT; for information in slabs."""
    if case.is_ct:
        return GammaGoal(dose_percent=2.0, distance_mm=2.0, pass_percent=97.0)
    if case.interfaces_mm:
        return GammaGoal(dose_percent=2.0, distance_mm=2.0, pass_percent=None)
    return GammaGoal(dose_percent=1.0 if case.field_mm >= 30.0 else 2.0, distance_mm=1.0, pass_percent=98.0)


def reference_rows(folder: Path, only: str | None) -> Iterator[Row]:
    """Rows of every reference case; one that says so when the folder is absent."""
    if not folder.is_dir():
        yield Row(case="reference", table="Monte Carlo", note=f"skipped: no doses at {folder}; set RTSIM_SHARED")
        return
    for name in reference_names(folder):
        if only is None or only in name:
            yield from case_rows(load_case(folder, name), CollapsedCone())


def case_rows(case: ReferenceCase, engine: CollapsedCone) -> Iterator[Row]:
    """One row per region; gamma and penumbra stand in the first. In water the build-up has a row of its own."""
    doses: list[Dose] = []
    timing = time_call(lambda: doses.append(forward(case.phantom, case.beam, engine=engine)), repeats=1)
    dose = doses[-1]
    curve = ct_axis(case, dose) if case.is_ct else slab_axis(case, dose)
    wanted = gamma_goal(case)
    passed = gamma_percent(case, dose, wanted.dose_percent, wanted.distance_mm)
    for number, region in enumerate(regions(case, curve)):
        row = _region_row(case, curve, region)
        if number == 0:
            enough = wanted.pass_percent is None or passed >= wanted.pass_percent
            row = replace(
                row,
                engine=engine.describe(),
                spacing_mm=case.phantom.grid.spacing_mm[0],
                warm_median_s=timing.warm_median_s,
                gamma_percent=passed,
                penumbra_shift_mm=None if case.is_ct else penumbra_shift_mm(case, dose),
                goal=f"{row.goal}; {wanted}",
                met=row.met and enough,
            )
        yield row
    if not case.is_ct and not case.interfaces_mm:
        yield _build_up_row(case, curve, dose)


def _region_row(case: ReferenceCase, curve: AxisCurve, region: Region) -> Row:
    deviation, sigma = curve.deviation_percent(region.selected), curve.sigma[region.selected]
    worst = int(np.argmax(np.abs(deviation)))
    smooth = smoothed_percent(curve, region.selected, case.interfaces_mm)
    rms = float(np.sqrt(np.mean((deviation / (100.0 * sigma)) ** 2)))
    return Row(
        case=f"{case.name} {region.name}".rstrip(),
        table="Monte Carlo",
        max_error_percent=float(np.abs(deviation).max()),
        smoothed_error_percent=float(np.abs(smooth).max()),
        noise_percent=noise_maximum_percent(sigma),
        mean_error_percent=float(deviation.mean()),
        goal="" if region.goal_percent is None else f"axis <= {region.goal_percent:g} %",
        met=None if region.goal_percent is None else bool(np.abs(deviation).max() <= region.goal_percent),
        note=f"{deviation[worst]:+.1f} % at {curve.depth_mm[region.selected][worst]:.1f} mm; rms {rms:.1f} sigma",
    )


def _build_up_row(case: ReferenceCase, curve: AxisCurve, dose: Dose) -> Row:
    deepest = maximum_mm(curve)
    found = build_up(curve, deepest)
    worst = int(np.argmax(found.index(BUILD_UP_PERCENT, BUILD_UP_MM)))
    shown = ", ".join(
        f"{z:.1f} mm {d:+.1f} %" + (f"/{s:.1f} mm" if s < FAR_MM else "")
        for z, d, s in zip(found.depth_mm, found.deviation_percent, found.shift_mm, strict=True)
    )
    index = float(found.index(BUILD_UP_PERCENT, BUILD_UP_MM)[worst])
    return Row(
        case=f"{case.name} build-up",
        table="Monte Carlo, build-up",
        max_error_percent=float(np.abs(found.deviation_percent).max()),
        value=index,
        unit=f"of {BUILD_UP_MM:g} mm or {BUILD_UP_PERCENT:g} %",
        goal="<= 1 in each voxel to dmax",
        met=index <= 1.0,
        note=shown,
    )
