"""Is the measured data enough, and is it what it says it is? Nothing is fitted to a curve that is tilted or mislabeled.

The limits are rtsim's own [E]; they follow what beam data are usually held to (TG-106, doi:10.1118/1.2969070 [M]).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from rtsim.commission.edges import asymmetry_percent, center_mm, find_edges, width_mm
from rtsim.commission.measured import Axis, DepthDose, MeasuredSet, Profile, field_text
from rtsim.errors import InputError

MAX_ASYMMETRY_PERCENT: Final = 2.0
MAX_SHIFT_MM: Final = 2.0
MAX_WIDTH_MM: Final = 2.0
LEAST_DEPTH_MM: Final = 200.0
_LARGEST_DMAX_MM: Final = 60.0
_PENUMBRA_STEP_MM: Final = 5.0
_LEAST_OUTPUT_FACTORS: Final = 4


class Severity(Enum):
    """What a finding means for the fit."""

    REFUSED = "refused"
    ASYMMETRY = "asymmetry"
    """Refused, unless the user accepts asymmetry: the model is symmetric and fits the mean of both sides."""
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something about one curve that the user must know."""

    severity: Severity
    curve: str
    text: str

    def __str__(self) -> str:
        return f"{self.curve}: {self.text}"


def missing_curves(measured: MeasuredSet) -> tuple[str, ...]:
    """What is needed for a fit and not there, one sentence each."""
    out = []
    sides = [(min(p.field_mm), max(p.field_mm)) for p in measured.depth_doses]
    if not any(low >= 80.0 and high <= 120.0 for low, high in sides):
        out.append("a depth dose of a field near 100 x 100 mm (80 to 120 mm): it sets the spectrum")
    factors = measured.output_factors
    small = [low for low, _ in sides] + ([] if factors is None else [min(f) for f in factors.fields_mm])
    if not any(side <= 40.0 for side in small):
        out.append("a small field, a side of 40 mm or less, as depth dose or output factor: it sets the head scatter")
    for axis in (Axis.CROSSLINE, Axis.INLINE):
        depths = _depths_of_middle_field(measured.profiles, axis)
        if len(depths) < 2:
            have = "none is there" if not depths else f"only {depths[0]:g} mm is there"
            out.append(
                f"{axis.value} profiles of one field of 80 to 150 mm at two depths ({have}): "
                "they set the source size and the off-axis profile"
            )
    count = 0 if factors is None else len(factors.fields_mm)
    if count < _LEAST_OUTPUT_FACTORS:
        out.append(f"output factors of at least {_LEAST_OUTPUT_FACTORS} fields ({count} are there)")
    return tuple(out)


def _depths_of_middle_field(profiles: Sequence[Profile], axis: Axis) -> list[float]:
    best: list[float] = []
    fields = {p.field_mm for p in profiles if 80.0 <= min(p.field_mm) <= max(p.field_mm) <= 150.0}
    for field in fields:
        depths = sorted({p.depth_mm for p in profiles if p.axis is axis and p.field_mm == field})
        best = max(best, depths, key=len)
    return best


def check_measured(measured: MeasuredSet, *, sad_mm: float) -> tuple[Finding, ...]:
    """Everything that is wrong or remarkable, curve by curve."""
    out: list[Finding] = []
    for pdd in measured.depth_doses:
        out += _depth_dose(pdd)
    for profile in measured.profiles:
        out += _profile(profile, sad_mm)
    out += _given_twice(measured)
    out += _order_of_depth_doses(measured.depth_doses)
    return tuple(out)


def refuse_unfit(measured: MeasuredSet, *, sad_mm: float, accept_asymmetry: bool) -> tuple[Finding, ...]:
    """The findings that are no obstacle.

    Raises:
        InputError: curves are missing, or one is not what it says it is; the message lists all of them.
    """
    missing = missing_curves(measured)
    if missing:
        raise InputError("the measured data is too thin; missing:\n  - " + "\n  - ".join(missing))
    findings = check_measured(measured, sad_mm=sad_mm)
    stop = [f for f in findings if f.severity is Severity.REFUSED]
    tilted = [f for f in findings if f.severity is Severity.ASYMMETRY]
    if stop or (tilted and not accept_asymmetry):
        text = "the measured data cannot be used as it is:\n  - " + "\n  - ".join(map(str, [*stop, *tilted]))
        if tilted and not accept_asymmetry:
            text += "\nlevel the beam or the tank, or fit the mean of both sides with --accept-asymmetry"
        raise InputError(text)
    return findings


def _given_twice(measured: MeasuredSet) -> list[Finding]:
    """Two curves of one kind and one set-up: copies would count twice, and where they differ one of them is wrong."""
    keys: list[tuple[Hashable, DepthDose | Profile]] = [((p.field_mm, p.ssd_mm), p) for p in measured.depth_doses]
    keys += [((p.field_mm, p.ssd_mm, p.axis, p.depth_mm), p) for p in measured.profiles]
    first: dict[Hashable, DepthDose | Profile] = {}
    out = []
    for key, curve in keys:
        if key not in first:
            first[key] = curve
            continue
        text = f"is of the same field and set-up as {first[key].name}: {_difference(first[key], curve)}; keep one"
        out.append(Finding(Severity.REFUSED, curve.name, text))
    return out


def _difference(first: DepthDose | Profile, second: DepthDose | Profile) -> str:
    """By how much two curves of one set-up differ where both were measured, each over its largest value there."""
    (a, u), (b, v) = ((c.depth_mm if isinstance(c, DepthDose) else c.position_mm, c.value) for c in (first, second))
    if np.array_equal(a, b) and np.array_equal(u, v):
        return "the same values, a copy"
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    at = np.linspace(low, high, 201)
    x, y = np.interp(at, a, u), np.interp(at, b, v)
    if low >= high or x.max() <= 0.0 or y.max() <= 0.0:
        return "two different curves"
    return f"they differ by up to {100.0 * np.abs(x / x.max() - y / y.max()).max():.1f} % of the largest value"


def _depth_dose(pdd: DepthDose) -> list[Finding]:
    out: list[Finding] = []

    def refused(text: str) -> None:
        out.append(Finding(Severity.REFUSED, pdd.name, text))

    first, last = float(pdd.depth_mm[0]), float(pdd.depth_mm[-1])
    if last < LEAST_DEPTH_MM:
        hint = "; these look like cm: write '# units: cm'" if last <= 45.0 and pdd.depth_mm.size > 15 else ""
        refused(f"ends at {last:g} mm; {LEAST_DEPTH_MM:g} mm or more are needed{hint}")
    elif last > 600.0:
        refused(
            f"reaches {last:g} mm; no water tank does: are the lengths in 0.1 mm, or does the file say "
            "'# units: cm' of lengths in mm?"
        )
    elif pdd.dmax_mm > _LARGEST_DMAX_MM:
        refused(
            f"the largest value is at {pdd.dmax_mm:g} mm, and it falls from {pdd.value[-1]:g} at {last:g} mm to "
            f"{pdd.value[0]:g} at {first:g} mm: this is a position measured from the bottom of the tank or a swapped "
            "axis, not a depth below the surface"
        )
    if first > 10.0:
        refused(f"begins at {first:g} mm; it must begin within 10 mm of the surface")
    beyond = pdd.depth_mm[pdd.depth_mm >= pdd.dmax_mm]
    if not out and (beyond.size < 8 or np.diff(beyond).max() > 30.0):
        refused("has fewer than 8 points, or a gap of more than 30 mm, behind the depth of maximum")
    return out


def _profile(profile: Profile, sad_mm: float) -> list[Finding]:
    name = profile.name
    try:
        edges = find_edges(profile.position_mm, profile.value, name)
    except InputError as error:
        if profile.axis is Axis.DIAGONAL:  # a tank may be too narrow for the corners of a large field
            return [Finding(Severity.NOTE, name, "ends inside the field; it is taken as centered")]
        return [Finding(Severity.REFUSED, name, str(error).removeprefix(f"{name}: "))]
    out: list[Finding] = []
    width, shift = width_mm(edges), center_mm(edges)
    expected = profile.nominal_width_mm(sad_mm)
    # across the corner of a field both sides fall together: the half value lies inside of the corner
    if profile.axis is not Axis.DIAGONAL and abs(width - expected) > MAX_WIDTH_MM:
        out.append(Finding(Severity.REFUSED, name, _width_text(profile, width, expected, sad_mm)))
    if abs(shift) > MAX_SHIFT_MM:
        out.append(
            Finding(
                Severity.REFUSED,
                name,
                f"is shifted by {shift:+.1f} mm (middle of its edges); up to {MAX_SHIFT_MM:g} mm is allowed: "
                "center the scan on the beam axis",
            )
        )
    elif abs(shift) > 0.3:
        out.append(Finding(Severity.NOTE, name, f"is shifted by {shift:+.1f} mm; it is centered before the fit"))
    tilt = asymmetry_percent(profile.position_mm, profile.value, edges)
    if abs(tilt) > MAX_ASYMMETRY_PERCENT:
        side = "positive" if tilt > 0 else "negative"
        out.append(
            Finding(
                Severity.ASYMMETRY,
                name,
                f"is tilted: the {side} side is up to {abs(tilt):.1f} % higher at equal distances; "
                f"up to {MAX_ASYMMETRY_PERCENT:g} % is allowed",
            )
        )
    if profile.axis is Axis.DIAGONAL:
        return out
    near = np.abs(np.abs(profile.position_mm - shift) - width / 2) < 8.0
    steps = np.diff(profile.position_mm)[near[1:] & near[:-1]]
    if steps.size == 0 or steps.max() > _PENUMBRA_STEP_MM:
        out.append(
            Finding(
                Severity.REFUSED,
                name,
                f"has steps above {_PENUMBRA_STEP_MM:g} mm in its penumbra; the source size cannot be read from it",
            )
        )
    return out


def _width_text(profile: Profile, width: float, expected: float, sad_mm: float) -> str:
    text = (
        f"is {width:.1f} mm wide, but the field {field_text(profile.field_mm)} is {expected:.1f} mm wide at this depth "
        f"along {profile.axis.value}"
    )
    grown = (profile.ssd_mm + profile.depth_mm) / sad_mm
    other = {Axis.CROSSLINE: profile.field_mm[1], Axis.INLINE: profile.field_mm[0]}.get(profile.axis)
    if other is not None and abs(width - other * grown) <= MAX_WIDTH_MM:
        return text + "; it has the width of the other side: crossline and inline are swapped, here or in field_mm"
    if abs(10.0 * width - expected) <= 10.0 * MAX_WIDTH_MM:
        return text + "; the positions look like cm: write '# units: cm'"
    if abs(width / 10.0 - expected) <= MAX_WIDTH_MM:
        return text + "; the positions look ten times too large: does '# units: cm' stand above mm?"
    if abs(width - expected / grown) <= MAX_WIDTH_MM:
        return text + "; it looks projected to the isocenter plane: give positions as they are at the depth"
    if profile.axis is not Axis.DIAGONAL and abs(width - 2.0**0.5 * expected) <= MAX_WIDTH_MM:
        return text + "; it has the width of the diagonal"
    return text + "; check field_mm, ssd_mm and depth_mm"


def _order_of_depth_doses(depth_doses: Sequence[DepthDose]) -> list[Finding]:
    """D(200 mm)/D(100 mm) grows with the field by phantom scatter; where it falls, two curves are mixed up."""
    usable = [p for p in depth_doses if p.depth_mm[0] <= 100.0 and p.depth_mm[-1] >= LEAST_DEPTH_MM]
    ratio = [
        (
            2.0 * p.field_mm[0] * p.field_mm[1] / sum(p.field_mm),
            float(np.interp(200.0, p.depth_mm, p.value) / max(np.interp(100.0, p.depth_mm, p.value), 1e-30)),
            p,
        )
        for p in usable
    ]
    out = []
    for (side_a, a, first), (side_b, b, second) in zip(
        sorted(ratio, key=lambda r: r[0]), sorted(ratio, key=lambda r: r[0])[1:], strict=False
    ):
        if first.ssd_mm == second.ssd_mm and side_b > side_a and b < 0.985 * a:
            out.append(
                Finding(
                    Severity.REFUSED,
                    second.name,
                    f"falls faster (dose at 200 over 100 mm {b:.3f}) than the smaller field of {first.name} ({a:.3f}); "
                    "phantom scatter makes it slower: are two curves mixed up?",
                )
            )
    return out
