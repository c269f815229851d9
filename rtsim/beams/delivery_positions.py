"""Where jaws and leaves of a machine can stand, held against the control points of a beam."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import MachineLimitError
from rtsim.machine.model import Machine
from rtsim.typing import FloatArray

_SLACK: Final = 1e-6
"""In mm: what rounding of a stored number does."""


def check_positions(beam: Beam) -> None:
    """Jaws and leaves at every control point; between two they stay between what they are there.

    Raises:
        MachineLimitError: names the control point, and the leaf pair where it is one.
    """
    machine = beam.machine
    reach = machine.max_field_mm / 2
    for k, point in enumerate(beam.control_points):
        where = f"{beam.label}, control point {k}"
        over = (None, None) if machine.jaws is None else machine.jaws.overtravel_mm
        shape = point.aperture
        for name, pair, most in zip(("jaws_x_mm", "jaws_y_mm"), (shape.jaws_x_mm, shape.jaws_y_mm), over, strict=True):
            far = reach if machine.jaws is None else min(reach, machine.jaws.limit_mm)
            if most is not None and max(pair[0], -pair[1]) > most + _SLACK:
                raise MachineLimitError(
                    f"{where}: {name} is {pair}; these jaws of {machine.name} cross the midline by {most:g} mm at most"
                )
            if max(abs(pair[0]), abs(pair[1])) > far + _SLACK:
                raise MachineLimitError(f"{where}: {name} is {pair}; the jaws of {machine.name} reach {far:g} mm")
        if point.aperture.leaf_pairs_mm is not None:
            _check_leaves(point.aperture.leaf_pairs_mm, machine, where)


def _check_leaves(leaves_mm: FloatArray, machine: Machine, where: str) -> None:
    mlc = machine.mlc
    if mlc is None or len(leaves_mm) != len(mlc.leaf_edges_mm) - 1:
        count = 0 if mlc is None else len(mlc.leaf_edges_mm) - 1
        raise MachineLimitError(f"{where}: {len(leaves_mm)} leaf pairs are given; {machine.name} has {count}")
    for pair, (left, right) in enumerate(leaves_mm):
        if right - left < mlc.min_gap_mm - _SLACK:
            raise MachineLimitError(
                f"{where}: leaf pair {pair} leaves a gap of {right - left:.6g} mm; {machine.name} needs "
                f"{mlc.min_gap_mm:g} mm at least"
            )
        if max(abs(left), abs(right)) > mlc.max_position_mm + _SLACK:
            raise MachineLimitError(
                f"{where}: leaf pair {pair} stands at {left:g} and {right:g} mm; the leaves of {machine.name} reach "
                f"{mlc.max_position_mm:g} mm"
            )
    if mlc.max_leaf_span_mm is not None:
        for name, bank in (("left", leaves_mm[:, 0]), ("right", leaves_mm[:, 1])):
            if float(np.ptp(bank)) > mlc.max_leaf_span_mm + _SLACK:
                raise MachineLimitError(
                    f"{where}: leaves {int(bank.argmin())} and {int(bank.argmax())} of the {name} bank are "
                    f"{float(np.ptp(bank)):.4g} mm apart; {machine.name} allows {mlc.max_leaf_span_mm:g} mm in one bank"
                )
    if not mlc.interdigitates:
        left, right = leaves_mm[:, 0], leaves_mm[:, 1]
        passed = np.maximum(left[1:] - right[:-1], left[:-1] - right[1:])
        if passed.size and float(passed.max()) > -mlc.min_gap_mm + _SLACK:
            pair = int(passed.argmax())
            raise MachineLimitError(
                f"{where}: a leaf of pair {pair} or {pair + 1} passes the opposing one of the other; the leaves of "
                f"{machine.name} do not interdigitate"
            )
