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
from rtsim.typing import Vector3

TOLERANCE_PERCENT: Final = 95.0
ACTION_PERCENT: Final = 90.0
"""Pass rates of gamma 3 %/2 mm, global, above 10 %, that TG-218 (doi:10.1002/mp.12810) tolerates and acts on. They are
for measurements of a commissioned machine; of a generic one they say how alike it is."""
BEAM_POINT: Final = "beam "
"""How the names of points start at which the plan states the dose of a beam."""
_WIDTH: Final = 110


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
        structures: targets first, then the cord, then the others.
        points: isocenters, and what the plan states of its beams.
        unmodeled: what lies in the beams of the plan and was not computed.
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

    @property
    def pass_percent(self) -> float | None:
        """Of gamma 3 %/2 mm; None without a given dose."""
        return self.gammas[0].pass_percent if self.gammas else None

    @property
    def headline(self) -> str:
        """Do the two doses agree?"""
        without = f"COMPUTED WITHOUT {' AND '.join(self.unmodeled).upper()}. " if self.unmodeled else ""
        return without + self._agreement

    @property
    def _agreement(self) -> str:
        found = self.pass_percent
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

    def __str__(self) -> str:
        rx = self.plan.prescription
        machines = ", ".join(dict.fromkeys(b.machine.name for b in self.plan.beams))
        head = (
            f"RECOMPUTED {self.plan.label!r} on {self.phantom.name!r}: {len(self.plan.beams)} beams, "
            f"{self.plan.monitor_units:.0f} MU a fraction, {rx.dose_gy:.4g} Gy in {rx.fractions} to {rx.target!r}; "
            f"machine {machines}; {self.dose.engine}"
        )
        given = "" if self.given is None else f"given: {self.given.engine}"
        lines = ["=" * _WIDTH, *textwrap.wrap(head, _WIDTH), *textwrap.wrap(given, _WIDTH)]
        lines += [*textwrap.wrap(self.headline, _WIDTH), "=" * _WIDTH]
        lines += ["", self.structure_table()] if self.structures else []
        lines += ["", self.point_table()] if self.points else []
        lines += ["", *map(str, self.gammas)] if self.gammas else []
        for note in self.notes:
            lines += textwrap.wrap(f"note: {note}", _WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def structure_table(self) -> str:
        """Per structure: D95%, mean and D0.035cc in Gy, given and recomputed."""
        head = (
            "structure",
            "cm3",
            "D95% given",
            "recomputed",
            "Dmean given",
            "recomputed",
            "D0.035cc given",
            "recomputed",
        )
        rows = []
        for s in self.structures:
            pairs = [
                (None if s.given is None else getattr(s.given, key), getattr(s.recomputed, key))
                for key in ("d95_gy", "mean_gy", "near_maximum_gy")
            ]
            cells = [cell for a, b in pairs for cell in ("-" if a is None else f"{a:.2f}", f"{b:.2f}")]
            rows.append((s.name, f"{s.volume_cm3:.1f}", *cells))
        return _table(head, rows)

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


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    wide = [max(len(line[n]) for line in (head, *rows)) for n in range(len(head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in (head, *rows)
    )
