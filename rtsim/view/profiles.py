"""Plots of depth dose and profiles, beside a reference when there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray, FloatArray
from rtsim.view._backend import matplotlib_module

_COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_DASHES: Final = ("-", "--", "-.", (0, (3, 1, 1, 1)), (0, (1, 1)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """One curve: positions in mm, doses in any one unit, and what it is called. A reference is drawn as points."""

    label: str
    position_mm: FloatArray
    dose: FloatArray
    is_reference: bool = False

    def __post_init__(self) -> None:
        for name in ("position_mm", "dose"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        if self.position_mm.ndim != 1 or self.position_mm.shape != self.dose.shape or self.position_mm.size < 2:
            raise InputError(
                f"curve {self.label!r}: position_mm {self.position_mm.shape} and dose {self.dose.shape} must "
                "be two arrays of one length >= 2"
            )
        if not (np.diff(self.position_mm) > 0).all():
            raise InputError(f"curve {self.label!r}: position_mm must increase")


def curve_figure(
    curves: Sequence[Curve],
    *,
    across: str = "depth, mm",
    dose_label: str = "dose, %",
    title: str = "",
    tolerance_percent: float | None = None,
) -> Any:
    """A matplotlib Figure of depth doses or profiles; with one reference the differences are drawn below.

    Differences are in percent of the maximum of the reference, at the reference's points. ``tolerance_percent`` draws
    a band.
    """
    if not curves:
        raise InputError("curves is empty; give at least one Curve")
    references = [c for c in curves if c.is_reference]
    if len(references) > 1:
        raise InputError(f"{len(references)} curves are references; at most one can be")
    own = [c for c in curves if not c.is_reference]
    compares = bool(references and own)
    figure = matplotlib_module("figure").Figure(figsize=(7.6, 5.6 if compares else 4.4), facecolor="white")
    boxes = figure.subplots(
        2 if compares else 1,
        1,
        squeeze=False,
        sharex=True,
        gridspec_kw={
            "left": 0.10,
            "right": 0.97,
            "top": 0.92,
            "bottom": 0.10,
            "hspace": 0.08,
            **({"height_ratios": (3, 1)} if compares else {}),
        },
    )[:, 0]
    for i, c in enumerate(own):
        boxes[0].plot(
            c.position_mm, c.dose, color=_COLORS[i % 5], linestyle=_DASHES[i % 5], linewidth=1.9, label=c.label
        )
    for c in references:
        boxes[0].plot(
            c.position_mm,
            c.dose,
            linestyle="none",
            marker="o",
            markersize=4,
            markerfacecolor="white",
            markeredgecolor="black",
            label=c.label,
            markevery=max(1, c.dose.size // 60),
        )
    boxes[0].set_ylabel(dose_label)
    boxes[0].set_ylim(bottom=min(0.0, *(float(c.dose.min()) for c in curves)))
    boxes[0].legend(frameon=False, fontsize=9)
    if compares:
        _differences(boxes[1], own, references[0], tolerance_percent)
    boxes[-1].set_xlabel(across)
    for axes in boxes:
        axes.grid(visible=True, color="#E4E4E4", linewidth=0.7)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.suptitle(title, x=0.10, ha="left", fontsize=11)
    return figure


def depth_curve(
    label: str,
    position_mm: AnyFloatArray,
    dose: AnyFloatArray,
    *,
    is_reference: bool = False,
    normalize_at_mm: float | None = None,
) -> Curve:
    """A curve in percent of its maximum, or of its value at ``normalize_at_mm``."""
    position, values = np.asarray(position_mm, dtype=np.float64), np.asarray(dose, dtype=np.float64)
    full = float(values.max()) if normalize_at_mm is None else float(np.interp(normalize_at_mm, position, values))
    if full <= 0:
        raise InputError(f"curve {label!r} cannot be normalized: the dose there is {full}")
    return Curve(label=label, position_mm=position, dose=100.0 * values / full, is_reference=is_reference)


def _differences(axes: Any, own: Sequence[Curve], reference: Curve, tolerance_percent: float | None) -> None:
    full = float(reference.dose.max())
    if tolerance_percent is not None:
        axes.axhspan(-tolerance_percent, tolerance_percent, color="#E8F1F8", zorder=0)
    axes.axhline(0.0, color="#888888", linewidth=0.8)
    for i, c in enumerate(own):
        inside = (reference.position_mm >= c.position_mm[0]) & (reference.position_mm <= c.position_mm[-1])
        at = reference.position_mm[inside]
        difference = 100.0 * (np.interp(at, c.position_mm, c.dose) - reference.dose[inside]) / full
        axes.plot(at, difference, color=_COLORS[i % 5], linestyle=_DASHES[i % 5], linewidth=1.4)
    axes.set_ylabel("difference,\n% of maximum")
