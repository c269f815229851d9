"""What ``rtsim run`` plans: by the technique of the protocol, and what other cord limits would have given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rtsim.beams.model import Beam
from rtsim.cli.request import Request
from rtsim.dose import CollapsedCone
from rtsim.errors import RtsimError
from rtsim.optimize import (
    Arcs,
    ConventionalSettings,
    Planned,
    PrescribedTo,
    StepAndShoot,
    Tradeoff,
    emergency,
    plan_conventional,
    plan_stereotactic,
    tradeoff,
)
from rtsim.optimize.delivery import Delivery
from rtsim.protocol import Technique
from rtsim.typing import Progress

PLANNING_SPACING_MM = 2.0
"""The influence matrix is computed no finer than this; the forward doses that correct and certify it may be.

The default grid of a stereotactic dose: at a PRV 1 mm from the target the dose falls by 20 % per mm, and a matrix on
2.5 mm was off by 3 to 8 % there, differently for each set of apertures, so that no round could correct the one before.
"""

ARC_PLANNING_SPACING_MM = 3.5
"""The same for arcs, whose matrix has five times the beams. How well their rounds correct
beside a PRV 1 mm from the target has not been measured."""


def plan_of(request: Request, progress: Progress | None) -> Planned:
    """Plan by the technique of the protocol; the dose is the forward dose of what is delivered."""
    engine = CollapsedCone(spacing_mm=request.spacing_mm)
    if request.is_emergency:
        return _emergency(request, engine, progress)
    if request.protocol.technique is Technique.CONVENTIONAL:
        usual = ConventionalSettings()
        return plan_conventional(
            request.phantom,
            request.prescription,
            request.protocol,
            request.machine,
            engine=engine,
            technique=request.arrangement,
            settings=usual if request.subfields is None else replace(usual, subfields=request.subfields),
            progress=progress,
        )
    delivery = request.delivery or StepAndShoot()
    finest = ARC_PLANNING_SPACING_MM if isinstance(delivery, Arcs) else PLANNING_SPACING_MM
    return plan_stereotactic(
        request.phantom,
        request.prescription,
        request.protocol,
        request.machine,
        engine=engine,
        planning_engine=CollapsedCone(spacing_mm=max(request.spacing_mm, finest)),
        delivery=delivery,
        scenarios=request.scenarios,
        beams=_beams(request, delivery),
        seed=request.seed,
        progress=progress,
    )


def _emergency(request: Request, engine: CollapsedCone, progress: Progress | None) -> Planned:
    """Open fields, by the same defaults as in a script: what is not asked for is left to ``emergency``."""
    wish = request.emergency
    return emergency(
        request.phantom,
        request.prescription.target,
        request.machine,
        dose_gy=request.prescription.dose_gy,
        fractions=request.prescription.fractions,
        technique=request.arrangement,
        at=None if wish.at is None else PrescribedTo[wish.at.upper()],
        depth_mm=wish.depth_mm,
        levels=wish.levels,
        margin_mm=wish.margin_mm,
        field_mm=wish.field_mm,
        protocol=request.protocol,
        engine=engine,
        progress=progress,
    )


def _beams(request: Request, delivery: Delivery) -> tuple[Beam, ...] | None:
    """The static beams that the case names, with beamlets; None leaves them to the delivery."""
    if not request.gantry_deg or isinstance(delivery, Arcs):
        return None
    target = request.phantom[request.prescription.target]
    return delivery.planning_beams(request.machine, target, request.gantry_deg)


def wants_tradeoff(request: Request, planned: Planned, coverage_percent: float) -> bool:
    """Where it was asked for, or where an optimized plan covers less than wanted: that is when one asks."""
    if planned.fluence is None:
        return False
    return request.has_tradeoff or coverage_percent < request.prescription.coverage_percent - 0.1


def tradeoff_or_none(planned: Planned, progress: Progress, say: Callable[[str], None]) -> Tradeoff | None:
    """The trade-off; None where no limit can be moved, which is said. The plan is finished."""
    try:
        return tradeoff(planned, progress=progress)
    except RtsimError as error:
        say(f"no trade-off: {error}")
        return None
