"""Recomputed: a plan of a DICOM folder computed again, beside the dose that came with it. ``str`` is a text table."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rtsim.dose.dvh import DVH
from rtsim.dose.result import Dose
from rtsim.evaluate.gamma import GammaResult
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.nomenclature import canonical
from rtsim.typing import Vector3

TOLERANCE_PERCENT: Final = 95.0
ACTION_PERCENT: Final = 90.0
"""Pass rates of gamma 3 %/2 mm, global, above 10 %, that TG-218 (doi:10.1002/mp.12810) tolerates and acts on. They are
for measurements of a commissioned machine; of a generic one they say how alike it is."""
BEAM_POINT: Final = "beam "
"""How the names of points start at which the plan states the dose of a beam."""
NAMED_PERCENT: Final = 5.0
"""A difference of the cord's D0.035cc, or of the target's D95%, beyond which the headline names it whatever gamma says:
gamma counts voxels, and the cord has few. [A] assumption of rtsim."""
_CORDS: Final = ("spinal_cord", "spinal_cord_prv", "cauda_equina", "thecal_sac", "spinal_canal", "brainstem")
_LEAST_SHARE: Final = 0.1
"""Of the prescription: of doses below it no difference in percent is said."""
_METRICS: Final = (("D95%", "d95_gy"), ("Dmean", "mean_gy"), ("D0.035cc", "near_maximum_gy"))
_WIDTH: Final = 110


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One number of a structure in both doses, Gy of all fractions."""

    structure: str
    metric: str
    given_gy: float
    recomputed_gy: float

    @property
    def percent(self) -> float:
        """Recomputed minus given, in percent of the given dose."""
        return 100.0 * (self.recomputed_gy / self.given_gy - 1.0)

    def __str__(self) -> str:
        return (
            f"{self.structure} {self.metric} {self.given_gy:.2f} Gy given, {self.recomputed_gy:.2f} recomputed "
            f"({self.percent:+.1f} %)"
        )


def shown_rank(name: str, treated: str | None, *, is_target: bool) -> tuple[int, str]:
    """The order of tables: the treated target, cord and PRV and what stands for them, other targets, the rest."""
    key = canonical(name) or name
    rank = 0 if name == treated else 1 + _CORDS.index(key) if key in _CORDS else 20 if is_target else 30
    return rank, name.lower()


@dataclass(frozen=True, kw_only=True)
class StructureDoses:
    """A structure in one dose, Gy of all fractions.

    Attributes:
        outside_percent: of its volume that lies outside the dose grid, and counts as 0 Gy.
    """

    d95_gy: float
    mean_gy: float
    near_maximum_gy: float
    outside_percent: float = 0.0

    @classmethod
    def of(cls, histogram: DVH) -> StructureDoses:
        """D95%, mean and D0.035cc of a DVH."""
        return cls(
            d95_gy=histogram.dose_gy_at_percent(95.0),
            mean_gy=histogram.mean_gy,
            near_maximum_gy=histogram.dose_gy_at(min(0.035, histogram.volume_cm3)),
            outside_percent=100.0 * histogram.outside_cm3 / histogram.volume_cm3,
        )


@dataclass(frozen=True, kw_only=True)
class ComparedStructure:
    """A structure in both doses; ``given`` None where there is none, or the structure lies outside of it."""

    name: str
    is_target: bool
    volume_cm3: float
    given: StructureDoses | None
    recomputed: StructureDoses


@dataclass(frozen=True, kw_only=True)
class ComparedPoint:
    """The dose of a point, Gy of all fractions: from the RTDOSE, or what the plan says that a beam gives."""

    name: str
    point_mm: Vector3
    given_gy: float
    recomputed_gy: float

    @property
    def difference_percent(self) -> float:
        """Recomputed minus given, in percent of the given dose."""
        return 100.0 * (self.recomputed_gy / self.given_gy - 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Recomputed:
    """A plan computed again.

    Attributes:
        phantom: CT and structures that it was computed on.
        plan: as read; its notes are in ``notes``, too.
        plan_uid: SOP Instance UID of the RTPLAN.
        dose: the recomputed dose, all fractions.
        given: the dose of the folder; None when there is none to compare.
        gammas: of the given dose as reference, 3 %/2 mm and 2 %/2 mm, global to the prescription, inside the patient
            above 10 %; empty without a given dose.
        structures: the treated target first, then cord and PRV, other targets, the others.
        points: isocenters, and what the plan states of its beams.
        unmodeled: what lies in the beams of the plan and was not computed.
        not_compared: why what is given cannot be compared; "" where it is, or where nothing is given.
        notes: everything that was left out or taken otherwise.
    """

    phantom: Phantom
    plan: Plan
    plan_uid: str
    dose: Dose
    given: Dose | None
    gammas: tuple[GammaResult, ...]
    structures: tuple[ComparedStructure, ...]
    points: tuple[ComparedPoint, ...]
    unmodeled: tuple[str, ...]
    notes: tuple[str, ...]
    not_compared: str = ""

    @property
    def pass_percent(self) -> float | None:
        """Of gamma 3 %/2 mm; None without a given dose."""
        return self.gammas[0].pass_percent if self.gammas else None

    @property
    def headline(self) -> str:
        """Do the two doses agree? Differences of cord and target are named whatever gamma says."""
        without = f"COMPUTED WITHOUT {' AND '.join(self.unmodeled).upper()}. " if self.unmodeled else ""
        named = "; ".join(str(d) for d in self.clinical if self._is_key(d) and abs(d.percent) > NAMED_PERCENT)
        return without + self._agreement + (f" BUT {named}." if named else "")

    @property
    def clinical(self) -> tuple[Difference, ...]:
        """D95% and mean of the treated target, D0.035cc of the other organs, the largest difference first.

        Doses below a tenth of the prescription in both are left out, and targets other than the treated one.
        """
        least, treated = _LEAST_SHARE * self.plan.prescription.dose_gy, self.plan.prescription.target
        found = []
        for s in self.structures:
            if s.given is None or (s.is_target and s.name != treated):
                continue
            for metric, key in _METRICS[:2] if s.is_target else _METRICS[2:]:
                given, recomputed = getattr(s.given, key), getattr(s.recomputed, key)
                if given > 0.0 and max(given, recomputed) >= least:
                    found.append(Difference(structure=s.name, metric=metric, given_gy=given, recomputed_gy=recomputed))
        return tuple(sorted(found, key=lambda d: -abs(d.percent)))

    def _is_key(self, difference: Difference) -> bool:
        is_cord = (canonical(difference.structure) or difference.structure) in _CORDS
        return is_cord or (difference.structure == self.plan.prescription.target and difference.metric == "D95%")

    @property
    def caution(self) -> str:
        """What the two grids do to the comparison; "" where they are alike, or there is nothing to compare."""
        if self.given is None:
            return ""
        ours, theirs = (_spacing(d) for d in (self.dose, self.given))
        if ours == theirs:
            return ""
        return (
            f"CAUTION: given on {theirs} mm, recomputed on {ours} mm: differences of near-maxima (D0.035cc) and of "
            "doses at points in steep gradients are partly of the grids, not of the doses"
        )

    @property
    def _agreement(self) -> str:
        found = self.pass_percent
        if found is None and self.not_compared:
            return f"NOT COMPARED: {self.not_compared}."
        if found is None:
            stated = any(p.name.startswith(BEAM_POINT) for p in self.points)
            return "No dose to compare with" + (" but what the plan states of its beams." if stated else ".")
        verdict = (
            "within the tolerance"
            if found >= TOLERANCE_PERCENT
            else "beyond the tolerance, within the action level"
            if found >= ACTION_PERCENT
            else "BEYOND THE ACTION LEVEL"
        )
        return (
            f"{found:.1f} % of the voxels agree within 3 %/2 mm: {verdict} of TG-218 ({TOLERANCE_PERCENT:g} and "
            f"{ACTION_PERCENT:g} %)."
        )

    def __repr__(self) -> str:
        return f"Recomputed({self.plan!r}, {self.headline!r})"

    def __str__(self) -> str:
        rx = self.plan.prescription
        machines = ", ".join(dict.fromkeys(b.machine.name for b in self.plan.beams))
        count = len(self.plan.beams)
        head = (
            f"RECOMPUTED {self.plan.label!r} on {self.phantom.name!r}: {count} beam{'s' * (count != 1)}, "
            f"{self.plan.monitor_units:.0f} MU a fraction, {rx.dose_gy:.4g} Gy in {rx.fractions} to {rx.target!r}; "
            f"machine {machines}"
        )
        again = f"recomputed: {self.dose.engine} on {self.dose.grid.describe()}"
        given = "" if self.given is None else f"given: {self.given.engine} on {self.given.grid.describe()}"
        lines = ["=" * _WIDTH, *textwrap.wrap(head, _WIDTH)]
        lines += [line for text in (given, again, self.caution) for line in textwrap.wrap(text, _WIDTH)]
        lines += textwrap.wrap(self.headline, _WIDTH)
        if self.clinical:
            lines += textwrap.wrap(f"Largest difference of cord, target and organs: {self.clinical[0]}.", _WIDTH)
        lines.append("=" * _WIDTH)
        lines += ["", self.structure_table()] if self.structures else []
        lines += ["", self.point_table()] if self.points else []
        lines += ["", *map(str, self.gammas)] if self.gammas else []
        for note in self.notes:
            lines += textwrap.wrap(f"note: {note}", _WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def structure_table(self) -> str:
        """Per structure: D95%, mean and D0.035cc in Gy, given, recomputed and their difference."""
        head = ("structure", "cm3", *(cell for metric, _ in _METRICS for cell in (metric, "again", "diff")))
        below = ("", "", *(("given", "", "%") * len(_METRICS)))
        least = _LEAST_SHARE * self.plan.prescription.dose_gy
        rows = []
        for s in self.structures:
            cells: list[str] = []
            for _, key in _METRICS:
                given, again = None if s.given is None else getattr(s.given, key), getattr(s.recomputed, key)
                says = given is not None and given > 0.0 and max(given, again) >= least
                cells += ["-" if given is None else f"{given:.2f}", f"{again:.2f}"]
                cells.append(f"{100.0 * (again / given - 1.0):+.1f}" if says and given is not None else "-")
            rows.append((s.name, f"{s.volume_cm3:.1f}", *cells))
        return f"{_table(head, [below, *rows])}\nGy; again: recomputed; diff: of the given dose, from {least:.3g} Gy up"

    def point_table(self) -> str:
        """Per point: Gy of all fractions, given and recomputed."""
        head = ("point", "x, y, z mm", "given Gy", "recomputed Gy", "difference")
        rows = [
            (
                p.name,
                ", ".join(f"{v:.1f}" for v in p.point_mm),
                f"{p.given_gy:.3f}",
                f"{p.recomputed_gy:.3f}",
                f"{p.difference_percent:+.1f} %",
            )
            for p in self.points
        ]
        return _table(head, rows)


def _spacing(dose: Dose) -> str:
    """ "2" or "2 x 2 x 3"."""
    sides = [f"{v:.3g}" for v in dose.grid.spacing_mm]
    return sides[0] if len(set(sides)) == 1 else " x ".join(sides)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    wide = [max(len(line[n]) for line in (head, *rows)) for n in range(len(head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in (head, *rows)
    )
