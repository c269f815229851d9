"""Plots of a comparison: what the tumor gets and what the cord pays, and the dose-volume histograms in EQD2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from rtsim.biology import eqd2_gy
from rtsim.dose.dvh import dvh
from rtsim.errors import GeometryError
from rtsim.evaluate.comparison import CORD_ALPHA_BETA_GY, PatientComparison, SchemeResult
from rtsim.evaluate.comparison_measure import compared_cord, compared_target
from rtsim.phantom.structure import Structure
from rtsim.protocol import Technique
from rtsim.view._backend import matplotlib_module
from rtsim.view.compare_model import ComparedPatient, ComparedPlan

LIMIT: Final = "#B00020"
_INK, _MUTED, _GRID = "#1c1f24", "#5b626c", "#E4E4E4"
_COLORS: Final = {Technique.CONVENTIONAL: ("#9CC3E6", "#1F4E8C"), Technique.STEREOTACTIC: ("#F4B183", "#B8420F")}
"""From the weakest to the strongest course of each technique: blues and oranges, told apart by color-blind readers."""
_DASHES: Final = {Technique.CONVENTIONAL: (0, (5, 2)), Technique.STEREOTACTIC: "-"}
_ROW_IN: Final = 0.52
_LEAST_PERCENT: Final = 0.2
"""Curves end where less of the structure is left."""
_ROOM: Final = 0.2
"""Share of the axis of the cord: what a number needs between bar and limit."""


def scheme_colors(results: Sequence[SchemeResult]) -> list[str]:
    """A color for each plan: the technique gives the hue, the strength of the course among its like the shade."""
    colors = matplotlib_module("colors")
    out = []
    for r in results:
        alike = sorted({o.tumor.d95_eqd2_gy for o in results if o.scheme.technique is r.scheme.technique})
        share = 1.0 if len(alike) == 1 else alike.index(r.tumor.d95_eqd2_gy) / (len(alike) - 1)
        light, dark = (np.array(colors.to_rgb(c)) for c in _COLORS[r.scheme.technique])
        out.append(str(colors.to_hex(light + share * (dark - light))))
    return out


def balance_figure(patient: PatientComparison) -> Any:
    """A matplotlib Figure: for each scheme the modelled control (or EQD2) on the left, the cord beside its limit on the
    right.
    """
    results = patient.results
    height = 1.35 + _ROW_IN * len(results)
    figure = matplotlib_module("figure").Figure(figsize=(11.0, height), facecolor="white")
    bottom, tall = 0.72 / height, (height - 1.35) / height
    left = figure.add_axes((0.145, bottom, 0.40, tall))
    right = figure.add_axes((0.575, bottom, 0.40, tall), sharey=left)
    at = np.arange(len(results))[::-1]
    colors = scheme_colors(results)
    _tumor_bars(left, patient, at, colors)
    _cord_bars(right, results, at, colors)
    left.set_yticks(at, [f"{r.scheme.dose_gy:g} Gy in {r.scheme.fractions}" for r in results])
    left.tick_params(axis="y", labelsize=12, length=0)
    right.tick_params(axis="y", labelleft=False, length=0)
    for y, r in zip(at, results, strict=True):
        left.text(-0.012, y - 0.31, r.scheme.technique.value, transform=left.get_yaxis_transform(), **_SMALL_LEFT)
    left.set_ylim(-0.65, len(results) - 0.35)
    for axes in (left, right):
        axes.grid(visible=True, axis="x", color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    return figure


_SMALL_LEFT: Final = {"fontsize": 8.5, "color": _MUTED, "ha": "right", "va": "center"}


def _tumor_bars(axes: Any, patient: PatientComparison, at: Any, colors: Sequence[str]) -> None:
    results = patient.results
    modelled = [r for r in results if r.tumor.tcp_log_logistic is not None]
    axes.set_title("What the tumor gets", loc="left", fontsize=13, fontweight="bold", color=_INK)
    if not modelled:
        top = max(r.tumor.d95_eqd2_gy for r in results)
        for y, r, color in zip(at, results, colors, strict=True):
            axes.barh(y, r.tumor.d95_eqd2_gy, height=0.56, color=color)
            axes.text(r.tumor.d95_eqd2_gy + 0.01 * top, y, f"{r.tumor.d95_eqd2_gy:.0f} Gy", va="center", fontsize=11)
        axes.set_xlim(0.0, 1.2 * top)
        axes.set_xlabel(f"{results[0].tumor.structure} D95%, EQD2 in Gy (\u03b1/\u03b2 {patient.alpha_beta_gy:g} Gy)")
        return
    for y, r, color in zip(at, results, colors, strict=True):
        t = r.tumor
        control = 100.0 * (t.tcp_log_logistic or 0.0)
        axes.barh(y, control, height=0.56, color=color)
        if t.tcp_prescribed is not None and 100.0 * t.tcp_prescribed > control + 1.0:
            axes.barh(y, 100.0 * t.tcp_prescribed, height=0.56, fill=False, edgecolor=color, linewidth=1.0)
        end = max(control, 100.0 * (t.tcp_prescribed or 0.0), 100.0 * (t.tcp_poisson or 0.0))
        if t.tcp_poisson is not None:
            axes.plot([100.0 * t.tcp_poisson], [y], marker="D", markersize=5.5, color="white", markeredgecolor=_INK)
        star = "*" if r.is_extrapolated else ""
        axes.text(end + 2.0, y + 0.12, f"{control:.0f} %{star}", va="center", fontsize=12, fontweight="bold")
        axes.text(end + 2.0, y - 0.21, f"EQD2 {t.d95_eqd2_gy:.0f} Gy", va="center", fontsize=8.5, color=_MUTED)
    axes.set_xlim(0.0, 122.0)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel(
        "modelled control, % (bar: log-logistic, diamond: Poisson;\nframe: were the whole tumor given the prescribed "
        "dose)",
        fontsize=9.5,
        color=_MUTED,
    )


def _cord_bars(axes: Any, results: Sequence[SchemeResult], at: Any, colors: Sequence[str]) -> None:
    name = next((r.cord.structure.replace("_", " ") for r in results if r.cord is not None), "cord")
    axes.set_title(f"What the {name} pays", loc="left", fontsize=13, fontweight="bold", color=_INK)
    top = 1.0
    words: list[tuple[float, float, float | None, bool]] = []
    for y, r, color in zip(at, results, colors, strict=True):
        if r.cord is None:
            continue
        limit = None if r.cord.limit is None else r.cord.limit.limit_eqd2_gy
        is_broken = not r.report.hard_limits_held
        axes.barh(y, r.cord.eqd2_gy, height=0.56, color=color, hatch="//" if is_broken else None, edgecolor="white")
        top = max(top, r.cord.eqd2_gy, limit or 0.0)
        if limit is not None:
            axes.plot([limit, limit], [y - 0.36, y + 0.36], color=LIMIT, linewidth=3.0, solid_capstyle="butt")
        words.append((y, r.cord.eqd2_gy, limit, is_broken))
    for y, got, limit, is_broken in words:
        end = max(got, limit or 0.0)
        has_room = limit is not None and limit - got > _ROOM * top
        axes.text(got if has_room else end, y, f"  {got:.0f} Gy", va="center", fontsize=12, fontweight="bold")
        if limit is not None:
            shift = 0.0 if has_room else 1.35 * _ROOM * top
            text = f"  {'BROKEN: ' if is_broken else ''}limit {limit:.0f}"
            axes.text(end + shift, y, text, va="center", fontsize=9.5, color=LIMIT)
    axes.set_xlim(0.0, 1.3 * top)
    axes.set_xlabel(
        f"near-maximum D0.035cc, EQD2 in Gy (\u03b1/\u03b2 {CORD_ALPHA_BETA_GY:g} Gy);\nred: limit for this number of "
        "fractions",
        fontsize=9.5,
        color=_MUTED,
    )


def dvh_comparison_figure(patient: ComparedPatient) -> Any:
    """A matplotlib Figure: cumulative DVHs of tumor and cord in EQD2, every scheme in each, limits as red ticks."""
    figure = matplotlib_module("figure").Figure(figsize=(11.0, 4.3), facecolor="white")
    left = figure.add_axes((0.07, 0.14, 0.37, 0.74))
    right = figure.add_axes((0.49, 0.14, 0.37, 0.74), sharey=left)
    ratio = patient.comparison.alpha_beta_gy
    colors = scheme_colors(patient.comparison.results)
    for plan, color in zip(patient.plans, colors, strict=True):
        tumor = compared_target(plan.phantom, plan.result.report.prescription.target)
        _curve(left, plan, tumor, ratio, color)
        cord = compared_cord(plan.phantom)
        if cord is not None:
            _curve(right, plan, cord, CORD_ALPHA_BETA_GY, color)
    _ends(left, right)
    _limits(right, patient.comparison.results)
    tumor_name = patient.comparison.results[0].tumor.structure
    cord_name = next((r.cord.structure for r in patient.comparison.results if r.cord is not None), "cord")
    for axes, name, alpha_beta in ((left, tumor_name, ratio), (right, cord_name, CORD_ALPHA_BETA_GY)):
        axes.set_title(name.replace("_", " "), loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel(f"EQD2, Gy (\u03b1/\u03b2 {alpha_beta:g} Gy)")
        axes.set_ylim(0.0, 102.0)
        axes.grid(visible=True, color=_GRID, linewidth=0.7)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    left.set_ylabel("volume, %")
    left.legend(loc="upper left", bbox_to_anchor=(2.16, 1.0), frameon=False, fontsize=10, handlelength=2.6)
    return figure


def _curve(axes: Any, plan: ComparedPlan, structure: Structure, alpha_beta_gy: float, color: str) -> None:
    try:
        h = dvh(plan.dose, structure)
    except GeometryError:  # outside the dose grid: no curve
        return
    dose = eqd2_gy(np.asarray(h.dose_gy), plan.result.scheme.fractions, alpha_beta_gy)
    scheme = plan.result.scheme
    percent = 100.0 * h.cumulative_cm3 / h.volume_cm3
    seen = percent > _LEAST_PERCENT
    axes.plot(
        dose[seen],
        percent[seen],
        color=color,
        linewidth=2.3,
        linestyle=_DASHES[scheme.technique],
        label=f"{scheme.dose_gy:g} Gy in {scheme.fractions}",
    )


def _ends(*both: Any) -> None:
    """Axes of dose that end where the last curve does."""
    for axes in both:
        top = max((float(line.get_xdata()[-1]) for line in axes.lines if len(line.get_xdata())), default=1.0)
        axes.set_xlim(0.0, 1.05 * max(top, 1.0))


def _limits(axes: Any, results: Sequence[SchemeResult]) -> None:
    """A band from the lowest to the highest limit of the cord."""
    limits = [r.cord.limit.limit_eqd2_gy for r in results if r.cord is not None and r.cord.limit is not None]
    if not limits:
        return
    low, high = min(limits), max(limits)
    axes.set_xlim(right=max(axes.get_xlim()[1], 1.12 * high))
    axes.axvspan(low, max(high, low + 0.3), color=LIMIT, alpha=0.22, linewidth=0)
    said = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f}\u2013{high:.0f}"
    axes.text(low, 50.0, f"limits {said} Gy ", color=LIMIT, fontsize=10, ha="right", va="center", rotation=90)
