"""ESCC measured from drawn structures (tumor, canal, thecal sac, cord) of any patient, by the wording of the scale.

On each axial slice that shows tumor, from the outlines as they are drawn there:

* tumor in the canal: it reaches deeper than ``CANAL_MM`` into the drawn canal. On no slice: grade 0.
* sac deformed: tumor reaches deeper than ``SAC_MM`` into the outline that the sac has beyond the tumor, or the sac is
  dented that deep against its own convex hull where tumor lies. Not deformed: 1a.
* cord touched: it is no further than ``TOUCH_MM`` from the tumor. Not touched: 1b.
* cord deformed: dented by more than ``CORD_MM`` against its own convex hull or against its outline beyond the tumor
  (put where it fits best: a cord that is pushed aside is not deformed). Touched, not deformed: 1c.
* CSF seen: sac less cord less tumor is at least ``CSF_FRACTION`` of the sac's area there. Seen: 2; not seen: 3 (then
  the cord is compressed, whatever its own outline says).

The grade is that of the worst slice. Below the cord no cord can be touched, and the roots give way: the sac decides,
and it counts as compressed when less than ``SAC_AREA_MM2`` are left of it. What is not drawn leaves grades open;
nothing is guessed. The lengths are rtsim's: about half of what tells two grades apart in an adult.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rtsim.clinic.escc_grade import EsccGrade, EsccMeasurement
from rtsim.clinic.escc_outline import Outline, expected
from rtsim.clinic.escc_rule import SAC_MM, Seen, grades_of, sentences
from rtsim.clinic.escc_slices import (
    Lattice,
    Stack,
    area_mm2,
    deepest_mm,
    depth_mm,
    film_mm,
    gap_mm,
    hull,
    space_mm,
    thickness_mm,
)
from rtsim.clinic.level import Heights, tumor_of
from rtsim.errors import GeometryError
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.typing import BoolArray

CLEAR_MM: Final = 2.0
"""A slice this close to one with tumor in the canal is not free of it (nor is the very next one)."""
_WELL_AWAY_MM: Final = 5.0
_SAC_MOVES_MM: Final = 0.5
_CORD_MOVES_MM: Final = 5.0
_CALIPERS: Final = tuple(np.array((np.sin(a), np.cos(a))) for a in np.linspace(0.0, np.pi, 18, endpoint=False))
THICK_MM: Final = 3.0
"""Slices that are thicker than this may hide the tip of a tumor."""
INSIDE_SAC: Final = 0.6
"""A tumor that lies in the sac by more than this share of its volume is not epidural."""
_ALL: Final = tuple(EsccGrade)


def measure(phantom: Phantom, *, tumor: Sequence[str] = ()) -> EsccMeasurement:
    """Grade the epidural compression of a patient from the drawn structures.

    Structures are found by their names (``rtsim.protocol.nomenclature``): GTV, spinal_canal, thecal_sac, spinal_cord,
    cauda_equina.

    Args:
        tumor: names of the structures that make up the tumor, where several GTVs are drawn.

    Raises:
        InputError: several GTVs and none named, an unknown name, two structures named like the cord.
    """
    found = tumor_of(phantom, tumor)
    drawn = {key: find_structure(phantom, key) for key in ("spinal_canal", "thecal_sac", "spinal_cord", "cauda_equina")}
    neural = tuple(s for s in drawn.values() if s is not None)
    if not found or not neural:
        missing = ("GTV",) if not found else ("spinal_canal", "thecal_sac", "spinal_cord")
        return EsccMeasurement(
            possible=_ALL, missing=missing, reasons=(f"{', '.join(missing)}: not drawn, so nothing can be measured",)
        )
    try:
        lattice = Lattice.around(found, neural, phantom)
    except GeometryError:
        return EsccMeasurement(
            possible=_ALL,
            missing=tuple(key for key, s in drawn.items() if s is not None),
            reasons=("the structures of the canal are not drawn where the tumor lies",),
        )
    return _Canal(phantom, lattice, found, drawn).measured()


class _Canal:
    """The structures on fine slices, and what each slice shows."""

    def __init__(
        self, phantom: Phantom, lattice: Lattice, tumor: tuple[Structure, ...], drawn: dict[str, Structure | None]
    ) -> None:
        def stack(key: str) -> Stack | None:
            s = drawn[key]
            return lattice.stack(() if s is None else (s,))

        tumors = lattice.stack(tumor)
        assert tumors is not None
        self.lattice, self.tumor, self.heights = lattice, tumors, Heights.of(phantom)
        self.tumor_cm3 = sum(s.volume_cm3 for s in tumor)
        self.pixel_cm3 = area_mm2(np.ones((1, 1), dtype=np.bool_)) * lattice.grid.spacing_mm[2] / 1000.0
        self.canal, self.cauda = stack("spinal_canal"), stack("cauda_equina")
        cord, sac = stack("spinal_cord"), stack("thecal_sac")
        # a "cord" that goes on into the lower lumbar spine is the sac by another name
        is_low = np.array([_has_no_cord(self.heights.at(float(z))) for z in tumors.z_mm], dtype=np.bool_)
        self.renamed = cord is not None and sac is None and bool((cord.drawn & is_low).any())
        if self.renamed and cord is not None:
            sac = cord.only(is_low)
        self.cord = None if cord is None else cord.only(~is_low)
        self.sac = None if sac is None else sac.joined(self.cord)
        self.missing = tuple(k for k in ("spinal_canal", "thecal_sac", "spinal_cord") if drawn[k] is None)
        self.is_free = self._free(lattice.grid.spacing_mm[2])

    def measured(self) -> EsccMeasurement:
        """The worst slice, and what it leaves open."""
        seen = [self._seen(int(k)) for k in self._slices()]
        if not seen:
            return EsccMeasurement(
                possible=(EsccGrade.ESCC_0,), reasons=("no tumor lies within 4 mm of the drawn canal",)
            )
        graded = [(grades_of(s), s) for s in seen]
        lowest = max(min(g) for g, _ in graded)
        possible = tuple(g for g in EsccGrade if g >= lowest and any(g in some for some, _ in graded))
        _, worst = max(graded, key=lambda pair: (max(pair[0]), min(pair[0]), *pair[1].severity))
        needed = self.missing if len(possible) > 1 else ()
        in_canal = worst.canal_mm is None or worst.canal_mm > 0.0
        return EsccMeasurement(
            possible=possible,
            z_mm=worst.z_mm if in_canal else None,
            tumor_in_canal_mm=worst.canal_mm,
            sac_dent_mm=worst.sac_mm,
            cord_gap_mm=worst.cord_gap_mm,
            cord_dent_mm=worst.cord_mm,
            csf_fraction=worst.csf,
            neural=worst.neural,
            reasons=(*sentences(worst), *self._remarks(), *_needed(needed)),
            missing=needed,
            inside_sac=self._inside_sac(),
        )

    def _slices(self) -> list[int]:
        """The slices that show tumor, be it a film."""
        return [int(k) for k in np.flatnonzero(self.tumor.coverage.any(axis=(1, 2)))]

    def _free(self, dz_mm: float) -> BoolArray:
        """(n,) slices that no tumor touches in the canal, nor their neighbours."""
        touched = np.zeros(len(self.tumor.z_mm), dtype=np.bool_)
        for k in self._slices():
            touched[k] = self._reaches(int(k))
        beside = max(1, round(np.ceil(CLEAR_MM / dz_mm)))
        spread = np.convolve(touched, np.ones(2 * beside + 1), mode="same") > 0.5
        return np.asarray(~spread)

    def _reaches(self, k: int) -> bool:
        tumor, reach = self.tumor.on(k), self._reach(k)
        if reach is not None:
            return reach > 0.25
        nearest = [gap_mm(tumor, s.on(k)) for s in (self.sac, self.cord) if s is not None]
        return bool(nearest) and min(nearest) <= CLEAR_MM

    def _reach(self, k: int) -> float | None:
        """How deep tumor reaches into the canal; None where that is not drawn and tumor is near where it last was."""
        if self.canal is None:
            return None
        drawn = np.flatnonzero(self.canal.drawn)
        if not drawn.size:
            return None
        if self.canal.on(k).any():
            return film_mm(self.tumor.coverage[k], self.canal.coverage[k], self.tumor.voxel_mm)
        last = int(drawn[np.argmin(np.abs(drawn - k))])
        return 0.0 if gap_mm(self.tumor.on(k), self.canal.on(last)) > _WELL_AWAY_MM else None

    def _seen(self, k: int) -> Seen:
        """What slice ``k`` shows, measured where it is drawn."""
        tumor, z = self.tumor.on(k), float(self.tumor.z_mm[k])
        reach = self._reach(k)
        has_cord = self.cord is not None and bool(self.cord.on(k).any())
        below = not has_cord and self._is_below_cord(z)
        if reach == 0.0:
            return Seen(z_mm=z, canal_mm=0.0, level=self.heights.at(z))
        sac_gap, sac_mm, sac_area = self._sac(k, tumor)
        gap, dent = self._cord(k, tumor) if has_cord else (None, None)
        return Seen(
            z_mm=z,
            canal_mm=reach,
            sac_gap_mm=sac_gap,
            sac_mm=sac_mm,
            sac_area_mm2=sac_area,
            cord_gap_mm=gap,
            cord_mm=dent,
            csf=self._csf(k, tumor, below=below),
            neural="spinal_cord" if has_cord else ("cauda_equina" if below else ""),
            level=self.heights.at(z),
        )

    def _sac(self, k: int, tumor: BoolArray) -> tuple[float | None, float | None, float | None]:
        """(gap to tumor, dent, area) of the sac; the dent is None where it cannot be told."""
        if self.sac is None or not self.sac.on(k).any():
            return None, None, None
        sac = self.sac.on(k) & ~tumor
        gap = gap_mm(tumor, self.sac.on(k))
        outline = expected(self.sac, self.canal, self.is_free, k, _SAC_MOVES_MM)
        if outline is not None:
            dent = film_mm(self.tumor.coverage[k], self.lattice.voxels(outline.inside), self.tumor.voxel_mm)
            return gap, dent, area_mm2(sac)
        own = deepest_mm(tumor, hull(sac)) if sac.any() else 0.0
        # without a slice to compare with, a sac that is not dented may still be flattened
        return gap, own if own > SAC_MM else None, area_mm2(sac)

    def _cord(self, k: int, tumor: BoolArray) -> tuple[float, float]:
        """(gap to tumor, dent) of the cord; the gap is the mean of that of the outlines and that of the coverages."""
        assert self.cord is not None
        cord = self.cord.on(k) & ~tumor
        outline = expected(self.cord, None, self.is_free, k, _CORD_MOVES_MM)
        dents = [float(depth_mm(hull(cord))[~cord].max())] if cord.any() else [np.inf]
        if outline is not None:
            dents += [outline.depth_of(~cord), _thinned_mm(outline, cord)]
        space = space_mm(self.tumor.coverage[k], self.cord.coverage[k], self.tumor.voxel_mm)
        outlines = gap_mm(tumor, self.cord.on(k))
        return (outlines + space) / 2.0 if np.isfinite(space) else outlines, max(dents)

    def _csf(self, k: int, tumor: BoolArray, *, below: bool) -> float | None:
        """Share of the sac's area that is neither cord nor tumor; None where sac or cord are not drawn."""
        inner = self.cauda if below else self.cord
        if self.sac is None or inner is None or not self.sac.on(k).any() or not inner.on(k).any():
            return None
        sac = self.sac.on(k) & ~tumor
        return area_mm2(sac & ~inner.on(k)) / area_mm2(sac) if sac.any() else 0.0

    def _is_below_cord(self, z_mm: float) -> bool:
        """The cauda equina is drawn there, or the vertebra there has no cord."""
        if self.cauda is not None:
            k = int(np.argmin(np.abs(self.cauda.z_mm - z_mm)))
            if self.cauda.on(k).any():
                return True
        return _has_no_cord(self.heights.at(z_mm))

    def _inside_sac(self) -> float:
        """Share of the tumor's volume inside of the sac as drawn, holes filled."""
        if self.sac is None:
            return 0.0
        inside = sum(
            area_mm2(self.tumor.on(int(k)) & hull(self.sac.on(int(k)))) if self.sac.on(int(k)).any() else 0.0
            for k in np.flatnonzero(self.tumor.drawn)
        )
        one = area_mm2(np.ones((1, 1), dtype=np.bool_))
        return min(1.0, inside / one * self.pixel_cm3 / self.tumor_cm3)

    def _remarks(self) -> tuple[str, ...]:
        """What is odd in the drawing."""
        out = []
        if self.renamed:
            out.append("spinal_cord is drawn below L2, where the cord has ended: it is read as the thecal sac there")
        dz = self.lattice.grid.spacing_mm[2]
        if dz > THICK_MM:
            out.append(f"slices of {dz:g} mm average out what is shorter: the grade may be too low by one")
        share = self._inside_sac()
        if share >= INSIDE_SAC:
            out.append(f"{100 * share:.0f} % of the tumor lies in the thecal sac: the scale is made for epidural tumor")
        return tuple(out)


def _has_no_cord(level: str | None) -> bool:
    """L3 and below; the cord ends at L1 or L2."""
    return level is not None and (level[0] == "S" or (level[0] == "L" and int(level[1:]) >= 3))


def _thinned_mm(outline: Outline, cord: BoolArray) -> float:
    """How much narrower the cord is than its outline beyond the tumor, in the direction where it lost most."""
    return max(thickness_mm(outline.inside, d) - thickness_mm(cord, d) for d in _CALIPERS)


def _needed(missing: tuple[str, ...]) -> tuple[str, ...]:
    return (f"to tell these grades apart, draw: {', '.join(missing)}",) if missing else ()
