"""rtsim: CT -> phantom -> beams -> dose -> optimize -> evaluate -> view.

A radiotherapy dose planning simulator for the spine. It simulates and teaches; it is not a medical device.

    import rtsim as rt

    phantom = rt.load_phantom("spine_t8_epidural")
    machine = rt.load_machine("generic_6fff")
    protocol = rt.load_protocol("spine_sbrt_2fx")
    rx = protocol.prescription("PTV")
    planned = rt.optimize.plan_stereotactic(phantom, rx, protocol, machine, engine=rt.CollapsedCone())
    print(rt.evaluate.grade(planned.dose, planned.phantom, rx, protocol))

Names are loaded on first use, so that ``import rtsim`` is fast and pulls in neither VTK nor pydicom nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rtsim import (
        beams,
        biology,
        clinic,
        ct,
        dose,
        errors,
        evaluate,
        geometry,
        io,
        machine,
        materials,
        optimize,
        phantom,
        protocol,
        view,
    )
    from rtsim.beams.model import Beam
    from rtsim.dose import CollapsedCone, Dose, Influence, MonteCarlo, PencilBeam
    from rtsim.geometry.grid import Grid
    from rtsim.io.case import load_case, load_phantom
    from rtsim.io.recompute import recompute
    from rtsim.machine import Machine, load_machine
    from rtsim.optimize import Plan
    from rtsim.phantom import builders as phantoms
    from rtsim.phantom.phantom import DensityOverride, Phantom
    from rtsim.phantom.structure import Role, Structure, Structures
    from rtsim.protocol import Goal, Prescription, load_protocol

_FLOORS = (
    "beams",
    "biology",
    "clinic",
    "ct",
    "dose",
    "errors",
    "evaluate",
    "geometry",
    "io",
    "machine",
    "materials",
    "optimize",
    "phantom",
    "protocol",
    "view",
)
_MODULE_OF = {
    "Beam": "rtsim.beams.model",
    "CollapsedCone": "rtsim.dose",
    "DensityOverride": "rtsim.phantom.phantom",
    "Dose": "rtsim.dose",
    "Goal": "rtsim.protocol",
    "Grid": "rtsim.geometry.grid",
    "Influence": "rtsim.dose",
    "Machine": "rtsim.machine",
    "MonteCarlo": "rtsim.dose",
    "PencilBeam": "rtsim.dose",
    "Phantom": "rtsim.phantom.phantom",
    "Plan": "rtsim.optimize",
    "Prescription": "rtsim.protocol",
    "Role": "rtsim.phantom.structure",
    "Structure": "rtsim.phantom.structure",
    "Structures": "rtsim.phantom.structure",
    "load_case": "rtsim.io.case",
    "load_machine": "rtsim.machine",
    "load_phantom": "rtsim.io.case",
    "load_protocol": "rtsim.protocol",
    "recompute": "rtsim.io.recompute",
}

__all__ = [
    "Beam",
    "CollapsedCone",
    "DensityOverride",
    "Dose",
    "Goal",
    "Grid",
    "Influence",
    "Machine",
    "MonteCarlo",
    "PencilBeam",
    "Phantom",
    "Plan",
    "Prescription",
    "Role",
    "Structure",
    "Structures",
    "__version__",
    "beams",
    "biology",
    "clinic",
    "ct",
    "dose",
    "errors",
    "evaluate",
    "geometry",
    "io",
    "load_case",
    "load_machine",
    "load_phantom",
    "load_protocol",
    "machine",
    "materials",
    "optimize",
    "phantom",
    "phantoms",
    "protocol",
    "recompute",
    "view",
]


def __getattr__(name: str) -> Any:
    if name in _FLOORS:
        return importlib.import_module(f"rtsim.{name}")
    if name == "phantoms":
        return importlib.import_module("rtsim.phantom.builders")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'rtsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
