"""The second opinion on a plan: the same delivery computed by another engine, compared where it matters.

    opinion = rt.evaluate.second_opinion(planned.dose, check_dose, planned.phantom, prescription, protocol)
    print(opinion)

Every number of a Monte Carlo dose is given with its statistical standard deviation, and rid of the amount by which
noise shifts it on average (rtsim.evaluate.dose_noise). A hard limit is then *held*, *broken*, or *not resolved within
the noise*; it is never called held because the noise is large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.biology import Histology
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.evaluate.dose_noise import SAMPLES, DoseNoise, NoiseEffect, mean_uncertainty_percent
from rtsim.evaluate.gamma import GammaResult, gamma
from rtsim.evaluate.grade import find_cord, grade
from rtsim.evaluate.opinion import CheckedGamma, CheckedLimit, Comparison, SecondOpinion, sigmas_needed
from rtsim.evaluate.report import GradeReport, Status
from rtsim.optimize.find import find_structure
from rtsim.optimize.measured import Measured
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol import Goal, Metric, MetricKind, Prescription, Priority, Protocol
from rtsim.typing import BoolArray, FloatArray, Progress

GAMMA_CRITERIA: Final = ((2.0, 2.0), (3.0, 2.0))
"""(percent of the prescription, mm); TG-218 (doi:10.1002/mp.12810) acts on 3 %/2 mm above 10 %."""
GAMMA_THRESHOLD_PERCENT: Final = 10.0
_TARGET_METRICS: Final = ("V100%", "D95%", "D50%", "Dmean", "D0.035cc")
_CORD_METRICS: Final = ("D0.035cc", "Dmean")
_USELESS: Final = 0.5
"""A voxel whose standard deviation is above this share of the prescription says nothing."""
_MOST_COMMON_PERCENT: Final = 50.0
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
    runs: Sequence[Dose] = (),
    common_percent: float = 0.0,
    notes: Sequence[str] = (),
    positions: int = 1,
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
        runs: independent Monte Carlo runs that ``check`` is the mean of (:func:`rtsim.evaluate.mean_of_runs`); they
            tell the noise of means over volumes, which ``check`` alone makes too small.
        common_percent: one standard deviation of a factor that all voxels of ``check`` share, in percent, such as the
            calibration of the machine: neither ``uncertainty_gy`` nor the runs tell it.
        notes: what the reader must know of the two engines.
        positions: of the patient that the certificates of the plan speak of. The check judges the planned one, and the
            verdict says so where there are more.
        seed: of the noise that uncertainties and biases are estimated with.
        samples: noisy copies of the dose for that.

    Raises:
        InputError: the doses differ in their number of fractions, ``check`` is 0 everywhere, the target is unknown,
            ``common_percent`` is not in 0..50.
        GeometryError: the target lies outside a dose grid.
    """
    _check_comparable(planned, check)
    if not 0.0 <= common_percent <= _MOST_COMMON_PERCENT:
        raise InputError(f"common_percent is {common_percent:g}; 0 to {_MOST_COMMON_PERCENT:g} % is allowed")
    stated_percent = mean_uncertainty_percent(check)
    check, seen, useless = _inside_patient(planned, check, phantom, prescription)
    work = _Work(planned, check, tuple(runs), phantom, prescription, common_percent, seed, samples, progress)
    grades = [grade(d, phantom, prescription, protocol_or_goals, histology=histology) for d in (planned, check)]
    judged, not_checked = work.judged([r.goal for r in grades[0].rows if r.goal.priority is Priority.HARD])
    rows, noise = work.compare(work.asked([(s, g.parsed) for s, g in judged]))
    spread_of = 0 if noise is None or noise.patterns is None else len(noise.patterns)
    by_question = {(row.structure, row.metric): row for row in rows}
    return SecondOpinion(
        planned_engine=planned.engine or "an engine that is not named",
        check_engine=check.engine or "an engine that is not named",
        uncertainty_percent=stated_percent,
        rows=rows,
        limits=tuple(CheckedLimit(goal=g, comparison=by_question[s.name, g.parsed], runs=spread_of) for s, g in judged),
        not_checked=not_checked,
        gammas=work.gammas(seen),
        grade=grades[1],
        changed=_changed(*grades),
        notes=(*notes, *_notes(noise, samples, useless, common_percent)),
        positions=positions,
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


def _inside_patient(
    planned: Dose, check: Dose, phantom: Phantom, prescription: Prescription
) -> tuple[Dose, BoolArray, int]:
    """The check where it says anything, the planned dose elsewhere; where that is in the patient; in how many voxels of
    the patient the check says nothing.

    In air a Monte Carlo voxel weighs a microgram: a single electron that stops there makes hundreds of Gy, and one
    standard deviation of as much. Such values would stretch every scale and mean nothing.
    """
    patient = Measured(check, phantom, prescription).external.coverage_on(check.grid) >= 0.5
    sigma = check.uncertainty_gy
    if sigma is None:
        return check, patient, 0
    sure = sigma <= _USELESS * prescription.dose_gy
    keep = patient & sure
    values = np.where(keep, check.values_gy, planned.on(check.grid).values_gy)
    seen = replace(check, values_gy=values, uncertainty_gy=np.where(keep, sigma, np.float32(0.0)))
    return seen, keep, int((patient & ~sure).sum())


@dataclass(frozen=True, eq=False)
class _Work:
    """Two doses of one delivery, and how their comparison is to be done."""

    planned: Dose
    check: Dose
    runs: tuple[Dose, ...]
    phantom: Phantom
    prescription: Prescription
    common_percent: float
    seed: int
    samples: int
    progress: Progress | None

    def judged(self, hard: Sequence[Goal]) -> tuple[list[tuple[Structure, Goal]], tuple[str, ...]]:
        """The hard goals that both doses can be judged by, with their structures; a sentence for each other one."""
        readings = [self._measured(d) for d in (self.planned, self.check)]
        judged: list[tuple[Structure, Goal]] = []
        sentences: list[str] = []
        for goal in hard:
            found = [reading.goal(goal, hard) for reading in readings]
            if not any(f.is_judged or f.is_open for f in found):
                continue
            obstacle = next((f.obstacle for f in found if not f.is_judged), "")
            if obstacle or found[0].structure is None:
                sentences.append(f"NOT CHECKED: hard limit '{goal}': {obstacle}.")
            else:
                judged.append((found[0].structure, goal))
        return judged, tuple(sentences)

    def asked(self, limits: Sequence[tuple[Structure, Metric]]) -> tuple[tuple[Structure, Metric], ...]:
        """What is compared: the target, the cord and its PRV, and the hard limits; each once."""
        cord, prv = find_cord(self.phantom), find_structure(self.phantom, "spinal_cord_prv", self.prescription)
        wanted = [(self.phantom[self.prescription.target], text) for text in _TARGET_METRICS]
        wanted += [(s, text) for s in (cord, prv) if s is not None for text in _CORD_METRICS]
        pairs = [(s, Metric.parse(text)) for s, text in wanted if _is_on(s, self.planned, self.check)]
        return tuple({(s.name, m): (s, m) for s, m in (*pairs, *limits)}.values())

    def compare(self, asked: tuple[tuple[Structure, Metric], ...]) -> tuple[tuple[Comparison, ...], DoseNoise | None]:
        """Every metric in both doses with what noise does to it, and that noise."""

        def values(dose: Dose) -> FloatArray:
            reading = self._measured(dose)
            return np.array([reading.value(s, m) for s, m in asked])

        plan, measured = values(self.planned), values(self.check)
        effect, noise = NoiseEffect(bias=np.zeros(len(asked)), uncertainty=np.zeros(len(asked))), None
        if self.check.uncertainty_gy is not None:
            # A plan index is about the isodoses of the whole grid; everything else is decided around its structure.
            is_local = not any(m.kind in _INDICES for _, m in asked)
            noise = DoseNoise.of(self.planned, self.check, [s for s, _ in asked] if is_local else (), self.runs)
            effect = noise.effect_on(
                values,
                seed=self.seed,
                samples=self.samples,
                progress=lambda done, what: self._say(_METRICS_SHARE * done, what),
            )
        common = np.zeros(len(asked))
        if self.common_percent:
            one = 0.01 * self.common_percent
            common = 0.5 * np.abs(values(self.check.scaled(1.0 + one)) - values(self.check.scaled(1.0 - one)))
        rows = tuple(
            Comparison(
                structure=s.name,
                metric=m,
                planned=float(plan[n]),
                measured=float(measured[n]),
                noise_bias=float(effect.bias[n]),
                uncertainty=float(np.hypot(effect.uncertainty[n], common[n])),
                common=float(common[n]),
            )
            for n, (s, m) in enumerate(asked)
        )
        return rows, noise

    def gammas(self, seen: BoolArray) -> tuple[CheckedGamma, ...]:
        """Gamma of the voxels of the check that are ``seen`` against the planned dose: the search must not run in the
        noisy one, where it would find a voxel that agrees by chance."""
        only_noise: Dose | None = None
        if self.check.uncertainty_gy is not None:
            noise = DoseNoise.of(self.planned, self.check)
            only_noise = next(replace(noise, expected=self.planned.on(self.check.grid)).samples(1, self.seed))
        out = []
        for n, (percent, distance_mm) in enumerate(GAMMA_CRITERIA):
            done = _METRICS_SHARE + (1.0 - _METRICS_SHARE) * n / len(GAMMA_CRITERIA)
            self._say(done, f"gamma {percent:g} %/{distance_mm:g} mm")
            alone = None if only_noise is None else self._gamma(only_noise, percent, distance_mm, seen).pass_percent
            result = self._gamma(self.check, percent, distance_mm, seen)
            out.append(CheckedGamma(result=result, noise_alone_percent=alone))
        return tuple(out)

    def _gamma(self, dose: Dose, percent: float, distance_mm: float, mask: BoolArray) -> GammaResult:
        return gamma(
            dose,
            self.planned,
            dose_percent=percent,
            distance_mm=distance_mm,
            threshold_percent=GAMMA_THRESHOLD_PERCENT,
            mask=mask,
            normalization_gy=self.prescription.dose_gy,
        )

    def _measured(self, dose: Dose) -> Measured:
        return Measured(dose, self.phantom, self.prescription)

    def _say(self, done: float, what: str) -> None:
        if self.progress is not None:
            self.progress(done, what)


def _is_on(structure: Structure, *doses: Dose) -> bool:
    try:
        for dose in doses:
            dose.grid.crop(structure.grid.lower_mm, structure.grid.upper_mm)
    except GeometryError:
        return False
    return True


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


def _notes(noise: DoseNoise | None, samples: int, useless: int, common_percent: float) -> tuple[str, ...]:
    common: tuple[str, ...] = ()
    if common_percent:
        common = (
            f"{common_percent:.2g} % of the dose (one standard deviation) is in every uncertainty besides the noise: "
            "what all voxels of the check have in common, as the calibration of the machine; more histories do not "
            "reduce it.",
        )
    if noise is None:
        return ("the check states no statistical uncertainty; its numbers are taken as exact.", *common)
    needed = sigmas_needed(0 if noise.patterns is None else len(noise.patterns))
    if noise.patterns is None:
        source = (
            f"its correlation between neighboring voxels ({max(noise.correlation):.2f} at most) was read from the "
            "doses; correlation over longer distances is not seen, so that the uncertainty of mean doses is too small. "
            "Independent runs (runs=) tell it."
        )
    else:
        runs = len(noise.patterns)
        share = 100.0 / math.sqrt(2.0 * (runs - 1))
        source = (
            f"how it is correlated between voxels is known from {runs} independent runs, which leaves the uncertainty "
            f"of mean doses itself uncertain by {share:.0f} %."
        )
    air = (
        f"air in the patient, with an uncertainty above half of the prescription: {useless} of its voxels. They are "
        "left out of gamma; in DVHs and metrics their dose is taken from the plan.",
    )
    return (
        *(air if useless else ()),
        "noise makes near-maxima such as D0.035cc read high and near-minima low; 'noise, taken off' is that bias, "
        f"estimated from {samples} noisy copies of the dose, and the check is given without it. A quarter of it is in "
        "the uncertainty.",
        "the uncertainty is statistical only: beam model, cross sections and CT density are not in it; " + source,
        *common,
        f"held and BROKEN need {needed:.2f} of these standard deviations: wrong in 1 of 44 cases "
        + (
            "where the dose lies on the limit itself; more often for mean doses, whose uncertainty is too small."
            if noise.patterns is None
            else "at most where the dose lies on the limit itself (Student's t, because the runs are few)."
        ),
    )
