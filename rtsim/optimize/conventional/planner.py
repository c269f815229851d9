"""plan_conventional: fields and weights, the delivered dose, certificates."""

from __future__ import annotations

from rtsim.beams.delivery_limits import check_delivery
from rtsim.beams.model import Beam
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.dose.engine import Engine, check_engine
from rtsim.dose.result import Dose
from rtsim.errors import MachineLimitError, check_choice
from rtsim.machine.model import Machine
from rtsim.optimize.conventional.fields import Weighted, Workshop
from rtsim.optimize.conventional.normalization import COVERED_AT, scale
from rtsim.optimize.conventional.search import search
from rtsim.optimize.conventional.sentences import hot_spots_said, weights_said
from rtsim.optimize.conventional.settings import ConventionalSettings, FieldArrangement
from rtsim.optimize.delivered import Reader, certify
from rtsim.optimize.goals import sort_goals
from rtsim.optimize.plan import Plan, Planned
from rtsim.optimize.sequencing import check_segment_units
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription, Protocol
from rtsim.typing import Progress


def plan_conventional(
    phantom: Phantom,
    prescription: Prescription,
    protocol: Protocol,
    machine: Machine,
    *,
    engine: Engine,
    technique: FieldArrangement = FieldArrangement.PA_AND_OBLIQUES,
    settings: ConventionalSettings | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Plan with conformal fields: wedges and subfields compete, weights by a convex problem.

    Raises:
        InfeasiblePlanError: fields that do not reach the target, goals that contradict each other.
        MachineLimitError: a field larger than the machine's, or too many monitor units.
    """
    check_engine("engine", engine)
    check_choice("technique", technique, FieldArrangement)
    chosen = settings or ConventionalSettings()
    phantom, made = with_target_and_prv(phantom, prescription, protocol)
    target = phantom.structures[prescription.target]
    reader = Reader(target, sort_goals(protocol.goals_for(prescription), prescription, phantom).hard, prescription)
    parts = _doses_expected(technique, chosen, machine)
    workshop = Workshop(phantom, target, prescription, engine, chosen.margin_mm, parts, progress)
    choice = search(workshop, technique, machine, chosen)
    said = choice.said
    try:
        beams, dose, sentence = _delivered(workshop, choice.best, reader, technique)
    except MachineLimitError as error:
        if choice.best is choice.plain:
            raise
        beams, dose, sentence = _delivered(workshop, choice.plain, reader, technique)
        said = (*said, f"Planned without subfields after all: {error}.")
        choice = type(choice)(best=choice.plain, plain=choice.plain, said=said)
    if progress is not None:
        progress(1.0, "plan")
    certificates, unchecked = certify(protocol.goals_for(prescription), phantom, prescription, dose, COVERED_AT)
    notes = (
        *made,
        f"{technique.value}: fields conform to {target.name} + {chosen.margin_mm:g} mm; "
        f"{weights_said(choice.best, beams)}.",
        *said,
        sentence,
        *hot_spots_said(phantom, target, prescription, dose, technique),
        *unchecked,
    )
    plan = Plan(
        beams=beams,
        prescription=prescription,
        certificates=certificates,
        not_checked=unchecked,
        notes=notes,
        label=f"{technique.value} {prescription.dose_gy:g} Gy/{prescription.fractions}",
    )
    return Planned(plan=plan, dose=dose, phantom=phantom)


def _delivered(
    workshop: Workshop, best: Weighted, reader: Reader, technique: FieldArrangement
) -> tuple[tuple[Beam, ...], Dose, str]:
    """Beams scaled to the prescription or to a hard limit, their dose, and which it was.

    Raises:
        MachineLimitError: monitor units that the machine does not give.
    """
    rx = workshop.prescription
    beams = best.beams(rx.dose_gy)
    dose = workshop.forward(beams)
    factor, sentence = scale(workshop.target, rx, dose, reader, technique)
    beams = tuple(b.scaled(factor) for b in beams)
    for beam in beams:
        check_monitor_units(beam)
        check_segment_units(beam)
        if beam.machine.calibration is not None:
            check_delivery(beam)
    return beams, dose.scaled(factor), sentence


def _doses_expected(technique: FieldArrangement, settings: ConventionalSettings, machine: Machine) -> int:
    """How many forward doses of a field are likely, for the progress."""
    wedges = len(settings.wedges_tried(machine))
    if technique is not FieldArrangement.PA_AND_OBLIQUES:
        fields = 1 if technique is FieldArrangement.PA else 2
        return fields * (1 + settings.subfields)
    return 1 + 2 * (wedges + len(settings.oblique_deg) - 1) + (2 + 6 * settings.subfields if settings.subfields else 0)
