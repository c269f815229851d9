"""From what a slice shows to the grades that it leaves open, and the sentences that say why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtsim.clinic.escc_grade import EsccGrade

CANAL_MM: Final = 0.25
SAC_MM: Final = 0.6
TOUCH_MM: Final = 0.9
CORD_MM: Final = 0.9
CSF_FRACTION: Final = 0.05
SAC_AREA_MM2: Final = 75.0
"""Area of the lumbar sac below which the pressure among the roots rises (Schönström 1988, from memory)."""

_0, _1A, _1B, _1C, _2, _3 = EsccGrade


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one axial slice shows; None: not drawn, not measured.

    Attributes:
        z_mm: LPS z.
        canal_mm: how deep tumor reaches into the canal.
        sac_gap_mm, sac_mm, sac_area_mm2: of the sac: distance to tumor, depth of its dent, area that is left.
        cord_gap_mm, cord_mm: of the cord: distance to tumor, depth of its dent.
        csf: area of the sac less cord (or roots) less tumor, over the sac's area.
        neural: 'spinal_cord', 'cauda_equina' (below the cord) or '' (nothing tells).
        level: name of the vertebra there, for the sentences.
    """

    z_mm: float
    canal_mm: float | None = None
    sac_gap_mm: float | None = None
    sac_mm: float | None = None
    sac_area_mm2: float | None = None
    cord_gap_mm: float | None = None
    cord_mm: float | None = None
    csf: float | None = None
    neural: str = ""
    level: str | None = None

    @property
    def severity(self) -> tuple[float, ...]:
        """Orders slices of one grade: by compressed cord, less CSF, deeper in the sac, nearer the cord, deeper."""
        is_high = max(grades_of(self)).is_high
        cord = self.cord_mm or 0.0 if is_high else 0.0
        csf = -self.csf if is_high and self.csf is not None else 0.0
        near = 0.0 if self.cord_gap_mm is None else -self.cord_gap_mm
        return cord, csf, self.sac_mm or 0.0, near, self.canal_mm or 0.0


def grades_of(seen: Seen) -> tuple[EsccGrade, ...]:
    """The grades that a slice leaves open, in order."""
    if seen.canal_mm is not None and seen.canal_mm < CANAL_MM:
        return (_0,)
    if seen.neural == "spinal_cord" and seen.cord_gap_mm is not None and seen.cord_gap_mm <= TOUCH_MM:
        return _touched(seen)
    # without a canal, bone that lies against the sac cannot be told from tumor in the canal
    least = (_1A,) if seen.canal_mm is not None else (_0, _1A)
    if seen.sac_mm is not None:
        return _deformed(seen) if seen.sac_mm > SAC_MM else least
    if seen.neural == "spinal_cord":
        return (*least, _1B)
    return (*least, _1B, _2, _3) if seen.neural == "cauda_equina" else (*least, _1B, _1C, _2, _3)


def _touched(seen: Seen) -> tuple[EsccGrade, ...]:
    if seen.csf is not None and seen.csf < CSF_FRACTION:
        return (_3,)
    if seen.cord_mm is not None and seen.cord_mm <= CORD_MM:
        return (_1C,)
    if seen.csf is None:
        return (_2, _3)
    return (_2,)


def _deformed(seen: Seen) -> tuple[EsccGrade, ...]:
    """The sac is deformed, and no cord is touched."""
    if seen.neural == "spinal_cord":
        return (_1B,)
    if seen.neural == "":
        return (_1B, _1C, _2, _3)
    if seen.sac_area_mm2 is None or seen.sac_area_mm2 >= SAC_AREA_MM2:
        return (_1B,)
    if seen.csf is None:
        return (_2, _3)
    return (_2,) if seen.csf >= CSF_FRACTION else (_3,)


def sentences(seen: Seen) -> tuple[str, ...]:
    """What was measured on the slice, and what it was held against."""
    where = f"axial slice at z = {seen.z_mm:.1f} mm" + (f" ({seen.level})" if seen.level else "")
    if seen.canal_mm is not None and seen.canal_mm < CANAL_MM:
        return (f"no tumor in the spinal canal (deepest {seen.canal_mm:.1f} mm, {CANAL_MM:g} mm count as none)",)
    out = [where]
    if seen.canal_mm is None:
        out.append("the spinal canal is not drawn there")
    else:
        out.append(f"tumor reaches {seen.canal_mm:.1f} mm into the spinal canal")
    if seen.sac_mm is not None:
        verdict = "deformed" if seen.sac_mm > SAC_MM else "not deformed"
        out.append(
            f"thecal sac {verdict}: dented by {seen.sac_mm:.1f} mm against its outline beyond the tumor "
            f"(from {SAC_MM:g} mm on)"
        )
    elif seen.sac_gap_mm is None:
        out.append("the thecal sac is not drawn there")
    else:
        out.append("no slice without tumor shows the sac, so that a flattened one cannot be told")
    out += _of_cord(seen)
    if seen.csf is not None and max(grades_of(seen)).is_high:
        verdict = "seen" if seen.csf >= CSF_FRACTION else "not seen"
        out.append(f"CSF {verdict}: {100 * seen.csf:.0f} % of the sac's area ({100 * CSF_FRACTION:g} % count as seen)")
    return tuple(out)


def _of_cord(seen: Seen) -> list[str]:
    if seen.neural == "cauda_equina":
        area = seen.sac_area_mm2
        left = f"; {area:.0f} mm2 of the sac are left (open from {SAC_AREA_MM2:g} on)" if area else ""
        return [f"below the cord: no cord can be touched, the roots give way{left}"]
    if seen.neural == "" or seen.cord_gap_mm is None:
        return ["the spinal cord is not drawn there"]
    if seen.cord_gap_mm > TOUCH_MM:
        return [f"spinal cord not touched: {seen.cord_gap_mm:.1f} mm away (touched up to {TOUCH_MM:g} mm)"]
    out = [f"spinal cord touched: {seen.cord_gap_mm:.1f} mm away (touched up to {TOUCH_MM:g} mm)"]
    if seen.cord_mm is not None:
        verdict = "deformed" if seen.cord_mm > CORD_MM else "not deformed"
        out.append(f"spinal cord {verdict}: dented by {seen.cord_mm:.1f} mm (from {CORD_MM:g} mm on)")
    return out
