"""The dose of arcs at the rows of a planning, with its gradient: matrix, openings and what forward doses taught."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from rtsim.optimize.arcs.layout import ArcLayout, Layouts
from rtsim.optimize.arcs.shapes import ArcShapes
from rtsim.typing import AnyFloatArray, FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ArcDose:
    """Dose of all arcs.

    Attributes:
        matrix, adjoint: (rows, columns) float32 and its transpose; Gy of all fractions per monitor unit.
        missing: (rows, arcs) >= 0, Gy per mm2 MU that the matrix misses, from a forward dose; None: nothing.
    """

    layouts: Layouts
    matrix: sparse.csr_array
    adjoint: sparse.csr_array
    missing: FloatArray | None = None

    def of(self, shapes: tuple[ArcShapes, ...]) -> FloatArray:
        """(rows,) Gy."""
        return self.evaluate(shapes).dose_gy

    def of_each(self, shapes: tuple[ArcShapes, ...]) -> FloatArray:
        """(rows, arcs) Gy by the matrix alone."""
        found = [
            self.matrix @ _fluence(layout, own, self.layouts.columns)[0].astype(np.float32)
            for layout, own in zip(self.layouts.arcs, shapes, strict=True)
        ]
        return np.stack(found, axis=1).astype(np.float64)

    def output(self, shapes: tuple[ArcShapes, ...]) -> FloatArray:
        """(arcs,) open area times monitor units, leakage included: mm2 MU."""
        return np.array(
            [_fluence(a, s, self.layouts.columns)[1] for a, s in zip(self.layouts.arcs, shapes, strict=True)]
        )

    def columns(self, shapes: tuple[ArcShapes, ...]) -> AnyFloatArray:
        """(rows, intervals of all arcs) float32: Gy per monitor unit of each interval."""
        found = []
        for n, (layout, own) in enumerate(zip(self.layouts.arcs, shapes, strict=True)):
            opened = np.where(layout.index >= 0, layout.openings(own.left_mm, own.right_mm)[0], 0.0)
            there = layout.index >= 0
            interval = np.broadcast_to(np.arange(len(opened))[:, None, None], opened.shape)
            which = (layout.index[there], interval[there])
            spread = sparse.csr_array(
                (opened[there].astype(np.float32), which), shape=(self.layouts.columns, len(opened))
            )
            dense = (self.matrix @ spread).toarray().astype(np.float32)
            if self.missing is not None:
                area = (opened * layout.area_mm2).sum(axis=(1, 2))
                dense += (self.missing[:, n, None] * area).astype(np.float32)
            found.append(dense)
        return np.concatenate(found, axis=1)

    def evaluate(self, shapes: tuple[ArcShapes, ...]) -> Evaluated:
        """The dose, and what its gradient needs."""
        fluence = np.zeros(self.layouts.columns)
        openings, outputs = [], []
        for layout, own in zip(self.layouts.arcs, shapes, strict=True):
            parts = layout.openings(own.left_mm, own.right_mm)
            weighted = own.monitor_units[:, None, None] * parts[0]
            _add(fluence, layout, weighted)
            openings.append(parts)
            outputs.append(float((np.where(layout.index >= 0, weighted, 0.0) * layout.area_mm2).sum()))
        dose = np.asarray(self.matrix @ fluence.astype(np.float32), dtype=np.float64)
        if self.missing is not None:
            dose = dose + self.missing @ np.array(outputs)
        return Evaluated(model=self, shapes=shapes, openings=tuple(openings), dose_gy=dose)


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluated:
    """A dose with what was met on the way to it."""

    model: ArcDose
    shapes: tuple[ArcShapes, ...]
    openings: tuple[tuple[FloatArray, ...], ...]
    dose_gy: FloatArray

    def pullback(self, slope: FloatArray) -> tuple[ArcShapes, ...]:
        """Gradients by leaf ends and monitor units of a gradient (rows,) by dose, in the shape of the variables."""
        model = self.model
        by_column = np.append(np.asarray(model.adjoint @ slope.astype(np.float32), dtype=np.float64), 0.0)
        out = []
        for n, (layout, own, parts) in enumerate(zip(model.layouts.arcs, self.shapes, self.openings, strict=True)):
            by_opening = by_column[layout.index]
            if model.missing is not None:
                by_opening += np.where(layout.index >= 0, layout.area_mm2 * float(model.missing[:, n] @ slope), 0.0)
            opened, left_a, left_b, right_a, right_b = parts
            units = np.einsum("nrc,nrc->n", by_opening, opened)
            scale = own.monitor_units[:, None] * ((1.0 - layout.transmission) * layout.share)[None, :]
            pulled = by_opening[:, layout.row]
            left, right = np.zeros_like(own.left_mm), np.zeros_like(own.right_mm)
            left[:-1] -= scale * np.einsum("npc,npc->np", pulled, left_a)
            left[1:] -= scale * np.einsum("npc,npc->np", pulled, left_b)
            right[:-1] += scale * np.einsum("npc,npc->np", pulled, right_a)
            right[1:] += scale * np.einsum("npc,npc->np", pulled, right_b)
            out.append(ArcShapes(left_mm=left, right_mm=right, monitor_units=units))
        return tuple(out)


def _fluence(layout: ArcLayout, own: ArcShapes, columns: int) -> tuple[FloatArray, float]:
    weighted = own.monitor_units[:, None, None] * layout.openings(own.left_mm, own.right_mm)[0]
    fluence = np.zeros(columns)
    _add(fluence, layout, weighted)
    return fluence, float((np.where(layout.index >= 0, weighted, 0.0) * layout.area_mm2).sum())


def _add(fluence: FloatArray, layout: ArcLayout, weighted: FloatArray) -> None:
    """Add (intervals, r, c) to the columns of the matrix that they belong to."""
    total = np.bincount(layout.index.ravel() + 1, weights=weighted.ravel(), minlength=fluence.size + 1)
    fluence += total[1:]
