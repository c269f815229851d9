"""Dose differences of two patients who differ in one thing only (twins), scheme by scheme, on one color scale."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from rtsim.dose.result import Dose
from rtsim.evaluate.comparison_measure import compared_target
from rtsim.typing import FloatArray
from rtsim.view._backend import matplotlib_module
from rtsim.view.compare_model import ComparedPatient, ComparedPlan
from rtsim.view.compare_slices import legend_of, show_ct, shown_structures
from rtsim.view.report_pictures import half_width_mm
from rtsim.view.slices import Plane, Window, draw_outlines, window_of
from rtsim.view.style import Style, styles_for

SCALE_PERCENT: Final = 10.0
"""The color scale runs from minus to plus this, percent of the prescription."""
_QUIET_PERCENT: Final = 1.0
"""Smaller differences stay transparent."""
_INK: Final = "#F2F2F2"
_COLUMN, _LEFT, _RIGHT, _TOP, _BOTTOM = 2.75, 0.8, 1.15, 0.95, 0.55


def difference_figure(first: ComparedPatient, second: ComparedPatient) -> Any:
    """A matplotlib Figure: second minus first in percent of the prescription, a column for each scheme.

    Rows: the same beams (where the second has ``twin_dose``), axial and sagittal; then each by its own plan.
    """
    by = {p.result.scheme: p for p in second.plans}
    pairs = [(p, by[p.result.scheme]) for p in first.plans if p.result.scheme in by]
    rows = [("own plan", Plane.AXIAL), ("own plan", Plane.SAGITTAL)]
    if all(b.twin_dose is not None for _, b in pairs):
        rows = [("the same beams", Plane.AXIAL), ("the same beams", Plane.SAGITTAL), ("own plan", Plane.AXIAL)]
    width, height = _LEFT + _COLUMN * len(pairs) + _RIGHT, _TOP + len(rows) * _COLUMN + _BOTTOM
    figure = matplotlib_module("figure").Figure(figsize=(width, height), facecolor="#111111")
    boxes = figure.subplots(
        len(rows),
        len(pairs),
        squeeze=False,
        gridspec_kw={
            "left": _LEFT / width,
            "right": 1.0 - _RIGHT / width,
            "top": 1.0 - _TOP / height,
            "bottom": _BOTTOM / height,
            "wspace": 0.03,
            "hspace": 0.03,
        },
    )
    drawn: dict[str, Style] = {}
    picture = None
    for column, (a, b) in enumerate(pairs):
        target = b.phantom[_rx(b)]
        at = compared_target(b.phantom, target.name).centroid_mm
        for row, (what, plane) in enumerate(rows):
            window = window_of(b.phantom.grid, plane, at, half_width_mm(target))
            axes = boxes[row][column]
            show_ct(axes, b, window)
            given = b.dose if what == "own plan" or b.twin_dose is None else b.twin_dose
            picture = _wash(axes, difference_percent(a, given, window), window)
            if column == 0:
                axes.set_ylabel(f"{what},\n{plane.name.lower()}", color=_INK, fontsize=11, labelpad=8)
            shown = shown_structures(b)
            drawn.update(draw_outlines(axes, shown, styles_for(shown, on_dark=True), window))
        scheme = a.result.scheme
        boxes[0][column].set_title(
            f"{scheme.dose_gy:g} Gy in {scheme.fractions}\n{scheme.technique.value}",
            color=_INK,
            fontsize=13,
            fontweight="bold",
            pad=7,
        )
    _bar(figure, picture, width)
    line = matplotlib_module("lines").Line2D
    handles = [line([0], [0], color=s.color, linestyle=s.dash, linewidth=max(s.width, 1.4)) for s in drawn.values()]
    legend_of(figure, handles, [name.replace("_", " ") for name in drawn])
    title = f"{second.comparison.name} minus {first.comparison.name}"
    figure.suptitle(title, color=_INK, fontsize=13, x=_LEFT / width, ha="left", y=1.0 - 0.15 / height)
    return figure


def difference_percent(first: ComparedPlan, second: Dose, window: Window) -> FloatArray:
    """(h, w) a dose minus that of the first at the points of the window, percent of the prescription."""
    a, b = (window.sample(d.values_gy, d.grid, 0.0) for d in (first.dose, second))
    return 100.0 * (b - a) / first.result.scheme.dose_gy


def _rx(plan: ComparedPlan) -> str:
    return plan.result.report.prescription.target


def _wash(axes: Any, percent: FloatArray, window: Window) -> Any:
    alpha = np.clip((np.abs(percent) - _QUIET_PERCENT) / (2.0 * _QUIET_PERCENT), 0.0, 1.0) * 0.75
    return axes.imshow(
        percent,
        cmap="RdBu_r",
        vmin=-SCALE_PERCENT,
        vmax=SCALE_PERCENT,
        alpha=alpha,
        extent=window.extent,
        origin="upper" if window.plane is Plane.AXIAL else "lower",
        interpolation="bilinear",
    )


def _bar(figure: Any, picture: Any, width: float) -> None:
    bar = figure.add_axes((1.0 - (_RIGHT - 0.22) / width, 0.22, 0.2 / width, 0.54))
    mappable = matplotlib_module("cm").ScalarMappable(norm=picture.norm, cmap=picture.cmap)
    found = figure.colorbar(mappable, cax=bar, extend="both")
    found.ax.tick_params(colors=_INK, labelsize=10)
    found.ax.set_title("% of the\nprescription", color=_INK, fontsize=9.5, loc="left", pad=16)
    found.outline.set_edgecolor("#555555")
