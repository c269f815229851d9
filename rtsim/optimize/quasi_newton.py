"""Projected limited-memory BFGS for weights >= 0.

Variables at 0 that want to fall are held; on the others the quasi-Newton direction of the pairs cut to them is taken
(two-metric projection), and the step is projected onto x >= 0 and shortened until the function falls enough. Many pairs
are kept, as they cost less than a product with the matrix.

Source: Bertsekas, SIAM J Control Optim 20 (1982) 221, DOI 10.1137/0320018 (two-metric projection); Nocedal & Wright,
Numerical Optimization (2006), sections 3.1 and 7.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rtsim.optimize._kernels import quasi_newton
from rtsim.typing import FloatArray

_SUFFICIENT = 1e-4
_SHORTEST = 1e-12

Function = Callable[[FloatArray], tuple[float, FloatArray]]


@dataclass(frozen=True, eq=False)
class Point:
    """Where the descent is."""

    x: FloatArray
    value: float
    gradient: FloatArray


class Descent:
    """Minimizes one function, or a series of functions that differ little: the pairs are kept between them."""

    def __init__(self, size: int, memory: int) -> None:
        self._steps = np.zeros((memory, size))
        self._changes = np.zeros((memory, size))
        self._newest, self._count = -1, 0

    def forget(self) -> None:
        """Start anew: the function has changed much."""
        self._newest, self._count = -1, 0

    def run(
        self,
        function: Function,
        start: FloatArray,
        *,
        iterations: int,
        tolerance: float,
        accepted: Callable[[Point], None] | None = None,
    ) -> tuple[Point, int]:
        """The last point and the number of iterations.

        Args:
            iterations: at most.
            tolerance: ends when five iterations together gain less than this share of the value.
            accepted: told of every point that the descent moves to.
        """
        point = Point(start, *function(start))
        gained = [point.value]
        for count in range(1, iterations + 1):
            following = self._step(function, point)
            if following is None:
                return point, count
            self._learn(point, following)
            point = following
            if accepted is not None:
                accepted(point)
            gained.append(point.value)
            if count >= 5 and gained[-6] - gained[-1] <= tolerance * max(abs(point.value), 1e-300):
                return point, count
        return point, iterations

    def _step(self, function: Function, at: Point) -> Point | None:
        """The next point; None where no step along the gradient gains anything that rounding does not hide."""
        free = (at.x > 0.0) | (at.gradient < 0.0)
        direction = np.empty_like(at.x)
        known = self._count > 0 and quasi_newton(
            self._steps, self._changes, self._newest, self._count, free.astype(np.float64), at.gradient, direction
        )
        if known and float(np.einsum("i,i->", direction, at.gradient)) < 0.0:
            found = self._search(function, at, direction)
            if found is not None:
                return found
            self.forget()
        downhill = np.where(free, -at.gradient, 0.0)
        longest = float(np.abs(downhill).max(initial=0.0))
        if longest == 0.0:
            return None
        scale = max(float(np.abs(at.x).max()), 1e-3) / longest
        return self._search(function, at, 0.3 * scale * downhill)

    def _search(self, function: Function, at: Point, direction: FloatArray) -> Point | None:
        share = 1.0
        while share > _SHORTEST:
            x = np.maximum(at.x + share * direction, 0.0)
            expected = float(np.einsum("i,i->", at.gradient, x - at.x))
            if expected >= 0.0:
                return None
            value, gradient = function(x)
            if value <= at.value + _SUFFICIENT * expected:
                return Point(x, value, gradient)
            if abs(expected) <= 1e-14 * abs(at.value):
                return None
            # the parabola through the value, the slope and the new value
            excess = value - at.value - expected
            share *= min(max(-0.5 * expected / excess, 0.1), 0.5) if excess > 0.0 else 0.5
        return None

    def _learn(self, old: Point, new: Point) -> None:
        step, change = new.x - old.x, new.gradient - old.gradient
        curvature = float(np.einsum("i,i->", step, change))
        if (
            curvature
            > 1e-10 * float(np.einsum("i,i->", step, step)) ** 0.5 * float(np.einsum("i,i->", change, change)) ** 0.5
        ):
            self._newest = (self._newest + 1) % len(self._steps)
            self._steps[self._newest], self._changes[self._newest] = step, change
            self._count = min(self._count + 1, len(self._steps))
