"""TG-119 C-shape, easier and harder: nine fields, step and shoot, in the delivered dose.

Goals of AAPM TG-119 (Ezzell et al. 2009, DOI 10.1118/1.3238104, numbers quoted from memory): D95 of the PTV 50 Gy, its
D10 below 55 Gy, D10 of the core below 25 Gy (easier) or 10 Gy (harder, which no published plan reached: mean of ten
sites 16.3 +- 3.1 Gy). D(x) is the least dose of the hottest x percent of the volume, sub-voxel, in the dose of the
engine on its 2.5 mm grid.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numba

from benchmarks.plans_asked import asked
from benchmarks.row import Row, peak_rss_mb
from rtsim.cli.planning import plan_of
from rtsim.optimize.measured import Measured

SPACING_MM = 2.5
_TABLE = "TG-119 C-shape, delivered"
_CORE_AT_MOST_GY = {"tg119_c_shape": 20.0, "tg119_c_shape_harder": 13.0}
_PTV_D10_BELOW_GY = 55.0
_PTV_D95_GY = 50.0
_EPSILON_GY = 5e-3
"""Monitor units are scaled so that D95 is 50 Gy to the rounding of float32."""


def rows(only: str | None = None) -> Iterator[Row]:
    """Core and target of both versions."""
    for name, core_gy in _CORE_AT_MOST_GY.items():
        if only is None or only in name:
            yield from _rows(name, core_gy)


def _rows(name: str, core_gy: float) -> Iterator[Row]:
    request = asked(name, "--spacing", f"{SPACING_MM:g}")
    start, cpu = time.perf_counter(), time.process_time()
    planned = plan_of(request, None)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    measured = Measured(planned.dose, planned.phantom, request.prescription)
    target, core = (measured.dvh_of(planned.phantom[s]) for s in ("PTV", "Core"))
    d95, d10, core10 = target.dose_gy_at_percent(95.0), target.dose_gy_at_percent(10.0), core.dose_gy_at_percent(10.0)
    is_covered = d95 >= _PTV_D95_GY - _EPSILON_GY
    state = f"PTV D95 {d95:.2f} Gy, D10 {d10:.2f} Gy; {planned.plan.monitor_units / 2.0:.0f} MU/Gy"
    yield Row(
        case=name,
        table=_TABLE,
        engine=planned.dose.engine,
        spacing_mm=SPACING_MM,
        threads=numba.get_num_threads(),
        warm_median_s=seconds,
        cpu_s=cpu,
        peak_rss_mb=peak_rss_mb(),
        value=core10,
        unit="Gy core D10",
        goal=f"<= {core_gy:g} Gy at PTV D95 >= 50 Gy",
        met=is_covered and core10 <= core_gy,
        note=state,
    )
    if name == "tg119_c_shape":
        yield Row(
            case=name,
            table=_TABLE,
            engine=planned.dose.engine,
            value=d10,
            unit="Gy PTV D10",
            goal="easier goals: PTV D95 >= 50, PTV D10 < 55, core D10 < 25 Gy",
            met=is_covered and d10 < _PTV_D10_BELOW_GY and core10 < 25.0,
            note=state,
        )
