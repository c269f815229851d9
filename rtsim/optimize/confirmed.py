"""The best plan confirmed: its worst positions computed by the engine, and more rounds where that costs coverage."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.errors import InfeasiblePlanError, MachineLimitError
from rtsim.optimize.candidate import Candidate
from rtsim.optimize.interruptible import Interruptible
from rtsim.optimize.robust.positions import PositionsReading
from rtsim.optimize.robust.recomputed import recomputed
from rtsim.optimize.rounds import Bench, Rounds
from rtsim.optimize.solver import StopOptimization

WORTH_A_ROUND_PERCENT = 0.5
"""Coverage that the recomputed positions may cost before the plan is optimized again with what they taught."""

MORE_ROUNDS = 2
"""At most so often."""

MOST_TRIES = 5
"""Positions are computed again after segments were left out, at most so often; each time fewer are left."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Confirmed:
    """A candidate at the scale that its positions allow.

    Attributes:
        positions: of its dose before scaling.
    """

    candidate: Candidate
    positions: PositionsReading


def confirm(rounds: Rounds, bench: Bench, best: Candidate, bar: Interruptible, span: tuple[float, float]) -> Confirmed:
    """Compute the worst positions and scale to them; where that costs much, plan again and keep the best plan.

    A user who stopped gets the worst position computed, no more.

    Raises:
        InfeasiblePlanError: at the scale that the computed positions allow the machine has nothing to deliver.
    """
    parts = [span[0] + (span[1] - span[0]) * k / (MORE_ROUNDS + 1) for k in range(MORE_ROUNDS + 2)]
    kept = _recomputed(rounds, bench, best, bar, (parts[0], parts[1]))
    latest, wanted = kept, bench.planning.prescription.coverage_percent
    for k in range(MORE_ROUNDS):
        lost = min(best.coverage_percent, wanted) - min(kept.candidate.coverage_percent, wanted)
        if bar.stopped or lost < WORTH_A_ROUND_PERCENT:
            break
        rounds.notes.append(
            f"The recomputed positions cost {lost:.1f} % of the coverage; one more round with what they taught."
        )
        try:
            again = rounds.round(rounds.learned(latest.candidate), bench.rounds + k, can_stop=True)
            latest = _recomputed(rounds, bench, again, bar, (parts[k + 1], parts[k + 2]))
        except StopOptimization:
            break
        except (InfeasiblePlanError, MachineLimitError) as error:
            rounds.notes.append(f"It failed ({error}); the plan before it was kept.")
            break
        kept = latest if latest.candidate.rank > kept.candidate.rank else kept
    return kept


def _recomputed(
    rounds: Rounds, bench: Bench, candidate: Candidate, bar: Interruptible, span: tuple[float, float]
) -> Confirmed:
    """The candidate at the scale that its positions allow, without what the machine cannot deliver at this scale."""
    for _ in range(MOST_TRIES):
        count = min(bench.recomputed, 1) if bar.stopped else bench.recomputed
        progress = bar.calm(*span) if bar.stopped else bar.part(*span)
        rounds.reader, positions = recomputed(
            rounds.reader, candidate.dose, bench.engine, bench.phantom, candidate.beams, count, progress
        )
        prescription = bench.planning.prescription
        reread = candidate.read_again(positions.reading, rounds.reader.limits, bench.planning, prescription)
        kept = rounds.kept(candidate.draft, reread.factor, bench.rounds)
        if kept is candidate.draft:
            return Confirmed(candidate=reread, positions=positions)
        candidate = rounds.deliverable(kept, bench.rounds, can_stop=False)
    raise InfeasiblePlanError(
        f"scaled to the hard limits in the computed positions the plan still loses parts that would have too few "
        f"monitor units after {MOST_TRIES} attempts. Raise the limits or use fewer beams, arcs or fractions"
    )
