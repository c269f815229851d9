"""Direct optimization of arcs: leaf ends and monitor units together, hard limits by an augmented Lagrangian.

Variables are the left end and the gap of every pair at every control point and the monitor units of every interval,
each within its bounds, so that opposing leaves never come too near. Steps of leaves beyond what the machine moves in an
interval cost a square, and in the end are cut; then the monitor units follow once more.

Source: direct aperture optimization by gradients, Bedford, Phys Med Biol 54 (2009) 4157; Nocedal & Wright, Numerical
Optimization (2006), section 17.4.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from rtsim.errors import InputError
from rtsim.optimize.arcs.dose import ArcDose
from rtsim.optimize.arcs.layout import ArcLayout
from rtsim.optimize.arcs.shapes import ArcShapes, within_reach
from rtsim.optimize.constraints import Constraint
from rtsim.optimize.objectives import Objective, Region
from rtsim.optimize.solver import StopOptimization
from rtsim.typing import BoolArray, FloatArray, Progress

_REACH_SHARE = 0.9
"""Steps of leaves cost from this share of the allowed way on."""

_HELD = 1e-3
"""Relative violation up to which a limit counts as held: the plan is scaled to it in the end."""


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Settings of the optimization.

    Attributes:
        iterations: of L-BFGS-B before the first forward dose; ``iterations_later`` before each of the others.
        inner_iterations: between two updates of the multipliers of the hard limits.
        units_iterations: of the monitor units alone, after the leaves are cut to what the machine moves.
        leaf_scale_mm: a step of a leaf that counts as much as doubling the monitor units of an interval.
        units_weight: what one monitor unit per cGy of the prescription costs, in the Gy^2 of the objectives.
        penalty: first penalty of the hard limits relative to the objective; ``penalty_growth`` when the violation does
            not fall.
    """

    iterations: int = 240
    iterations_later: int = 80
    inner_iterations: int = 30
    units_iterations: int = 40
    leaf_scale_mm: float = 5.0
    units_weight: float = 20.0
    penalty: float = 30.0
    penalty_growth: float = 4.0

    def __post_init__(self) -> None:
        if min(self.iterations, self.iterations_later, self.inner_iterations, self.units_iterations) < 1:
            raise InputError("the iterations of the optimization of arcs must be >= 1")
        if not (self.leaf_scale_mm > 0.0 and self.penalty > 0.0 and self.penalty_growth > 1.0):
            raise InputError("leaf_scale_mm > 0, penalty > 0 and penalty_growth > 1 are needed")


@dataclass(frozen=True, eq=False, kw_only=True)
class Aims:
    """What is minimized and what must hold, at a prescription of ``dose_per_fraction_gy``."""

    objectives: tuple[tuple[Objective, Region], ...]
    constraints: tuple[tuple[Constraint, Region], ...]
    dose_per_fraction_gy: float

    def objective(self, dose_gy: FloatArray) -> tuple[float, FloatArray]:
        """Value, and gradient (rows,) by dose."""
        value, slope = 0.0, np.zeros(dose_gy.shape)
        for objective, region in self.objectives:
            own, gradient = objective.evaluate(dose_gy[region.rows], region)
            value += objective.weight * own
            slope[region.rows] += objective.weight * gradient
        return value, slope

    def violation(self, dose_gy: FloatArray) -> float:
        """The worst limit: how far above it, relative to it; 0 when all hold."""
        return max([0.0, *(float(c.residual(dose_gy[r.rows], r).max()) for c, r in self.constraints)])


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What a machine can do between two control points, per arc.

    Attributes:
        way_mm: of a leaf at most.
        least_units, most_units: monitor units of an interval.
    """

    way_mm: float
    least_units: float
    most_units: float


def optimized(
    model: ArcDose,
    shapes: tuple[ArcShapes, ...],
    motions: tuple[Motion, ...],
    aims: Aims,
    settings: Descent,
    *,
    iterations: int,
    progress: Progress | None = None,
) -> tuple[ArcShapes, ...]:
    """Leaf ends and monitor units from ``shapes`` on, within the limits of the motions."""
    run = _Run(model, shapes, motions, aims, settings, progress, iterations + settings.units_iterations)
    try:
        run.descend(iterations, fixed_leaves=False)
    except StopOptimization:
        run.cut()
        return run.best
    run.cut()
    with contextlib.suppress(StopOptimization):
        run.descend(settings.units_iterations, fixed_leaves=True)
    return run.best


class _Run:
    """One run: the point, multipliers and penalty."""

    def __init__(
        self,
        model: ArcDose,
        shapes: tuple[ArcShapes, ...],
        motions: tuple[Motion, ...],
        aims: Aims,
        settings: Descent,
        progress: Progress | None,
        iterations: int,
    ) -> None:
        self.model, self.motions, self.aims, self.settings, self.progress = model, motions, aims, settings, progress
        self.unit = max(float(np.mean([s.monitor_units.mean() for s in shapes])), 1e-6)
        self.lower, self.upper = self._bounds()
        self.y = np.clip(self._packed(shapes), self.lower, self.upper)
        dose = model.of(self.shapes)
        self.start = max(abs(aims.objective(dose)[0]), 1e-12)
        self.rho = settings.penalty * self.start
        self.multipliers = [np.zeros(c.residual(dose[r.rows], r).shape) for c, r in aims.constraints]
        self.done, self.iterations = 0, iterations
        self.violation: float | None = None
        self._best: tuple[tuple[float, float], FloatArray] | None = None
        self.unit_cost = settings.units_weight / (100.0 * aims.dose_per_fraction_gy)

    @property
    def shapes(self) -> tuple[ArcShapes, ...]:
        """The point as leaf ends and monitor units."""
        return self._unpacked(self.y)

    @property
    def best(self) -> tuple[ArcShapes, ...]:
        """The best point since the leaves were cut that holds the limits, or else the least violating one."""
        return self.shapes if self._best is None else self._unpacked(self._best[1])

    def descend(self, iterations: int, *, fixed_leaves: bool) -> None:
        lower, upper = self.lower, self.upper
        if fixed_leaves:
            leaves = self._is_leaf()
            lower, upper = np.where(leaves, self.y, lower), np.where(leaves, self.y, upper)
        done, previous = 0, math.inf
        while done < iterations:
            inner = min(self.settings.inner_iterations, iterations - done)
            result = minimize(  # type: ignore[call-overload]  # the stubs want 1-D arrays typed as such
                self._lagrangian,
                self.y,
                jac=True,
                method="L-BFGS-B",
                bounds=np.stack((lower, upper), axis=1),
                callback=self._tell,
                options={"maxiter": inner, "maxcor": 12, "maxfun": 2 * inner, "ftol": 1e-7, "gtol": 1e-12},
            )
            self.y = np.clip(result.x, lower, upper)
            done += max(int(result.nit), inner // 3, 1)
            previous = self._update(previous, fixed_leaves)

    def _tell(self, y: FloatArray) -> None:
        """Progress every fifth iteration; the point is kept, so that a stop finds it."""
        self.done += 1
        self.y = np.array(y)
        if self.progress is not None and self.done % 5 == 0:
            worst = f", worst constraint {100 * self.violation:+.2f} %" if self.violation is not None else ""
            self.progress(min(1.0, self.done / self.iterations), f"optimizing arcs{worst}")

    def cut(self) -> None:
        """Leaf steps to what the machine moves; that comes before where the beamlets end."""
        within = [
            ArcShapes(
                left_mm=within_reach(s.left_mm, m.way_mm),
                right_mm=within_reach(s.right_mm, m.way_mm),
                monitor_units=s.monitor_units,
            )
            for s, m in zip(self.shapes, self.motions, strict=True)
        ]
        self.y = self._packed(tuple(within))

    def _update(self, previous: float, is_cut: bool) -> float:
        """Multipliers and penalty after an inner minimization; the violation."""
        dose = self.model.of(self.shapes)
        violation = self.violation = self.aims.violation(dose)
        if is_cut:
            value = self.aims.objective(dose)[0]
            rank = (0.0, value) if violation <= _HELD else (violation, value)
            if self._best is None or rank < self._best[0]:
                self._best = rank, self.y
        for k, (constraint, region) in enumerate(self.aims.constraints):
            residual = constraint.residual(dose[region.rows], region)
            self.multipliers[k] = np.maximum(self.multipliers[k] + self.rho * residual, 0.0)
        if violation > max(0.3 * previous, _HELD):
            self.rho *= self.settings.penalty_growth
        return violation

    def _lagrangian(self, y: FloatArray) -> tuple[float, FloatArray]:
        shapes = self._unpacked(y)
        found = self.model.evaluate(shapes)
        dose = found.dose_gy
        value, slope = self.aims.objective(dose)
        for (constraint, region), m in zip(self.aims.constraints, self.multipliers, strict=True):
            own = dose[region.rows]
            active = np.maximum(m + self.rho * constraint.residual(own, region), 0.0)
            if active.any() or m.any():
                value += float(active @ active - m @ m) / (2.0 * self.rho)
                slope[region.rows] += constraint.pullback(own, region, active)
        gradients = []
        for gradient, own_shapes, motion in zip(found.pullback(slope), shapes, self.motions, strict=True):
            left, by_left = self._strain(own_shapes.left_mm, motion.way_mm)
            right, by_right = self._strain(own_shapes.right_mm, motion.way_mm)
            value += left + right + self.unit_cost * float(own_shapes.monitor_units.sum())
            gradients.append(
                ArcShapes(
                    left_mm=gradient.left_mm + by_left,
                    right_mm=gradient.right_mm + by_right,
                    monitor_units=gradient.monitor_units + self.unit_cost,
                )
            )
        return value, self._packed_slopes(gradients)

    def _strain(self, ends_mm: FloatArray, way_mm: float) -> tuple[float, FloatArray]:
        """What steps beyond the allowed way cost, and the gradient."""
        steps = np.diff(ends_mm, axis=0)
        excess = np.sign(steps) * np.maximum(np.abs(steps) - _REACH_SHARE * way_mm, 0.0)
        weight = self.start / ends_mm.shape[1] / 100.0
        slope = np.zeros_like(ends_mm)
        slope[1:] += 2.0 * weight * excess
        slope[:-1] -= 2.0 * weight * excess
        return weight * float((excess * excess).sum()), slope

    def _bounds(self) -> tuple[FloatArray, FloatArray]:
        lower, upper = [], []
        for layout, motion in zip(self.model.layouts.arcs, self.motions, strict=True):
            low, high = layout.low_mm, layout.high_mm
            least = layout.least_gap_mm
            middle = 0.5 * (low + high) - 0.5 * least
            lower += [np.where(layout.opens, low, middle) / self.settings.leaf_scale_mm]
            upper += [np.where(layout.opens, np.maximum(high - least, low), middle) / self.settings.leaf_scale_mm]
            lower += [np.full(low.shape, least) / self.settings.leaf_scale_mm]
            upper += [np.where(layout.opens, np.maximum(high - low, least), least) / self.settings.leaf_scale_mm]
            count = layout.path.intervals
            lower.append(np.full(count, motion.least_units / self.unit))
            upper.append(np.full(count, motion.most_units / self.unit))
        return _joined(lower), _joined(upper)

    def _packed(self, shapes: tuple[ArcShapes, ...]) -> FloatArray:
        scale = self.settings.leaf_scale_mm
        parts = []
        for s in shapes:
            parts += [s.left_mm / scale, (s.right_mm - s.left_mm) / scale, s.monitor_units / self.unit]
        return _joined(parts)

    def _packed_slopes(self, slopes: list[ArcShapes]) -> FloatArray:
        """By left end (the right one moves with it) and by gap."""
        scale = self.settings.leaf_scale_mm
        parts = []
        for s in slopes:
            parts += [(s.left_mm + s.right_mm) * scale, s.right_mm * scale, s.monitor_units * self.unit]
        return _joined(parts)

    def _unpacked(self, y: FloatArray) -> tuple[ArcShapes, ...]:
        scale, out, at = self.settings.leaf_scale_mm, [], 0
        for layout in self.model.layouts.arcs:
            shape = layout.low_mm.shape
            size, count = layout.low_mm.size, layout.path.intervals
            left = scale * y[at : at + size].reshape(shape)
            gap = scale * y[at + size : at + 2 * size].reshape(shape)
            units = self.unit * y[at + 2 * size : at + 2 * size + count]
            out.append(ArcShapes(left_mm=left, right_mm=left + gap, monitor_units=units))
            at += 2 * size + count
        return tuple(out)

    def _is_leaf(self) -> BoolArray:
        parts = []
        for layout in self.model.layouts.arcs:
            parts += [np.ones(2 * layout.low_mm.size, dtype=bool), np.zeros(layout.path.intervals, dtype=bool)]
        return np.concatenate(parts)


def _joined(parts: list[FloatArray]) -> FloatArray:
    return np.concatenate([p.ravel() for p in parts])


def motion_of(layout: ArcLayout, leaf_mm_per_deg: float) -> float:
    """Way of a leaf in one interval."""
    return leaf_mm_per_deg * layout.path.step_deg
