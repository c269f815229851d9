"""``rtsim run --check``: the final plan computed again by another engine, graded again, and compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from rtsim.cli.choices import CHECK_RUNS
from rtsim.cli.console import ExitCode, exit_code_of
from rtsim.cli.request import CheckRequest, Request
from rtsim.dose import Dose, Engine, engine_named, forward
from rtsim.dose.monte_carlo.calibration import SIGMA as CALIBRATION_SIGMA
from rtsim.dose.result import histories_text
from rtsim.errors import RtsimError
from rtsim.evaluate import SecondOpinion, Verdict, mean_of_runs, second_opinion
from rtsim.optimize import Planned
from rtsim.typing import Progress

_DOSE_SHARE: Final = 0.9
"""Of the progress bar; the rest is the comparison."""
DOSE_TO_MEDIUM: Final = (
    "plan and check both give dose to the medium of each voxel, not dose to water, which many clinical limits were "
    "derived in: dose to water is about 13 % higher in cortical bone, more in metal (about 40 % in titanium), and "
    "within about 1 % the same in cord and soft tissue."
)
"""[V] The engine's own collision stopping powers of water over those of the medium, for electrons of 0.2 to 3 MeV
(tests/unit/test_cli.py). Siebers et al. 2000, Phys. Med. Biol. 45:983, is the method; its 11 % in dense bone [M] is of
another composition."""
SHARED: Final = (
    "not checked, because plan and check have it in common, so that an error is in both doses: head fluence and output "
    "factors, the gradient of wedges, the fluence off axis in water, contaminating electrons, and the middle angle "
    "that stands for each interval of an arc."
)
"""Beam model and delivery are one for all engines; the check is about transport in the patient."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Checked:
    """The second dose of a plan, and what comparing it said.

    Attributes:
        cut: one sentence, when the check is made of fewer histories than were wanted.
    """

    dose: Dose
    opinion: SecondOpinion
    cut: str = ""

    @property
    def is_broken(self) -> bool:
        """True when a hard limit is broken in the second dose, beyond its noise."""
        return self.opinion.verdict is Verdict.BROKEN

    @property
    def last_word(self) -> str:
        """The verdict, and what it does to the exit status, for the end of a long output."""
        where = self.opinion.where
        said = {
            None: "check: no hard limit could be judged in it; the exit status is that of the plan alone.",
            Verdict.HELD: f"check: the hard limits that it could judge hold in it too{where}.",
            Verdict.UNRESOLVED: f"check: NOT RESOLVED. Its noise hides whether a hard limit holds in it{where}; the "
            "exit status is that of the plan alone. A smaller --check-uncertainty may decide (see above).",
            Verdict.BROKEN: f"check: A HARD LIMIT IS BROKEN in it{where}; exit status {ExitCode.LIMIT_NOT_HELD.value}.",
        }[self.opinion.verdict]
        return f"{said} {self.cut}".rstrip()


@dataclass(frozen=True, kw_only=True)
class NotChecked:
    """Why a plan that was to be checked was not: it is written all the same.

    Attributes:
        reason: one sentence.
        code: exit status of the whole work.
    """

    reason: str
    code: ExitCode


def check_or_reason(
    request: Request, wanted: CheckRequest, planned: Planned, progress: Progress
) -> Checked | NotChecked:
    """The check, or why there is none: neither Ctrl-C nor an error may cost the plan that is finished by now."""
    try:
        return check_plan(request, wanted, planned, progress)
    except KeyboardInterrupt:
        reason = "the check was interrupted: the plan is written without it, and is NOT CHECKED by a second engine."
        return NotChecked(reason=reason, code=ExitCode.INTERRUPTED)
    except RtsimError as error:
        reason = f"the check failed: {error}. The plan is written without it, and is NOT CHECKED by a second engine."
        return NotChecked(reason=reason, code=exit_code_of(error))


def check_plan(request: Request, wanted: CheckRequest, planned: Planned, progress: Progress) -> Checked:
    """Compute the dose of ``planned`` on its own grid by the engine that is wanted, and compare."""
    runs = independent_runs(request, wanted, planned, lambda done, what: progress(_DOSE_SHARE * done, what))
    dose = mean_of_runs(runs, engine=_engine_of(runs))
    cut = ""
    if _is_interrupted(runs):
        cut = f"The check was interrupted in or after run {len(runs)} of {CHECK_RUNS}; it is made of what there is."
    notes = (*([cut] if cut else []), SHARED, DOSE_TO_MEDIUM)
    opinion = second_opinion(
        planned.dose,
        dose,
        planned.phantom,
        request.prescription,
        request.protocol,
        histology=request.histology,
        runs=runs,
        common_percent=_common_percent(wanted, planned),
        notes=notes,
        positions=max((c.positions.count for c in planned.plan.certificates if c.positions is not None), default=1),
        seed=request.seed,
        progress=lambda done, what: progress(_DOSE_SHARE + (1.0 - _DOSE_SHARE) * done, what),
    )
    return Checked(dose=dose, opinion=opinion, cut=cut)


def independent_runs(request: Request, wanted: CheckRequest, planned: Planned, progress: Progress) -> tuple[Dose, ...]:
    """Runs of the engine on the grid of the plan whose mean has the uncertainty, or the histories, that are wanted.

    Fewer than ``CHECK_RUNS`` after Ctrl-C: those that are finished, and what the engine has of the one at work.

    Raises:
        KeyboardInterrupt: before the first run has anything to give.
    """
    make: Callable[..., Engine] = engine_named(wanted.engine)
    runs: list[Dose] = []
    for n in range(CHECK_RUNS):
        engine = make(
            spacing_mm=request.spacing_mm,
            **_size_of_a_run(wanted),
            seed=CHECK_RUNS * request.seed + n,  # no run of another seed is the same
        )
        part = partial(_part, progress, n)
        try:
            runs.append(forward(planned.phantom, planned.plan, engine=engine, progress=part))
        except KeyboardInterrupt:
            if runs:
                break
            raise
        statistics = runs[-1].statistics
        if statistics is not None and statistics.interrupted:
            break
    return tuple(runs)


def _size_of_a_run(wanted: CheckRequest) -> dict[str, float]:
    """The argument of the engine that makes one of the runs as long as it must be."""
    if wanted.histories is None:
        return {"uncertainty_percent": wanted.uncertainty_percent * math.sqrt(CHECK_RUNS)}
    return {"histories": -(-wanted.histories // CHECK_RUNS)}


def _common_percent(wanted: CheckRequest, planned: Planned) -> float:
    """Uncertainty that all voxels share, in percent: a Monte Carlo dose in Gy is as sure as the calibration of the
    machine in Monte Carlo. The runs do not tell it: they use the same calibration."""
    is_calibrated = any(beam.machine.calibration is not None for beam in planned.plan.beams)
    return 100.0 * CALIBRATION_SIGMA if wanted.engine == "monte_carlo" and is_calibrated else 0.0


def _is_interrupted(runs: Sequence[Dose]) -> bool:
    """Whether Ctrl-C ended the runs."""
    last = runs[-1].statistics
    return len(runs) < CHECK_RUNS or (last is not None and last.interrupted)


def _engine_of(runs: tuple[Dose, ...]) -> str:
    """The engine of the first run, without what it says of its own histories; and those of all."""
    name, counts = runs[0].engine.split("; ")[0], [r.statistics.histories for r in runs if r.statistics is not None]
    text = f"{name}; {len(runs)} independent runs"
    return f"{text}, {histories_text(sum(counts))} histories" if len(counts) == len(runs) else text


def _part(progress: Progress, run: int, done: float, what: str) -> None:
    progress((run + done) / CHECK_RUNS, f"{run + 1} of {CHECK_RUNS}: {what}")


def record_of_check(checked: Checked) -> dict[str, Any]:
    """The second opinion in plain values, for ``result.json``."""
    o = checked.opinion
    return {
        "engine": o.check_engine,
        "grid": checked.dose.grid.describe(),
        "uncertainty_percent": o.uncertainty_percent,
        "verdict": None if o.verdict is None else o.verdict.name.lower(),
        "headline": o.headline,
        "limits": [
            {
                "goal": str(limit.goal),
                "structure": limit.comparison.structure,
                "sigmas_inside": limit.sigmas_inside if math.isfinite(limit.sigmas_inside) else None,
                "sigmas_needed": limit.sigmas_needed,
                "verdict": limit.verdict.name.lower(),
            }
            for limit in o.limits
        ],
        "not_checked": list(o.not_checked),
        "metrics": [
            {
                "structure": row.structure,
                "metric": str(row.metric),
                "unit": row.metric.unit.value,
                "planned": row.planned,
                "check": row.checked,
                "uncertainty": row.uncertainty,
                "common_uncertainty": row.common,
                "noise_bias": row.noise_bias,
            }
            for row in o.rows
        ],
        "gamma": [
            {
                "dose_percent": g.result.dose_percent,
                "distance_mm": g.result.distance_mm,
                "threshold_percent": g.result.threshold_percent,
                "normalization_gy": g.result.normalization_gy,
                "pass_percent": g.result.pass_percent,
                "noise_alone_percent": g.noise_alone_percent,
            }
            for g in o.gammas
        ],
        "changed": list(o.changed),
        "notes": list(o.notes),
    }
