"""All pictures of a comparison, drawn once: for the page, and for the folder of PNG files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsim.evaluate.comparison import CORD_ALPHA_BETA_GY
from rtsim.typing import Progress
from rtsim.view.compare_difference import SCALE_PERCENT, difference_figure
from rtsim.view.compare_model import ComparedPatient
from rtsim.view.compare_plots import balance_figure, dvh_comparison_figure
from rtsim.view.compare_slices import dose_comparison_figure
from rtsim.view.compare_twins import are_of_one_matter, are_twins
from rtsim.view.report_pictures import Picture
from rtsim.view.slices import figure_png

_DPI = 120


@dataclass(frozen=True, kw_only=True)
class PatientPictures:
    """Of one patient: the balance of tumor and cord, the doses, the histograms."""

    balance: Picture
    doses: Picture
    dvh: Picture


@dataclass(frozen=True, kw_only=True)
class ComparisonPictures:
    """Of every patient; and the difference of each twin from the first patient, None for one who is no twin."""

    patients: tuple[PatientPictures, ...]
    differences: tuple[Picture | None, ...] = ()

    @property
    def all(self) -> tuple[Picture, ...]:
        """Every picture."""
        own = [picture for p in self.patients for picture in (p.balance, p.doses, p.dvh)]
        return (*own, *(d for d in self.differences if d is not None))


def compare_pictures(patients: Sequence[ComparedPatient], *, progress: Progress | None = None) -> ComparisonPictures:
    """Draw everything; the color scale of EQD2 is the same for all."""
    drawn = []
    for n, patient in enumerate(patients):
        if progress is not None:
            progress(n / (len(patients) + 1), f"pictures of {patient.comparison.name}")
        drawn.append(_of(patient))
    differences = tuple(_difference(patients[0], other) for other in patients[1:])
    return ComparisonPictures(patients=tuple(drawn), differences=differences)


def _of(patient: ComparedPatient) -> PatientPictures:
    name, ratio = patient.comparison.name, patient.comparison.alpha_beta_gy
    tumor = patient.comparison.results[0].tumor.structure
    return PatientPictures(
        balance=Picture(
            name=f"{name}_balance",
            png=figure_png(balance_figure(patient.comparison), dpi=_DPI),
            caption="For each scheme: modelled control of the tumor, and the near-maximum dose of the cord beside its "
            "limit. * outside the doses that the models of control were fitted to.",
        ),
        doses=Picture(
            name=f"{name}_doses",
            png=figure_png(dose_comparison_figure(patient), dpi=_DPI),
            caption=f"EQD2 on one color scale. Upper rows: as the tumor feels it (alpha/beta {ratio:g} Gy), with D95% "
            f"of the {tumor} and its control. Lowest row: as the cord feels it (alpha/beta {CORD_ALPHA_BETA_GY:g} Gy), "
            "with its near-maximum and its limit. Axial slices are seen from the feet.",
        ),
        dvh=Picture(
            name=f"{name}_dvh",
            png=figure_png(dvh_comparison_figure(patient), dpi=_DPI),
            caption="Cumulative dose-volume histograms in EQD2: tumor and cord, each at its own alpha/beta.",
        ),
    )


def _difference(first: ComparedPatient, second: ComparedPatient) -> Picture | None:
    if not are_twins(first, second) or are_of_one_matter(first, second):
        return None
    a, b = first.comparison.name, second.comparison.name
    return Picture(
        name=f"{b}_minus_{a}",
        png=figure_png(difference_figure(first, second), dpi=_DPI),
        caption=f"Dose in {b} minus dose in {a}, percent of the prescription, on one color scale up to "
        f"{SCALE_PERCENT:g} %: red more, blue less. The same beams: those planned for {a} given to {b}, so that only "
        "matter differs. Own plan: each was planned for itself, so that fields and monitor units differ as well.",
    )
