"""The picture of a trade-off: how much of the target each cord limit leaves, and the limit that would be needed."""

from __future__ import annotations

import textwrap
from typing import Any, Final

import numpy as np

from rtsim.optimize import Tradeoff
from rtsim.optimize.tradeoff import floored
from rtsim.view._backend import matplotlib_module
from rtsim.view.report_pictures import Picture
from rtsim.view.slices import figure_png

_INK: Final = "#222222"
_CURVE: Final = "#0072B2"
_D95: Final = "#7A7A7A"
_LIMIT: Final = "#D55E00"
_WANTED: Final = "#009E73"
_ALLOWED: Final = "#EEF6F1"
_HIGHEST_PERCENT: Final = 112.0
"""Of D95; above it nobody asks."""
_TITLE_WIDTH: Final = 84
"""Characters of a line of the title."""


def tradeoff_figure(found: Tradeoff) -> Any:
    """A matplotlib Figure: limit across; coverage and D95 of the target up; the plan, its limit, and what is wanted."""
    figure = matplotlib_module("figure").Figure(figsize=(8.2, 5.4), facecolor="white")
    axes = figure.add_axes((0.09, 0.115, 0.885, 0.715))
    limits = found.limits_gy + found.delivery_gy
    right = _right_end(found, limits)
    coverage, d95 = found.coverage_percent, 100.0 * found.d95_gy / found.prescription.dose_gy
    across = np.array([*limits, max(right, limits[-1])])
    axes.axvspan(0.0, found.limit_gy, color=_ALLOWED, zorder=0)
    label = f"{found.prescription.target} that gets {found.prescription.dose_gy:g} Gy, %"
    axes.plot(across, [*coverage, coverage[-1]], color=_CURVE, linewidth=2.8, label=label)
    shifted = across + (found.delivery_d95_gy - found.delivery_gy)
    axes.plot(shifted, [*d95, d95[-1]], color=_D95, linestyle="--", linewidth=1.5, label="D95, % of the prescription")
    axes.plot(limits, coverage, linestyle="none", marker="o", markersize=4, color=_CURVE)
    low = _lower_end(found, d95, limits, right)
    axes.set_xlim(_left_end(found, limits), right)
    axes.set_ylim(low, max(101.0, min(_HIGHEST_PERCENT, 1.02 * float(d95[limits <= right].max()))))
    _draw_limit(axes, found, low)
    _draw_wanted(axes, found, low)
    _draw_plan(axes, found)
    axes.set_xlabel(f"limit on {found.structure} {found.metric}, Gy", color=_INK)
    axes.set_ylabel("%", color=_INK, rotation=0, labelpad=10)
    axes.grid(visible=True, color="#E4E4E4", linewidth=0.7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, frameon=False, fontsize=9.5)
    title = textwrap.fill(found.statement, _TITLE_WIDTH)
    figure.suptitle(title, x=0.09, y=0.975, ha="left", va="top", fontsize=11.5, color=_INK)
    return figure


def tradeoff_picture(found: Tradeoff) -> Picture:
    """The same for a report."""
    how = (
        "the fluence was optimized again for each point, with the same matrix"
        if not found.delivery_gy
        else f"the fluence was optimized again for each point, with the same matrix, and the curve moved by "
        f"{found.delivery_gy:+.2f} Gy, so that it goes through the delivered plan"
    )
    together = f" Moved with it, by the same factor: {'; '.join(found.scaled_with)}." if found.scaled_with else ""
    caption = f"Limit on {found.structure} {found.metric} against the dose of the target: {how}.{together}"
    return Picture(name="tradeoff", png=figure_png(tradeoff_figure(found)), caption=caption)


def _right_end(found: Tradeoff, limits: Any) -> float:
    """A little beyond the limit and the one that is needed; what lies farther right says nothing more."""
    needed, least = found.needed_gy, 1.15 * found.limit_gy
    if found.is_reached:
        return max(least, min(float(limits[-1]), 1.3 * found.limit_gy))
    return max(least, float(limits[-1]) if needed is None else 1.15 * needed)


def _left_end(found: Tradeoff, limits: Any) -> float:
    return max(0.0, min(float(limits[0]), 0.9 * found.limit_gy) - 0.03 * found.limit_gy)


def _lower_end(found: Tradeoff, d95: Any, limits: Any, right: float) -> float:
    """Room below the lowest number that is drawn, in steps of ten percent."""
    shown = limits <= right
    lowest = min(float(found.coverage_percent[shown].min()), float(d95[shown].min()), found.wanted_percent)
    return max(0.0, 10.0 * float(np.floor((lowest - 4.0) / 10.0)))


def _draw_limit(axes: Any, found: Tradeoff, low: float) -> None:
    axes.axvline(found.limit_gy, color=_LIMIT, linewidth=2.0)
    axes.annotate(
        f"limit {found.limit_gy:g} Gy",
        (found.limit_gy, low),
        xytext=(-5, 6),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        color=_LIMIT,
        fontsize=10,
        fontweight="bold",
    )


def _draw_wanted(axes: Any, found: Tradeoff, low: float) -> None:
    wanted, needed = found.wanted_percent, found.needed_gy
    axes.axhline(wanted, color=_WANTED, linewidth=1.4, linestyle=(0, (6, 3)))
    axes.annotate(
        f"wanted {wanted:g} %",
        (0.012, wanted),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=_WANTED,
        fontsize=10,
        fontweight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
    )
    if needed is None or found.is_reached:
        return
    axes.plot([needed, needed], [low, wanted], color=_WANTED, linewidth=1.6, linestyle=(0, (2, 2)))
    axes.annotate(
        f"needed {needed:.1f} Gy",
        (needed, low),
        xytext=(5, 6),
        textcoords="offset points",
        rotation=90,
        ha="left",
        va="bottom",
        color=_WANTED,
        fontsize=10,
        fontweight="bold",
    )


def _draw_plan(axes: Any, found: Tradeoff) -> None:
    plan = found.delivered
    if plan is None:
        return
    at = found.limit_gy if not found.is_reached else plan.reached_gy
    axes.plot([at], [plan.coverage_percent], marker="D", markersize=10, color=_LIMIT, markeredgecolor="white", zorder=5)
    low, high = axes.get_ylim()
    is_low = plan.coverage_percent < low + 0.15 * (high - low)
    left, right = axes.get_xlim()
    is_right = at > left + 0.55 * (right - left)  # below the curves then, and tied to its point
    doses = f"D95 {plan.d95_gy:.1f} Gy, {found.structure} {plan.reached_gy:.1f} Gy"
    axes.annotate(
        f"this plan: {floored(plan.coverage_percent):g} %\n{doses}",
        (at, plan.coverage_percent),
        xytext=(-30, -95) if is_right and not is_low else (-12 if is_right else 12, 10 if is_low else -10),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="bottom" if is_low else "top",
        color=_INK,
        fontsize=10,
        bbox={"facecolor": "white", "edgecolor": "#CCCCCC", "boxstyle": "round,pad=0.3", "alpha": 0.8},
        zorder=6,
        arrowprops={"arrowstyle": "-", "color": "#888888"} if is_right and not is_low else None,
    )
