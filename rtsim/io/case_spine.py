"""From [spine] and [spine.hardware] of a case to the SpineSpec of the generator."""

from __future__ import annotations

from typing import Final

from rtsim.io.case_fields import Table
from rtsim.phantom.spine import Compartment, EpiduralGrade, LesionKind, LesionSite, SpineSpec
from rtsim.phantom.spine.hardware import Hardware, ImplantMaterial

_SPINE_KEYS: Final = (
    "level",
    "lesion",
    "site",
    "epidural",
    "compartment",
    "collapse_percent",
    "tumor_length_mm",
    "dumbbell",
    "hardware",
    "ptv_margin_mm",
    "cord_prv_mm",
    "spare_cord",
    "spacing_mm",
    "half_length_mm",
    "noise_hu",
    "seed",
    "roots",
    "more_organs",
)
_HARDWARE_KEYS: Final = ("material", "screws", "cage", "cement", "artefact", "artefact_overridden")


def spine_spec(t: Table) -> SpineSpec:
    """The spine that [spine] asks for; what it leaves out is as SpineSpec has it.

    Raises:
        CaseFileError: an unknown key or word (with the nearest), a wrong type.
        InputError: a spine that cannot be.
    """
    t.allow(*_SPINE_KEYS)
    usual = SpineSpec()
    return SpineSpec(
        level=t.text("level"),
        lesion=t.choice("lesion", {k.value: k for k in LesionKind}, usual.lesion),
        site=t.choice("site", {k.value: k for k in LesionSite}, usual.site),
        epidural=t.choice("epidural", {k.value: k for k in EpiduralGrade}, usual.epidural),
        compartment=t.choice("compartment", {k.value: k for k in Compartment}, usual.compartment),
        collapse_percent=t.number("collapse_percent", usual.collapse_percent),
        tumor_length_mm=t.optional_number("tumor_length_mm"),
        dumbbell=t.flag("dumbbell", usual.dumbbell),
        hardware=_hardware(t.table("hardware")) if "hardware" in t else None,
        ptv_margin_mm=t.number("ptv_margin_mm", usual.ptv_margin_mm),
        cord_prv_mm=t.number("cord_prv_mm", usual.cord_prv_mm),
        spare_cord=t.flag("spare_cord", usual.spare_cord),
        spacing_mm=t.vector("spacing_mm", usual.spacing_mm),
        half_length_mm=t.number("half_length_mm", usual.half_length_mm),
        noise_hu=t.number("noise_hu", usual.noise_hu),
        seed=t.integer("seed", usual.seed),
        roots=t.flag("roots", usual.roots),
        more_organs=t.flag("more_organs", usual.more_organs),
    )


def _hardware(t: Table) -> Hardware:
    t.allow(*_HARDWARE_KEYS)
    return Hardware(
        material=t.choice("material", {m.value: m for m in ImplantMaterial}, ImplantMaterial.TITANIUM),
        screws=t.texts("screws") if "screws" in t else (),
        cage=t.flag("cage", False),
        cement=t.flag("cement", False),
        artefact=t.flag("artefact", False),
        artefact_overridden=t.flag("artefact_overridden", False),
    )
