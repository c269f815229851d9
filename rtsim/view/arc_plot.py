"""The picture of an arc: its apertures along the way, and at which gantry angle it gives how much, how fast."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np

from rtsim.beams import delivery_time
from rtsim.beams.delivery_time import turn_deg
from rtsim.beams.model import Aperture, Beam
from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.typing import FloatArray
from rtsim.view._backend import matplotlib_module
from rtsim.view.report_pictures import Picture
from rtsim.view.slices import figure_png

_INK: Final = "#222222"
_OPEN: Final = "#0072B2"
_CURVES: Final = (("MU per degree", "#0072B2"), ("gantry, deg/s", "#D55E00"), ("dose rate, MU/min", "#009E73"))
_APERTURES: Final = 9
_TICKS_DEG: Final = 30.0


def arc_figure(beam: Beam, *, title: str = "") -> Any:
    """A matplotlib Figure of one arc: beam's-eye apertures in a strip; MU per degree, gantry speed and dose rate.

    Raises:
        InputError: the gantry does not turn in this beam.
    """
    if not beam.is_arc:
        raise InputError(f"{beam.label} is no arc: its gantry does not turn. Give a beam of an arc plan")
    time = delivery_time(beam)
    turned = np.concatenate(([0.0], np.cumsum([abs(i.turn_deg) for i in time.intervals])))
    turn = np.maximum(np.diff(turned), 1e-9)
    rows = (
        np.array([i.monitor_units for i in time.intervals]) / turn,
        np.array([i.gantry_speed_deg_s[1] for i in time.intervals]),
        np.array([i.dose_rate_mu_min for i in time.intervals]),
    )
    figure = matplotlib_module("figure").Figure(figsize=(10.5, 7.0), facecolor="white")
    _draw_strip(figure, beam, turned)
    boxes = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"left": 0.085, "right": 0.985, "top": 0.71, "bottom": 0.085, "hspace": 0.16}
    )
    for axes, (label, color), values in zip(boxes, _CURVES, rows, strict=True):
        axes.stairs(values, turned, fill=True, color=color, alpha=0.25)
        axes.stairs(values, turned, color=color, linewidth=1.5, baseline=None)
        axes.set_ylabel(label, color=color, fontsize=10)
        axes.set_ylim(0.0, 1.12 * float(values.max()))
        axes.set_xlim(0.0, float(turned[-1]))
        axes.grid(visible=True, color="#E4E4E4", linewidth=0.7)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    _label_angles(boxes[-1], beam, turned)
    said = f"{beam.monitor_units:.0f} MU over {turned[-1]:.0f} degrees, {time.describe()}"
    figure.suptitle(f"{title or beam.name}: {said}", x=0.085, y=0.985, ha="left", fontsize=11.5, color=_INK)
    return figure


def arc_picture(beam: Beam) -> Picture:
    """The same for a report."""
    caption = (
        f"{beam.name}: what is open in the beam's eye at nine gantry angles (the cross is the axis), and below it "
        "monitor units per degree, gantry speed and dose rate on the way."
    )
    name = "".join(c if c.isalnum() else "_" for c in beam.name).strip("_").lower()
    return Picture(name=name or "arc", png=figure_png(arc_figure(beam)), caption=caption)


def _draw_strip(figure: Any, beam: Beam, turned: FloatArray) -> None:
    """Apertures at even distances along the arc, each over the place of the axis below where it is given."""
    axes = figure.add_axes((0.085, 0.735, 0.9, 0.215))
    reach = max(_reach_mm(c.aperture, beam.machine) for c in beam.control_points) + 3.0
    rectangle = matplotlib_module("patches").Rectangle
    for n in range(_APERTURES):
        at = (n + 0.5) * turned[-1] / _APERTURES
        point = beam.control_points[int(np.argmin(np.abs(turned - at)))]
        middle = 2.0 * reach * (n + 0.5)
        for x, y in _open_boxes(point.aperture, beam.machine):
            axes.add_patch(rectangle((middle + x[0], y[0]), x[1] - x[0], y[1] - y[0], facecolor=_OPEN, linewidth=0))
        axes.text(middle, -reach - 2.0, f"{point.gantry_deg:.0f}\u00b0", ha="center", va="top", fontsize=9, color=_INK)
        axes.plot([middle], [0.0], marker="+", markersize=6, color="#D55E00")
    axes.set_xlim(0.0, 2.0 * reach * _APERTURES)
    axes.set_ylim(-reach - 12.0, reach)
    axes.set_aspect("equal", anchor="C")
    axes.axis("off")


def _open_boxes(aperture: Aperture, machine: Machine) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Open rectangles (x, y) of an aperture, one for each leaf pair."""
    (left, right), (low, high) = aperture.jaws_x_mm, aperture.jaws_y_mm
    if aperture.leaf_pairs_mm is None:
        return [((left, right), (low, high))]
    found = []
    for (first, last), edges in zip(aperture.leaf_pairs_mm, pairwise(machine.leaf_edges_mm), strict=True):
        x = (max(float(first), left), min(float(last), right))
        y = (max(float(edges[0]), low), min(float(edges[1]), high))
        if x[1] > x[0] and y[1] > y[0]:
            found.append((x, y))
    return found


def _reach_mm(aperture: Aperture, machine: Machine) -> float:
    boxes = _open_boxes(aperture, machine)
    return max((abs(v) for x, y in boxes for v in (*x, *y)), default=10.0)


def _label_angles(axes: Any, beam: Beam, turned: FloatArray) -> None:
    """Round gantry angles below the way that the gantry turns."""
    first = beam.control_points[0].gantry_deg
    way = 1.0 if turn_deg(first, beam.control_points[1].gantry_deg) >= 0.0 else -1.0
    ends = sorted((first, first + way * float(turned[-1])))
    round_deg = np.arange(np.ceil(ends[0] / _TICKS_DEG), np.floor(ends[1] / _TICKS_DEG) + 1) * _TICKS_DEG
    axes.set_xticks(way * (round_deg - first), [f"{angle % 360.0:.0f}\u00b0" for angle in round_deg])
    axes.set_xlabel("gantry", color=_INK)
