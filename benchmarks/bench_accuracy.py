"""Accuracy: every Monte Carlo dose of the reference folder beside the engine, in absolute Gy cm2 per photon; energy
balance, turned beams and refined grids; the folder's beam data beside the generic machines; and every number that a
bundled case expects. Only the first and the third need the folder.

The Monte Carlo engine (``--engine monte_carlo``) has the doses, and properties of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy_invariance import invariance_rows
from benchmarks.accuracy_montecarlo import reference_rows
from benchmarks.expectations import ENGINE, Measured, expectations, measure
from benchmarks.machine_data import machine_rows
from benchmarks.monte_carlo_egsnrc import reference_rows as monte_carlo_reference_rows
from benchmarks.monte_carlo_physics import physics_rows
from benchmarks.row import ROOT, Row, peak_rss_mb

SHARED = Path(os.environ.get("RTSIM_SHARED", ROOT.parent / "shared"))


def rows(only: str | None) -> Iterator[Row]:
    """Rows per region of a reference case, per property that holds without a reference, per known number of a
    machine's beam, and per expectation of a bundled case without prescription."""
    yield from reference_rows(SHARED / "reference" / "egsnrc", only)
    yield from invariance_rows(only)
    for row in machine_rows(SHARED / "physics_data" / "beam_reference.csv", only):
        yield replace(row, table="machines")
    for case, expectation in expectations():
        if only is None or only in case.name:
            yield _expected_row(measure(case, expectation))


def monte_carlo_rows(only: str | None) -> Iterator[Row]:
    """Rows of the Monte Carlo engine: per region of a reference case, and per property that holds without one."""
    yield from monte_carlo_reference_rows(SHARED / "reference" / "egsnrc", only)
    yield from physics_rows(only)


def _expected_row(measured: Measured) -> Row:
    case, wanted = measured.case, measured.expectation
    assert wanted.field_mm is not None
    at = f"{wanted.field_mm[0]:g} x {wanted.field_mm[1]:g} mm field, {wanted.depth_mm:g} mm deep"
    return Row(
        case=f"{case.name} {wanted.quantity}",
        table="bundled cases",
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
