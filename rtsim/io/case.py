"""Cases: one TOML file that says what is irradiated, what is wanted, and what a published or analytic result says.

    case = load_case("spine_t8_epidural")       # a bundled case by name, or any file by path
    case.phantom, case.prescription, case.protocol

Sections: [case]; one of [spine], [grid] with [[structures]], or [ct]; [patient]; [previous]; [prescription];
[protocol]; [[goals]]; [beams]; [[expect]]. Reading is strict: an unknown key is an error that lists the allowed ones.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rtsim.clinic.findings import Findings
from rtsim.errors import CaseFileError, InputError, unknown_name
from rtsim.io.case_fields import Table
from rtsim.io.case_patient import findings, previous_course
from rtsim.io.case_phantom import PhantomRecipe, phantom_recipe
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import Goal, Prescription, Priority, Sense, Source, Standing, Technique
from rtsim.typing import Progress

if TYPE_CHECKING:
    from rtsim.clinic.reirradiation import PreviousCourse

_STANDINGS = {"verified": Standing.VERIFIED, "literature": Standing.LITERATURE, "assumption": Standing.ASSUMPTION}
_SENSES = {"<=": Sense.AT_MOST, ">=": Sense.AT_LEAST}
_PRIORITIES = {p.value: p for p in Priority}
_TECHNIQUES = {t.value: t for t in Technique}
_TOP = (
    *("case", "grid", "structures", "spine", "ct", "patient", "previous"),
    *("prescription", "protocol", "goals", "beams", "expect"),
)


@dataclass(frozen=True, kw_only=True)
class ProtocolChoice:
    """Which protocol judges the case, at which of its dose levels, with which of its sets of cord limits."""

    name: str
    dose_gy: float | None = None
    cord_limits: str | None = None


class Arrangement(Enum):
    """The arrangements of rtsim.beams that a case can name; the value is the word in the TOML and the function."""

    POSTERIOR_ANTERIOR = "posterior_anterior"
    ANTERIOR_POSTERIOR = "anterior_posterior"
    LATERAL_PAIR = "lateral_pair"
    POSTERIOR_WITH_WEDGED_OBLIQUES = "posterior_with_wedged_obliques"
    POSTERIOR = "posterior"
    EQUIDISTANT = "equidistant"


@dataclass(frozen=True, kw_only=True)
class BeamChoice:
    """How the case is usually treated: an arrangement of rtsim.beams, or the gantry angles outright. What is None is
    left to the technique. ``delivery``: of a stereotactic plan, by the word that ``rtsim run --delivery`` takes."""

    machine: str | None = None
    technique: Technique | None = None
    arrangement: Arrangement | None = None
    gantry_deg: tuple[float, ...] = ()
    field_mm: tuple[float, float] | None = None
    ssd_mm: float | None = None
    delivery: str | None = None


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One number that a published or analytic result gives for the case: ``quantity`` (a metric such as ``D95%``,
    ``pdd_percent``, ``volume_cm3``) of ``structure`` or at ``depth_mm`` on the axis of a field of ``field_mm``."""

    quantity: str
    value: float
    tolerance: float
    unit: str
    source: str
    structure: str | None = None
    depth_mm: float | None = None
    field_mm: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case. ``phantom`` is built on first use and kept.

    Attributes:
        name, description, sources: who it is and where it comes from.
        histology: of the tumor, by its name in rtsim.biology; None when the case says nothing of it.
        recipe: how the phantom is built.
        findings: what is known of the patient beside the images.
        previous: an earlier course of radiotherapy to the same level, or None.
        prescription: None for a case that only measures dose.
        protocol: the protocol that judges it, or None.
        goals: goals of its own, beside the protocol's.
        beams: how it is usually treated.
        expects: what published or analytic results say.
        sha256: of the file; goes into every result.
        path: the file it was read from, for messages.
    """

    name: str
    description: str
    sources: tuple[str, ...]
    recipe: PhantomRecipe = field(repr=False)
    histology: str | None = None
    findings: Findings = field(default_factory=Findings)
    previous: PreviousCourse | None = None
    prescription: Prescription | None = None
    protocol: ProtocolChoice | None = None
    goals: tuple[Goal, ...] = ()
    beams: BeamChoice = BeamChoice()
    expects: tuple[Expectation, ...] = ()
    sha256: str = ""
    path: str = ""

    @cached_property
    def phantom(self) -> Phantom:
        """What is irradiated."""
        return self.build()

    def build(self, progress: Progress | None = None) -> Phantom:
        """Build the phantom, telling how far it is."""
        return self.recipe.build(
            name=self.name, description=self.description, case_sha256=self.sha256, progress=progress
        )


def case_names() -> tuple[str, ...]:
    """Names of the bundled cases."""
    return tuple(sorted(p.name.removesuffix(".toml") for p in cases_folder().iterdir() if p.name.endswith(".toml")))


def cases_folder() -> Path:
    """The folder of the bundled cases: rtsim/_phantoms in an installed wheel, phantoms/ beside rtsim in a checkout."""
    package = Path(str(resources.files("rtsim")))
    for folder in (package / "_phantoms", package.parent / "phantoms"):
        if folder.is_dir():
            return folder
    raise CaseFileError(
        f"the bundled cases are neither in {package / '_phantoms'} nor in {package.parent / 'phantoms'}; "
        "reinstall rtsim, or give the path of a case file"
    )


def load_case(name_or_path: str | Path) -> Case:
    """Read a case by path (anything with a .toml ending or a folder in it) or by the name of a bundled one.

    Raises:
        CaseFileError: no such file, not TOML, an unknown key, a wrong type, a value out of range.
        InputError: no bundled case of that name (with the nearest).
    """
    path = _find(name_or_path)
    data = path.read_bytes()
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaseFileError(f"{path.name} is not valid TOML: {error}") from error
    try:
        return _case(Table(raw, path.name), path, hashlib.sha256(data).hexdigest())
    except CaseFileError:
        raise
    except InputError as error:
        raise CaseFileError(f"{path.name}: {error}") from error


def load_phantom(name_or_path: str | Path, *, progress: Progress | None = None) -> Phantom:
    """The phantom of a case, by name or path."""
    return load_case(name_or_path).build(progress)


def _find(name_or_path: str | Path) -> Path:
    given = Path(name_or_path)
    if isinstance(name_or_path, Path) or given.suffix == ".toml" or len(given.parts) > 1:
        if not given.is_file():
            raise CaseFileError(
                f"case file {str(given)!r} does not exist; give a TOML file or one of: {', '.join(case_names())}"
            )
        return given
    if name_or_path not in case_names():
        raise InputError(unknown_name("case", name_or_path, case_names()))
    return cases_folder() / f"{name_or_path}.toml"


def _case(top: Table, path: Path, sha256: str) -> Case:
    top.allow(*_TOP)
    head = top.table("case")
    head.allow("name", "description", "sources", "histology")
    return Case(
        name=head.text("name"),
        description=head.text("description"),
        sources=head.texts("sources"),
        histology=head.text("histology") if "histology" in head else None,
        recipe=phantom_recipe(top, path.parent),
        findings=findings(top),
        previous=previous_course(top.table("previous")) if "previous" in top else None,
        prescription=_prescription(top.table("prescription")) if "prescription" in top else None,
        protocol=_protocol(top.table("protocol")) if "protocol" in top else None,
        goals=tuple(_goal(t) for t in top.tables("goals")),
        beams=_beams(top.table("beams")) if "beams" in top else BeamChoice(),
        expects=tuple(_expect(t) for t in top.tables("expect")),
        sha256=sha256,
        path=str(path),
    )


def _prescription(t: Table) -> Prescription:
    t.allow("target", "dose_gy", "fractions", "coverage_percent")
    return Prescription(
        t.text("target"), t.number("dose_gy"), t.integer("fractions"), t.number("coverage_percent", 95.0)
    )


def _protocol(t: Table) -> ProtocolChoice:
    t.allow("name", "dose_gy", "cord_limits")
    return ProtocolChoice(
        name=t.text("name"), dose_gy=t.optional_number("dose_gy"), cord_limits=t.optional_text("cord_limits")
    )


def _goal(t: Table) -> Goal:
    t.allow("structure", "metric", "sense", "value", "unit", "priority", "source", "standing", "note")
    source = Source(citation=t.text("source"), standing=t.choice("standing", _STANDINGS))
    return Goal(
        t.text("structure"),
        t.text("metric"),
        t.choice("sense", _SENSES),
        t.number("value"),
        t.text("unit"),
        t.choice("priority", _PRIORITIES),
        source,
        t.text("note", ""),
    )


def _beams(t: Table) -> BeamChoice:
    t.allow("machine", "technique", "arrangement", "gantry_deg", "field_mm", "ssd_mm", "delivery")
    if "arrangement" in t and "gantry_deg" in t:
        raise CaseFileError(f"{t.where}: arrangement and gantry_deg are both given; give one")
    return BeamChoice(
        machine=t.optional_text("machine"),
        technique=t.choice("technique", _TECHNIQUES) if "technique" in t else None,
        arrangement=t.choice("arrangement", {a.value: a for a in Arrangement}) if "arrangement" in t else None,
        gantry_deg=t.numbers("gantry_deg", None) if "gantry_deg" in t else (),
        field_mm=_pair(t, "field_mm"),
        ssd_mm=t.optional_number("ssd_mm"),
        delivery=t.optional_text("delivery"),
    )


def _expect(t: Table) -> Expectation:
    t.allow("quantity", "value", "tolerance", "unit", "source", "structure", "depth_mm", "field_mm", "note")
    return Expectation(
        quantity=t.text("quantity"),
        value=t.number("value"),
        tolerance=t.number("tolerance"),
        unit=t.text("unit"),
        source=t.text("source"),
        structure=t.optional_text("structure"),
        depth_mm=t.optional_number("depth_mm"),
        field_mm=_pair(t, "field_mm"),
        note=t.text("note", ""),
    )


def _pair(t: Table, key: str) -> tuple[float, float] | None:
    if key not in t:
        return None
    values = t.numbers(key, 2)
    return values[0], values[1]
