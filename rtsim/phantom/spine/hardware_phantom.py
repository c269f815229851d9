"""A phantom with its implants: structures, the CT as a scanner shows it, and the true matter for the dose engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rtsim.ct import CT
from rtsim.errors import InputError
from rtsim.geometry.coverage import coverage
from rtsim.geometry.shapes import Shape, Union
from rtsim.materials import Material, get
from rtsim.phantom.phantom import DensityOverride, Phantom
from rtsim.phantom.spine.artefact import HIGHEST_HU, ct_number, disturbed, shown, streaks
from rtsim.phantom.spine.hardware import Hardware, ImplantMaterial
from rtsim.phantom.spine.hardware_shapes import ImplantShapes, implant_shapes
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import Float32Array

IMPLANT_MATERIAL: Final = {ImplantMaterial.TITANIUM: "ti6al4v", ImplantMaterial.CARBON_PEEK: "cfr_peek"}
"""Names in rtsim.materials, where compositions and sources stand."""
CEMENT_MATERIAL: Final = "cement_30baso4"
"""Cements for vertebroplasty carry about 30 % of barium sulfate. [M]"""
ARTEFACT_STRUCTURE: Final = "metal_artefact"
_GRAFT_HU: Final = 300.0
"""Bone graft in a cage. [A]"""
_COLORS: Final = {
    ImplantMaterial.TITANIUM: {"screws": (176, 184, 194), "rods": (150, 160, 172), "cage": (196, 202, 208)},
    ImplantMaterial.CARBON_PEEK: {"screws": (72, 78, 88), "rods": (56, 62, 72), "cage": (92, 98, 108)},
}
_CEMENT_COLOR: Final = (120, 200, 120)


def instrumented(
    phantom: Phantom, hardware: Hardware, vertebrae: Sequence[Vertebra], target: str, seed: int
) -> Phantom:
    """``phantom`` after surgery.

    Structures: screws, rods, cage, cement, as far as there are any (Role.IMPLANT; they share no space), and
    metal_artefact with ``hardware.artefact``. The CT shows the implants by their CT numbers, cut off at 3071 HU, and
    their streaks when asked for. Density and material are those of the tissue (with the streaks that the CT shows),
    then of the implants by overrides: what the dose engines see of the implants is true whatever the CT shows.

    Args:
        phantom: before surgery, its HU on the default calibration curve.
        vertebrae: those that the CT holds, head to foot.
        target: level of the lesion.
        seed: of the cement's shape and of the noise behind metal.

    Raises:
        InputError: implants where there is no room for them.
    """
    shapes = implant_shapes(hardware, vertebrae, target, seed)
    tissue = phantom.ct.hu
    if shapes.graft is not None:
        inside = coverage(shapes.graft, phantom.grid)
        tissue = tissue + inside * (np.float32(_GRAFT_HU) - tissue)
    parts = _parts(phantom, hardware, shapes)
    _check_inside(phantom, shapes)
    overrides = [DensityOverride(structure=s.name, density_g_cm3=m.density_g_cm3, material=m) for s, m in parts]
    covered = [(m, s.coverage_on(phantom.grid)) for s, m in parts]
    structures = phantom.structures.adding(*(s for s, _ in parts))
    notes = [_said(parts)]
    seen = tissue
    if hardware.artefact:
        added = streaks(tissue, phantom.grid, covered, seed)
        metal = np.clip(np.sum([c for _, c in covered], axis=0), 0.0, 1.0)
        seen = tissue + added
        region = disturbed(added, tissue, phantom.external_mask()) * (1.0 - metal)
        notes.append("the CT shows the streaks of the implants, as one without metal artifact reduction does")
        if region.any():
            drawn = Structure.from_coverage(ARTEFACT_STRUCTURE, Role.CONTROL, phantom.grid, region, color=(200, 160, 0))
            structures = structures.adding(drawn)
            if hardware.artefact_overridden:
                overrides.insert(0, artefact_override())
            else:
                notes.append(
                    f"tissue takes wrong densities from the streaks ({drawn.volume_cm3:.0f} cm3 of soft tissue by 40 "
                    f"HU or more); override {ARTEFACT_STRUCTURE} to correct them"
                )
    matter = Phantom.from_ct(
        CT(shown(seen), phantom.grid, notes=phantom.ct.notes),
        structures,
        overrides=tuple(overrides),
        name=phantom.name,
        description=phantom.description,
        case_sha256=phantom.case_sha256,
    )
    picture = seen
    for material, part in covered:
        picture = picture + part * (np.float32(ct_number(material)) - picture)
    return replace(matter, ct=CT(shown(picture), phantom.grid, notes=phantom.ct.notes), notes=(*matter.notes, *notes))


def artefact_override() -> DensityOverride:
    """The override that corrects ``metal_artefact``: muscle, as planners do [M]."""
    muscle = get("muscle")
    return DensityOverride(structure=ARTEFACT_STRUCTURE, density_g_cm3=muscle.density_g_cm3, material=muscle)


def _parts(phantom: Phantom, hardware: Hardware, shapes: ImplantShapes) -> tuple[tuple[Structure, Material], ...]:
    """Each implant drawn, less those before it, and what it is made of."""
    metal, cement = get(IMPLANT_MATERIAL[hardware.material]), get(CEMENT_MATERIAL)
    colors = _COLORS[hardware.material]
    given: list[tuple[str, tuple[Shape, ...], Material, tuple[int, int, int]]] = [
        ("rods", shapes.rods, metal, colors["rods"]),
        ("screws", tuple(s.shape for s in shapes.screws), metal, colors["screws"]),
        ("cage", () if shapes.cage is None else (shapes.cage,), metal, colors["cage"]),
        ("cement", () if shapes.cement is None else (shapes.cement,), cement, _CEMENT_COLOR),
    ]
    taken = np.zeros(phantom.grid.shape, dtype=np.float32)
    out = []
    for name, pieces, material, color in given:
        if not pieces:
            continue
        whole: Float32Array = coverage(Union(pieces), phantom.grid)
        free = np.clip(whole - taken, 0.0, 1.0)
        taken = np.maximum(taken, whole)
        out.append((Structure.from_coverage(name, Role.IMPLANT, phantom.grid, free, color=color), material))
    return tuple(out)


def _check_inside(phantom: Phantom, shapes: ImplantShapes) -> None:
    """Raise InputError for screws that the CT cuts off."""
    low, high = phantom.grid.lower_mm[2], phantom.grid.upper_mm[2]
    cut = {s.level for s in shapes.screws if not all(low < p[2] < high for p in (s.tip_mm, s.entry_mm, s.head_mm))}
    if cut:
        raise InputError(
            f"the screws of {', '.join(sorted(cut))} reach out of the CT, which goes from z = {low:g} to {high:g} mm; "
            "raise half_length_mm or choose levels nearer to the lesion"
        )


def _said(parts: Sequence[tuple[Structure, Material]]) -> str:
    cut = sorted({m.name for _, m in parts if ct_number(m) > HIGHEST_HU})
    listed = ", ".join(f"{s.name} {s.volume_cm3:.1f} cm3 of {m.name}" for s, m in parts)
    end = f"; CT numbers of {' and '.join(cut)} lie beyond the scale, which ends at {HIGHEST_HU:g} HU" if cut else ""
    return f"implants: {listed}, by density and material and not by HU{end}"
