"""The loop of every stereotactic plan: improve the draft, compute what is delivered, correct the draft; a few rounds.

The forward dose corrects the matrix, and says how far the constraint that the optimizer holds lies above the D(cc) that
it stands for, in the worst of the stated positions where the limit is promised in all of them. Whatever fails in a
later round, the best plan before it remains.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from rtsim.dose.engine import Engine
from rtsim.errors import InfeasiblePlanError, MachineLimitError
from rtsim.optimize.candidate import Candidate, candidate_of, deliver
from rtsim.optimize.delivered import COVERED_WITHIN_PERCENT, SAFETY
from rtsim.optimize.delivery import Draft
from rtsim.optimize.fluence import Planning
from rtsim.optimize.goals import DoseVolumeLimit
from rtsim.optimize.interruptible import Interruptible
from rtsim.optimize.robust.positions import PositionsReader
from rtsim.optimize.solver import StopOptimization
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress

logger = logging.getLogger(__name__)

PREDICTION_SPARE = 0.01
"""Rounds aim so much lower than the final scaling: what a corrected matrix errs by, 1 % in the second and third round
of spine cases where it lies on the grid of the dose, then costs no coverage; what is left of it scaling gives back."""

EXPECTED_AGAIN = 0.5
"""Share of what a corrected matrix predicted too low that is expected to be too low again [A]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """What all rounds share.

    Attributes:
        rounds: forward doses at most.
        recomputed: how many of the worst positions of the patient the engine computes in the end, at most.
    """

    phantom: Phantom
    planning: Planning
    engine: Engine
    rounds: int
    recomputed: int


class Rounds:
    """Improve, deliver, correct; repeated. Keeps the best plan at its scale (``Candidate.rank``)."""

    def __init__(
        self, bench: Bench, reader: PositionsReader, progress: Interruptible, span: tuple[float, float]
    ) -> None:
        """The promises of ``reader`` begin with the limits that the optimizer holds, in their order."""
        self._bench, self.reader, self._progress, self._span = bench, reader, progress, span
        self.planning = bench.planning
        self.levels = {k: _aim_gy(limit) for k, limit in enumerate(bench.planning.wishes.limits)}
        self.notes: list[str] = []
        self._is_corrected = False

    def run(self, draft: Draft) -> Candidate:
        """All rounds; the best candidate.

        Raises:
            InfeasiblePlanError: the first round had nothing to deliver within the limits.
            MachineLimitError: the machine cannot deliver it.
        """
        best: Candidate | None = None
        for k in range(self._bench.rounds):
            try:
                candidate = self.round(draft, k, best is not None)
            except StopOptimization:
                self.notes.append(f"Stopped by the user in round {k + 1}.")
                break
            except (InfeasiblePlanError, MachineLimitError) as error:
                if best is None:
                    raise
                self.notes.append(f"Round {k + 1} failed ({error}); the best plan before it was kept.")
                break
            if best is None or candidate.rank > best.rank:
                best = candidate
            promising = candidate is not best and candidate.objective < best.objective
            if self._progress.stopped or (k > 0 and self._covers(best) and not promising and not best.obstacle):
                break
            draft = self.learned(candidate)
        assert best is not None
        return best

    def round(self, draft: Draft, k: int, can_stop: bool) -> Candidate:
        """One round: the draft improved and delivered.

        Args:
            can_stop: there is an earlier plan, so that a stop may end the round.

        Raises:
            StopOptimization: the user wants to stop.
        """
        improved = self._improved(draft, k)
        if can_stop and self._progress.stopped:
            raise StopOptimization
        return self.deliverable(improved, k, can_stop)

    def learned(self, candidate: Candidate) -> Draft:
        """The draft that knows what was delivered; levels and aim move with it."""
        self._move_levels(candidate)
        self._move_aim(candidate)
        self._is_corrected = True
        return candidate.draft.corrected(candidate.rows_gy)

    def _covers(self, candidate: Candidate) -> bool:
        return candidate.coverage_percent >= self.planning.prescription.coverage_percent - COVERED_WITHIN_PERCENT

    def _part(self, k: int, start: float, stop: float, *, can_stop: bool = True) -> Progress:
        low, high = self._span
        width = (high - low) / self._bench.rounds
        span = min(high, low + width * (k + start)), min(high, low + width * (k + stop))
        stage = f"round {k + 1}"
        return self._progress.part(*span, stage) if can_stop else self._progress.calm(*span, stage)

    def _improved(self, draft: Draft, k: int) -> Draft:
        try:
            return draft.improved(self.planning, self.levels, first=k == 0, progress=self._part(k, 0.0, 0.5))
        except StopOptimization:
            return draft
        except InfeasiblePlanError as error:
            if k > 0:
                raise
            self.notes.append(f"Round 1: optimizing what is delivered failed ({error}); delivered as sequenced.")
            return draft

    def deliverable(self, draft: Draft, k: int, can_stop: bool) -> Candidate:
        """Forward dose without what scaling leaves too few monitor units.

        Raises:
            InfeasiblePlanError: nothing is left.
        """
        while True:
            candidate = self._deliver(draft, k, can_stop)
            kept = self.kept(draft, candidate.factor, k)
            if kept is draft:
                return candidate
            draft = kept

    def kept(self, draft: Draft, factor: float, k: int) -> Draft:
        """The draft without what has too few monitor units when all are scaled; itself if nothing.

        Raises:
            InfeasiblePlanError: nothing is left.
        """
        try:
            kept = draft.kept(factor)
        except MachineLimitError as error:
            raise InfeasiblePlanError(
                f"within the hard limits ({'; '.join(x.describe() for x in self.reader.limits) or 'none'}) nothing "
                f"is left to deliver: {error}"
            ) from error
        if kept is not draft:
            least = draft.beams[0].machine.limits.min_monitor_units_per_segment
            out = draft.segments - kept.segments
            self.notes.append(
                f"Round {k + 1}: {out} segments would have less than {least:g} MU after scaling and were left out."
                if out
                else f"Round {k + 1}: scaling would leave parts of an arc too few MU per degree; they were given more."
            )
        return kept

    def _deliver(self, draft: Draft, k: int, can_stop: bool) -> Candidate:
        bench, prescription = self._bench, self.planning.prescription
        part = self._part(k, 0.5, 1.0, can_stop=can_stop)
        delivered = deliver(bench.engine, bench.phantom, draft.beams, self.planning, part)
        reading = self.reader.read(delivered.dose)
        found = candidate_of(draft, delivered, reading, self.reader.limits, bench.planning, prescription)
        reached = ", ".join(
            f"{p.limit.structure.name} {r:.2f} of {p.limit.limit_gy:g} Gy{' at worst' * p.everywhere}"
            for p, r in zip(self.reader.promises, reading.reached_gy, strict=True)
        )
        self.notes.append(
            f"Round {k + 1}: {draft.segments} apertures; delivered {reached or 'no hard limit'}; scaled by "
            f"{found.factor:.4f} it covers {found.coverage_percent:.1f} %."
        )
        logger.info("%s", self.notes[-1])
        return found

    def _move_aim(self, candidate: Candidate) -> None:
        """The target objective aims higher by what coverage lacks at the limits, and lower where it has too much.

        Room under the limits counts nothing: the next optimization spends it itself, on all that is asked for.
        """
        planning = self.planning
        prescription, weights = planning.prescription, planning.weights
        allowed = candidate.reading.factor(self.reader.limits, replace(prescription, dose_gy=1e6))
        reached = min(allowed, 1.0) * candidate.reading.coverage_dose_gy / prescription.dose_gy
        aim = min(max(weights.aim * min(max(1.0 / reached, 0.97), 1.06), 1.02), weights.ceiling - 0.05)
        weights = replace(weights, aim=aim)
        self.planning = planning.with_weights(weights)

    def _move_levels(self, candidate: Candidate) -> None:
        """Raise each level by what its constraint, a maximum or a mean, reads above D(cc) in the delivered dose.

        After a correction a constraint that still reads above the level that it was held at was predicted too low: what
        an optimization moves it moves where the matrix errs in its favor, and so it will next time. Part of the excess
        is taken off; the next correction takes the rest.
        """
        aims = {k: _aim_gy(limit) for k, limit in enumerate(self.planning.wishes.limits)}
        for k, own in self._in_constraints(candidate, aims).items():
            excess = max(0.0, own - self.levels[k]) if self._is_corrected else 0.0
            level = aims[k] + own - candidate.reading.reached_gy[k] - EXPECTED_AGAIN * excess
            self.levels[k] = _near(level, aims[k])

    def levels_at_limits(self, candidate: Candidate) -> tuple[float, ...]:
        """For each limit the level of its constraint at which, as this delivered dose says, the limit just holds.

        Not the levels that rounds move: those aim lower, by what the next prediction is expected to miss.
        """
        aims = {k: limit.limit_gy * (1.0 - SAFETY) for k, limit in enumerate(self.planning.wishes.limits)}
        own = self._in_constraints(candidate, aims)
        return tuple(
            _near(aim + own[k] - candidate.reading.reached_gy[k], aim) if k in own else aim for k, aim in aims.items()
        )

    def _in_constraints(self, candidate: Candidate, levels_gy: dict[int, float]) -> dict[int, float]:
        """The dose in Gy that each constraint compares with its level."""
        rows = candidate.rows_gy.sum(axis=1)
        return {
            k: (float(constraint.residual(rows[region.rows], region).max()) + 1.0) * constraint.dose_gy
            for k, (constraint, region) in self.planning.wishes.numbered_constraints(levels_gy).items()
        }


def _near(level: float, aim: float) -> float:
    return min(max(level, 0.7 * aim), 1.4 * aim)


def _aim_gy(limit: DoseVolumeLimit) -> float:
    return limit.limit_gy * (1.0 - SAFETY) * (1.0 - PREDICTION_SPARE)
