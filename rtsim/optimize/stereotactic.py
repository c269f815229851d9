"""Stereotactic plans: from a phantom and a protocol to segments whose delivered dose holds the hard limits.

Beamlets -> influence -> fluence -> segments -> their weights -> forward dose of what is delivered. The forward dose
corrects the matrix, and says how far the constraint that the optimizer holds lies above the D(cc) that it stands for;
a few rounds. In the end all monitor units are scaled, which scales the forward dose exactly: to the wanted coverage, or
to the limit, whichever is lower. So the limit holds, and the certificates say which coverage that left.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rtsim.beams import posterior, with_beamlets
from rtsim.beams.model import Beam
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.aperture_search import search
from rtsim.optimize.delivered import SAFETY, Reader, Reading, certify
from rtsim.optimize.fluence import FLUENCE_SOLVER, FluencePlan, optimize_fluence, prepare
from rtsim.optimize.leaves import multileaf
from rtsim.optimize.plan import Plan
from rtsim.optimize.rows import Sampling
from rtsim.optimize.segment_weights import (
    WEIGHT_SOLVER,
    Correction,
    Segment,
    beams_of,
    columns_of,
    optimize_weights,
    segments_of,
    without_small,
)
from rtsim.optimize.sequencing import StepAndShoot, check_segment_units
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.optimize.wishes import Weights, default_wishes
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Goal, Prescription, Protocol
from rtsim.typing import FloatArray, Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StereotacticSettings:
    """How a stereotactic plan is made.

    Attributes:
        weights: of the objectives; default: those that suit the goals, a uniform target or a steep fall-off.
        fluence_solver, weight_solver: settings of the solver in both stages.
        sequencer: settings of step and shoot.
        sampling: which voxels the optimizer sees, with its seed.
        searches: for new apertures before the first forward dose; ``searches_later`` before each of the others.
        rounds: forward doses of the delivered plan at most, each followed by a correction; from the second on the
            first that covers as wanted ends it.
        beamlet_width_mm: along the leaf direction.
        beamlet_margin_mm: how far beamlets reach beyond the target's projection.
    """

    weights: Weights | None = None
    fluence_solver: AugmentedLagrangian = FLUENCE_SOLVER
    weight_solver: AugmentedLagrangian = WEIGHT_SOLVER
    sequencer: StepAndShoot = field(default_factory=StepAndShoot)
    sampling: Sampling = field(default_factory=Sampling)
    searches: int = 3
    searches_later: int = 1
    rounds: int = 3
    beamlet_width_mm: float = 5.0
    beamlet_margin_mm: float = 5.0

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"rounds is {self.rounds}; at least one forward dose of what is delivered is needed")


@dataclass(frozen=True, eq=False, kw_only=True)
class Planned:
    """A plan with the dose that certifies it.

    Attributes:
        plan: deliverable, with certificates and notes.
        dose: the engine's forward dose of ``plan.beams``, all fractions.
        phantom: the phantom planned on, with the PRV when one was made.
        fluence: the optimized fluence it started from; None for forward-planned beams.
    """

    plan: Plan
    dose: Dose
    phantom: Phantom
    fluence: FluencePlan | None = None


def plan_stereotactic(
    phantom: Phantom,
    prescription: Prescription,
    protocol: Protocol,
    machine: Machine,
    *,
    engine: Engine,
    planning_engine: Engine | None = None,
    beams: Sequence[Beam] | None = None,
    settings: StereotacticSettings | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Plan with the protocol's hard limits held in the delivered dose.

    Args:
        engine: gives the forward doses of what is delivered, which are what is certified.
        planning_engine: gives the influence matrix; default ``engine``. A coarser grid is faster, and the forward doses
            correct what it misses.
        beams: with beamlets; default: nine posterior beams at gantry 100, 120, ..., 260 on the target's centroid.
        seed: of the sampled voxels, instead of the one in ``settings.sampling``.

    Raises:
        InfeasiblePlanError: goals contradict each other or no plan can hold the limits.
        MachineLimitError: the machine cannot deliver it.
    """
    chosen = settings or StereotacticSettings()
    multileaf(machine)
    sampling = chosen.sampling if seed is None else replace(chosen.sampling, seed=seed)
    phantom, made = with_target_and_prv(phantom, prescription, protocol)
    if beams is None:
        target = phantom.structures[prescription.target]
        beams = with_beamlets(
            posterior(machine, count=9, target=target),
            target,
            pitch_mm=chosen.beamlet_width_mm,
            margin_mm=chosen.beamlet_margin_mm,
        )
    influence = (planning_engine or engine).influence(phantom, tuple(beams), progress=_part(progress, 0.0, 0.5))
    planning = prepare(influence, phantom, prescription, protocol, weights=chosen.weights, sampling=sampling)
    plan = optimize_fluence(planning, solver=chosen.fluence_solver, progress=_part(progress, 0.5, 0.7))
    segments = segments_of(plan, machine, chosen.sequencer)
    rounds = _Rounds(phantom, plan, machine, engine, chosen, _part(progress, 0.7, 1.0))
    best = rounds.run(segments)
    return _finish(best, rounds, made, protocol.goals_for(prescription))


def _part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    if progress is None:
        return None
    return lambda done, text: progress(start + (stop - start) * done, text)


def _share(progress: Progress | None, n: int, count: int) -> Progress | None:
    return _part(progress, n / count, (n + 1) / count)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Candidate:
    beams: tuple[Beam, ...]
    dose: Dose
    rows_by_beam_gy: FloatArray
    reading: Reading
    factor: float
    coverage_percent: float
    objective: float
    segments: int

    @property
    def rank(self) -> tuple[float, float]:
        """Better coverage first (to 0.1 %), then the better objective of the delivered and scaled dose."""
        return round(self.coverage_percent, 1), -self.objective


class _Rounds:
    """Weights, forward dose, what it says; repeated. Keeps the plan with the best coverage at its scale."""

    def __init__(
        self,
        phantom: Phantom,
        plan: FluencePlan,
        machine: Machine,
        engine: Engine,
        settings: StereotacticSettings,
        progress: Progress | None,
    ) -> None:
        self.phantom, self.plan, self.machine, self.engine = phantom, plan, machine, engine
        self.settings, self.progress, self.planning = settings, progress, plan.planning
        self.limits = plan.planning.wishes.limits
        self.reader = Reader(phantom.structures[plan.prescription.target], self.limits, plan.prescription)
        self.levels = {k: limit.limit_gy * (1.0 - SAFETY) for k, limit in enumerate(self.limits)}
        self.notes: list[str] = []

    def run(self, segments: tuple[Segment, ...]) -> _Candidate:
        """All rounds; the best candidate."""
        self.frames = {s.beam: s.aperture for s in segments}
        correction: Correction | None = None
        best: _Candidate | None = None
        for k in range(self.settings.rounds):
            segments = self._improve(segments, correction, k)
            segments, candidate = self._deliverable(segments, k)
            if best is None or candidate.rank > best.rank:
                best = candidate
            if k > 0 and candidate.coverage_percent > self.plan.prescription.coverage_percent - 0.1:
                break
            correction = Correction.of(
                self.planning,
                columns_of(self.planning, segments, self.machine),
                segments,
                self.machine,
                candidate.rows_by_beam_gy,
            )
            self._move_levels(candidate)
            self._move_aim(candidate)
        assert best is not None
        return best

    def _improve(self, segments: tuple[Segment, ...], correction: Correction | None, k: int) -> tuple[Segment, ...]:
        """Weights; then new apertures where they pay, weights again; at the end without small segments."""
        settings, n = self.settings, self.settings.rounds
        searches = settings.searches if k == 0 else settings.searches_later
        for step in range(searches + 2):
            part = _part(
                self.progress, (k + 0.5 * step / (searches + 2)) / n, (k + 0.5 * (step + 1) / (searches + 2)) / n
            )
            segments, solution = optimize_weights(
                self.planning,
                segments,
                self.machine,
                correction=correction,
                levels_gy=self.levels,
                solver=settings.weight_solver,
                progress=part,
            )
            segments = without_small(self.planning, segments, self.machine) if step >= searches - 1 else segments
            if step < searches:
                new = search(self.planning, solution, self.machine, self.frames, settings.sequencer.min_open_mm2)
                start = sum(s.monitor_units for s in segments) / len(segments)
                segments += tuple(Segment(beam=b, aperture=a, monitor_units=0.1 * start) for b, a in new)
        return without_small(self.planning, segments, self.machine)

    def _forward(
        self, beams: tuple[Beam, ...], segments: tuple[Segment, ...], progress: Progress | None
    ) -> tuple[Dose, FloatArray]:
        """Forward dose of the beams, and what each gives to the rows (rows, beams of the matrix)."""
        fractions = self.plan.prescription.fractions
        rows = np.zeros((self.planning.rows.count, len(self.planning.influence.beams)))
        indices = sorted({s.beam for s in segments})
        total: Dose | None = None
        for n, (k, beam) in enumerate(zip(indices, beams, strict=True)):
            part = _share(progress, n, len(beams))
            dose = self.engine.forward(self.phantom, (beam,), fractions=fractions, progress=part)
            rows[:, k] = self.planning.rows.dose_of(dose)
            total = dose if total is None else replace(dose, values_gy=total.values_gy + dose.values_gy)
        assert total is not None
        return total, rows

    def _deliverable(self, segments: tuple[Segment, ...], k: int) -> tuple[tuple[Segment, ...], _Candidate]:
        """Forward dose without the segments that scaling leaves too few monitor units; the segments that are left.

        Raises:
            MachineLimitError: none is left.
        """
        least = self.machine.limits.min_monitor_units_per_segment
        while True:
            candidate = self._deliver(segments, k)
            kept = tuple(s for s in segments if s.monitor_units * candidate.factor >= least)
            if len(kept) == len(segments):
                return segments, candidate
            if not kept:
                raise MachineLimitError(
                    f"scaled by {candidate.factor:.3g} to the hard limits no segment keeps the {least:g} MU that "
                    f"{self.machine.name} gives at least. Raise the limits or use fewer beams or fractions"
                )
            self.notes.append(
                f"Round {k + 1}: {len(segments) - len(kept)} segments would have less than {least:g} MU after scaling "
                "and were left out."
            )
            segments = kept

    def _deliver(self, segments: tuple[Segment, ...], k: int) -> _Candidate:
        """Forward dose of the segments, and what of it remains after scaling to coverage or limit."""
        prescription = self.plan.prescription
        beams = beams_of(self.planning, segments, self.machine)
        n = self.settings.rounds
        dose, by_beam = self._forward(beams, segments, _part(self.progress, (k + 0.5) / n, (k + 1) / n))
        reading = self.reader.read(dose)
        factor = reading.factor(self.limits, prescription)
        coverage = reading.coverage_percent(prescription, factor)
        reached = ", ".join(
            f"{limit.structure.name} {r:.2f} of {limit.limit_gy:g} Gy"
            for limit, r in zip(self.limits, reading.reached_gy, strict=True)
        )
        logger.info(
            "round %d: %d segments, %s, scale %.4f, coverage %.1f %%", k + 1, len(segments), reached, factor, coverage
        )
        self.notes.append(
            f"Round {k + 1}: {len(segments)} segments; delivered {reached or 'no hard limit'}; scaled by "
            f"{factor:.4f} it covers {coverage:.1f} %."
        )
        rows = factor * self.planning.rows.dose_of(dose)
        objective = sum(o.weight * o.evaluate(rows[r.rows], r)[0] for o, r in self.plan.planning.wishes.objectives)
        return _Candidate(
            beams=beams,
            dose=dose,
            rows_by_beam_gy=by_beam,
            reading=reading,
            factor=factor,
            coverage_percent=coverage,
            objective=objective,
            segments=len(segments),
        )

    def _move_aim(self, candidate: _Candidate) -> None:
        """The target objective aims higher by what coverage lacks at the limits, and lower where it has too much."""
        prescription, weights = self.plan.prescription, self.planning.weights
        allowed = candidate.reading.factor(self.limits, replace(prescription, dose_gy=1e6))
        reached = min(allowed, 1.1) * candidate.reading.coverage_dose_gy / prescription.dose_gy
        aim = min(max(weights.aim * min(max(1.0 / reached, 0.97), 1.06), 1.02), weights.ceiling - 0.05)
        weights = replace(weights, aim=aim)
        wishes = default_wishes(self.planning.goals, prescription, self.planning.rows, weights)
        self.planning = replace(self.planning, weights=weights, wishes=wishes)

    def _move_levels(self, candidate: _Candidate) -> None:
        """Raise each level by what its constraint, a maximum or a mean, reads above D(cc) in the delivered dose."""
        rows = self.planning.rows.dose_of(candidate.dose)
        aims = {k: limit.limit_gy * (1.0 - SAFETY) for k, limit in enumerate(self.limits)}
        for k, (constraint, region) in self.planning.wishes.numbered_constraints(aims).items():
            own = (float(constraint.residual(rows[region.rows], region).max()) + 1.0) * constraint.dose_gy
            level = aims[k] + own - candidate.reading.reached_gy[k]
            self.levels[k] = min(max(level, 0.7 * aims[k]), 1.4 * aims[k])


def _finish(best: _Candidate, rounds: _Rounds, made: tuple[str, ...], goals: tuple[Goal, ...]) -> Planned:
    prescription = rounds.plan.prescription
    beams = tuple(b.scaled(best.factor) for b in best.beams)
    for beam in beams:
        check_monitor_units(beam)
        check_segment_units(beam)
    dose = best.dose.scaled(best.factor)
    _check_limits(rounds, rounds.reader.read(dose))
    certificates, unchecked = certify(goals, rounds.phantom, prescription, dose)
    scale = (
        "to the wanted coverage"
        if best.coverage_percent >= prescription.coverage_percent - 0.1
        else "to the hard limit"
    )
    units = sum(b.monitor_units for b in beams)
    notes = (
        *made,
        *rounds.plan.notes,
        *rounds.notes,
        f"All monitor units were scaled by {best.factor:.4f} {scale}; {best.segments} segments, "
        f"{units:.0f} MU per fraction, {units / prescription.dose_per_fraction_gy:.0f} MU/Gy.",
        *unchecked,
    )
    plan = Plan(
        beams=beams,
        prescription=prescription,
        certificates=certificates,
        not_checked=unchecked,
        notes=notes,
        label=f"stereotactic {prescription.dose_gy:g} Gy/{prescription.fractions}",
    )
    return Planned(plan=plan, dose=dose, phantom=rounds.phantom, fluence=rounds.plan)


def _check_limits(rounds: _Rounds, reading: Reading) -> None:
    broken = [
        f"{limit.describe()} (got {reached:.2f} Gy)."
        for limit, reached in zip(rounds.limits, reading.reached_gy, strict=True)
        if reached > limit.limit_gy
    ]
    if broken or not reading.coverage_dose_gy > 0:
        raise InfeasiblePlanError(
            f"the hard limits could not be held: {' '.join(broken)} Raise the limit, lower the prescription or choose "
            "other beams"
        )
