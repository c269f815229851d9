"""Candidate: a draft with its forward dose, and what of it remains after scaling to coverage or limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rtsim.beams import check_delivery, largest_scale
from rtsim.beams.model import Beam
from rtsim.dose.beam_sum import sum_of_beams
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.errors import MachineLimitError
from rtsim.optimize.delivered import Reading
from rtsim.optimize.delivery import Draft
from rtsim.optimize.fluence import Planning
from rtsim.optimize.goals import DoseVolumeLimit
from rtsim.optimize.interruptible import share
from rtsim.optimize.wishes import Wishes
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray, Progress

HALVED_PERCENT = 0.5
"""A plan that lacks so much more of the wanted coverage ranks equal at half the objective [E]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Delivered:
    """The forward dose of beams: their sum, and what each gives to the rows of a planning.

    Attributes:
        dose: of all beams and fractions.
        rows_gy: (rows, beams).
    """

    dose: Dose
    rows_gy: FloatArray


def deliver(
    engine: Engine, phantom: Phantom, beams: Sequence[Beam], planning: Planning, progress: Progress | None
) -> Delivered:
    """Compute the beams one by one."""
    total: Dose | None = None
    rows = np.zeros((planning.rows.count, len(beams)))
    for n, beam in enumerate(beams):
        part = share(progress, n, len(beams))
        own = engine.forward(phantom, (beam,), fractions=planning.prescription.fractions, progress=part)
        rows[:, n] = planning.rows.dose_of(own)
        total = own if total is None else sum_of_beams((total, own))
    assert total is not None
    return Delivered(dose=total, rows_gy=rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A draft that was delivered.

    Attributes:
        beams, dose: before scaling.
        reading: what the dose gives to limits and target, before scaling.
        factor: of all monitor units: to the wanted coverage, or less where a hard limit or the machine says so.
        coverage_percent, objective: of the scaled dose.
        wanted_percent: coverage that is asked for.
    """

    draft: Draft
    beams: tuple[Beam, ...]
    dose: Dose
    rows_gy: FloatArray
    reading: Reading
    factor: float
    coverage_percent: float
    objective: float
    wanted_percent: float

    @cached_property
    def obstacle(self) -> str:
        """Why the machine cannot deliver the scaled beams; empty when it can.

        Beams of a machine without calibration carry photons, which no machine limits.
        """
        for beam in self.beams:
            if beam.machine.calibration is not None:
                try:
                    check_delivery(beam.scaled(self.factor))
                except MachineLimitError as error:
                    return str(error)
        return ""

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Greater is better: what can be delivered first; then the lower objective, doubled for each 0.5 % of
        coverage that lack. Coverage beyond the wanted one counts for nothing.
        """
        lost = max(0.0, self.wanted_percent - self.coverage_percent)
        return not self.obstacle, -self.objective * 2.0 ** (lost / HALVED_PERCENT), -lost

    def read_again(
        self, reading: Reading, limits: tuple[DoseVolumeLimit, ...], planning: Planning, prescription: Prescription
    ) -> Candidate:
        """The same with another reading, and the scale and coverage that follow."""
        delivered = Delivered(dose=self.dose, rows_gy=self.rows_gy)
        factor = _factor(self.beams, reading, limits, prescription, planning.wishes, delivered)
        return replace(
            self,
            reading=reading,
            factor=factor,
            coverage_percent=reading.coverage_percent(prescription, factor),
            objective=objective_of(planning, factor * self.rows_gy.sum(axis=1)),
        )


def candidate_of(
    draft: Draft,
    delivered: Delivered,
    reading: Reading,
    limits: tuple[DoseVolumeLimit, ...],
    planning: Planning,
    prescription: Prescription,
) -> Candidate:
    """Scale a delivered draft."""
    beams = draft.beams
    factor = _factor(beams, reading, limits, prescription, planning.wishes, delivered)
    return Candidate(
        draft=draft,
        beams=beams,
        dose=delivered.dose,
        rows_gy=delivered.rows_gy,
        reading=reading,
        factor=factor,
        coverage_percent=reading.coverage_percent(prescription, factor),
        objective=objective_of(planning, factor * delivered.rows_gy.sum(axis=1)),
        wanted_percent=prescription.coverage_percent,
    )


def _factor(
    beams: Sequence[Beam],
    reading: Reading,
    limits: tuple[DoseVolumeLimit, ...],
    prescription: Prescription,
    wishes: Wishes,
    delivered: Delivered,
) -> float:
    """The scale of all monitor units: no beam gets more than its machine gives; own limits hold, too."""
    own = wishes.own_scale(delivered.rows_gy.sum(axis=1), delivered.dose)
    return min([reading.factor(limits, prescription), own, *(largest_scale(b) for b in beams)])


def objective_of(planning: Planning, rows_gy: FloatArray) -> float:
    """The objectives of a planning, weighted, of the doses (rows,) of its rows."""
    return sum(o.weight * o.evaluate(rows_gy[r.rows], r)[0] for o, r in planning.wishes.objectives)
