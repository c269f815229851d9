"""sample_cohort: patients with spinal metastases, drawn as often as they occur; each is a phantom that can be built.

cohort = sample_cohort(200, seed=1)
print(cohort_table(cohort))
phantom = cohort[17].phantom()
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.phantom import cohort_weights as weights
from rtsim.phantom.cohort_weights import Table
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import spine
from rtsim.phantom.spine.anatomy import levels
from rtsim.phantom.spine.spec import Compartment, EpiduralGrade, LesionKind, LesionSite, SpineSpec
from rtsim.typing import Progress

MOST: Final = 100_000
"""Patients in one cohort."""
_LOW_GRADES: Final = frozenset(
    {EpiduralGrade.ESCC_0, EpiduralGrade.ESCC_1A, EpiduralGrade.ESCC_1B, EpiduralGrade.ESCC_1C}
)
_WITHOUT_CORD: Final = tuple(row.name for row in levels() if row.cord_width_mm == 0)
_SIDES_OF_THE_CORD: Final = ("body", "pedicle_left", "pedicle_right", "posterior")


@dataclass(frozen=True, kw_only=True)
class CohortMember:
    """One patient of a cohort.

    Attributes:
        index: which one, from 0.
        seed: of the cohort.
        primary: group of the primary tumor, as the sampled shares name it ("kidney", "other").
        histology: name of a histology of rtsim.biology ("renal").
        spec: the spine case; its own seed follows from seed and index.
    """

    index: int
    seed: int
    primary: str
    histology: str
    spec: SpineSpec

    @property
    def name(self) -> str:
        """Name of the patient and of the phantom."""
        return f"cohort{self.seed}_{self.index:05d}"

    @property
    def description(self) -> str:
        """One line: "renal, lytic, body of T8, ESCC 1b"."""
        spec = self.spec
        words = [self.histology.replace("_", " ")]
        if spec.compartment is Compartment.EXTRADURAL:
            words += [spec.lesion.value, f"{spec.site.value.replace('_', ' ')} of {spec.level}"]
            words.append(f"ESCC {spec.epidural.value}")
            if spec.collapse_percent > 0:
                words.append(f"{spec.collapse_percent:.0f} % of the height lost")
        else:
            words += [spec.compartment.value.replace("_", "-"), f"at {spec.level}"]
        return ", ".join(words)

    def phantom(self, *, progress: Progress | None = None) -> Phantom:
        """Build the phantom (seconds); it is not kept."""
        return spine(self.spec, name=self.name, description=self.description, progress=progress)


def sample_cohort(n: int, seed: int) -> tuple[CohortMember, ...]:
    """``n`` patients with spinal metastases, drawn from the shares of ``rtsim.phantom.cohort_weights``.

    Histology, level, compartment, canal invasion and its grade, site, kind of lesion (by histology) and collapse are
    drawn; what is not named there is independent of the rest. Patients are untreated: no hardware. The planning volume
    is drawn as it is for stereotactic treatment (CTV + 2 mm less the cord PRV) up to grade 1c, and with the canal
    (+ 10 mm) for grades 2 and 3 and within the dura.

    Member ``i`` follows from ``seed`` and ``i`` alone: a larger cohort of the same seed begins with the smaller one.
    Phantoms are built when they are asked for.

    Args:
        n: number of patients, 1 .. 100 000.
        seed: a whole number >= 0.

    Raises:
        InputError: n or seed is not such a number.
    """
    count, start = _whole("n", n), _whole("seed", seed)
    if not 1 <= count <= MOST:
        raise InputError(f"n is {count}; a cohort has 1 to {MOST} patients")
    if start < 0:
        raise InputError(f"seed is {start}; a whole number of 0 or more is needed")
    return tuple(_member(i, start) for i in range(count))


def _whole(name: str, value: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; a whole number is needed") from None


class _Draw:
    """The random numbers of one patient."""

    def __init__(self, seed: int, index: int) -> None:
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return float(self._rng.uniform(low, high))

    def of(self, table: Table, *, without: Iterable[str] = ()) -> str:
        """A name by its share; the shares of names ``without`` go to the others."""
        left = {name: share for name, share in table.percent.items() if name not in set(without)}
        reach = self.uniform() * sum(left.values())
        for name, share in left.items():
            reach -= share
            if reach < 0.0:
                return name
        return next(name for name in reversed(left) if left[name] > 0)

    def whole(self, below: int) -> int:
        return int(self._rng.integers(below))


def _member(index: int, seed: int) -> CohortMember:
    draw = _Draw(seed, index)
    primary = draw.of(weights.PRIMARY)
    histology = draw.of(weights.HISTOLOGY[primary])
    compartment = Compartment(draw.of(weights.COMPARTMENT))
    avoided = _WITHOUT_CORD if compartment is Compartment.INTRAMEDULLARY else ()
    where = draw.of(weights.LEVEL[draw.of(weights.REGION)], without=avoided)
    noise = draw.whole(2**31)
    if compartment is Compartment.EXTRADURAL:
        spec = _extradural(draw, histology, where)
    else:
        spec = _intradural(draw, compartment, where)
    return CohortMember(index=index, seed=seed, primary=primary, histology=histology, spec=replace(spec, seed=noise))


def _extradural(draw: _Draw, histology: str, where: str) -> SpineSpec:
    kind = LesionKind(draw.of(weights.KIND.get(histology, weights.KIND_OF_OTHERS)))
    site = LesionSite(draw.of(weights.SITE))
    grade = EpiduralGrade.ESCC_0
    if draw.of(weights.INVASION) != "bone only":
        without = (EpiduralGrade.ESCC_1C.value,) if where in _WITHOUT_CORD else ()
        grade = EpiduralGrade(draw.of(weights.GRADE, without=without))
    lost = 0.0
    if site.in_body and draw.uniform(0.0, 100.0) < weights.COLLAPSE_PERCENT[kind]:
        lost = round(draw.uniform(*weights.COLLAPSE_RANGE_PERCENT), 1)
    return _with_volumes(
        SpineSpec(level=where, lesion=kind, site=site, epidural=grade, collapse_percent=lost), grade in _LOW_GRADES
    )


def _intradural(draw: _Draw, compartment: Compartment, where: str) -> SpineSpec:
    if compartment is Compartment.INTRAMEDULLARY:
        return _with_volumes(SpineSpec(level=where, compartment=compartment, spare_cord=False), False)
    site = LesionSite(_SIDES_OF_THE_CORD[draw.whole(len(_SIDES_OF_THE_CORD))])
    return _with_volumes(SpineSpec(level=where, compartment=compartment, site=site), False)


def _with_volumes(spec: SpineSpec, is_stereotactic: bool) -> SpineSpec:
    if is_stereotactic:
        return spec
    return replace(spec, spare_cord=False, ptv_margin_mm=10.0, cord_prv_mm=3.0)


def cohort_table(cohort: Sequence[CohortMember]) -> str:
    """What was drawn beside what was asked for, in percent, with the sources: a table to read aloud.

    Raises:
        InputError: the cohort is empty.
    """
    if not cohort:
        raise InputError("the cohort is empty; sample_cohort(n, seed) draws one")
    extradural = [m for m in cohort if m.spec.compartment is Compartment.EXTRADURAL]
    invading = [m for m in extradural if m.spec.epidural is not EpiduralGrade.ESCC_0]
    lines = [f"{len(cohort)} patients with spinal metastases", ""]
    lines += _part(weights.PRIMARY, [m.primary for m in cohort])
    lines += _part(weights.HISTOLOGY["other"], [m.histology for m in cohort if m.primary == "other"])
    lines += _part(weights.REGION, [_region(m) for m in cohort])
    lines += _part(weights.COMPARTMENT, [m.spec.compartment.value for m in cohort])
    lines += _part(weights.INVASION, [_invasion(m) for m in extradural])
    lines += _part(weights.GRADE, [m.spec.epidural.value for m in invading])
    lines += _part(weights.SITE, [m.spec.site.value for m in extradural])
    for histology in ("prostate", "breast"):
        kinds = [m.spec.lesion.value for m in extradural if m.histology == histology]
        lines += _part(weights.KIND[histology], kinds)
    lost = sum(m.spec.collapse_percent > 0 for m in cohort)
    lines.append(f"vertebral body collapsed: {lost} of {len(cohort)} ({100.0 * lost / len(cohort):.1f} %)")
    return "\n".join(lines)


def _region(member: CohortMember) -> str:
    return {"C": "cervical", "T": "thoracic", "L": "lumbar"}[member.spec.level[0]]


def _invasion(member: CohortMember) -> str:
    return "bone only" if member.spec.epidural is EpiduralGrade.ESCC_0 else "canal invaded"


def _part(table: Table, drawn: Sequence[str]) -> list[str]:
    """One table: title, a line for each name, its source."""
    if not drawn:
        return []
    found = Counter(drawn)
    lines = [f"{table.title} ({len(drawn)}){'':<{max(0, 26 - len(table.title))}} drawn    asked for"]
    for name, share in table.percent.items():
        shown = name.replace("_", " ")
        lines.append(f"  {shown:<28}{found[name]:>6}  {100.0 * found[name] / len(drawn):>5.1f} %   {share:>5.1f} %")
    return [*lines, f"  source: {table.source}", ""]
