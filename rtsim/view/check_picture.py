"""The picture of a second opinion: where, and by how much, the check differs from the planned dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.dose.result import Dose
from rtsim.errors import GeometryError
from rtsim.evaluate import find_cord
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import Prescription
from rtsim.protocol.nomenclature import canonical
from rtsim.typing import FloatArray, Vector3
from rtsim.view._backend import matplotlib_module
from rtsim.view.report_pictures import Picture, half_width_mm
from rtsim.view.slices import Plane, Window, annotate, draw_outlines, figure_png, window_of
from rtsim.view.style import styles_for, with_target

_INK: Final = "#F2F2F2"
_BACKGROUND: Final = "#111111"
_COLORS: Final = ("#A8D8FF", "#2F6FB5", "#181818", "#C2571A", "#FFC890")
"""From less to more: blue and orange, which color-blind readers tell apart, and dark where both doses agree."""
_BONE_HU: Final = 200.0
_SCALES_PERCENT: Final = (5.0, 10.0, 20.0, 50.0)
_COVERED: Final = 0.99
"""The color scale ends at the first of ``_SCALES_PERCENT`` that holds this share of the pixels with dose."""
_BONE_SMOOTHING_PIXELS: Final = 2.0
"""1 mm: CT noise must not scatter specks of bone."""
_SHOWN_DOSE: Final = 0.05
"""Below this share of the prescription in both doses nothing is colored."""


@dataclass(frozen=True, kw_only=True)
class DoseNames:
    """What the two doses of the picture are called, and the picture itself."""

    title: str
    first: str
    second: str
    file: str


PLAN_AND_CHECK: Final = DoseNames(title="Second opinion", first="plan", second="check", file="check")
GIVEN_AND_RECOMPUTED: Final = DoseNames(
    title="Recomputed against given", first="given", second="recomputed", file="difference"
)


def check_picture(
    phantom: Phantom,
    planned: Dose,
    check: Dose,
    prescription: Prescription,
    *,
    at_mm: Vector3 | None = None,
    names: DoseNames = PLAN_AND_CHECK,
) -> Picture:
    """The check minus the planned dose on an axial slice, in percent of the prescription, target and cord outlined.

    Args:
        at_mm: the slice goes through it: the isocenter; default the centroid of the target.
        names: of the two doses.

    Raises:
        GeometryError: ``at_mm`` lies outside the CT.
    """
    target = phantom[prescription.target]
    at = at_mm or target.centroid_mm
    if not bool(phantom.grid.contains(np.array(at))):
        raise GeometryError(f"at_mm is {at}; the CT reaches from {phantom.grid.lower_mm} to {phantom.grid.upper_mm} mm")
    window = window_of(phantom.grid, Plane.AXIAL, at, half_width_mm(target))
    plan_gy, check_gy = (window.sample(d.values_gy, d.grid, 0.0) for d in (planned, check))
    has_dose = np.maximum(plan_gy, check_gy) >= _SHOWN_DOSE * prescription.dose_gy
    outline = phantom.structures.with_role(Role.EXTERNAL)
    if outline:
        has_dose &= window.sample(outline[0].coverage_on(phantom.grid), phantom.grid, 0.0) >= 0.5
    percent = np.where(has_dose, 100.0 * (check_gy - plan_gy) / prescription.dose_gy, 0.0)
    top = _scale_percent(np.abs(percent[has_dose]))
    figure = _figure(phantom, window, percent, top, at, _outlined(phantom, prescription), names)
    caption = (
        f"{names.second.capitalize()} minus {names.first} in percent of the prescribed {prescription.dose_gy:g} Gy, "
        f"on the axial slice z = {at[2]:.1f} mm: orange where it is more, blue where it is less, dark where equal. "
        "The target is outlined in white, the cord in cyan, bone in thin gray."
    )
    return Picture(name=names.file, png=figure_png(figure), caption=caption + _noise_note(planned, check, prescription))


def _figure(
    phantom: Phantom,
    window: Window,
    percent: FloatArray,
    top: float,
    at: Vector3,
    shown: tuple[Structure, ...],
    names: DoseNames,
) -> Any:
    figure = matplotlib_module("figure").Figure(figsize=(7.4, 5.8), facecolor=_BACKGROUND)
    axes = figure.add_axes((0.012, 0.02, 0.72, 0.87))
    colormap = matplotlib_module("colors").LinearSegmentedColormap.from_list("difference", _COLORS)
    norm = matplotlib_module("colors").Normalize(-top, top)
    axes.imshow(percent, cmap=colormap, norm=norm, extent=window.extent, origin="upper", interpolation="bilinear")
    hu = window.sample(phantom.ct.hu, phantom.grid, -1000.0)
    smooth_hu = gaussian_filter(hu, _BONE_SMOOTHING_PIXELS)
    if smooth_hu.max() > _BONE_HU:
        axes.contour(
            window.across_mm, window.height_mm, smooth_hu, levels=[_BONE_HU], colors=["#9A9A9A"], linewidths=0.7
        )
    styles = styles_for(shown, on_dark=True)
    drawn = draw_outlines(axes, shown, styles, window)
    annotate(axes, Plane.AXIAL, at)
    line = matplotlib_module("lines").Line2D
    figure.legend(
        [line([], [], color=s.color, linestyle=s.dash, linewidth=s.width) for s in drawn.values()],
        [n if len(n) <= 22 else n[:20] + "\u2026" for n in drawn],
        loc="upper left",
        bbox_to_anchor=(0.742, 0.90),
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
    )
    mappable = matplotlib_module("cm").ScalarMappable(norm=norm, cmap=colormap)
    bar = figure.colorbar(mappable, cax=figure.add_axes((0.765, 0.06, 0.025, 0.42)), extend="both")
    bar.ax.tick_params(colors=_INK, labelsize=9)
    bar.ax.set_title(f"{names.second} \u2212 {names.first}, %", color=_INK, fontsize=9, loc="left", pad=14)
    bar.outline.set_edgecolor("#555555")
    title = f"{names.title}: difference in percent of the prescription"
    figure.suptitle(title, color=_INK, fontsize=12, x=0.012, ha="left", y=0.975)
    return figure


def _outlined(phantom: Phantom, prescription: Prescription) -> tuple[Structure, ...]:
    """Target, cord and cord PRV (each of several); the target in the role that it is drawn by."""
    cords = [s for s in phantom.structures.values() if canonical(s.name) in ("spinal_cord", "spinal_cord_prv")]
    found = (with_target(phantom, prescription.target)[prescription.target], *(cords or (find_cord(phantom),)))
    return tuple({s.name: s for s in found if s is not None}.values())


def _scale_percent(differences: FloatArray) -> float:
    wanted = float(np.quantile(differences, _COVERED)) if differences.size else 0.0
    return next((s for s in _SCALES_PERCENT if s >= wanted), _SCALES_PERCENT[-1])


def _noise_note(planned: Dose, check: Dose, prescription: Prescription) -> str:
    plan = planned.on(check.grid).values_gy
    high = plan > 0.5 * float(plan.max())
    if check.uncertainty_gy is None or not high.any():
        return ""
    sigma = 100.0 * float(np.mean(check.uncertainty_gy[high], dtype=np.float64)) / prescription.dose_gy
    return f" One standard deviation of the noise is {sigma:.2g} % (mean above half the maximum)."
