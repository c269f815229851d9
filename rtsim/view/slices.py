"""Slices: axial, sagittal and coronal pictures of CT, dose and structure outlines.

Axial slices are seen from the feet (patient left on the right of the picture), sagittal ones from the left (anterior on
the left of the picture), coronal ones from the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import sample_linear
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import AnyFloatArray, FloatArray, Vector3
from rtsim.view._backend import matplotlib_module, write_png
from rtsim.view.implants import legend_name
from rtsim.view.style import DOSE_COLORMAP, Style, default_isodoses_gy, find_target, styles_for, with_target

PIXEL_MM: Final = 0.5
WINDOW_HU: Final = (-250.0, 750.0)
_INK: Final = "#F2F2F2"
_LEGEND_ROWS: Final = 14


class Plane(Enum):
    """A cut through the patient: axes (x = 0, y = 1, z = 2) across, up or down, and normal; letters at the sides."""

    AXIAL = (0, 1, 2, "R", "L", "A", "P")
    SAGITTAL = (1, 2, 0, "A", "P", "S", "I")
    CORONAL = (0, 2, 1, "R", "L", "S", "I")

    @property
    def axes(self) -> tuple[int, int, int]:
        """(across, along the picture's height, normal)."""
        across, height, normal, *_ = self.value
        return across, height, normal

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Letters at the left, right, top and bottom of the picture."""
        *_, left, right, top, bottom = self.value
        return left, right, top, bottom


@dataclass(frozen=True, eq=False)
class Window:
    """The sampled part of a plane: positions (mm) across and along the height, and their points (h, w, 3)."""

    plane: Plane
    across_mm: FloatArray
    height_mm: FloatArray
    points_mm: FloatArray

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the picture in mm, as matplotlib takes them."""
        a, h, p = self.across_mm, self.height_mm, PIXEL_MM / 2
        flipped = self.plane is Plane.AXIAL  # posterior is at the bottom
        low, high = float(h[0]) - p, float(h[-1]) + p
        return float(a[0]) - p, float(a[-1]) + p, high if flipped else low, low if flipped else high

    def sample(self, volume: AnyFloatArray, grid: Grid, fill: float) -> FloatArray:
        """(h, w) a volume on ``grid`` at the points, trilinear; ``fill`` outside."""
        return sample_linear(volume, grid, self.points_mm, fill)


def slice_figure(
    phantom: Phantom,
    *,
    dose: Dose | None = None,
    at_mm: Vector3 | None = None,
    target: str | None = None,
    planes: Sequence[Plane] = (Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL),
    structures: Sequence[str] | None = None,
    isodoses_gy: Sequence[float] | None = None,
    prescription_gy: float | None = None,
    named_gy: Mapping[float, str] | None = None,
    half_width_mm: float = 58.0,
    title: str = "",
) -> Any:
    """A matplotlib Figure with one picture a plane: HU gray, dose wash, labeled isodose lines, outlines, scale bar.

    Args:
        at_mm: point that the planes go through; default the centroid of the target, else the middle of the CT.
        target: name of the structure that the picture is about; default the first PTV, CTV, ITV or GTV.
        structures: names to outline; default all that meet the picture, vertebrae left out where they crowd it.
        isodoses_gy: lines; default percent levels of the prescription (or of the dose maximum).
        prescription_gy: scales the default isodoses.
        named_gy: what some of the isodoses stand for ("cord limit"); written beside them at the color bar.
        half_width_mm: half the side of the region around ``at_mm`` that is shown.

    Raises:
        GeometryError: ``at_mm`` lies outside the CT.
        InputError: an unknown structure, or no plane.
    """
    phantom = with_target(phantom, target)
    main = find_target(tuple(phantom.structures.values()))
    at = at_mm or (main.centroid_mm if main is not None else phantom.grid.center_mm())
    if not bool(phantom.grid.contains(np.array(at))):
        raise GeometryError(f"at_mm is {at}; the CT reaches from {phantom.grid.lower_mm} to {phantom.grid.upper_mm} mm")
    if not planes:
        raise InputError("planes is empty; give at least one of Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL")
    shown = _chosen(phantom, structures)
    levels = _levels(dose, isodoses_gy, prescription_gy)
    figure = matplotlib_module("figure").Figure(figsize=(4.6 * len(planes) + 2.1, 5.3), facecolor="#111111")
    side = 2.1 / (4.6 * len(planes) + 2.1)
    boxes = figure.subplots(
        1,
        len(planes),
        squeeze=False,
        gridspec_kw={"left": 0.012, "right": 1.0 - side, "wspace": 0.03, "bottom": 0.02, "top": 0.88},
    )[0]
    styles = styles_for(shown, on_dark=True)
    drawn: dict[str, Style] = {}
    for axes, plane in zip(boxes, planes, strict=True):
        window = window_of(phantom.grid, plane, at, half_width_mm)
        _draw_plane(axes, phantom, dose, window, levels, prescription_gy)
        drawn.update(draw_outlines(axes, shown, styles, window))
        annotate(axes, plane, at)
    named = {legend_name(phantom, name): style for name, style in drawn.items()}
    words = {**({} if prescription_gy is None else {prescription_gy: "prescribed"}), **(named_gy or {})}
    _side_panel(figure, named, dose, levels, side, words)
    figure.suptitle(title or phantom.name, color=_INK, fontsize=13, x=0.012, ha="left", y=0.975)
    return figure


def save_figure(figure: Any, path: str | Path, *, dpi: int = 130) -> Path:
    """Write a figure as PNG (temporary name, then renamed).

    Raises:
        InputError: ``path`` does not end in .png.
    """
    return write_png(path, figure_png(figure, dpi=dpi))


def figure_png(figure: Any, *, dpi: int = 130) -> bytes:
    """The PNG of a figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def _chosen(phantom: Phantom, names: Sequence[str] | None) -> tuple[Structure, ...]:
    if names is not None:
        return tuple(phantom[n] for n in names)
    hidden = (Role.SUPPORT, Role.CONTROL)
    return tuple(s for s in phantom.structures.values() if s.role not in hidden and not _is_plain_vertebra(s))


def _is_plain_vertebra(structure: Structure) -> bool:
    return structure.role is Role.OAR and structure.name.startswith("vertebra")


def _levels(dose: Dose | None, isodoses_gy: Sequence[float] | None, prescription_gy: float | None) -> tuple[float, ...]:
    if dose is None:
        return ()
    if isodoses_gy is not None:
        return tuple(sorted(v for v in isodoses_gy if v < dose.max_gy))
    if prescription_gy is None:
        return tuple(dose.max_gy * p for p in (0.2, 0.5, 0.8, 0.95))
    return default_isodoses_gy(prescription_gy, dose.max_gy)


def window_of(grid: Grid, plane: Plane, at: Vector3, half_width_mm: float) -> Window:
    """The part of a plane through ``at`` that lies on ``grid`` and within ``half_width_mm`` of ``at``."""
    across, height, normal = plane.axes
    spans = []
    for axis in (across, height):
        low = max(at[axis] - half_width_mm, grid.lower_mm[axis] + PIXEL_MM / 2)
        high = min(at[axis] + half_width_mm, grid.upper_mm[axis] - PIXEL_MM / 2)
        spans.append(np.arange(low, max(high, low + PIXEL_MM), PIXEL_MM))
    points = np.empty((len(spans[1]), len(spans[0]), 3))
    points[..., across] = spans[0][None, :]
    points[..., height] = spans[1][:, None]
    points[..., normal] = at[normal]
    return Window(plane, spans[0], spans[1], points)


def _draw_plane(
    axes: Any,
    phantom: Phantom,
    dose: Dose | None,
    window: Window,
    levels: tuple[float, ...],
    prescription_gy: float | None,
) -> None:
    origin = "upper" if window.plane is Plane.AXIAL else "lower"
    hu = window.sample(phantom.ct.hu, phantom.grid, -1000.0)
    axes.set_facecolor("black")
    axes.imshow(
        hu,
        cmap="gray",
        vmin=WINDOW_HU[0],
        vmax=WINDOW_HU[1],
        extent=window.extent,
        origin=origin,
        interpolation="bilinear",
    )
    if dose is None or not levels:
        return
    values = window.sample(dose.values_gy, dose.grid, 0.0)
    low, high = 0.5 * levels[0], dose.max_gy
    alpha = np.clip((values - low) / max(levels[0] - low, 1e-9), 0.0, 1.0) * 0.42
    axes.imshow(
        values,
        cmap=dose_colormap(),
        vmin=low,
        vmax=high,
        alpha=alpha,
        extent=window.extent,
        origin=origin,
        interpolation="bilinear",
    )
    present = [v for v in levels if values.min() < v < values.max()]
    if present:
        colormap = dose_colormap()
        colors = [colormap((v - low) / (high - low)) for v in present]
        lines = axes.contour(
            window.across_mm,
            window.height_mm,
            values,
            levels=present,
            colors=colors,
            linewidths=[2.4 if v == prescription_gy else 1.3 for v in present],
        )
        labels = axes.clabel(lines, fmt=lambda v: f"{v:g}", fontsize=8.5, inline=True, inline_spacing=2)
        _outline_text(labels)


def dose_colormap() -> Any:
    """The dose colormap without its darkest fifth, which would sink into the gray of the CT."""
    whole = matplotlib_module("cm").ScalarMappable(cmap=DOSE_COLORMAP).get_cmap()
    return matplotlib_module("colors").ListedColormap(whole(np.linspace(0.2, 1.0, 256)), name="dose")


def _outline_text(labels: Sequence[Any]) -> None:
    effects = matplotlib_module("patheffects")
    for label in labels:
        label.set_color("white")
        label.set_fontweight("bold")
        label.set_path_effects([effects.withStroke(linewidth=2.2, foreground="black")])


def draw_outlines(
    axes: Any, shown: tuple[Structure, ...], styles: dict[str, Style], window: Window
) -> dict[str, Style]:
    """Outline structures where they meet the window; returns the styles of those that do."""
    effects = matplotlib_module("patheffects")
    drawn: dict[str, Style] = {}
    for s in sorted(shown, key=lambda s: (styles[s.name].is_key, styles[s.name].width)):
        nz, ny, nx = s.grid.shape
        padded = Grid(
            (nz + 2, ny + 2, nx + 2),
            s.grid.spacing_mm,
            (
                s.grid.origin_mm[0] - s.grid.spacing_mm[0],
                s.grid.origin_mm[1] - s.grid.spacing_mm[1],
                s.grid.origin_mm[2] - s.grid.spacing_mm[2],
            ),
        )
        values = window.sample(np.pad(s.coverage, 1), padded, 0.0)
        if not values.min() < 0.5 < values.max():
            continue
        style = styles[s.name]
        if style.fill:
            axes.contourf(
                window.across_mm, window.height_mm, values, levels=[0.5, 2.0], colors=[style.fill], alpha=0.85
            )
        lines = axes.contour(
            window.across_mm,
            window.height_mm,
            values,
            levels=[0.5],
            colors=[style.color],
            linewidths=style.width,
            linestyles=style.dash,
        )
        lines.set_path_effects(
            [effects.withStroke(linewidth=style.width + 1.6, foreground="black", alpha=0.75), effects.Normal()]
        )
        drawn[s.name] = style
    return drawn


def annotate(axes: Any, plane: Plane, at: Vector3) -> None:
    """Letters of the sides, a title with the position, a scale bar."""
    effects = matplotlib_module("patheffects")
    shadow = [effects.withStroke(linewidth=2.5, foreground="black")]
    left, right, top, bottom = plane.letters
    for text, x, y in ((left, 0.025, 0.5), (right, 0.975, 0.5), (top, 0.5, 0.965), (bottom, 0.5, 0.035)):
        axes.text(
            x,
            y,
            text,
            transform=axes.transAxes,
            color=_INK,
            fontsize=12,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=shadow,
        )
    normal = "xyz"[plane.axes[2]]
    axes.set_title(f"{plane.name.lower()}, {normal} = {at[plane.axes[2]]:.1f} mm", color=_INK, fontsize=10, pad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#555555")
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    length = 20.0
    x, y = x1 - 0.05 * (x1 - x0) - length, y0 + 0.05 * (y1 - y0)
    axes.plot([x, x + length], [y, y], color=_INK, linewidth=3, solid_capstyle="butt", path_effects=shadow)
    axes.text(
        x + length / 2,
        y + 0.02 * (y1 - y0),
        "2 cm",
        color=_INK,
        fontsize=9,
        ha="center",
        va="bottom",
        path_effects=shadow,
    )


def _side_panel(
    figure: Any,
    drawn: dict[str, Style],
    dose: Dose | None,
    levels: tuple[float, ...],
    side: float,
    words: Mapping[float, str],
) -> None:
    line = matplotlib_module("lines").Line2D
    order = sorted(drawn, key=lambda n: (not drawn[n].is_key, -drawn[n].width))
    handles = [
        line([], [], color=drawn[n].color, linestyle=drawn[n].dash, linewidth=max(drawn[n].width, 1.4)) for n in order
    ]
    left = 1.0 - side + 0.008
    labels = [n if len(n) <= 22 else n[:20] + "\u2026" for n in order]
    if len(order) > _LEGEND_ROWS:
        handles = [*handles[: _LEGEND_ROWS - 1], line([], [], linestyle="none")]
        labels = [*labels[: _LEGEND_ROWS - 1], f"and {len(order) - _LEGEND_ROWS + 1} more"]
    if handles:
        figure.legend(
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=(left - 0.004, 0.90),
            frameon=False,
            fontsize=9,
            labelcolor=_INK,
            handlelength=2.4,
            borderaxespad=0.0,
            labelspacing=0.35,
        )
    if dose is None or not levels:
        return
    low, high = 0.5 * levels[0], dose.max_gy
    bar = figure.add_axes((left + 0.008, 0.06, 0.013, 0.30))
    norm = matplotlib_module("colors").Normalize(low, high)
    mappable = matplotlib_module("cm").ScalarMappable(norm=norm, cmap=dose_colormap())
    ticks = _spread(levels, (high - low) * 0.065, words)
    colorbar = figure.colorbar(mappable, cax=bar, ticks=ticks)
    colorbar.ax.set_yticklabels([f"{v:.4g} {words.get(v, '')}".rstrip() for v in ticks])
    colorbar.ax.tick_params(colors=_INK, labelsize=9)
    colorbar.ax.set_title("dose, Gy", color=_INK, fontsize=9, loc="left", pad=6)
    colorbar.outline.set_edgecolor("#555555")
    for level in levels:
        colorbar.ax.axhline(level, color="white", linewidth=0.8)


def _spread(levels: tuple[float, ...], least: float, words: Mapping[float, str]) -> list[float]:
    """The levels that stand far enough apart for their labels; those with a name always among them."""
    kept = [v for v in levels if v in words]
    for level in levels:
        if all(abs(level - other) >= least for other in kept):
            kept.append(level)
    return sorted(kept)
