"""Direct optimization of arcs: leaf ends and monitor units together, hard limits by an augmented Lagrangian.

Variables are the left end and the gap of every pair at every control point and the monitor units of every interval,
each within its bounds, so that opposing leaves never come too near. Steps of leaves beyond what the machine moves in an
interval cost a square, and in the end are cut; then the monitor units follow once more.

Source: direct aperture optimization by gradients, Bedford, Phys Med Biol 54 (2009) 4157.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from rtsim.errors import InputError
from rtsim.optimize.arcs.dose import ArcDose
from rtsim.optimize.arcs.lagrangian import Aims, Lagrangian
from rtsim.optimize.arcs.shapes import ArcShapes, Motion, within_limits
from rtsim.optimize.arcs.units import Units
from rtsim.optimize.solver import StopOptimization
from rtsim.typing import FloatArray, Progress

_REACH_SHARE = 0.9
"""Steps of leaves cost from this share of the allowed way on."""


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

    iterations: int = 180
    iterations_later: int = 60
    inner_iterations: int = 30
    units_iterations: int = 120
    leaf_scale_mm: float = 10.0
    units_weight: float = 20.0
    penalty: float = 30.0
    penalty_growth: float = 4.0

    def __post_init__(self) -> None:
        if min(self.iterations, self.iterations_later, self.inner_iterations, self.units_iterations) < 1:
            raise InputError("the iterations of the optimization of arcs must be >= 1")
        if not (self.leaf_scale_mm > 0.0 and self.penalty > 0.0 and self.penalty_growth > 1.0):
            raise InputError("leaf_scale_mm > 0, penalty > 0 and penalty_growth > 1 are needed")


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
    run = _Run(model, shapes, motions, aims, settings, progress)
    with contextlib.suppress(StopOptimization):
        run.descend(iterations)
    # what the machine moves comes before where beamlets end
    cut = tuple(within_limits(s, m) for s, m in zip(run.shapes, motions, strict=True))
    return _with_best_units(model, cut, motions, run.lagrangian, settings)


def _with_best_units(
    model: ArcDose,
    shapes: tuple[ArcShapes, ...],
    motions: tuple[Motion, ...],
    lagrangian: Lagrangian,
    settings: Descent,
) -> tuple[ArcShapes, ...]:
    """The same leaves with monitor units that follow their cut."""
    counts = [s.monitor_units.size for s in shapes]
    problem = Units(
        columns=model.columns(shapes),
        lower=np.repeat([m.least_units for m in motions], counts),
        upper=np.repeat([m.most_units for m in motions], counts),
        cost=_unit_cost(lagrangian.aims, settings),
    )
    start = np.concatenate([s.monitor_units for s in shapes])
    found = problem.best(start, lagrangian, settings.units_iterations, settings.inner_iterations)
    parts = np.split(found, np.cumsum(counts)[:-1])
    return tuple(replace(s, monitor_units=u) for s, u in zip(shapes, parts, strict=True))


def _unit_cost(aims: Aims, settings: Descent) -> float:
    return settings.units_weight / (100.0 * aims.dose_per_fraction_gy)


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
    ) -> None:
        self.model, self.motions, self.settings, self.progress = model, motions, settings, progress
        self.unit = max(float(np.mean([s.monitor_units.mean() for s in shapes])), 1e-6)
        self.unit_cost = _unit_cost(aims, settings)
        self.lower, self.upper = self._bounds()
        self.y = np.clip(self._packed(shapes), self.lower, self.upper)
        self.lagrangian = Lagrangian(aims, model.of(self.shapes), settings.penalty, settings.penalty_growth)

    @property
    def shapes(self) -> tuple[ArcShapes, ...]:
        """The point as leaf ends and monitor units."""
        return self._unpacked(self.y)

    def descend(self, iterations: int) -> None:
        """Leaf ends and monitor units together."""
        done = 0
        while done < iterations:
            inner = min(self.settings.inner_iterations, iterations - done)
            result = minimize(  # type: ignore[call-overload]  # the stubs want 1-D arrays typed as such
                self._value,
                self.y,
                jac=True,
                method="L-BFGS-B",
                bounds=np.stack((self.lower, self.upper), axis=1),
                callback=self._teller(done, iterations),
                options={"maxiter": inner, "maxcor": 12, "maxfun": 2 * inner, "ftol": 1e-7, "gtol": 1e-12},
            )
            self.y = np.clip(result.x, self.lower, self.upper)
            done += max(int(result.nit), inner // 3, 1)
            self.lagrangian.update(self.model.of(self.shapes))

    def _teller(self, before: int, iterations: int) -> Callable[[FloatArray], None]:
        """Progress every fifth iteration; the point is kept, so that a stop finds it."""
        count = before

        def tell(y: FloatArray) -> None:
            nonlocal count
            count += 1
            self.y = np.array(y)
            if self.progress is not None and count % 5 == 0:
                worst = self.lagrangian.violation
                text = f", worst constraint {100 * worst:+.2f} %" if math.isfinite(worst) else ""
                self.progress(min(1.0, count / iterations), f"optimizing arcs{text}")

        return tell

    def _value(self, y: FloatArray) -> tuple[float, FloatArray]:
        shapes = self._unpacked(y)
        found = self.model.evaluate(shapes)
        value, slope = self.lagrangian.evaluate(found.dose_gy)
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
        weight = self.lagrangian.aims.scale / ends_mm.shape[1] / 10.0
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


def _joined(parts: list[FloatArray]) -> FloatArray:
    return np.concatenate([p.ravel() for p in parts])
