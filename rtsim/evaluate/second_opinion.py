"""The second opinion on a plan: the same delivery computed by another engine, compared where it matters.

    opinion = rt.evaluate.second_opinion(planned.dose, check_dose, planned.phantom, prescription, protocol)
    print(opinion)

Every number of a Monte Carlo dose is given with its statistical standard deviation, and rid of the amount by which
noise shifts it on average (rtsim.evaluate.dose_noise). A hard limit is then *held*, *broken*, or *not resolved within
the noise*; it is never called held because the noise is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rtsim.biology import Histology
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.evaluate.dose_noise import SAMPLES, DoseNoise, NoiseEffect, checked_uncertainty, mean_uncertainty_percent
from rtsim.evaluate.gamma import GammaResult, gamma
from rtsim.evaluate.grade import find_cord, grade
from rtsim.evaluate.opinion import CheckedGamma, CheckedLimit, Comparison, SecondOpinion
from rtsim.evaluate.report import GradeReport, Status
from rtsim.optimize.find import find_structure
from rtsim.optimize.measured import Measured
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol import Goal, Metric, MetricKind, Prescription, Priority, Protocol
from rtsim.typing import FloatArray, Progress

GAMMA_CRITERIA: Final = ((2.0, 2.0), (3.0, 2.0))
"""(percent of the prescription, mm); TG-218 (doi:10.1002/mp.12810) acts on 3 %/2 mm above 10 %."""
GAMMA_THRESHOLD_PERCENT: Final = 10.0
_TARGET_METRICS: Final = ("V100%", "D95%", "D50%", "Dmean", "D0.035cc")
_CORD_METRICS: Final = ("D0.035cc", "Dmean")
_METRICS_SHARE: Final = 0.6
"""Of the progress; the rest is gamma."""
_INDICES: Final = (MetricKind.CONFORMITY_PADDICK, MetricKind.GRADIENT_INDEX)


def second_opinion(
    planned: Dose,
    check: Dose,
    phantom: Phantom,
    prescription: Prescription,
    protocol_or_goals: Protocol | Sequence[Goal],
    *,
    histology: Histology | None = None,
    notes: Sequence[str] = (),
    seed: int = 1,
    samples: int = SAMPLES,
    progress: Progress | None = None,
) -> SecondOpinion:
    """Compare the dose that a plan was made with to a second one of the same delivery.

    Args:
        planned: total over all fractions, without noise.
        check: the same delivery by another engine; ``uncertainty_gy`` is one standard deviation of each voxel, None
            takes the dose as exact. The grids need not match; only the noise of equal grids is treated without loss.
        protocol_or_goals: as in :func:`rtsim.evaluate.grade`; their hard limits get a verdict.
        notes: what the reader must know of the two engines.
        seed: of the noise that uncertainties and biases are estimated with.
        samples: noisy copies of the dose for that.

    Raises:
        InputError: the doses differ in their number of fractions, ``check`` is 0 everywhere or has an uncertainty that
            is no standard deviation, the target is unknown.
        GeometryError: the target lies outside a dose grid.
    """
    _check_comparable(planned, check)
    grades = [grade(d, phantom, prescription, protocol_or_goals, histology=histology) for d in (planned, check)]
    goals = [r.goal for r in grades[0].rows]
    hard = [g for g in goals if g.priority is Priority.HARD]
    judged, not_checked = _judged(hard, planned, check, phantom, prescription)
    asked = _asked(phantom, prescription, [(s, g.parsed) for s, g in judged], planned, check)
    rows, correlation = _compare(planned, check, phantom, prescription, asked, (seed, samples), progress)
    by_question = {(row.structure, row.metric): row for row in rows}
    return SecondOpinion(
        planned_engine=planned.engine or "an engine that is not named",
        check_engine=check.engine or "an engine that is not named",
        uncertainty_percent=mean_uncertainty_percent(check),
        rows=rows,
        limits=tuple(CheckedLimit(goal=g, comparison=by_question[s.name, g.parsed]) for s, g in judged),
        not_checked=not_checked,
        gammas=_gammas(planned, check, phantom, prescription, seed, progress),
        grade=grades[1],
        changed=_changed(*grades),
        correlation=correlation,
        notes=(*notes, *_notes(correlation, samples)),
    )


def _check_comparable(planned: Dose, check: Dose) -> None:
    for name, given in (("planned", planned), ("check", check)):
        if not isinstance(given, Dose):
            raise InputError(f"{name} is a {type(given).__name__}; a second opinion compares two doses (rt.Dose)")
    if planned.fractions != check.fractions:
        raise InputError(
            f"the planned dose is for {planned.fractions} fractions, the check for {check.fractions}; compute the same "
            "delivery with both engines (rt.dose.forward(phantom, plan, engine=...))"
        )
    if check.max_gy <= 0.0:
        raise InputError("the check is 0 Gy everywhere; compute the delivery of the plan with the second engine")
    checked_uncertainty(check)


def _judged(
    hard: Sequence[Goal], planned: Dose, check: Dose, phantom: Phantom, prescription: Prescription
) -> tuple[list[tuple[Structure, Goal]], tuple[str, ...]]:
    """The hard goals that both doses can be judged by, with their structures; and a sentence for each other one."""
    readings = [Measured(d, phantom, prescription) for d in (planned, check)]
    judged: list[tuple[Structure, Goal]] = []
    sentences: list[str] = []
    for goal in hard:
        found = [reading.goal(goal) for reading in readings]
        obstacle = next((f.obstacle for f in found if not f.is_judged), "")
        if obstacle or found[0].structure is None:
            sentences.append(f"NOT CHECKED: hard limit '{goal}': {obstacle}.")
        else:
            judged.append((found[0].structure, goal))
    return judged, tuple(sentences)


def _asked(
    phantom: Phantom,
    prescription: Prescription,
    limits: Sequence[tuple[Structure, Metric]],
    planned: Dose,
    check: Dose,
) -> tuple[tuple[Structure, Metric], ...]:
    """What is compared: the target, the cord and its PRV, and the hard limits; each once."""
    cord, prv = find_cord(phantom), find_structure(phantom, "spinal_cord_prv", prescription)
    wanted = [(phantom[prescription.target], text) for text in _TARGET_METRICS]
    wanted += [(s, text) for s in (cord, prv) if s is not None for text in _CORD_METRICS]
    pairs = [(s, Metric.parse(text)) for s, text in wanted if _is_on(s, planned, check)]
    return tuple({(s.name, m): (s, m) for s, m in (*pairs, *limits)}.values())


def _is_on(structure: Structure, *doses: Dose) -> bool:
    try:
        for dose in doses:
            dose.grid.crop(structure.grid.lower_mm, structure.grid.upper_mm)
    except GeometryError:
        return False
    return True


def _compare(
    planned: Dose,
    check: Dose,
    phantom: Phantom,
    prescription: Prescription,
    asked: tuple[tuple[Structure, Metric], ...],
    draws: tuple[int, int],
    progress: Progress | None,
) -> tuple[tuple[Comparison, ...], tuple[float, float, float] | None]:
    """Every metric in both doses, with what noise does to it; and the correlation of the noise.

    Args:
        draws: seed and number of the noisy copies.
    """

    def values(dose: Dose) -> FloatArray:
        reading = Measured(dose, phantom, prescription)
        return np.array([reading.value(s, m) for s, m in asked])

    plan, measured = values(planned), values(check)
    effect, correlation = NoiseEffect(bias=np.zeros(len(asked)), uncertainty=np.zeros(len(asked))), None
    if check.uncertainty_gy is not None:
        # A plan index is about the isodoses of the whole grid; everything else is decided around its structure.
        is_local = not any(m.kind in _INDICES for _, m in asked)
        noise = DoseNoise.of(planned, check, [s for s, _ in asked] if is_local else ())
        part = None if progress is None else lambda done, what: progress(_METRICS_SHARE * done, what)
        effect, correlation = noise.effect_on(values, seed=draws[0], samples=draws[1], progress=part), noise.correlation
    rows = tuple(
        Comparison(
            structure=s.name,
            metric=m,
            planned=float(plan[n]),
            measured=float(measured[n]),
            noise_bias=float(effect.bias[n]),
            uncertainty=float(effect.uncertainty[n]),
        )
        for n, (s, m) in enumerate(asked)
    )
    return rows, correlation


def _gammas(
    planned: Dose, check: Dose, phantom: Phantom, prescription: Prescription, seed: int, progress: Progress | None
) -> tuple[CheckedGamma, ...]:
    """Gamma of every voxel of the check against the planned dose: the search must not run in the noisy one, where it
    would find a voxel that agrees by chance."""
    patient = Measured(check, phantom, prescription).external.coverage_on(check.grid) >= 0.5
    only_noise: Dose | None = None
    if check.uncertainty_gy is not None:
        noise = replace(DoseNoise.of(planned, check), expected=planned.on(check.grid))
        only_noise = next(noise.samples(1, seed))

    def against_plan(dose: Dose, percent: float, distance_mm: float) -> GammaResult:
        return gamma(
            dose,
            planned,
            dose_percent=percent,
            distance_mm=distance_mm,
            threshold_percent=GAMMA_THRESHOLD_PERCENT,
            mask=patient,
            normalization_gy=prescription.dose_gy,
        )

    out = []
    for n, (percent, distance_mm) in enumerate(GAMMA_CRITERIA):
        if progress is not None:
            progress(
                _METRICS_SHARE + (1.0 - _METRICS_SHARE) * n / len(GAMMA_CRITERIA),
                f"gamma {percent:g} %/{distance_mm:g} mm",
            )
        alone = None if only_noise is None else against_plan(only_noise, percent, distance_mm).pass_percent
        out.append(CheckedGamma(result=against_plan(check, percent, distance_mm), noise_alone_percent=alone))
    return tuple(out)


def _changed(plan: GradeReport, check: GradeReport) -> tuple[str, ...]:
    pairs = zip(plan.rows, check.rows, strict=True)
    return tuple(
        f"Another verdict in the check: {b.found_as} {b.goal.parsed.name} {b.wanted}: {a.got} {a.status.value} in the "
        f"plan, {b.got} {b.status.value} in the check (as it stands, with its noise)."
        for a, b in pairs
        if a.goal.priority is not Priority.HARD
        and a.status is not b.status
        and {a.status, b.status} <= {Status.MET, Status.MISSED}
    )


def _notes(correlation: tuple[float, float, float] | None, samples: int) -> tuple[str, ...]:
    if correlation is None:
        return ("the check states no statistical uncertainty; its numbers are taken as exact.",)
    return (
        "noise makes near-maxima such as D0.035cc read high and near-minima low; 'noise, taken off' is that bias, "
        f"estimated from {samples} noisy copies of the dose, and the check is given without it. A quarter of it is in "
        "the uncertainty.",
        "the uncertainty is statistical only: beam model, cross sections and CT density are not in it. Noise of "
        f"neighboring voxels is taken as correlated by {max(correlation):.2f} at most, as estimated from the doses.",
    )
