"""What ``rtsim run`` was asked for: from arguments and a case (or a DICOM folder) to everything a planner needs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from rtsim.biology import Histology, VertebraFindings, histology
from rtsim.cli.choices import CHECK_UNCERTAINTY_LIMITS_PERCENT, CHECK_UNCERTAINTY_PERCENT, EMERGENCY_PROTOCOL, MOST_SEED
from rtsim.cli.delivery import delivery_of, scenarios_of
from rtsim.cli.previous import base_limits, check_limits, check_previous, held_to, previous_of
from rtsim.cli.request_phantom import phantom_of, planned_on
from rtsim.cli.vertebra import vertebra_of
from rtsim.clinic.reirradiation import PreviousCourse
from rtsim.errors import InputError, unknown_name
from rtsim.io.case import Arrangement, Case, ProtocolChoice, load_case
from rtsim.machine import Machine, load_machine
from rtsim.optimize import FieldArrangement, Scenarios
from rtsim.optimize.delivery import Delivery
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import DoseLevel, Prescription, Protocol, Technique, for_fractions, load_protocol, names
from rtsim.typing import Progress


class Fields(Enum):
    """Conventional arrangements as the command line and case files write them."""

    PA = "pa"
    AP_PA = "ap_pa"
    PA_OBLIQUES = "pa_obliques"
    LATERALS = "laterals"


ARRANGEMENTS: Final[dict[Fields, FieldArrangement]] = {
    Fields.PA: FieldArrangement.PA,
    Fields.AP_PA: FieldArrangement.AP_PA,
    Fields.PA_OBLIQUES: FieldArrangement.PA_AND_OBLIQUES,
    Fields.LATERALS: FieldArrangement.LATERALS,
}
_CASE_ARRANGEMENTS: Final[dict[Arrangement, Fields]] = {
    Arrangement.POSTERIOR_ANTERIOR: Fields.PA,
    Arrangement.ANTERIOR_POSTERIOR: Fields.AP_PA,
    Arrangement.POSTERIOR_WITH_WEDGED_OBLIQUES: Fields.PA_OBLIQUES,
    Arrangement.LATERAL_PAIR: Fields.LATERALS,
}
_DEFAULT_MACHINE: Final = {Technique.STEREOTACTIC: "generic_6fff", Technique.CONVENTIONAL: "generic_6x"}
_DEFAULT_SPACING_MM: Final = {Technique.STEREOTACTIC: 2.0, Technique.CONVENTIONAL: 2.5}
"""Fall-off of a stereotactic plan needs the finer grid; both may be set with --spacing."""


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """A second opinion: by which engine, and to which mean standard deviation.

    Attributes:
        histories: of all runs together, instead of as many as the uncertainty takes; None = those.
    """

    engine: str
    uncertainty_percent: float
    histories: int | None = None


@dataclass(frozen=True, kw_only=True)
class EmergencyRequest:
    """What is asked of open fields; None leaves it to ``rtsim.optimize.emergency``, whose arguments these are."""

    at: str | None = None
    depth_mm: float | None = None
    levels: int | None = None
    margin_mm: float | None = None
    field_mm: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """Everything that a planner needs.

    Attributes:
        delivery, scenarios: of a stereotactic plan; None leaves them to the planner.
        has_tradeoff: the trade-off between cord limit and coverage is wanted even where coverage is reached.
        subfields: of each conventional field; None leaves them to the planner.
        is_emergency, emergency: open fields, nothing optimized; which ones.
        vertebra: what bears on its fracture, said or seen on the CT; None where no phantom was looked at.
        previous: an earlier course; what it left is the cord limit of ``protocol`` already.
    """

    phantom: Phantom
    prescription: Prescription
    protocol: Protocol
    machine: Machine
    arrangement: FieldArrangement
    gantry_deg: tuple[float, ...]
    spacing_mm: float
    seed: int
    histology: Histology | None
    is_from_dicom: bool
    check: CheckRequest | None = None
    delivery: Delivery | None = None
    scenarios: Scenarios | None = None
    has_tradeoff: bool = False
    subfields: int | None = None
    is_emergency: bool = False
    emergency: EmergencyRequest = EmergencyRequest()
    vertebra: VertebraFindings | None = None
    previous: PreviousCourse | None = None


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse combinations that cannot work, before anything slow is done.

    Raises:
        InputError: neither or both of a case and --dicom; --dicom without target or protocol; a spacing, a seed
            or an uncertainty out of range; a previous course that cannot be.
    """
    if (arguments.case is None) == (arguments.dicom is None):
        raise InputError(
            "give either a case (rtsim run spine_t8_epidural -o out) or --dicom FOLDER, not both and not neither"
        )
    if arguments.dicom is not None:
        for name in ("target",) if arguments.emergency else ("target", "protocol"):
            if getattr(arguments, name) is None:
                raise InputError(
                    f"--dicom needs --{name}; 'rtsim info {arguments.dicom}' lists the structures, "
                    "'rtsim info' the protocols"
                )
    else:
        for option, given in (("series", arguments.series), ("structure-set", arguments.structure_set)):
            if given is not None:
                raise InputError(f"--{option} chooses in a DICOM folder (--dicom); {arguments.case!r} is a case")
    if arguments.spacing is not None and not 0.5 <= arguments.spacing <= 5.0:
        raise InputError(f"--spacing is {arguments.spacing:g} mm; a plan is computed on 0.5 to 5 mm")
    if not 0 <= arguments.seed <= MOST_SEED:
        raise InputError(f"--seed is {arguments.seed}; a whole number from 0 to 2^58 - 1 = {MOST_SEED} is needed")
    _check_wanted(arguments)
    _emergency(arguments)
    check_previous(arguments)


def request_of(arguments: argparse.Namespace, progress: Progress | None, case: Case | None = None) -> Request:
    """Read, build and check what the arguments ask for; of ``case`` when it has been read already.

    Raises:
        RtsimError: whatever is wrong with the input, with what to do.
    """
    if case is None and arguments.case is not None:
        case = load_case(arguments.case)
    protocol, prescription = _wanted(arguments, case)
    chosen_machine = arguments.machine or (case.beams.machine if case else None) or _DEFAULT_MACHINE[protocol.technique]
    machine = load_machine(chosen_machine)
    tumor = arguments.histology or (case.histology if case else None)
    cells = None if tumor is None else histology(tumor)
    fields = _fields(arguments, case, protocol.technique)
    is_stereotactic = protocol.technique is Technique.STEREOTACTIC
    delivery = delivery_of(
        arguments.delivery or (case.beams.delivery if case and is_stereotactic else None),
        protocol.technique,
        arguments.arcs,
    )
    subfields = _subfields(arguments, protocol.technique)
    scenarios = scenarios_of(arguments.scenarios, protocol.technique)
    has_tradeoff = _tradeoff_wanted(arguments, protocol.technique)
    phantom = phantom_of(arguments, case, progress)
    phantom, ptv = planned_on(arguments, phantom, protocol, prescription.target)
    previous = previous_of(arguments, case, phantom)
    check_limits(arguments, previous)
    rx = replace(prescription, target=ptv)
    return Request(
        phantom=phantom,
        prescription=rx,
        protocol=held_to(protocol, previous, phantom, arguments.cord_limits),
        machine=machine,
        arrangement=ARRANGEMENTS[fields],
        gantry_deg=_gantry_deg(case),
        spacing_mm=arguments.spacing or _DEFAULT_SPACING_MM[protocol.technique],
        seed=arguments.seed,
        histology=cells,
        is_from_dicom=arguments.dicom is not None,
        check=_check_wanted(arguments),
        delivery=delivery,
        scenarios=scenarios,
        has_tradeoff=has_tradeoff,
        subfields=subfields,
        is_emergency=arguments.emergency,
        emergency=_emergency(arguments),
        vertebra=vertebra_of(case, phantom),
        previous=previous,
    )


def _tradeoff_wanted(arguments: argparse.Namespace, technique: Technique) -> bool:
    if arguments.tradeoff and technique is Technique.CONVENTIONAL:
        raise InputError(
            "--tradeoff optimizes the fluence again for other cord limits; a conventional plan has none: choose a "
            "stereotactic protocol ('rtsim info' lists them) or leave --tradeoff out"
        )
    return bool(arguments.tradeoff)


def _check_wanted(arguments: argparse.Namespace) -> CheckRequest | None:
    percent = arguments.check_uncertainty
    if arguments.check is None:
        if percent is not None:
            raise InputError("--check-uncertainty is about the dose of --check; add --check monte_carlo")
        return None
    low, high = CHECK_UNCERTAINTY_LIMITS_PERCENT
    if percent is not None and not low <= percent <= high:
        raise InputError(f"--check-uncertainty is {percent:g} %; {low:g} to {high:g} % (one standard deviation)")
    return CheckRequest(engine=arguments.check, uncertainty_percent=percent or CHECK_UNCERTAINTY_PERCENT)


def _wanted(arguments: argparse.Namespace, case: Case | None) -> tuple[Protocol, Prescription]:
    choice = None if case is None else case.protocol
    if arguments.emergency and arguments.protocol is None:
        choice = ProtocolChoice(name=EMERGENCY_PROTOCOL)
    name = arguments.protocol or (choice.name if choice else None)
    if name is None:
        return _by_its_own_goals(arguments, case)
    own = choice is not None and arguments.protocol in (None, choice.name)
    limits = base_limits(arguments) or (choice.cord_limits if choice and own else None)
    protocol = _for_fractions(arguments, load_protocol(name), name)
    if limits is not None:
        protocol = protocol.with_cord_limits(limits)
    if case is not None and case.goals:
        protocol = replace(protocol, goals=protocol.goals + case.goals)
    own_dose = choice.dose_gy if choice and own and arguments.fractions is None else None
    dose = arguments.dose if arguments.dose is not None else own_dose
    target = arguments.target or (case.prescription.target if case and case.prescription else "PTV")
    return protocol, protocol.prescription(target, dose)


def _for_fractions(arguments: argparse.Namespace, protocol: Protocol, name: str) -> Protocol:
    """The protocol for --fractions and --dose, where they are other than its own."""
    count: int | None = arguments.fractions
    if count is None:
        return protocol
    if name not in names():
        raise InputError(
            f"--fractions makes a protocol of rtsim for another number of fractions; {name} is a file of your own: "
            "write the number there"
        )
    dose_gy = arguments.dose
    if dose_gy is None:
        if count == protocol.default_level.fractions:
            return protocol
        raise InputError(f"--fractions {count} needs a dose; add --dose GY, the sum over all fractions")
    return for_fractions(dose_gy, count, protocol.technique)


def _by_its_own_goals(arguments: argparse.Namespace, case: Case | None) -> tuple[Protocol, Prescription]:
    """A case that brings goals and a prescription needs no protocol (TG-119)."""
    if case is None or case.prescription is None or not case.goals:
        raise InputError(
            f"case {arguments.case!r} names no protocol: it only measures dose; choose one with --protocol"
        )
    if arguments.dose is not None or arguments.fractions is not None or arguments.cord_limits is not None:
        raise InputError(
            f"case {case.name!r} has goals of its own; --dose, --fractions and --cord-limits choose within a --protocol"
        )
    rx = case.prescription
    protocol = Protocol(
        name=case.name,
        description=case.description,
        technique=case.beams.technique or Technique.STEREOTACTIC,
        dose_levels=(DoseLevel(rx.dose_gy, rx.fractions, default=True),),
        goals=case.goals,
        cord_margin_mm=0.0,
        ptv_margin_mm=0.0,
        coverage_percent=rx.coverage_percent,
    )
    return protocol, protocol.prescription(rx.target)


def _subfields(arguments: argparse.Namespace, technique: Technique) -> int | None:
    given: int | None = arguments.subfields
    if given is not None and (technique is Technique.STEREOTACTIC or arguments.emergency):
        raise InputError(
            "--subfields is about the wedged and conformal fields of a conventional plan; stereotactic plans choose "
            "their segments themselves, and emergency fields are open"
        )
    return given


def _fields(arguments: argparse.Namespace, case: Case | None, technique: Technique) -> Fields:
    if arguments.emergency:
        return _emergency_fields(arguments, technique)
    if arguments.fields is not None:
        if technique is Technique.STEREOTACTIC:
            raise InputError(
                "--fields arranges the fields of a conventional protocol; a stereotactic plan has its own beams"
            )
        return Fields(arguments.fields)
    named = case.beams.arrangement if case else None
    if named is None or technique is Technique.STEREOTACTIC:
        return Fields.PA_OBLIQUES
    if named not in _CASE_ARRANGEMENTS:
        raise InputError(
            unknown_name("arrangement of a conventional plan", named.value, [a.value for a in _CASE_ARRANGEMENTS])
        )
    return _CASE_ARRANGEMENTS[named]


def _emergency(arguments: argparse.Namespace) -> EmergencyRequest:
    """Which open fields.

    Raises:
        InputError: options of --emergency without it, or two that exclude each other.
    """
    names = ("at", "depth", "levels", "margin", "field")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if given and not arguments.emergency:
        raise InputError(f"--{next(iter(given))} is about open emergency fields; add --emergency, or leave it out")
    for one, other in (("at", "depth"), ("field", "levels"), ("field", "margin")):
        if one in given and other in given:
            raise InputError(f"--{one} and --{other} are given; one of them is enough, the other would be ignored")
    return EmergencyRequest(
        at=given.get("at"),
        depth_mm=given.get("depth"),
        levels=given.get("levels"),
        margin_mm=given.get("margin"),
        field_mm=None if "field" not in given else (given["field"][0], given["field"][1]),
    )


def _emergency_fields(arguments: argparse.Namespace, technique: Technique) -> Fields:
    if technique is Technique.STEREOTACTIC:
        raise InputError(
            f"--emergency gives open fields; protocol {arguments.protocol} is stereotactic. Leave --protocol out "
            f"({EMERGENCY_PROTOCOL}) or choose a conventional one"
        )
    if arguments.fields not in (None, "pa", "ap_pa"):
        raise InputError(f"--fields {arguments.fields} with --emergency; open emergency fields are pa or ap_pa")
    return Fields(arguments.fields or "pa")


def _gantry_deg(case: Case | None) -> tuple[float, ...]:
    """Angles of an intensity-modulated plan; empty leaves them to the planner (thirteen posterior beams)."""
    if case is None:
        return ()
    if case.beams.arrangement is Arrangement.EQUIDISTANT:
        return tuple(40.0 * n for n in range(9))
    return case.beams.gantry_deg


def case_name(arguments: argparse.Namespace) -> str:
    """What is planned, for titles."""
    return str(arguments.case or Path(arguments.dicom).resolve().name)
