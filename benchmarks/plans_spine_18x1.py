"""Spine, 18 Gy in one fraction, in the delivered dose: what five centers reached, and better (every bundled case).

Limit: the maximum (every sub-voxel point) of the cord PRV, here the cord + 1 mm, at most 10.5 Gy, held hard. Targets
are those of the cases: CTV + 2 mm less the cord + 2 mm. Published means of five centers: coverage 87 %, PRV 10.5 Gy,
Paddick 0.69 (Toussaint et al. 2016, Radiat Oncol 11:57, DOI 10.1186/s13014-016-0631-9).

* coverage: percent of the PTV that gets 18 Gy or more (V100%),
* Paddick: (PTV inside the 18 Gy isodose)^2 / (PTV x volume of that isodose),
* gradient index: volume of the 9 Gy isodose / volume of the 18 Gy isodose, both inside the outline of the patient,
* fall-off: (dose at the edge of the PTV - dose at the edge of the cord) / their distance, in percent of 18 Gy per mm,
  along the shortest straight way between them, of equally short ways the steepest. A cord that is nowhere nearer than
  ``FAR_MM`` has no fall-off of this kind: from 100 % to nothing over 9 mm is 11 % per mm at the very most.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numba

from benchmarks.plans_asked import asked, stereotactic_spines, with_prv
from benchmarks.row import Row, peak_rss_mb
from rtsim.cli.planning import plan_of
from rtsim.cli.request import Request
from rtsim.evaluate.indices import falloff
from rtsim.optimize import Planned
from rtsim.optimize.measured import Measured
from rtsim.phantom.targets import CORD, CORD_PRV

COVERAGE_PERCENT, PRV_GY, PADDICK, GRADIENT_INDEX, FALLOFF_PERCENT_PER_MM = 90.0, 10.5, 0.75, 3.5, 10.0
PRV_MARGIN_MM = 1.0
FAR_MM = 5.0
_TABLE = "spine 18 Gy x 1, delivered"


def request_18x1(case: str) -> Request:
    """The case at 18 Gy x 1 with the PRV and the limit of the five centers."""
    options = ("--protocol", "spine_sbrt_1fx", "--dose", "18", "--cord-limits", "five_centers")
    return with_prv(asked(case, *options), PRV_MARGIN_MM)


def rows(only: str | None = None) -> Iterator[Row]:
    """Coverage, Paddick, gradient index and fall-off of every case."""
    for name in stereotactic_spines():
        if only is None or only in f"{name}:18x1":
            yield from rows_of(name)


def rows_of(name: str) -> Iterator[Row]:
    """The four rows of one case."""
    request = request_18x1(name)
    start, cpu = time.perf_counter(), time.process_time()
    planned = plan_of(request, None)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    measured = Measured(planned.dose, planned.phantom, request.prescription)
    target = planned.phantom[request.prescription.target]
    covered = measured.dvh_of(target).volume_percent_at(request.prescription.dose_gy)
    prv = measured.dvh_of(planned.phantom[CORD_PRV]).max_gy
    paddick, gradient = measured.paddick(target), measured.gradient_index
    yield Row(
        case=f"{name}:18x1",
        table=_TABLE,
        engine=planned.dose.engine,
        spacing_mm=request.spacing_mm,
        threads=numba.get_num_threads(),
        warm_median_s=seconds,
        cpu_s=cpu,
        peak_rss_mb=peak_rss_mb(),
        value=covered,
        unit="% of PTV covered",
        goal=f">= {COVERAGE_PERCENT:g} % at PRV maximum <= {PRV_GY:g} Gy",
        met=covered >= COVERAGE_PERCENT and prv <= PRV_GY,
        note=f"PRV maximum {prv:.2f} Gy; {planned.plan.monitor_units / request.prescription.dose_gy:.0f} MU/Gy",
    )
    yield _index(name, paddick, "Paddick", f">= {PADDICK:g}", paddick >= PADDICK)
    yield _index(name, gradient, "V50% / V100%", f"<= {GRADIENT_INDEX:g}", gradient <= GRADIENT_INDEX)
    yield _falloff(name, planned, request)


def _falloff(name: str, planned: Planned, request: Request) -> Row:
    target, cord = planned.phantom[request.prescription.target], planned.phantom[CORD]
    found = falloff(planned.dose, target, cord, request.prescription.dose_gy)
    if found is None or found.distance_mm > FAR_MM:
        far = "" if found is None else f": the cord is {found.distance_mm:.0f} mm away"
        return _index(name, None, "%/mm PTV to cord", "", None, note=f"no fall-off between PTV and cord{far}")
    mean = found.mean_percent_per_mm
    note = f"over {found.distance_mm:.1f} mm; steepest mm {found.steepest_percent_per_mm:.1f} %/mm"
    goal = f">= {FALLOFF_PERCENT_PER_MM:g} % per mm"
    return _index(name, mean, "%/mm PTV to cord", goal, mean >= FALLOFF_PERCENT_PER_MM, note=note)


def _index(name: str, value: float | None, unit: str, goal: str, met: bool | None, note: str = "") -> Row:
    return Row(case=f"{name}:18x1", table=_TABLE, value=value, unit=unit, goal=goal, met=met, note=note)
