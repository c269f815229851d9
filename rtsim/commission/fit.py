"""Fit of a machine to measured curves: damped Gauss-Newton, with the dose engine itself as the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import lsq_linear

from rtsim.commission.checks import Finding, refuse_unfit
from rtsim.commission.measured import MeasuredSet, Profile
from rtsim.commission.model import Curve, Model, usable
from rtsim.commission.parameters import Parameter, Parameters
from rtsim.commission.residuals import CurveResidual, curve_residuals
from rtsim.commission.water import WaterRun
from rtsim.errors import InputError
from rtsim.machine import Calibration, Machine
from rtsim.typing import FloatArray, Progress

_ROUNDS: Final = 6
_GAIN: Final = 0.01
"""The fit ends when a round lowers the sum of squares by less than this share,"""
_CLOSE: Final = 0.001
"""or when the mean square of the weighted residuals is below this."""
_FITTED_FIELDS: Final = 3
"""Fields whose profiles are fitted (the smallest, the one nearest 100 mm, the largest); all are compared afterwards."""


@dataclass(frozen=True)
class FittedValue:
    """One parameter after the fit.

    Attributes:
        uncertainty: one standard deviation from the weighted least squares: how firmly the curves hold the value.
    """

    name: str
    value: float
    uncertainty: float
    start: float
    unit: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """What commissioning found.

    Attributes:
        machine: with everything fitted in it; what was not fitted is that of the base.
        values: the fitted parameters.
        residuals: one for each measured curve, from a forward dose of ``machine`` itself.
        findings: remarks on the measured curves.
        notes: what was done, in sentences.
        measured: what it was fitted to.
    """

    machine: Machine
    values: tuple[FittedValue, ...]
    residuals: tuple[CurveResidual, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    measured: MeasuredSet

    @property
    def within_tolerance(self) -> bool:
        """Every curve lies within the tolerances of :mod:`rtsim.commission.residuals`."""
        return all(r.met for r in self.residuals)


def fit_machine(
    measured: MeasuredSet,
    base: Machine,
    *,
    name: str = "commissioned",
    endpoint_mev: float | None = None,
    accept_asymmetry: bool = False,
    progress: Progress | None = None,
) -> Fitted:
    """Fit spectrum, source sizes, jaw transmission, off-axis profile and contamination to measured curves.

    Damped Gauss-Newton: residuals come from forward doses of the engine in water, derivatives from differences of such
    doses, of those runs alone that a parameter changes. Curves are relative, output factors tie the fields together.

    Args:
        base: what is not fitted: geometry, leaves, wedges, limits, softening; and the start of the fit.
        name: of the new machine.
        endpoint_mev: largest photon energy; None takes the nominal energy of ``base``. Without a nominal energy in MV
            (cobalt) the spectrum of ``base`` is kept.
        accept_asymmetry: fit the mean of both sides of profiles that are tilted by more than 2 %.

    Raises:
        InputError: curves are missing, or are not what they say they are.
    """
    findings = refuse_unfit(measured, sad_mm=base.sad_mm, accept_asymmetry=accept_asymmetry)
    _check_calibration(measured, base)
    curves = usable(measured, base.sad_mm)
    parameters = Parameters.of(base, endpoint_mev or nominal_endpoint_mev(base), _reach_mm(curves, base.sad_mm))
    calibration = _calibration(measured, base)
    ssd_mm = None if calibration is None else calibration.ssd_mm
    model = Model.of(_chosen(curves), base.sad_mm, calibration_ssd_mm=ssd_mm)
    values, jacobian = _Search(model, parameters, progress).solve()
    machine = replace(
        parameters.machine(values),
        name=name,
        description=f"fitted to measured data, from {base.name}",
        electrons=parameters.electrons(values),
        calibration=calibration,
        sources=(*base.sources, "fitted to measured data: " + (", ".join(measured.sources) or "curves in memory")),
    )
    if progress is not None:
        progress(0.9, "forward doses of the fitted machine")
    residuals = verify(curves, machine)
    if progress is not None:
        progress(1.0, "done")
    return Fitted(
        machine=machine,
        values=_with_uncertainty(parameters.listed, values, jacobian),
        residuals=residuals,
        findings=findings,
        notes=(*measured.notes, *parameters.notes),
        measured=measured,
    )


def verify(curves: Sequence[Curve], machine: Machine) -> tuple[CurveResidual, ...]:
    """Residuals of every curve from forward doses of ``machine`` itself, electrons and calibration included."""
    model = Model.of(curves, machine.sad_mm)
    doses = model.photons(machine, model.runs)
    predicted = model.predicted(doses, replace(machine.electrons, fraction=0.0))
    return tuple(curve_residuals(c, p) for c, p in zip(model.curves, predicted, strict=True))


def nominal_endpoint_mev(base: Machine) -> float | None:
    """The number of '6 MV FFF'; None when the nominal energy is not in MV."""
    match = re.match(r"\s*([\d.]+)\s*MV", base.nominal_energy)
    return None if match is None else float(match[1])


def _check_calibration(measured: MeasuredSet, base: Machine) -> None:
    factors = measured.output_factors
    if factors is not None and factors.dose_gy_per_mu is not None and factors.reference_mm != (100.0, 100.0):
        raise InputError(
            f"{factors.name}: dose_gy_per_mu is given for the field {factors.reference_mm}; the calibration field is "
            "100 x 100 mm: make it the reference field"
        )
    if base.calibration is not None and base.calibration.field_mm != (100.0, 100.0):
        raise InputError(
            f"the base {base.name} is calibrated in {base.calibration.field_mm} mm; 100 x 100 mm is needed"
        )


def _calibration(measured: MeasuredSet, base: Machine) -> Calibration | None:
    factors = measured.output_factors
    if factors is None or factors.dose_gy_per_mu is None:
        return base.calibration
    return Calibration(dose_gy_per_mu=factors.dose_gy_per_mu, depth_mm=factors.depth_mm, ssd_mm=factors.ssd_mm)


def _reach_mm(curves: Sequence[Curve], sad_mm: float) -> float:
    """Largest radius in the isocenter plane at which a profile is measured inside the field."""
    reach = 0.0
    for c in curves:
        if isinstance(c, Profile):
            inside = min(0.45 * c.nominal_width_mm(sad_mm), float(np.abs(c.position_mm).max()))
            reach = max(reach, inside * sad_mm / (c.ssd_mm + c.depth_mm))
    return reach


def _chosen(curves: Sequence[Curve]) -> list[Curve]:
    """All depth doses and output factors; profiles of a few fields, at two or three depths each."""
    profiles = [c for c in curves if isinstance(c, Profile)]
    fields = sorted({p.field_mm for p in profiles}, key=min)
    middle = min(fields, key=lambda f: abs(f[0] - 100.0) + abs(f[1] - 100.0))
    chosen = {fields[0], middle, fields[-1]} if len(fields) > _FITTED_FIELDS else set(fields)
    return [c for c in curves if not isinstance(c, Profile) or c.field_mm in chosen]


class _Ticker:
    """Progress over the runs of a fit, whose number is known roughly."""

    def __init__(self, progress: Progress | None, runs: int) -> None:
        self._progress, self._expected, self._done = progress, max(runs, 1), 0

    def __call__(self, what: str) -> Callable[[WaterRun], None]:
        def tick(run: WaterRun) -> None:
            self._done += 1
            if self._progress is not None:
                share = 0.9 * min(self._done / self._expected, 1.0)
                self._progress(share, f"{what}: {run.field_mm[0]:g} x {run.field_mm[1]:g} mm")

        return tick


class _Search:
    """The rounds of the fit."""

    def __init__(self, model: Model, parameters: Parameters, progress: Progress | None) -> None:
        self._model, self._parameters = model, parameters
        listed = parameters.listed
        self._low, self._high = np.array([p.low for p in listed]), np.array([p.high for p in listed])
        self._reach = np.array([p.reach for p in listed])
        derivative = sum((1 + p.bends) * p.changes(run) for p in listed for run in model.runs)
        self._ticker = _Ticker(progress, derivative + (_ROUNDS + 1) * len(model.runs))

    def solve(self) -> tuple[FloatArray, FloatArray]:
        """(values, Jacobian at or near them)."""
        x = np.array([p.start for p in self._parameters.listed])
        photons = self._photons(x, self._model.runs, "start")
        r = self._residual(x, photons)
        every = range(x.size)
        jacobian = self._derivatives(np.zeros((r.size, x.size)), every, x, photons, r, "derivatives")
        for n in range(1, _ROUNDS + 1):
            found = self._step(x, r, jacobian, f"round {n}")
            if found is None:
                break
            at, photons, new_r = found
            gain = 1.0 - float(new_r @ new_r) / float(r @ r)
            jacobian = self._updated(jacobian, at - x, new_r - r)
            x, r = at, new_r
            if float(r @ r) < _CLOSE * r.size or (n > 1 and gain < _GAIN):
                break
            if n == 1:  # the first step is the long one: again for those that the dose does not follow in proportion
                bent = [i for i, p in enumerate(self._parameters.listed) if p.bends]
                jacobian = self._derivatives(jacobian, bent, x, photons, r, "derivatives again")
        return x, jacobian

    def _step(
        self, x: FloatArray, r: FloatArray, jacobian: FloatArray, what: str
    ) -> tuple[FloatArray, dict[WaterRun, list[FloatArray]], FloatArray] | None:
        """The step that lowers the sum of squares, shortened where the model bends; None when none does."""
        for trial in (1.0, 1.0 / 3.0, 1.0 / 9.0):
            low = np.minimum(np.maximum(self._low - x, -trial * self._reach), -1e-12)
            high = np.maximum(np.minimum(self._high - x, trial * self._reach), 1e-12)
            at = np.clip(x + lsq_linear(jacobian, -r, bounds=(low, high)).x, self._low, self._high)
            photons = self._photons(at, self._model.runs, what)
            new_r = self._residual(at, photons)
            if float(new_r @ new_r) < float(r @ r):
                return at, photons, new_r
        return None

    def _updated(self, jacobian: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray:
        """Broyden's rank-one update: the derivatives along the step are those that were found."""
        scaled = step / self._reach**2
        return np.asarray(jacobian + np.outer(change - jacobian @ step, scaled) / float(step @ scaled))

    def _photons(self, x: FloatArray, runs: Sequence[WaterRun], what: str) -> dict[WaterRun, list[FloatArray]]:
        return self._model.photons(self._parameters.machine(x), runs, self._ticker(what))

    def _residual(self, x: FloatArray, photons: dict[WaterRun, list[FloatArray]]) -> FloatArray:
        head = self._parameters.value(x, "extra_focal_fraction", self._parameters.base.extra_focal.fraction)
        predicted = self._model.predicted(photons, self._parameters.electrons(x), head_scatter=head)
        return np.concatenate([self._model.residuals(predicted), self._parameters.prior_residuals(x)])

    def _derivatives(
        self,
        jacobian: FloatArray,
        columns: Iterable[int],
        x: FloatArray,
        photons: dict[WaterRun, list[FloatArray]],
        r: FloatArray,
        what: str,
    ) -> FloatArray:
        """The Jacobian with some columns replaced by differences at ``x``."""
        out = jacobian.copy()
        for n in columns:
            parameter = self._parameters.listed[n]
            step = parameter.step if x[n] + parameter.step <= parameter.high else -parameter.step
            at = x.copy()
            at[n] += step
            changed = [run for run in self._model.runs if parameter.changes(run)]
            moved = {**photons, **self._photons(at, changed, f"{what}, {parameter.name}")}
            out[:, n] = (self._residual(at, moved) - r) / step
        return out


def _with_uncertainty(listed: Sequence[Parameter], values: FloatArray, jacobian: FloatArray) -> tuple[FittedValue, ...]:
    covariance = np.linalg.pinv(jacobian.T @ jacobian)
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return tuple(
        FittedValue(p.name, float(v), float(s), p.start, p.unit) for p, v, s in zip(listed, values, sigma, strict=True)
    )
