"""``rtsim advise``: which treatment, for a case or a patient's DICOM folder, and why."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from rtsim.biology import histology_names
from rtsim.cli.advise_arguments import COLLAPSE_WORDS
from rtsim.cli.advise_page import print_page
from rtsim.cli.console import ExitCode, terminal
from rtsim.clinic.advice_record import record_of
from rtsim.clinic.advising import advise as advised
from rtsim.clinic.escc_grade import EsccGrade
from rtsim.clinic.findings import (
    Alignment,
    Collapse,
    Findings,
    LesionQuality,
    Pain,
    Posterolateral,
    Stability,
)
from rtsim.ct import AboveCurve
from rtsim.errors import InputError
from rtsim.io.case import load_case
from rtsim.io.dicom_read import read_ct, read_structures
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine.spec import Compartment

_COLLAPSE: Final = dict(
    zip(
        COLLAPSE_WORDS,
        (Collapse.NONE, Collapse.NONE_BUT_HALF_INVOLVED, Collapse.LESS_THAN_HALF, Collapse.MORE_THAN_HALF),
        strict=True,
    )
)
_E = TypeVar("_E", bound=Enum)


def advise(arguments: argparse.Namespace) -> ExitCode:
    """Measure, ask and print."""
    phantom, tumor, known = _patient(arguments)
    name = arguments.histology or tumor
    if name is None:
        raise InputError(f"the histology is not known; give --histology, one of: {', '.join(histology_names())}")
    answer = advised(
        phantom,
        name,
        findings=_findings(arguments, known),
        scheme=arguments.scheme,
        level=arguments.level,
        tumor=tuple(arguments.gtv),
    )
    if arguments.json:
        terminal().print(json.dumps(record_of(answer), indent=2, ensure_ascii=False), markup=False)
    else:
        print_page(terminal(), answer)
    return ExitCode.DONE


def _patient(arguments: argparse.Namespace) -> tuple[Phantom, str | None, Findings]:
    """The phantom, and what the case says of it; a DICOM folder says nothing."""
    folder = Path(arguments.case)
    if folder.is_dir():
        # nothing is computed from densities here: metal above the curve is no reason to refuse
        structures = read_structures(folder, series=arguments.series, structure_set=arguments.structure_set)
        phantom = Phantom.from_ct(
            read_ct(folder, series=arguments.series), structures, above=AboveCurve.HOLD_LAST, name=folder.resolve().name
        )
        return phantom, None, Findings()
    for option, given in (("series", arguments.series), ("structure-set", arguments.structure_set)):
        if given is not None:
            raise InputError(f"--{option} chooses in a DICOM folder; {arguments.case!r} is a case")
    case = load_case(arguments.case)
    return case.build(), case.histology, case.findings


def _findings(arguments: argparse.Namespace, known: Findings) -> Findings:
    """What the case says, and over it what the command line says."""
    stability = None if arguments.stability is None else arguments.stability.replace("_", " ")
    given = {
        "pain": _member(Pain, arguments.pain),
        "alignment": _member(Alignment, arguments.alignment),
        "lesion": _member(LesionQuality, arguments.lesion),
        "collapse": None if arguments.collapse is None else _COLLAPSE[arguments.collapse],
        "posterolateral": _member(Posterolateral, arguments.posterolateral),
        "escc": _member(EsccGrade, arguments.escc),
        "stability": _member(Stability, stability),
        "compartment": _member(Compartment, arguments.compartment),
        "fit_for_surgery": arguments.fit,
        "survival_months": arguments.survival_months,
        "myelopathy": arguments.myelopathy,
        "paralysis_hours": arguments.paralysis_hours,
        "previous_radiotherapy": arguments.irradiated_before,
    }
    return replace(known, **{name: value for name, value in given.items() if value is not None})


def _member(kind: type[_E], word: str | None) -> _E | None:
    return None if word is None else kind(word)
