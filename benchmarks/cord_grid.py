"""How much a certified cord dose depends on the dose grid: ``python -m benchmarks.cord_grid [CASE]``.

A stereotactic case is planned as ``rtsim run`` does it; what is delivered is computed on finer and coarser grids.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import rtsim as rt
from rtsim.cli.main import parser
from rtsim.cli.planning import plan_of
from rtsim.cli.request import request_of
from rtsim.optimize import Planned
from rtsim.optimize.measured import Measured
from rtsim.protocol import Metric

SETTINGS: Final = ((2.5, 64), (2.0, 64), (1.5, 64), (1.5, 128), (1.0, 64))
"""Spacing in mm, and cones of the primary electrons."""
METRICS: Final = (("spinal_cord", "D0.035cc"), ("spinal_cord_prv", "D0.035cc"), ("PTV", "D95%"))


def row_of(planned: Planned, spacing_mm: float, cones: int) -> str:
    """A row of the table: the delivered beams, computed again."""
    engine = rt.CollapsedCone(spacing_mm=spacing_mm, cones=cones)
    start = time.process_time()
    dose = rt.dose.forward(planned.phantom, planned.plan, engine=engine)
    seconds = time.process_time() - start
    measured = Measured(dose, planned.phantom, planned.plan.prescription)
    values = [measured.value(planned.phantom[name], Metric.parse(metric, "Gy")) for name, metric in METRICS]
    return f"| {spacing_mm:g} mm | {cones} | {' | '.join(f'{v:.2f}' for v in values)} | {seconds:.0f} |"


def main(case: str) -> None:
    """Plan and print."""
    planned = plan_of(request_of(parser().parse_args(["run", case, "-o", "unused"]), None), None)
    heads = [f"{name} {metric}, Gy" for name, metric in METRICS]
    print(f"{case}: {planned.plan.prescription}, {len(planned.plan.beams)} beams, {planned.dose.engine}")
    print(f"| grid | cones | {' | '.join(heads)} | CPU s |\n|{'---|' * (3 + len(heads))}")
    for spacing_mm, cones in SETTINGS:
        print(row_of(planned, spacing_mm, cones), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "spine_t8_epidural")
