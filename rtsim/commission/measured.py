"""What a user measured in a water tank: depth doses, profiles, output factors, of open jaw fields at gantry 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.machine.model import DOSE_GY_PER_MU
from rtsim.typing import FloatArray

OUTPUT_FACTOR: Final = (0.3, 2.0)
"""Lowest and highest output factor that is believed [E]: 4 x 4 mm and 40 x 40 cm lie well inside."""


class Axis(Enum):
    """Along what a profile was scanned, in the axes of the beam limiting device (collimator 0, IEC 61217)."""

    CROSSLINE = "crossline"
    """BLD x (also: crossplane, left to right at gantry 0)."""
    INLINE = "inline"
    """BLD y (also: inplane, gun to target)."""
    DIAGONAL = "diagonal"
    """45 degrees between +x and +y; the position is the signed distance from the axis."""

    @property
    def direction(self) -> tuple[float, float]:
        """Unit vector in BLD x, y."""
        half = 0.5**0.5
        return {Axis.CROSSLINE: (1.0, 0.0), Axis.INLINE: (0.0, 1.0), Axis.DIAGONAL: (half, half)}[self]


def _curve(name: str, position_mm: object, value: object, what: str) -> tuple[FloatArray, FloatArray]:
    """Both arrays ascending in position, checked: finite, at least four points, strictly monotone, no negative dose."""
    x, y = np.array(position_mm, dtype=np.float64), np.array(value, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 4:
        raise InputError(
            f"{name}: {what} has shape {x.shape} and value {y.shape}; at least 4 points, one value each, are needed"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"{name}: {what} or value holds NaN or infinity; leave such points out")
    step = np.diff(x)
    if not ((step > 0).all() or (step < 0).all()):
        at = int(np.flatnonzero(np.sign(step) != np.sign(x[-1] - x[0]))[0])
        raise InputError(
            f"{name}: {what} does not go one way: {x[at]:g} mm is followed by {x[at + 1]:g} mm (point {at + 2}); "
            "give each position once, in order"
        )
    if (y < 0).any():
        at = int(np.argmin(y))
        raise InputError(
            f"{name}: value is {y[at]:g} at {x[at]:g} mm; a dose is >= 0. Subtract the background of the detector"
        )
    if y.max() <= 0.0:
        raise InputError(f"{name}: every value is 0; nothing was measured")
    if step[0] < 0:
        x, y = x[::-1].copy(), y[::-1].copy()
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _check_setup(name: str, field_mm: tuple[float, float], ssd_mm: float, depth_mm: float = 0.0) -> None:
    if len(field_mm) != 2 or not all(np.isfinite(field_mm)) or not 4.0 <= min(field_mm) <= max(field_mm) <= 500.0:
        raise InputError(f"{name}: field_mm is {field_mm}; two full widths (BLD x, y) from 4 to 500 mm are needed")
    if not 500.0 <= ssd_mm <= 1500.0:
        raise InputError(f"{name}: ssd_mm is {ssd_mm:g}; 500 <= ssd_mm <= 1500 mm is allowed (100 cm = 1000 mm)")
    if not 0.0 <= depth_mm <= 400.0:
        raise InputError(f"{name}: depth_mm is {depth_mm:g}; 0 <= depth_mm <= 400 mm is allowed")


def field_text(field_mm: tuple[float, float]) -> str:
    """'100 x 100 mm'."""
    return f"{field_mm[0]:g} x {field_mm[1]:g} mm"


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthDose:
    """Dose along the axis, on any scale.

    Attributes:
        field_mm: full widths in BLD x, y, in the isocenter plane.
        ssd_mm: source to surface.
        depth_mm, value: (n,) depth from the surface, and dose.
        source: the file it came from, for reports.
        detector_mm: the length over which the detector averages along depth; 0 = a point.
    """

    field_mm: tuple[float, float]
    ssd_mm: float
    depth_mm: FloatArray
    value: FloatArray
    source: str = ""
    detector_mm: float = 0.0

    def __post_init__(self) -> None:
        _check_setup(self.name, self.field_mm, self.ssd_mm)
        x, y = _curve(self.name, self.depth_mm, self.value, "depth_mm")
        object.__setattr__(self, "depth_mm", x)
        object.__setattr__(self, "value", y)

    @property
    def name(self) -> str:
        """For reports."""
        return f"depth dose {field_text(self.field_mm)}" + (f" ({self.source})" if self.source else "")

    @property
    def dmax_mm(self) -> float:
        """Depth of the largest value."""
        return float(self.depth_mm[int(np.argmax(self.value))])


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile:
    """Dose across the beam at one depth, on any scale.

    Attributes:
        field_mm: full widths in BLD x, y, in the isocenter plane.
        ssd_mm, depth_mm: set-up; positions are those at this depth, not projected.
        axis: along what it was scanned.
        position_mm, value: (n,).
        source: the file it came from, for reports.
        detector_mm: the length over which the detector averages along the scan; 0 = a point.
    """

    field_mm: tuple[float, float]
    ssd_mm: float
    depth_mm: float
    axis: Axis
    position_mm: FloatArray
    value: FloatArray
    source: str = ""
    detector_mm: float = 0.0

    def __post_init__(self) -> None:
        _check_setup(self.name, self.field_mm, self.ssd_mm, self.depth_mm)
        x, y = _curve(self.name, self.position_mm, self.value, "position_mm")
        if not x[0] < 0.0 < x[-1]:
            raise InputError(
                f"{self.name}: positions reach from {x[0]:g} to {x[-1]:g} mm; both sides of the axis (0 mm) are needed"
            )
        object.__setattr__(self, "position_mm", x)
        object.__setattr__(self, "value", y)

    @property
    def name(self) -> str:
        """For reports."""
        text = f"{self.axis.value} profile {field_text(self.field_mm)} at {self.depth_mm:g} mm"
        return text + (f" ({self.source})" if self.source else "")

    @property
    def central_value(self) -> float:
        """Value on the axis."""
        return float(np.interp(0.0, self.position_mm, self.value))

    def nominal_width_mm(self, sad_mm: float) -> float:
        """Width of the field along this scan at this depth, by similar triangles from the isocenter plane."""
        grown = (self.ssd_mm + self.depth_mm) / sad_mm
        if self.axis is Axis.CROSSLINE:
            return self.field_mm[0] * grown
        if self.axis is Axis.INLINE:
            return self.field_mm[1] * grown
        return min(self.field_mm) * math.sqrt(2.0) * grown


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputFactors:
    """Dose per monitor unit over that of the reference field, at one depth and SSD.

    Attributes:
        fields_mm: (n,) full widths in BLD x, y.
        factor: (n,) dose over that of ``reference_mm``, which is one of the fields.
        depth_mm, ssd_mm: set-up.
        dose_gy_per_mu: absolute dose of the reference field there, or None.
        source: the file it came from, for reports.
    """

    fields_mm: tuple[tuple[float, float], ...]
    factor: FloatArray
    depth_mm: float
    ssd_mm: float
    reference_mm: tuple[float, float] = (100.0, 100.0)
    dose_gy_per_mu: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        factor = np.array(self.factor, dtype=np.float64)
        for field in self.fields_mm:
            _check_setup(self.name, field, self.ssd_mm, self.depth_mm)
        if factor.shape != (len(self.fields_mm),) or not np.isfinite(factor).all() or (factor <= 0).any():
            raise InputError(f"{self.name}: one finite factor > 0 is needed for each of {len(self.fields_mm)} fields")
        if len(set(self.fields_mm)) != len(self.fields_mm):
            raise InputError(f"{self.name}: a field is given twice; give each field once")
        if self.reference_mm not in self.fields_mm:
            raise InputError(
                f"{self.name}: the reference field {field_text(self.reference_mm)} is not among the fields; add it, or "
                "name another with '# reference_field_mm: 100 x 100'"
            )
        low, high = DOSE_GY_PER_MU
        if self.dose_gy_per_mu is not None and not low <= self.dose_gy_per_mu <= high:
            raise InputError(
                f"{self.name}: dose_gy_per_mu is {self.dose_gy_per_mu:g}; {low:g} to {high:g} Gy per MU is allowed; is "
                "it in cGy?"
            )
        factor = factor / factor[self.fields_mm.index(self.reference_mm)]
        self._check_factors(factor)
        factor.flags.writeable = False
        object.__setattr__(self, "factor", factor)

    def _check_factors(self, factor: FloatArray) -> None:
        low, high = OUTPUT_FACTOR
        for field, value in zip(self.fields_mm, factor, strict=True):
            if not low <= value <= high:
                raise InputError(
                    f"{self.name}: the factor of {field_text(field)} is {value:g} of that of the reference field "
                    f"{field_text(self.reference_mm)}; {low:g} to {high:g} is allowed: are some in percent?"
                )

    @property
    def name(self) -> str:
        """For reports."""
        return f"output factors at {self.depth_mm:g} mm" + (f" ({self.source})" if self.source else "")


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasuredSet:
    """All that was measured of one beam.

    Attributes:
        notes: what was done while reading, in sentences.
    """

    depth_doses: tuple[DepthDose, ...] = ()
    profiles: tuple[Profile, ...] = ()
    output_factors: OutputFactors | None = None
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The files, each once, in order."""
        names = [c.source for c in self.depth_doses] + [c.source for c in self.profiles]
        if self.output_factors is not None:
            names.append(self.output_factors.source)
        return tuple(dict.fromkeys(n for n in names if n))
