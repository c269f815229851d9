"""Speed of final doses: nine intensity-modulated fields and an arc on a real CT, at 2.5 mm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

import rtsim as rt
from benchmarks.measure import dose_row, time_call, time_warm
from benchmarks.row import Row
from rtsim.beams.model import Aperture, Beam
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure

GANTRY_DEG: Final = tuple(float(g) for g in range(0, 360, 40))
CONTROL_POINTS: Final = 178
LEVELS: Final = 8
ENGINE: Final = rt.CollapsedCone(spacing_mm=2.5)


def lumbar(shared: Path) -> Phantom | None:
    """The lumbar CT of the reference material, None where it is absent."""
    folder = shared / "data" / "lumbar_totalseg" / "dicom_rewrapped"
    return rt.io.read_dicom(folder) if folder.is_dir() else None


def imrt_rows(shared: Path) -> Iterator[Row]:
    """Nine fields of modulated fluence, as segments of an MLC."""
    phantom = lumbar(shared)
    if phantom is None:
        yield _skipped("imrt_nine_fields", shared)
        return
    beams = modulated(phantom["vertebra_L3"])
    timing = time_call(lambda: rt.dose.forward(phantom, beams, engine=ENGINE), repeats=2)
    segments = sum(len(b.segments()) for b in beams)
    note = f"{segments} segments to L3 on a lumbar CT, dose grid {_grid(phantom)}"
    yield dose_row("imrt_nine_fields", "plans", ENGINE, timing, limit_s=6.0, note=note)


def arc_rows(shared: Path) -> Iterator[Row]:
    """An arc whose leaves move all the way, one dose for each interval of control points."""
    phantom = lumbar(shared)
    if phantom is None:
        yield _skipped("arc", shared)
        return
    beam = arc(phantom["vertebra_L3"])
    rt.dose.forward(phantom, replace(beam, control_points=beam.control_points[:2]), engine=ENGINE)
    timing = time_warm(lambda: rt.dose.forward(phantom, beam, engine=ENGINE))
    note = f"{CONTROL_POINTS} control points to L3 on the same grid, {_grid(phantom)}"
    yield dose_row("arc", "plans", ENGINE, timing, limit_s=40.0, note=note)


def _skipped(case: str, shared: Path) -> Row:
    return Row(case=case, table="plans", note=f"skipped: no CT under {shared}; set RTSIM_SHARED")


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
    (first,) = rt.beams.coplanar(rt.load_machine("generic_6x"), gantry_deg=(180.5,), target=target)
    even = rt.beams.conformal_arc(
        first, target, turn_deg=359.0, step_deg=359.0 / (CONTROL_POINTS - 1), monitor_units=400.0
    )
    points = (replace(c, aperture=_waved(c.aperture, n)) for n, c in enumerate(even.control_points))
    return replace(even, control_points=tuple(points), name="arc")


def _waved(shape: Aperture, n: int) -> Aperture:
    leaves = np.array(shape.leaf_pairs_mm)
    open_pairs = leaves[:, 1] - leaves[:, 0] > 5.0
    row = np.arange(leaves.shape[0])
    wanted = 6.0 * (1.0 + np.sin(0.35 * n + 0.5 * row)), 6.0 * (1.0 + np.cos(0.27 * n + 0.4 * row))
    room = (leaves[:, 1] - leaves[:, 0] - 2.0).clip(0.0) / 2
    leaves[:, 0] += np.where(open_pairs, np.minimum(wanted[0], room), 0.0)
    leaves[:, 1] -= np.where(open_pairs, np.minimum(wanted[1], room), 0.0)
    return replace(shape, leaf_pairs_mm=leaves)


def _grid(phantom: Phantom) -> str:
    nz, ny, nx = ENGINE.dose_grid(phantom).shape
    return f"{nx}x{ny}x{nz}"
