"""Monitor units of the intervals alone, their leaves fixed: few variables, one dense column each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from rtsim.optimize.arcs.lagrangian import Lagrangian
from rtsim.typing import AnyFloatArray, FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Units:
    """The problem.

    Attributes:
        columns: (rows, intervals) Gy of all fractions per monitor unit.
        lower, upper: (intervals,) bounds of the monitor units.
        cost: of one monitor unit, in the unit of the objectives.
    """

    columns: AnyFloatArray
    lower: FloatArray
    upper: FloatArray
    cost: float

    def dose(self, units: FloatArray) -> FloatArray:
        """(rows,) Gy."""
        return np.asarray(self.columns @ units.astype(self.columns.dtype), dtype=np.float64)

    def best(self, start: FloatArray, lagrangian: Lagrangian, iterations: int, inner_iterations: int) -> FloatArray:
        """The best monitor units met from ``start`` on: those that hold the limits, or else violate them least."""
        scale = max(float(start.mean()), 1e-9)
        y = np.clip(start, self.lower, self.upper) / scale
        best, rank = y, lagrangian.update(self.dose(y * scale))

        def value(z: FloatArray) -> tuple[float, FloatArray]:
            found, slope = lagrangian.evaluate(self.dose(z * scale))
            pulled = np.asarray(slope.astype(self.columns.dtype) @ self.columns, dtype=np.float64)
            return found + self.cost * scale * float(z.sum()), (pulled + self.cost) * scale

        for _ in range(max(1, iterations // inner_iterations)):
            result = minimize(  # type: ignore[call-overload]  # the stubs want 1-D arrays typed as such
                value,
                y,
                jac=True,
                method="L-BFGS-B",
                bounds=np.stack((self.lower, self.upper), axis=1) / scale,
                options={"maxiter": inner_iterations, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-12},
            )
            y = np.clip(result.x, self.lower / scale, self.upper / scale)
            own = lagrangian.update(self.dose(y * scale))
            if own < rank:
                best, rank = y, own
        return best * scale
