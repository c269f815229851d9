"""The measured curves beside what a machine gives there, as one vector of weighted residuals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from rtsim.commission.edges import center_mm, find_edges
from rtsim.commission.measured import Axis, DepthDose, MeasuredSet, OutputFactors, Profile
from rtsim.commission.water import BEYOND_EDGE_MM, Line, LineDose, WaterRun, electron_shape, runs_needed
from rtsim.errors import InputError
from rtsim.machine import ElectronContamination, Machine
from rtsim.typing import BoolArray, FloatArray

Curve: TypeAlias = DepthDose | Profile | OutputFactors
Photons: TypeAlias = Mapping[WaterRun, Sequence[FloatArray]]

# what a measurement is trusted to, [E]: these are weights, not tolerances
_AXIS_PERCENT: Final = 0.4
_BUILD_UP_PERCENT: Final = 2.0
_IN_FIELD_PERCENT: Final = 0.5
_PENUMBRA_MM: Final = 0.4
_OUTPUT_PERCENT: Final = 0.4
_SMALL_OUTPUT_PERCENT: Final = 1.0
_SMALL_MM: Final = 20.0
_COUNT: Final = 40
"""A curve counts as this many points, however finely it was scanned."""
BEHIND_DMAX_MM: Final = 3.0
"""'Beyond the maximum' starts this far behind it."""
SURFACE_MM: Final = 1.0
"""Depths below this are read by no detector, and in voxels of 2.5 mm by no engine."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Points of one curve that one run gives.

    Attributes:
        curve: index into the curves of the model.
        run: what to compute.
        depth_mm, off_axis_mm: (n,) where; ``off_axis_mm`` along the run's line.
        detector_mm: length over which the detector averages along the line.
    """

    curve: int
    run: WaterRun
    depth_mm: FloatArray
    off_axis_mm: FloatArray
    detector_mm: float

    def of(self, dose: LineDose) -> FloatArray:
        """(n,) dose at the points."""
        if self.run.line is Line.DEPTH:
            return dose.along_depth(self.depth_mm, self.detector_mm)
        return dose.across(float(self.depth_mm[0]), self.off_axis_mm, self.detector_mm)


@dataclass(frozen=True, eq=False)
class Model:
    """Curves, the runs that give them, and what of each run belongs to which curve."""

    curves: tuple[Curve, ...]
    readings: tuple[Reading, ...]
    runs: tuple[WaterRun, ...]
    sad_mm: float
    reference_ssd_mm: float

    @classmethod
    def of(cls, curves: Iterable[Curve], sad_mm: float, *, calibration_ssd_mm: float | None = None) -> Model:
        """The model of some curves of a set (profiles already centered: :func:`usable`).

        Args:
            calibration_ssd_mm: of the machine's calibration; None when it has none: the engine then refers electrons
                to the maximum of a field with the isocenter at 100 mm depth.
        """
        listed = tuple(curves)
        depth: list[tuple[tuple[float, float], float, float]] = []
        across: list[tuple[tuple[float, float], float, Axis, float]] = []
        for c in listed:
            if isinstance(c, DepthDose):
                depth.append((c.field_mm, c.ssd_mm, float(c.depth_mm[-1])))
            elif isinstance(c, Profile):
                across.append((c.field_mm, c.ssd_mm, c.axis, c.depth_mm))
            else:
                depth += [(f, c.ssd_mm, c.depth_mm) for f in c.fields_mm]
        runs = runs_needed(depth, across)
        by_key = {(r.field_mm, r.ssd_mm, r.line): r for r in runs}
        readings: list[Reading] = []
        for n, c in enumerate(listed):
            if isinstance(c, DepthDose):
                run = by_key[c.field_mm, c.ssd_mm, Line.DEPTH]
                readings.append(Reading(n, run, c.depth_mm, np.zeros_like(c.depth_mm), c.detector_mm))
            elif isinstance(c, Profile):
                run = by_key[c.field_mm, c.ssd_mm, Line.of(c.axis)]
                readings.append(Reading(n, run, np.full_like(c.position_mm, c.depth_mm), c.position_mm, c.detector_mm))
            else:
                readings += [
                    Reading(n, by_key[f, c.ssd_mm, Line.DEPTH], np.array([c.depth_mm]), np.zeros(1), 0.0)
                    for f in c.fields_mm
                ]
        return cls(listed, tuple(readings), runs, sad_mm, calibration_ssd_mm or sad_mm - 100.0)

    def photons(
        self, machine: Machine, runs: Iterable[WaterRun], tick: Callable[[WaterRun], None] | None = None
    ) -> dict[WaterRun, list[FloatArray]]:
        """For each run the photon dose at its readings, per unit of fluence on the axis."""
        out: dict[WaterRun, list[FloatArray]] = {}
        for run in runs:
            if tick is not None:
                tick(run)
            dose = run.dose(machine)
            out[run] = [r.of(dose) for r in self.readings if r.run is run]
        return out

    def predicted(
        self, photons: Photons, electrons: ElectronContamination, *, head_scatter: float = 0.0
    ) -> list[FloatArray]:
        """Dose of each curve, per unit of fluence: photons and contaminating electrons.

        ``head_scatter``: the extra-focal share of the fluence, which carries electrons as the primary does.
        """
        taken = dict.fromkeys(photons, 0)
        out: list[list[FloatArray]] = [[] for _ in self.curves]
        scale = 0.0
        if electrons.fraction > 0.0:
            scale = electrons.fraction * self._maximum(photons) / (1.0 - head_scatter)
        for r in self.readings:
            value = photons[r.run][taken[r.run]]
            taken[r.run] += 1
            if scale > 0.0:
                value = value + scale * electron_shape(electrons, r.run, self.sad_mm, r.depth_mm, r.off_axis_mm)
            out[r.curve].append(value)
        return [np.concatenate(parts) for parts in out]

    def _maximum(self, photons: Photons) -> float:
        """Largest photon dose on the axis of the field nearest to 100 x 100 mm, at the SSD of the calibration."""
        taken = dict.fromkeys(photons, 0)
        best, found = np.inf, 0.0
        for r in self.readings:
            value = photons[r.run][taken[r.run]]
            taken[r.run] += 1
            off = abs(r.run.field_mm[0] - 100.0) + abs(r.run.field_mm[1] - 100.0)
            if isinstance(self.curves[r.curve], DepthDose) and off < best:
                at = int(np.argmax(value))
                nearer = (r.run.ssd_mm + r.depth_mm[at]) / (self.reference_ssd_mm + r.depth_mm[at])
                best, found = off, float(value[at]) * nearer**2
        return found

    def residuals(self, predicted: Sequence[FloatArray]) -> FloatArray:
        """One weighted residual for each point of each curve."""
        return np.concatenate([weighted_residual(c, m) for c, m in zip(self.curves, predicted, strict=True)])


def weighted_residual(curve: Curve, predicted: FloatArray) -> FloatArray:
    """(scale x predicted - measured)/sigma of one curve, with the best scale; sigma is what it is trusted to."""
    measured = values_of(curve)
    sigma = _sigma(curve)
    sigma = sigma * max(1.0, (measured.size / _COUNT) ** 0.5)
    return np.asarray((best_scale(curve, predicted) * predicted - measured) / sigma)


def best_scale(curve: Curve, predicted: FloatArray) -> float:
    """Factor that lays the prediction on the measurement: curves are relative."""
    measured, sigma = values_of(curve), _sigma(curve)
    weight = sigma**-2
    return float((weight * measured) @ predicted / ((weight * predicted) @ predicted))


def values_of(curve: Curve) -> FloatArray:
    """Measured values."""
    return curve.factor if isinstance(curve, OutputFactors) else curve.value


def beyond_maximum(pdd: DepthDose) -> BoolArray:
    """Points behind the depth of maximum."""
    return np.asarray(pdd.depth_mm >= pdd.dmax_mm + BEHIND_DMAX_MM)


def _sigma(curve: Curve) -> FloatArray:
    if isinstance(curve, OutputFactors):
        small = np.array([min(f) < _SMALL_MM for f in curve.fields_mm])
        return np.asarray(curve.factor * np.where(small, _SMALL_OUTPUT_PERCENT, _OUTPUT_PERCENT) / 100.0)
    if isinstance(curve, DepthDose):
        beyond = beyond_maximum(curve)
        return np.where(beyond, _AXIS_PERCENT * curve.value, _BUILD_UP_PERCENT * curve.value.max()) / 100.0
    slope = np.abs(np.gradient(curve.value, curve.position_mm))
    return np.asarray(np.hypot(_IN_FIELD_PERCENT / 100.0 * curve.central_value, _PENUMBRA_MM * slope))


def usable(measured: MeasuredSet, sad_mm: float) -> list[Curve]:
    """The curves as the model can give them: profiles centered, cut outside the edges and, on diagonals, inside."""
    out: list[Curve] = []
    for pdd in measured.depth_doses:
        keep = (pdd.depth_mm >= SURFACE_MM) & (pdd.depth_mm <= 350.0)
        out.append(replace(pdd, depth_mm=pdd.depth_mm[keep], value=pdd.value[keep]))
    for profile in measured.profiles:
        out.append(_centered(profile, sad_mm))
    if measured.output_factors is None:
        raise InputError("output factors are missing")
    out.append(measured.output_factors)
    return out


def _centered(profile: Profile, sad_mm: float) -> Profile:
    try:
        middle = center_mm(find_edges(profile.position_mm, profile.value, profile.name))
    except InputError:  # a diagonal that ends inside the field; others are refused before
        middle = 0.0
    position = profile.position_mm - middle
    half = 0.5 * profile.nominal_width_mm(sad_mm)
    reach = 0.85 * half if profile.axis is Axis.DIAGONAL else half + BEYOND_EDGE_MM
    keep = np.abs(position) <= reach
    return replace(profile, position_mm=position[keep], value=profile.value[keep])
