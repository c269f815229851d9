"""Plot of dose-volume histograms, with the prescription and the goals that are points of the diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate import DVH, dvh, find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import Goal, MetricKind, Prescription, Priority, Sense, Unit
from rtsim.view._backend import matplotlib_module
from rtsim.view.style import styles_for

_DEFAULT_LIMIT = 12


def dvh_figure(
    phantom: Phantom,
    dose: Dose,
    *,
    structures: Sequence[str] | None = None,
    prescription: Prescription | None = None,
    goals: Sequence[Goal] = (),
    title: str = "",
) -> Any:
    """A matplotlib Figure of cumulative DVHs.

    Hard limits and goals on dose at a volume, or volume at a dose, of a shown structure are drawn as triangles that
    point to the side on which the goal is met; hard limits are filled.

    Args:
        structures: names; default target and cord, then the organs that get most dose, 12 at most.
    """
    chosen = _chosen(phantom, dose, structures)
    if not chosen:
        raise InputError("no structure of the phantom meets the dose grid; there is nothing to plot")
    styles = styles_for(tuple(s for s, _ in chosen), on_dark=False)
    figure = matplotlib_module("figure").Figure(figsize=(8.6, 5.0), facecolor="white")
    axes = figure.add_axes((0.085, 0.11, 0.62, 0.80))
    for structure, histogram in chosen:
        style = styles[structure.name]
        percent = 100.0 * histogram.cumulative_cm3 / histogram.volume_cm3
        axes.plot(
            histogram.dose_gy,
            percent,
            color=style.color,
            linestyle=style.dash,
            label=structure.name,
            linewidth=2.6 if style.is_key else 1.5,
            zorder=3 if style.is_key else 2,
        )
    axes.set_xlim(0.0, 1.04 * max(h.max_gy for _, h in chosen))
    if prescription is not None:
        axes.axvline(prescription.dose_gy, color="#444444", linestyle=(0, (4, 3)), linewidth=1.0)
        axes.text(
            prescription.dose_gy,
            102.0,
            f"{prescription.dose_gy:g} Gy prescribed",
            ha="center",
            va="bottom",
            fontsize=8.5,
            color="#444444",
        )
        for goal in sorted(goals, key=lambda g: g.priority is Priority.HARD):
            _mark(axes, goal, phantom, prescription, {s.name: (h, styles[s.name].color) for s, h in chosen})
    axes.set_ylim(0.0, 101.5)
    axes.set_xlabel("dose, Gy (whole course)")
    axes.set_ylabel("volume, %")
    axes.grid(visible=True, color="#E4E4E4", linewidth=0.7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=9, handlelength=2.6)
    if goals and prescription is not None:
        figure.text(
            0.725,
            0.11,
            "triangles: goals, pointing\nto where they are met;\nfilled: hard limits",
            fontsize=8,
            color="#555555",
            va="bottom",
        )
    if title:
        figure.suptitle(title, x=0.085, ha="left", fontsize=11)
    return figure


def _chosen(phantom: Phantom, dose: Dose, names: Sequence[str] | None) -> list[tuple[Structure, DVH]]:
    if names is not None:
        return [(phantom[n], dvh(dose, phantom[n])) for n in names]
    hidden = (Role.SUPPORT, Role.CONTROL, Role.IMPLANT, Role.EXTERNAL)
    found = []
    for s in phantom.structures.values():
        corners = zip(s.grid.lower_mm, s.grid.upper_mm, dose.grid.lower_mm, dose.grid.upper_mm, strict=True)
        if (
            s.role in hidden
            or (s.role is Role.OAR and s.name.startswith("vertebra"))
            or any(a >= d or b <= c for a, b, c, d in corners)
        ):
            continue
        found.append((s, dvh(dose, s)))
    styles = styles_for(tuple(s for s, _ in found), on_dark=False)
    found.sort(key=lambda pair: (not styles[pair[0].name].is_key, -styles[pair[0].name].width, -pair[1].max_gy))
    return found[:_DEFAULT_LIMIT]


def _mark(
    axes: Any, goal: Goal, phantom: Phantom, prescription: Prescription, shown: dict[str, tuple[DVH, str]]
) -> None:
    """A triangle at the point (dose, volume) of the goal: left or down = at most, right or up = at least."""
    structure = find_structure(phantom, goal.structure, prescription)
    if structure is None or structure.name not in shown or goal.priority is Priority.REPORT:
        return
    histogram, color = shown[structure.name]
    m, rx = goal.parsed, prescription.dose_gy
    if m.kind is MetricKind.DOSE_AT_VOLUME:
        dose_gy = goal.value * rx / 100.0 if m.unit is Unit.PERCENT else goal.value
        percent = m.threshold if m.threshold_unit is Unit.PERCENT else 100.0 * m.threshold / histogram.volume_cm3
        marker = "<" if goal.sense is Sense.AT_MOST else ">"
    elif m.kind is MetricKind.VOLUME_AT_DOSE:
        dose_gy = m.threshold * rx / 100.0 if m.threshold_unit is Unit.PERCENT else m.threshold
        percent = goal.value if m.unit is Unit.PERCENT else 100.0 * goal.value / histogram.volume_cm3
        marker = "v" if goal.sense is Sense.AT_MOST else "^"
    else:
        return
    if percent <= 100.0 and dose_gy <= axes.get_xlim()[1]:
        fill = color if goal.priority is Priority.HARD else "white"
        axes.plot(
            [dose_gy],
            [percent],
            marker=marker,
            markersize=9,
            markerfacecolor=fill,
            markeredgecolor=color,
            markeredgewidth=1.5,
            linestyle="none",
            zorder=5,
            clip_on=False,
        )
