"""rtsim: CT -> phantom -> beams -> dose -> optimize -> evaluate -> view.

A radiotherapy dose planning simulator for the spine. It simulates and teaches; it is not a medical device.

    import rtsim as rt

    phantom = rt.load_phantom("spine_t8_epidural")
    machine = rt.load_machine("generic_6fff")
    protocol = rt.load_protocol("spine_sbrt_2fx")
    plan, dose = rt.optimize.plan_stereotactic(phantom, protocol.prescription("PTV"), protocol, machine)
    print(rt.evaluate.grade(dose, phantom, plan.prescription, protocol))

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

_FLOORS = ("beams", "biology", "clinic", "ct", "dose", "errors", "evaluate", "geometry", "io", "machine", "materials",
           "optimize", "phantom", "protocol", "view")
_NAMES: dict[str, tuple[str, str | None]] = {
    "phantoms": ("rtsim.phantom.builders", None),
}

__all__ = [*_FLOORS, *_NAMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _FLOORS:
        return importlib.import_module(f"rtsim.{name}")
    if name in _NAMES:
        module, attribute = _NAMES[name]
        loaded = importlib.import_module(module)
        return loaded if attribute is None else getattr(loaded, attribute)
    raise AttributeError(f"module 'rtsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
