"""Speed of final doses: nine intensity-modulated fields and an arc on a real CT, at 2.5 mm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numba
import numpy as np

import rtsim as rt
from benchmarks.measure import time_call
from benchmarks.row import Row, peak_rss_mb
from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure

GANTRY_DEG: Final = tuple(float(g) for g in range(0, 360, 40))
CONTROL_POINTS: Final = 178
LEVELS: Final = 8


def lumbar(shared: Path) -> Phantom | None:
    """The lumbar CT of the reference material, None where it is absent."""
    folder = shared / "data" / "lumbar_totalseg" / "dicom_rewrapped"
    return rt.io.read_dicom(folder) if folder.is_dir() else None


def imrt_rows(shared: Path) -> Iterator[Row]:
    """Nine fields of modulated fluence, as segments of an MLC."""
    phantom = lumbar(shared)
    if phantom is None:
        yield Row(case="imrt_nine_fields", table="plans", note=f"skipped: no CT under {shared}; set RTSIM_SHARED")
        return
    beams = modulated(phantom["vertebra_L3"])
    engine = rt.CollapsedCone(spacing_mm=2.5)
    timing = time_call(lambda: rt.dose.forward(phantom, beams, engine=engine), repeats=2)
    segments = sum(len(b.segments()) for b in beams)
    yield Row(
        case="imrt_nine_fields",
        table="plans",
        engine=engine.describe(),
        spacing_mm=2.5,
        threads=numba.get_num_threads(),
        first_call_s=timing.first_s,
        warm_median_s=timing.warm_median_s,
        cpu_s=timing.cpu_s,
        peak_rss_mb=peak_rss_mb(),
        goal="warm <= 6 s",
        met=timing.warm_median_s <= 6.0,
        note=f"{segments} segments to L3 on a lumbar CT, dose grid {_grid(phantom, engine)}",
    )


def arc_rows(shared: Path) -> Iterator[Row]:
    """An arc whose leaves move all the way, one dose for each interval of control points."""
    phantom = lumbar(shared)
    if phantom is None:
        yield Row(case="arc", table="plans", note=f"skipped: no CT under {shared}; set RTSIM_SHARED")
        return
    beam = arc(phantom["vertebra_L3"])
    engine = rt.CollapsedCone(spacing_mm=2.5)
    warm_up = replace(beam, control_points=beam.control_points[:2])
    rt.dose.forward(phantom, warm_up, engine=engine)
    timing = time_call(lambda: rt.dose.forward(phantom, beam, engine=engine), repeats=0)
    yield Row(
        case="arc",
        table="plans",
        engine=engine.describe(),
        spacing_mm=2.5,
        threads=numba.get_num_threads(),
        warm_median_s=timing.first_s,
        cpu_s=timing.first_cpu_s,
        peak_rss_mb=peak_rss_mb(),
        goal="warm <= 40 s",
        met=timing.first_s <= 40.0,
        note=f"{CONTROL_POINTS} control points to L3 on the same grid, {_grid(phantom, engine)}",
    )


def modulated(target: Structure) -> tuple[Beam, ...]:
    """Nine coplanar fields whose beamlets have smooth random weights, sequenced to step and shoot."""
    machine = rt.load_machine("generic_6x")
    open_beams = rt.beams.with_beamlets(rt.beams.coplanar(machine, gantry_deg=GANTRY_DEG, target=target), target)
    rng = np.random.default_rng(8)
    weighted = []
    for beam in open_beams:
        lets = beam.beamlets
        assert lets is not None
        phase, length = rng.uniform(0.0, 2.0 * np.pi, 4), rng.uniform(20.0, 40.0, 2)
        wave = np.sin(lets.center_x_mm / length[0] * np.pi + phase[0]) * np.cos(
            lets.center_y_mm / length[1] * np.pi + phase[1]
        )
        units = 20.0 * (1.0 + 0.7 * wave + 0.3 * rng.uniform(-1.0, 1.0, lets.count)).clip(0.05)
        weighted.append(replace(beam, beamlet_monitor_units=units))
    settings = rt.optimize.StepAndShoot(levels=LEVELS)
    return rt.optimize.sequence_beams(tuple(weighted), machine, settings=settings)


def arc(target: Structure) -> Beam:
    """A full arc: leaves about the target, drawn back and forth by up to 12 mm a side in waves."""
    machine = rt.load_machine("generic_6x")
    gantry = (180.5 + 359.0 * np.arange(CONTROL_POINTS) / (CONTROL_POINTS - 1)) % 360.0
    points = []
    for n, angle in enumerate(gantry):
        (pose,) = rt.beams.coplanar(machine, gantry_deg=(float(angle),), target=target)
        shape = rt.beams.conformal_aperture(pose, target, margin_mm=5.0)
        points.append(
            ControlPoint(
                cumulative_monitor_units=400.0 * n / (CONTROL_POINTS - 1),
                aperture=_waved(shape, n),
                gantry_deg=float(angle),
            )
        )
    (first,) = rt.beams.coplanar(machine, gantry_deg=(float(gantry[0]),), target=target)
    return replace(first, control_points=tuple(points), name="arc")


def _waved(shape: Aperture, n: int) -> Aperture:
    leaves = np.array(shape.leaf_pairs_mm)
    open_pairs = leaves[:, 1] - leaves[:, 0] > 5.0
    row = np.arange(leaves.shape[0])
    wanted = 6.0 * (1.0 + np.sin(0.35 * n + 0.5 * row)), 6.0 * (1.0 + np.cos(0.27 * n + 0.4 * row))
    room = (leaves[:, 1] - leaves[:, 0] - 2.0).clip(0.0) / 2
    leaves[:, 0] += np.where(open_pairs, np.minimum(wanted[0], room), 0.0)
    leaves[:, 1] -= np.where(open_pairs, np.minimum(wanted[1], room), 0.0)
    return replace(shape, leaf_pairs_mm=leaves)


def _grid(phantom: Phantom, engine: rt.CollapsedCone) -> str:
    nz, ny, nx = engine.dose_grid(phantom).shape
    return f"{nx}x{ny}x{nz}"
