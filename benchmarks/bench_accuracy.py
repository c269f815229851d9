"""Accuracy: every Monte Carlo dose of the reference folder beside the engine, in absolute Gy cm2 per photon; its beam
data beside the generic machines; and every number that a bundled case expects, which needs no folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.compare import AxisCurve, ct_axis, gamma_percent, penumbra_shift_mm, slab_axis
from benchmarks.expectations import ENGINE, Measured, expectations, measure
from benchmarks.machine_data import machine_rows
from benchmarks.measure import time_call
from benchmarks.reference_cases import ReferenceCase, load_case, reference_names
from benchmarks.row import ROOT, Row, peak_rss_mb
from rtsim.dose import CollapsedCone, Dose, forward
from rtsim.typing import BoolArray

SHARED = Path(os.environ.get("RTSIM_SHARED", ROOT.parent / "shared"))
BUILD_UP_MM = 17.0
"""The axis counts from here on: just behind the maximum of every 6 MV field (README of the reference: 13 to 16 mm)."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a kind of case must reach."""

    axis_percent: float
    gamma_percent: float
    gamma_dose_percent: float
    gamma_mm: float

    def __str__(self) -> str:
        return (
            f"axis <= {self.axis_percent:g} %; gamma {self.gamma_dose_percent:g} %/{self.gamma_mm:g} mm "
            f">= {self.gamma_percent:g} %"
        )


def goal_of(case: ReferenceCase) -> Goal:
    """The goal of a case by its kind and field side."""
    side = case.field_mm
    if case.is_ct:
        return Goal(axis_percent=2.0, gamma_percent=97.0, gamma_dose_percent=2.0, gamma_mm=2.0)
    if case.name.startswith("water"):
        if side < 30.0:
            return Goal(axis_percent=1.5, gamma_percent=98.0, gamma_dose_percent=2.0, gamma_mm=1.0)
        return Goal(axis_percent=1.0, gamma_percent=98.0, gamma_dose_percent=1.0, gamma_mm=1.0)
    lung = 2.5 if side >= 100.0 else (4.0 if side >= 30.0 else 5.0)
    return Goal(
        axis_percent=lung if "lung" in case.name else 2.0, gamma_percent=95.0, gamma_dose_percent=2.0, gamma_mm=2.0
    )


def rows(only: str | None) -> Iterator[Row]:
    """One row per reference case, per known number of a machine's beam, and per expectation of a bundled case without
    prescription."""
    yield from _reference_rows(only)
    yield from machine_rows(SHARED / "physics_data" / "beam_reference.csv", only)
    for case, expectation in expectations():
        if only is None or only in case.name:
            yield _expected_row(measure(case, expectation))


def _reference_rows(only: str | None) -> Iterator[Row]:
    """One row per reference case; a row that says so when the reference folder is absent."""
    folder = SHARED / "reference" / "egsnrc"
    if not folder.is_dir():
        yield Row(case="reference", note=f"skipped: no reference doses at {folder}; set RTSIM_SHARED")
        return
    for name in reference_names(folder):
        if only is None or only in name:
            yield _row(load_case(folder, name))


def _row(case: ReferenceCase) -> Row:
    engine = CollapsedCone()
    doses: list[Dose] = []
    timing = time_call(lambda: doses.append(forward(case.phantom, case.beam, engine=engine)), repeats=1)
    dose = doses[-1]
    goal = goal_of(case)
    curve = ct_axis(case, dose) if case.is_ct else slab_axis(case, dose)
    counted = _counted(case, curve)
    deviation = curve.deviation_percent(counted)
    passed = gamma_percent(case, dose, goal.gamma_dose_percent, goal.gamma_mm)
    worst = float(np.abs(deviation).max())
    return Row(
        case=case.name,
        engine=engine.describe(),
        spacing_mm=case.phantom.grid.spacing_mm[0],
        warm_median_s=timing.warm_median_s,
        first_call_s=timing.first_s,
        peak_rss_mb=peak_rss_mb(),
        max_error_percent=worst,
        mean_error_percent=float(deviation.mean()),
        gamma_percent=passed,
        penumbra_shift_mm=None if case.is_ct else penumbra_shift_mm(case, dose),
        goal=str(goal),
        met=worst <= goal.axis_percent and passed >= goal.gamma_percent,
        note=_by_region(case, curve),
    )


def _counted(case: ReferenceCase, curve: AxisCurve) -> BoolArray:
    """Beyond the build-up and to 25 cm; in slabs not within 2 mm of an interface, behind a rod from 1 cm on."""
    counted = (curve.depth_mm > BUILD_UP_MM) & (curve.depth_mm < 250.0)
    for edge in case.interfaces_mm:
        counted &= np.abs(curve.depth_mm - edge) > 2.0
    if "tirod" in case.name:
        counted &= (curve.depth_mm < case.interfaces_mm[0] - 5.0) | (curve.depth_mm > case.interfaces_mm[-1] + 10.0)
    return np.asarray(counted)


def _by_region(case: ReferenceCase, curve: AxisCurve) -> str:
    """Largest signed deviation before, in and behind a slab."""
    if case.is_ct or not case.interfaces_mm:
        return ""
    counted = _counted(case, curve)
    words = []
    edges = [0.0, *case.interfaces_mm, 1000.0]
    for low, high, name in zip(edges, edges[1:], ("before", "in", "behind"), strict=False):
        part = counted & (curve.depth_mm > low) & (curve.depth_mm < high)
        if part.any():
            deviation = curve.deviation_percent(part)
            words.append(f"{name} {deviation[np.argmax(np.abs(deviation))]:+.1f}")
    return ", ".join(words)


def _expected_row(measured: Measured) -> Row:
    case, wanted = measured.case, measured.expectation
    assert wanted.field_mm is not None
    at = f"{wanted.field_mm[0]:g} x {wanted.field_mm[1]:g} mm field, {wanted.depth_mm:g} mm deep"
    return Row(
        case=f"{case.name} {wanted.quantity}",
        engine=ENGINE.describe(),
        peak_rss_mb=peak_rss_mb(),
        max_error_percent=abs(measured.deviation_percent),
        value=measured.value,
        unit=wanted.unit,
        goal=f"{wanted.value:g} +- {wanted.tolerance:g} % of it",
        met=measured.met,
        note=at,
        sha256=case.sha256,
    )
