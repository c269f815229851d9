"""What is tried for an arrangement: wedges, gantries and subfields, which compete; and sentences about it."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.beams import anterior_posterior, lateral_pair, posterior_anterior, posterior_with_wedged_obliques
from rtsim.beams.model import Beam
from rtsim.dose.dvh import dvh
from rtsim.machine.model import Machine
from rtsim.optimize.conventional.fields import Weighted, Workshop
from rtsim.optimize.conventional.settings import ConventionalSettings, FieldArrangement
from rtsim.optimize.conventional.subfields import ENOUGH, LEAST_GAIN, no_worse, with_subfields


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """What was found to be best.

    Attributes:
        best: to be delivered.
        plain: the best without subfields.
        said: sentences about what was tried.
    """

    best: Weighted
    plain: Weighted
    said: tuple[str, ...]


def search(workshop: Workshop, technique: FieldArrangement, machine: Machine, settings: ConventionalSettings) -> Choice:
    """Try, compare, choose."""
    if technique is FieldArrangement.PA_AND_OBLIQUES:
        return _obliques(workshop, machine, settings)
    arrange = {
        FieldArrangement.PA: posterior_anterior,
        FieldArrangement.AP_PA: anterior_posterior,
        FieldArrangement.LATERALS: lateral_pair,
    }[technique]
    plain = _open(workshop, arrange(machine, target=workshop.target))
    best = with_subfields(workshop, plain, settings.subfields)
    return Choice(best=best, plain=plain, said=_said_of_subfields(workshop, plain, best, settings))


def _open(workshop: Workshop, beams: tuple[Beam, ...]) -> Weighted:
    """The beams conformed to the target, one open segment each, weighted."""
    return workshop.weighted(tuple((workshop.open_segment(b),) for b in beams))


def _obliques(workshop: Workshop, machine: Machine, settings: ConventionalSettings) -> Choice:
    """Wedges, wedges with subfields, subfields instead of wedges."""
    if settings.subfields and machine.mlc and not settings.wedge_deg and not any(w.physical for w in machine.wedges):
        plain = _best_open(workshop, machine, settings)
        best = with_subfields(workshop, plain, settings.subfields)
        return Choice(
            best=best, plain=plain, said=(f"{machine.name} has no physical wedge.", *_gained(workshop, plain, best))
        )
    wedged, tried = _best_wedges(workshop, machine, settings)
    if not settings.subfields or machine.mlc is None:
        return Choice(best=wedged, plain=wedged, said=(tried,))
    if wedged.cost <= ENOUGH:
        enough = f"Even and cool enough with wedges alone, {_scores(wedged)} of both tolerances: no subfields."
        return Choice(best=wedged, plain=wedged, said=(tried, enough))
    most = settings.subfields
    rivals = {
        "wedges alone": wedged,
        "subfields in the wedged fields": with_subfields(workshop, wedged, most),
    }
    if settings.wedge_deg is None:  # wedges that are named are wanted
        rivals["subfields in open fields"] = with_subfields(workshop, _best_open(workshop, machine, settings), most)
    kept = "wedges alone"
    for name, rival in rivals.items():
        if rival.cost < rivals[kept].cost - LEAST_GAIN and no_worse(rival, wedged):
            kept = name
    scores = "; ".join(f"{name} {_scores(rival)}" for name, rival in rivals.items())
    compared = f"Wedges against field-in-field, sums of both tolerances: {scores}. Kept: {kept}."
    best = rivals[kept]
    return Choice(best=best, plain=wedged, said=(tried, compared, *_gained(workshop, wedged, best)))


def _best_wedges(workshop: Workshop, machine: Machine, settings: ConventionalSettings) -> tuple[Weighted, str]:
    gantries_deg, wedges_deg = settings.oblique_deg, settings.wedges_tried(machine)
    tried: dict[tuple[float, float], Weighted] = {}

    def attempt(oblique_deg: float, wedge_deg: float) -> None:
        tried[oblique_deg, wedge_deg] = _open(
            workshop,
            posterior_with_wedged_obliques(
                machine, target=workshop.target, oblique_deg=oblique_deg, wedge_deg=wedge_deg
            ),
        )

    for wedge_deg in wedges_deg:
        attempt(gantries_deg[0], wedge_deg)
    wedge_deg = min(tried, key=lambda k: tried[k].cost)[1]
    for oblique_deg in gantries_deg[1:]:
        attempt(oblique_deg, wedge_deg)
    kept = min(tried, key=lambda k: tried[k].cost)
    scores = ", ".join(
        f"gantry {o:g} deg wedge {w:g} deg ({t.unevenness:.2f} + {t.heat:.2f})" for (o, w), t in tried.items()
    )
    said = (
        f"Tried on the obliques, with unevenness of the target and hot spots outside it in their tolerances: {scores}; "
        f"kept gantry {kept[0]:g} deg and its mirror, wedge {kept[1]:g} deg."
    )
    return tried[kept], said


def _best_open(workshop: Workshop, machine: Machine, settings: ConventionalSettings) -> Weighted:
    """The three fields without wedges, at the widest of the gantries: subfields have least to make up for there."""
    beams = posterior_with_wedged_obliques(
        machine, target=workshop.target, oblique_deg=min(settings.oblique_deg), wedge_deg=None
    )
    return _open(workshop, beams)


def _scores(weighted: Weighted) -> str:
    return f"{weighted.cost:.2f} ({weighted.unevenness:.2f} + {weighted.heat:.2f}, {len(weighted.segments)} segments)"


def _said_of_subfields(
    workshop: Workshop, plain: Weighted, best: Weighted, settings: ConventionalSettings
) -> tuple[str, ...]:
    if not settings.subfields or plain.segments[0].aperture.leaf_pairs_mm is None:
        return ()
    if best is plain:
        return ("Field-in-field was tried; no subfield earned its place.",)
    return _gained(workshop, plain, best)


def _gained(workshop: Workshop, before: Weighted, after: Weighted) -> tuple[str, ...]:
    """What the better plan does to the figures that ICRU 83 names, in % of the median dose."""
    if after is before:
        return ()
    changes = ", ".join(
        f"{name} {old:.1f} -> {new:.1f} %"
        for name, old, new in zip(
            ("D98%", "D95%", "D2%", "maximum"), _figures(workshop, before), _figures(workshop, after), strict=True
        )
    )
    return (
        f"Field-in-field, {len(after.segments)} segments in {len(after.fields)} fields, of the median dose: {changes}.",
    )


def _figures(workshop: Workshop, weighted: Weighted) -> tuple[float, float, float, float]:
    """D98%, D95%, D2% of the target and the maximum anywhere, in % of the target's median dose."""
    dose = weighted.dose(workshop.prescription.dose_gy)
    found = dvh(dose, workshop.target)
    at = [found.dose_gy_at_percent(p) for p in (98.0, 95.0, 2.0)]
    low, covered, high = (100.0 * d / found.dose_gy_at_percent(50.0) for d in at)
    return low, covered, high, 100.0 * dose.max_gy / found.dose_gy_at_percent(50.0)
