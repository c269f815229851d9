"""The pictures of a report, drawn once: for the HTML file, and for the folder of PNG files beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtsim.dose.result import Dose
from rtsim.evaluate import GradeReport
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol import Prescription, Priority
from rtsim.typing import Progress
from rtsim.view._backend import RenderingError
from rtsim.view.dvh_plot import dvh_figure
from rtsim.view.slices import figure_png, slice_figure
from rtsim.view.style import default_isodoses_gy, with_target
from rtsim.view.whole_scene import scene_of

_SCENE_SIZE = (1300, 850)
_LIMIT_NAMES = {"spinal_cord": "cord limit", "spinal_cord_prv": "cord PRV limit"}
_LEAST_HALF_WIDTH_MM, _MOST_HALF_WIDTH_MM = 58.0, 140.0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: file name without suffix, PNG data, and what it shows."""

    name: str
    png: bytes
    caption: str


@dataclass(frozen=True, kw_only=True)
class ReportPictures:
    """All pictures of a report.

    Attributes:
        slices, dvh: always drawn.
        scenes: in 3-D; empty on a machine that cannot render.
        problem: why there is no scene; empty when there is.
    """

    slices: Picture
    dvh: Picture
    scenes: tuple[Picture, ...] = field(default=())
    problem: str = ""

    @property
    def all(self) -> tuple[Picture, ...]:
        """Every picture."""
        return (self.slices, self.dvh, *self.scenes)


def report_pictures(
    phantom: Phantom,
    dose: Dose,
    grade: GradeReport,
    *,
    plan: Plan | None = None,
    has_scene: bool = True,
    progress: Progress | None = None,
) -> ReportPictures:
    """Draw slices, DVH and 3-D scenes of a graded dose."""
    rx = grade.prescription
    limit = _cord_limit(grade)
    if progress is not None:
        progress(0.0, "slices")
    figure = slice_figure(
        phantom,
        dose=dose,
        target=rx.target,
        prescription_gy=rx.dose_gy,
        isodoses_gy=_levels_gy(dose, rx, None if limit is None else limit[0]),
        named_gy=None if limit is None else dict([limit]),
        title=f"{phantom.name}: {rx}",
        half_width_mm=half_width_mm(phantom[rx.target]),
    )
    slices = Picture(
        name="slices",
        png=figure_png(figure),
        caption=(
            "CT, dose and structures through the target. Isodoses in Gy, among them the prescribed dose and the cord's "
            "limit; the target is outlined in white, the cord in cyan. Axial slices are seen from the feet."
        ),
    )
    dvh = Picture(
        name="dvh",
        caption="Cumulative dose-volume histograms of the whole course.",
        png=figure_png(
            dvh_figure(with_target(phantom, rx.target), dose, prescription=rx, goals=[r.goal for r in grade.rows])
        ),
    )
    if not has_scene:
        return ReportPictures(slices=slices, dvh=dvh)
    if progress is not None:
        progress(0.4, "3-D")
    try:
        scenes = _scenes(phantom, dose, grade, plan)
    except RenderingError as error:
        return ReportPictures(slices=slices, dvh=dvh, problem=str(error))
    return ReportPictures(slices=slices, dvh=dvh, scenes=scenes)


def _scenes(phantom: Phantom, dose: Dose, grade: GradeReport, plan: Plan | None) -> tuple[Picture, ...]:
    rx, target = grade.prescription.dose_gy, grade.prescription.target
    near = Picture(
        name="scene",
        png=scene_of(phantom, dose=dose, prescription_gy=rx, target=target).png(size=_SCENE_SIZE),
        caption="Vertebrae, cord and target with isodose shells, seen from behind, above and left.",
    )
    if plan is None:
        return (near,)
    wide = scene_of(phantom, dose=dose, beams=plan.beams, prescription_gy=rx, target=target).png(size=_SCENE_SIZE)
    return near, Picture(
        name="scene_beams", png=wide, caption="The same with the beams: outlines of their fields, labeled by name."
    )


def _cord_limit(grade: GradeReport) -> tuple[float, str] | None:
    """The highest hard dose limit of the cord or its PRV, and its name; None: there is none worth a line of its own."""
    limits = [
        (r.goal.value, _LIMIT_NAMES[r.goal.structure])
        for r in grade.rows
        if r.goal.structure in _LIMIT_NAMES
        and r.goal.priority is Priority.HARD
        and r.goal.unit == "Gy"
        and r.goal.value < 0.9 * grade.prescription.dose_gy
    ]
    return max(limits, default=None)


def _levels_gy(dose: Dose, rx: Prescription, limit_gy: float | None) -> tuple[float, ...]:
    """The default isodoses, and the hard limit of the cord in the place of what would crowd it."""
    levels = list(default_isodoses_gy(rx.dose_gy, dose.max_gy))
    if limit_gy is not None:
        levels = [v for v in levels if abs(v - limit_gy) > 0.06 * rx.dose_gy] + [limit_gy]
    return tuple(sorted(levels))


def half_width_mm(target: Structure) -> float:
    """Half the side of the slices: the target with a rim in which its fall-off shows."""
    extent = max(u - lo for u, lo in zip(target.grid.upper_mm, target.grid.lower_mm, strict=True))
    return min(max(extent / 2.0 + 25.0, _LEAST_HALF_WIDTH_MM), _MOST_HALF_WIDTH_MM)
