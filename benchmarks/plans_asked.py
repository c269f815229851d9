"""What the benchmarks of plans ask for, in the words of ``rtsim run``: the same requests, the same planner."""

from __future__ import annotations

from dataclasses import replace

from rtsim.cli.main import parser
from rtsim.cli.request import Request, request_of
from rtsim.io.case import case_names, load_case
from rtsim.phantom.margins import expand
from rtsim.phantom.structure import Role
from rtsim.phantom.targets import CORD, CORD_PRV
from rtsim.protocol import Technique


def asked(case: str, *options: str) -> Request:
    """What ``rtsim run CASE options`` would plan."""
    return request_of(parser().parse_args(["run", case, "-o", "unused", *options]), None)


def stereotactic_spines() -> tuple[str, ...]:
    """The bundled spine cases that are planned stereotactically."""
    found = []
    for name in case_names():
        case = load_case(name)
        if name.startswith("spine_") and case.beams.technique is Technique.STEREOTACTIC:
            found.append(name)
    return tuple(found)


def with_prv(request: Request, margin_mm: float) -> Request:
    """The same with the PRV drawn as cord + ``margin_mm``; target and everything else stay."""
    phantom = request.phantom
    prv = expand(phantom[CORD], margin_mm, phantom.grid, name=CORD_PRV, role=Role.PRV)
    return replace(request, phantom=phantom.with_structures(prv))
