"""Vertebral compression fracture after stereotactic treatment: what is known to raise the risk, not a probability."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.biology._checks import fraction_count, positive
from rtsim.errors import InputError
from rtsim.sources import Source, Standing

V15_LIMIT_CM3: Final = 42.0
"""Of the PTV, for single fractions: the cut of the study."""


class BodyState(Enum):
    """The vertebral body before treatment, as SINS asks for it."""

    COLLAPSED_HALF_OR_MORE = "fractured, 50 % or more of its height lost"
    COLLAPSED_LESS = "fractured, less than 50 % of its height lost"
    HALF_INVOLVED = "not fractured, more than 50 % of the body is tumor"
    SOUND = "not fractured, at most 50 % of the body is tumor"


@dataclass(frozen=True, kw_only=True)
class VertebraFindings:
    """What is known of the vertebra; None is not known.

    Attributes:
        lytic: True for a lytic tumor, False for a mixed or blastic one.
        deformity: True for kyphosis, scoliosis, subluxation or translation.
    """

    lytic: bool | None = None
    deformity: bool | None = None
    body: BodyState | None = None


@dataclass(frozen=True, kw_only=True)
class RiskFactor:
    """One thing that bears on the risk: its hazard ratio against the reference, with the 95 % interval."""

    name: str
    hazard_ratio: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        if self.hazard_ratio == 1.0:
            return f"{self.name} (the reference)"
        return f"{self.name} (hazard ratio {self.hazard_ratio:g}, {self.interval[0]:g}-{self.interval[1]:g})"


@dataclass(frozen=True, kw_only=True)
class FractureRisk:
    """What is known of the risk of a fracture of the treated vertebra.

    Attributes:
        band: dose per fraction, in the bands of the study; its crude share of fractures is ``band_percent``.
        factors: all that is known, the band first.
        unknown: what the study found to matter and nobody said.
        v15_cm3, v15_percent: for single fractions, PTV volume that gets 15 Gy, and the fractures in one year of its
            side of 42 cm3; None otherwise.
        source, band_source, v15_source: of the ratios, of the shares of the bands, of V15.
    """

    dose_per_fraction_gy: float
    band: str
    band_percent: float
    factors: tuple[RiskFactor, ...]
    unknown: tuple[str, ...]
    v15_cm3: float | None
    v15_percent: float | None
    source: Source
    band_source: Source
    v15_source: Source
    caveat: str

    @property
    def relative_hazard(self) -> float:
        """Product of the known ratios: against 19 Gy or less to a sound, aligned vertebra without a lytic tumor."""
        product = 1.0
        for factor in self.factors:
            product *= factor.hazard_ratio
        return product

    @property
    def sentences(self) -> tuple[str, ...]:
        """For reports."""
        known = "; ".join(str(f) for f in self.factors)
        out = [
            f"Vertebral fracture: {known}. {self.band_percent:g} % of the vertebrae of this band fractured "
            f"[{self.band_source.standing.label}]; 12 % of all did within a year [{self.source.standing.label}]"
        ]
        if self.unknown:
            out.append(f"Not known, and each several times the hazard: {', '.join(self.unknown)}")
        if self.v15_cm3 is not None and self.v15_percent is not None:
            side = "above" if self.v15_cm3 > V15_LIMIT_CM3 else "not above"
            out.append(
                f"PTV V15Gy is {self.v15_cm3:.1f} cm3, {side} {V15_LIMIT_CM3:g} cm3: {self.v15_percent:g} % fractured "
                f"within a year in a series of single fractions [{self.v15_source.standing.label}]"
            )
        return tuple(out)


_SAHGAL: Final = Source(
    citation="Sahgal et al. 2013, J Clin Oncol 31:3426, doi:10.1200/JCO.2013.50.1411 (410 segments, 57 fractures; "
    "table 3: multivariable Fine and Gray model)",
    standing=Standing.VERIFIED,
)
_BANDS_SOURCE: Final = Source(
    citation="Sahgal et al. 2013, J Clin Oncol 31:3426 (share of fractures in each band of dose per fraction)",
    standing=Standing.LITERATURE,
)
_V15: Final = Source(
    citation="J Bone Oncol 2021, 28:100368 (163 patients, single fractions: 3.8 % in one year at PTV V15Gy <= 42 cm3, "
    "22.1 % above)",
    standing=Standing.VERIFIED,
)
_CAVEAT: Final = (
    "retrospective, 57 events, wide intervals; ratios multiply only as far as the model of the study holds, and none "
    "of it is a probability for one patient"
)
_BANDS: Final[tuple[tuple[float, str, float, float, tuple[float, float]], ...]] = (
    (24.0, "24 Gy or more per fraction", 39.0, 5.25, (2.29, 12.01)),
    (20.0, "20-23 Gy per fraction", 23.0, 4.91, (1.96, 12.28)),
    (0.0, "19 Gy or less per fraction", 10.0, 1.0, (1.0, 1.0)),
)
_BODIES: Final[dict[BodyState, tuple[float, tuple[float, float]]]] = {
    BodyState.COLLAPSED_HALF_OR_MORE: (6.92, (1.38, 34.77)),
    BodyState.COLLAPSED_LESS: (8.98, (4.48, 18.00)),
    BodyState.HALF_INVOLVED: (4.46, (2.08, 9.57)),
    BodyState.SOUND: (1.0, (1.0, 1.0)),
}
_NONE: Final = (1.0, 1.0)


def fracture_risk(
    dose_gy: float,
    fractions: int,
    findings: VertebraFindings | None = None,
    *,
    ptv_v15_cm3: float | None = None,
) -> FractureRisk:
    """What bears on the fracture of a vertebra that gets ``dose_gy`` (total, stereotactic) in ``fractions``.

    Between 19 and 20 Gy, and between 23 and 24, the study has no patients; the dose counts to the lower band.

    Args:
        ptv_v15_cm3: volume of the PTV that gets 15 Gy; used for single fractions only.

    Raises:
        InputError: a dose, a number of fractions or a volume that cannot be.
    """
    n = int(fraction_count(fractions))
    per_fraction = positive("dose_gy", dose_gy, "Gy") / n
    if ptv_v15_cm3 is not None and not ptv_v15_cm3 >= 0.0:
        raise InputError(f"ptv_v15_cm3 is {ptv_v15_cm3}; a volume is >= 0 cm3")
    given = VertebraFindings() if findings is None else findings
    _, band, percent, ratio, interval = next(b for b in _BANDS if per_fraction >= b[0] * (1.0 - 1e-9))
    known, unknown = _factors(given)
    volume = ptv_v15_cm3 if n == 1 else None
    return FractureRisk(
        dose_per_fraction_gy=per_fraction,
        band=band,
        band_percent=percent,
        factors=(RiskFactor(name=band, hazard_ratio=ratio, interval=interval), *known),
        unknown=unknown,
        v15_cm3=volume,
        v15_percent=None if volume is None else (22.1 if volume > V15_LIMIT_CM3 else 3.8),
        source=_SAHGAL,
        band_source=_BANDS_SOURCE,
        v15_source=_V15,
        caveat=_CAVEAT,
    )


def _factors(given: VertebraFindings) -> tuple[tuple[RiskFactor, ...], tuple[str, ...]]:
    known: list[RiskFactor] = []
    unknown: list[str] = []
    if given.body is None:
        unknown.append("collapse of the body before treatment")
    else:
        ratio, interval = _BODIES[given.body]
        known.append(RiskFactor(name=given.body.value, hazard_ratio=ratio, interval=interval))
    for answer, yes, no, question, ratio, interval in (
        (given.lytic, "lytic tumor", "tumor not lytic", "lytic tumor", 3.53, (1.58, 7.93)),
        (given.deformity, "spinal deformity", "spine aligned", "spinal deformity", 2.99, (1.57, 5.70)),
    ):
        if answer is None:
            unknown.append(question)
        else:
            hazard, bounds = (ratio, interval) if answer else (1.0, _NONE)
            known.append(RiskFactor(name=yes if answer else no, hazard_ratio=hazard, interval=bounds))
    return tuple(known), tuple(unknown)
