"""The end of a stereotactic plan: monitor units scaled, every promise checked once more, certificates written."""

from __future__ import annotations

from dataclasses import replace

from rtsim.beams.monitor_units import check_monitor_units
from rtsim.errors import InfeasiblePlanError, MachineLimitError
from rtsim.optimize.candidate import Candidate
from rtsim.optimize.confirmed import Confirmed
from rtsim.optimize.delivered import COVERED_WITHIN_PERCENT, SAFETY, Beyond, Reading, certify
from rtsim.optimize.fluence import FluencePlan
from rtsim.optimize.plan import Plan, Planned, PositionsHeld
from rtsim.optimize.robust.corners import at_once
from rtsim.optimize.robust.positions import InPositions, PositionsReader
from rtsim.optimize.robust.scenarios import Scenarios
from rtsim.optimize.rounds import Bench
from rtsim.optimize.wishes import Wishes
from rtsim.protocol.model import Goal


def finished(
    best: Confirmed,
    bench: Bench,
    reader: PositionsReader,
    scenarios: Scenarios,
    goals: tuple[Goal, ...],
    fluence: FluencePlan,
    notes: tuple[str, ...],
    levels_gy: tuple[float, ...],
) -> Planned:
    """The plan of a confirmed candidate.

    Raises:
        InfeasiblePlanError: a limit does not hold after all; it is named.
        MachineLimitError: the machine cannot deliver the scaled beams.
    """
    candidate, prescription = best.candidate, fluence.prescription
    beams = tuple(b.scaled(candidate.factor) for b in candidate.beams)
    for beam in beams:
        check_monitor_units(beam)
    if candidate.obstacle:
        raise MachineLimitError(
            f"scaled by {candidate.factor:.4f} to coverage and limits the plan cannot be delivered: "
            f"{candidate.obstacle}. Raise the limits or use fewer beams, arcs or fractions"
        )
    dose = candidate.dose.scaled(candidate.factor)
    positions = tuple(p.scaled(candidate.factor) for p in best.positions.positions)
    # margins and recomputed positions scale with the monitor units; the planned position is read again
    planned = replace(reader, displacements=reader.displacements[:1]).read(dose)
    _check(reader, planned, positions)
    inside = tuple(p.limit.goal for p in reader.promises if p.because)
    beyond = _beyond(reader, planned, positions, scenarios, at_once(reader, dose, scenarios))
    certificates, unchecked = certify((*goals, *inside), bench.phantom, prescription, dose, beyond=beyond)
    units = sum(b.monitor_units for b in beams)
    reason = _scaled_to(candidate, reader, fluence.planning.wishes)
    scaled = (
        f"All monitor units were scaled by {candidate.factor:.4f} to the {reason}; "
        f"{candidate.draft.segments} apertures, {units:.0f} MU per fraction, "
        f"{units / prescription.dose_per_fraction_gy:.0f} MU/Gy{_more_than_wished(units, fluence)}."
    )
    reasons = ((p.limit.describe(), p.because or p.remark) for p in reader.promises)
    because = tuple(f"{limit}: {reason}." for limit, reason in reasons if reason)
    plan = Plan(
        beams=beams,
        prescription=prescription,
        certificates=certificates,
        not_checked=unchecked,
        notes=(*notes, *because, scaled, *unchecked),
        label=f"stereotactic {prescription.dose_gy:g} Gy/{prescription.fractions}",
    )
    return Planned(plan=plan, dose=dose, phantom=bench.phantom, fluence=fluence, levels_gy=levels_gy)


def _more_than_wished(units: float, fluence: FluencePlan) -> str:
    """Monitor units are limited in the fluence; what is made of it may need more, which is said."""
    wished = fluence.planning.weights.monitor_units_per_gy
    if wished is None or units <= wished * fluence.prescription.dose_per_fraction_gy:
        return ""
    return f" (more than the {wished:g} that the fluence was limited to: what is delivered needs more beam-on time)"


def _scaled_to(candidate: Candidate, reader: PositionsReader, wishes: Wishes) -> str:
    """What came first."""
    prescription = reader.prescription
    if candidate.coverage_percent >= prescription.coverage_percent - COVERED_WITHIN_PERCENT:
        return "wanted coverage"
    by_limits = candidate.reading.factor(reader.limits, prescription)
    if candidate.factor >= wishes.own_scale(candidate.rows_gy.sum(axis=1), candidate.dose):
        return "limit of one's own"
    return "hard limit" if candidate.factor >= by_limits else "most monitor units that the machine gives a beam"


def _check(reader: PositionsReader, planned: Reading, positions: tuple[InPositions, ...]) -> None:
    broken = [
        f"{p.limit.describe()} (got {reached:.2f} Gy as planned)."
        for p, reached in zip(reader.promises, planned.reached_gy, strict=True)
        if reached > p.limit.limit_gy
    ]
    broken += [
        f"{p.promise.limit.describe()} (got {p.reached_gy[p.worst]:.2f} Gy: {p.names[p.worst]})."
        for p in positions
        if p.promise.everywhere and p.held < len(p.names)
    ]
    if broken:
        raise InfeasiblePlanError(
            f"the hard limits could not be held: {' '.join(broken)} Raise the limit, lower the prescription or choose "
            "other beams"
        )
    if not planned.coverage_dose_gy > 0:
        raise InfeasiblePlanError(
            f"within the hard limits ({'; '.join(limit.describe() for limit in reader.limits) or 'none'}) "
            f"{reader.prescription.coverage_percent:g} % of {reader.target.name} get no dose at all. Raise the limit "
            "or choose other beams"
        )


def _beyond(
    reader: PositionsReader,
    planned: Reading,
    positions: tuple[InPositions, ...],
    scenarios: Scenarios,
    together: dict[int, str],
) -> dict[tuple[str, str], Beyond]:
    """For each promise: positions, the dose that counts, and the limit that the wanted coverage would need."""
    found = {id(p.promise): p for p in positions}
    more = reader.prescription.dose_gy / planned.coverage_dose_gy / (1.0 - SAFETY)
    out = {}
    for promise, reached in zip(reader.promises, planned.reached_gy, strict=True):
        own = found.get(id(promise))
        compared = max(own.reached_gy) if own is not None and promise.everywhere else reached
        needed = compared * more
        out[promise.limit.structure.name, promise.limit.goal.parsed.name] = Beyond(
            positions=None if own is None else _held(own, scenarios, together.get(id(promise), "")),
            compared_gy=compared,
            needed_gy=needed if needed > promise.limit.limit_gy else None,
        )
    return out


def _held(own: InPositions, scenarios: Scenarios, together: str) -> PositionsHeld:
    remark = own.promise.remark and f"{own.promise.remark[0].upper()}{own.promise.remark[1:]}."
    computed = tuple(name for name, exact in zip(own.names[1:], own.recomputed[1:], strict=True) if exact)
    return PositionsHeld(
        scenarios=f"{scenarios.describe()}, rotations about the isocenter",
        promised=own.promise.everywhere,
        count=len(own.names),
        held=own.held,
        worst=own.names[own.worst],
        worst_gy=own.reached_gy[own.worst],
        recomputed=computed,
        margin_percent=100.0 * own.margin,
        sizes=scenarios.sizes,
        remarks=tuple(filter(None, (remark, together))),
    )
