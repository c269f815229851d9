"""Dose pictures of a comparison: one column for each scheme, everything in EQD2 on one color scale.

The upper rows are what the tumor feels (alpha/beta of the tumor), the lowest what the cord feels (alpha/beta 2 Gy), so
that courses of other fractionation may be laid side by side. The scale is the same on every page that rtsim writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from rtsim.biology import eqd2_gy
from rtsim.errors import InputError
from rtsim.evaluate.comparison import CORD_ALPHA_BETA_GY, SchemeResult
from rtsim.evaluate.comparison_measure import compared_cord, compared_target
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import AnyFloatArray, FloatArray, Vector3
from rtsim.view._backend import matplotlib_module
from rtsim.view.compare_model import ComparedPatient, ComparedPlan
from rtsim.view.report_pictures import half_width_mm
from rtsim.view.slices import WINDOW_HU, Plane, Window, dose_colormap, draw_outlines, window_of
from rtsim.view.style import Style, styles_for

EQD2_LEVELS_GY: Final = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 130.0, 160.0)
"""Edges of the color bands, EQD2; below the first there is no color, above the last one color."""
LIMIT_COLOR: Final = "#FF4136"
_INK: Final = "#F2F2F2"
_PAPER: Final = "#111111"
_ZOOM_MM: Final = 26.0
_COLUMN, _LEFT, _RIGHT, _TOP, _BOTTOM = 2.75, 0.95, 1.15, 0.95, 0.62
"""Inches."""


def dose_comparison_figure(patient: ComparedPatient) -> Any:
    """A matplotlib Figure: axial and sagittal EQD2 of the tumor, and axial EQD2 of the cord, a column for each scheme.

    Raises:
        InputError: there is no plan.
    """
    if not patient.plans:
        raise InputError("there is no plan to draw")
    first = patient.plans[0]
    ratio = patient.comparison.alpha_beta_gy
    tumor = compared_target(first.phantom, first.result.report.prescription.target)
    cord = compared_cord(first.phantom)
    at = tumor.centroid_mm
    half = max(half_width_mm(_target(p)) for p in patient.plans)
    rows: list[tuple[str, Plane, Vector3, float, float]] = [
        (f"tumor, axial\n\u03b1/\u03b2 {ratio:g} Gy", Plane.AXIAL, at, half, ratio),
        (f"tumor, sagittal\n\u03b1/\u03b2 {ratio:g} Gy", Plane.SAGITTAL, at, half, ratio),
    ]
    if cord is not None:
        x, y = _center_at(cord, at[2])
        what = cord.name.replace("_", " ")
        rows.append((f"{what}\n\u03b1/\u03b2 {CORD_ALPHA_BETA_GY:g} Gy", Plane.AXIAL, (x, y, at[2]), _ZOOM_MM, 2.0))
    count = len(patient.plans)
    width, height = _LEFT + _COLUMN * count + _RIGHT, _TOP + _COLUMN * len(rows) + _BOTTOM
    figure = matplotlib_module("figure").Figure(figsize=(width, height), facecolor=_PAPER)
    boxes = figure.subplots(
        len(rows),
        count,
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
    for column, plan in enumerate(patient.plans):
        for row, (_, plane, center, side, alpha_beta) in enumerate(rows):
            axes = boxes[row][column]
            limit = _limit_eqd2(plan.result) if side == _ZOOM_MM else None
            drawn.update(_draw(axes, plan, window_of(plan.phantom.grid, plane, center, side), alpha_beta, limit))
            _letters(axes, plane)
            if side == _ZOOM_MM:
                _say(axes, _cord_words(plan.result))
            elif row == 0:
                _say(axes, _tumor_words(plan.result))
        boxes[0][column].set_title(_head(plan.result), color=_INK, fontsize=13, fontweight="bold", pad=7)
    for row, (label, *_) in enumerate(rows):
        boxes[row][0].set_ylabel(label, color=_INK, fontsize=11, labelpad=8)
    _color_bar(figure, width, height)
    _legend(figure, drawn, has_limit=cord is not None)
    figure.suptitle(patient.comparison.name, color=_INK, fontsize=13, x=_LEFT / width, ha="left", y=1.0 - 0.15 / height)
    return figure


def eqd2_of(dose_gy: AnyFloatArray, plan: ComparedPlan, alpha_beta_gy: float) -> FloatArray:
    """EQD2 in Gy of total doses of a plan."""
    return eqd2_gy(np.maximum(np.asarray(dose_gy, dtype=np.float64), 0.0), plan.result.scheme.fractions, alpha_beta_gy)


def _target(plan: ComparedPlan) -> Structure:
    return plan.phantom[plan.result.report.prescription.target]


def _center_at(structure: Structure, z_mm: float) -> tuple[float, float]:
    """Centroid of the structure in the slice next to ``z_mm``."""
    grid = structure.grid
    k = int(np.argmin(np.abs(grid.z_mm - z_mm)))
    weights = structure.coverage[k].astype(np.float64)
    if not weights.any():
        x, y, _ = structure.centroid_mm
        return x, y
    y_mm, x_mm = np.meshgrid(grid.y_mm, grid.x_mm, indexing="ij")
    return float((weights * x_mm).sum() / weights.sum()), float((weights * y_mm).sum() / weights.sum())


def _draw(
    axes: Any, plan: ComparedPlan, window: Window, alpha_beta_gy: float, limit_eqd2_gy: float | None
) -> dict[str, Style]:
    show_ct(axes, plan, window)
    values = eqd2_of(window.sample(plan.dose.values_gy, plan.dose.grid, 0.0), plan, alpha_beta_gy)
    if values.max() > EQD2_LEVELS_GY[0]:
        axes.contourf(
            window.across_mm,
            window.height_mm,
            values,
            levels=EQD2_LEVELS_GY,
            colors=band_colors(),
            extend="max",
            alpha=0.7,
            antialiased=True,
        )
    if limit_eqd2_gy is not None and values.min() < limit_eqd2_gy < values.max():
        axes.contour(
            window.across_mm, window.height_mm, values, levels=[limit_eqd2_gy], colors=[LIMIT_COLOR], linewidths=2.2
        )
    shown = shown_structures(plan)
    return draw_outlines(axes, shown, styles_for(shown, on_dark=True), window)


def show_ct(axes: Any, plan: ComparedPlan, window: Window) -> None:
    """The CT of the window in gray."""
    axes.set_facecolor("black")
    axes.imshow(
        window.sample(plan.phantom.ct.hu, plan.phantom.grid, -1000.0),
        cmap="gray",
        vmin=WINDOW_HU[0],
        vmax=WINDOW_HU[1],
        extent=window.extent,
        origin="upper" if window.plane is Plane.AXIAL else "lower",
        interpolation="bilinear",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#555555")


def shown_structures(plan: ComparedPlan) -> tuple[Structure, ...]:
    """PTV, GTV, cord and implants: what the comparison is about, each as it is called in the phantom."""
    phantom, target = plan.phantom, _target(plan)
    tumor, cord = compared_target(phantom, target.name), compared_cord(phantom)
    found = {s.name: s for s in (target, tumor, *(() if cord is None else (cord,)))}
    found |= {s.name: s for s in phantom.structures.with_role(Role.IMPLANT)}
    found[target.name] = replace(target, role=Role.PTV)
    return tuple(found.values())


def band_colors() -> list[Any]:
    """One color for each band of ``EQD2_LEVELS_GY``, the open one included."""
    return [dose_colormap()(v) for v in np.linspace(0.0, 1.0, len(EQD2_LEVELS_GY))]


def _head(result: SchemeResult) -> str:
    return f"{result.scheme.dose_gy:g} Gy in {result.scheme.fractions}\n{result.scheme.technique.value}"


def _tumor_words(result: SchemeResult) -> str:
    t = result.tumor
    control = "" if t.tcp_log_logistic is None else f", control {100 * t.tcp_log_logistic:.0f} %"
    return f"{t.structure} D95 {t.d95_eqd2_gy:.0f} Gy{control}"


def _cord_words(result: SchemeResult) -> str:
    if result.cord is None:
        return ""
    limit = _limit_eqd2(result)
    return f"{result.cord.eqd2_gy:.0f} Gy" + ("" if limit is None else f" of {limit:.0f} Gy")


def _limit_eqd2(result: SchemeResult) -> float | None:
    return None if result.cord is None or result.cord.limit is None else result.cord.limit.limit_eqd2_gy


def _say(axes: Any, text: str) -> None:
    effects = matplotlib_module("patheffects")
    axes.text(
        0.03,
        0.965,
        text,
        transform=axes.transAxes,
        color="white",
        fontsize=10.5,
        fontweight="bold",
        ha="left",
        va="top",
        path_effects=[effects.withStroke(linewidth=2.6, foreground="black")],
    )


def _letters(axes: Any, plane: Plane) -> None:
    effects = matplotlib_module("patheffects")
    left, right, _, bottom = plane.letters
    for text, x, y in ((left, 0.035, 0.5), (right, 0.965, 0.5), (bottom, 0.5, 0.04)):
        axes.text(
            x,
            y,
            text,
            transform=axes.transAxes,
            color=_INK,
            fontsize=9,
            ha="center",
            va="center",
            path_effects=[effects.withStroke(linewidth=2.0, foreground="black")],
        )


def _color_bar(figure: Any, width: float, height: float) -> None:
    bar = figure.add_axes((1.0 - (_RIGHT - 0.22) / width, 0.22, 0.2 / width, 0.56))
    colors = matplotlib_module("colors")
    colormap = colors.ListedColormap(band_colors()[:-1]).with_extremes(over=band_colors()[-1])
    norm = colors.BoundaryNorm(EQD2_LEVELS_GY, len(EQD2_LEVELS_GY) - 1)
    mappable = matplotlib_module("cm").ScalarMappable(norm=norm, cmap=colormap)
    found = figure.colorbar(mappable, cax=bar, extend="max", ticks=EQD2_LEVELS_GY, spacing="uniform")
    found.ax.tick_params(colors=_INK, labelsize=10)
    found.ax.set_title("EQD2, Gy", color=_INK, fontsize=10, loc="left", pad=18)
    found.outline.set_edgecolor("#555555")


def _legend(figure: Any, drawn: dict[str, Style], *, has_limit: bool) -> None:
    line: Callable[..., Any] = matplotlib_module("lines").Line2D
    handles: list[Any] = [
        line([0], [0], color=s.color, linestyle=s.dash, linewidth=max(s.width, 1.4)) for s in drawn.values()
    ]
    labels = [name.replace("_", " ") for name in drawn]
    if has_limit:
        handles.append(line([0], [0], color=LIMIT_COLOR, linewidth=2.2))
        labels.append("limit of the cord for this scheme (lowest row): the cord must lie on its cold side")
    legend_of(figure, handles, labels)


def legend_of(figure: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One line below a dark figure."""
    figure.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.04, 0.0),
        ncols=len(labels),
        frameon=False,
        fontsize=10.5,
        labelcolor=_INK,
        handlelength=2.2,
        columnspacing=1.8,
    )
