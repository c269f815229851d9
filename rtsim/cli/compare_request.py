"""From a case and a scheme to what ``rtsim run`` would plan: the same patient, target and beams of the technique."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace

from rtsim.cli.request import Request, request_of
from rtsim.cli.run_arguments import add_run
from rtsim.clinic.reirradiation import BUDGET_LIMITS, PRV_LIMITS
from rtsim.errors import InputError
from rtsim.evaluate.comparison import Scheme
from rtsim.io.case import BeamChoice, Case
from rtsim.io.case_phantom import PhantomRecipe, SpineRecipe
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol import Protocol, Technique, load_protocol
from rtsim.typing import Progress

_BUDGETS = (BUDGET_LIMITS, PRV_LIMITS)
"""What an earlier course left, made for any protocol; refused where there was none, as in ``rtsim run``."""
_MOST_SPINE_MARGIN_MM = 10.0
"""A spine case takes no larger margin (``SpineSpec``)."""


@dataclass(frozen=True)
class _Built:
    """A recipe whose phantom is there already."""

    phantom: Phantom

    def build(self, *, name: str, description: str, case_sha256: str, progress: Progress | None) -> Phantom:
        """See ``PhantomRecipe``."""
        return self.phantom


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One case, and its phantoms, each built once: one for every technique that draws its own target volume."""

    case: Case
    _built: dict[tuple[float, float, bool] | None, Phantom] = field(default_factory=dict, repr=False)

    def request(self, scheme: Scheme, arguments: argparse.Namespace, progress: Progress | None) -> Request:
        """What ``rtsim run`` would plan for this case with ``--protocol`` and ``--dose`` of the scheme.

        A case that is usually treated by the other technique keeps its CT and GTV and gets CTV, PTV, cord
        PRV, machine and beams of this one: conventional treats the canal with the vertebra, stereotactic spares the
        cord.

        Args:
            arguments: of ``rtsim compare``.

        Raises:
            RtsimError: whatever is wrong with the input, with what to do.
        """
        protocol = load_protocol(scheme.protocol)
        changed, target = self._treated_by(protocol, progress)
        words = ["run", self.case.name, "-o", "unused", "--protocol", scheme.protocol]
        words += ["--dose", f"{scheme.dose_gy:.10g}", "--seed", str(arguments.seed)]
        given = {
            "--target": target,
            "--cord-limits": _cord_limits(self.case, protocol, arguments.cord_limits),
            "--spacing": None if arguments.spacing is None else f"{arguments.spacing:.10g}",
            "--histology": arguments.histology,
        }
        words += [word for name, value in given.items() if value is not None for word in (name, value)]
        return request_of(_parser().parse_args(words), progress, changed)

    def _treated_by(self, protocol: Protocol, progress: Progress | None) -> tuple[Case, str | None]:
        """The case with the phantom and the beams of that technique; the target, where it is not the case's own."""
        # The goals of a case without a protocol are a prescription of its own, which this comparison replaces.
        case = replace(self.case, goals=self.case.goals if self.case.protocol is not None else ())
        is_usual = technique_of(case) in (protocol.technique, None)
        if not is_usual:
            case = replace(case, beams=BeamChoice())
        if not isinstance(case.recipe, SpineRecipe) or is_usual:
            phantom = self._phantom(None, case.recipe, progress)
            return replace(case, recipe=_Built(phantom)), None if is_usual else _unexpanded(case, phantom)
        spares = protocol.technique is Technique.STEREOTACTIC
        margins = min(protocol.ptv_margin_mm, _MOST_SPINE_MARGIN_MM), protocol.cord_margin_mm
        spec = replace(case.recipe.spec, spare_cord=spares, ptv_margin_mm=margins[0], cord_prv_mm=margins[1])
        phantom = self._phantom((*margins, spares), replace(case.recipe, spec=spec), progress)
        return replace(case, recipe=_Built(phantom)), None

    def _phantom(
        self, key: tuple[float, float, bool] | None, recipe: PhantomRecipe, progress: Progress | None
    ) -> Phantom:
        if key not in self._built:
            c = self.case
            self._built[key] = recipe.build(
                name=c.name, description=c.description, case_sha256=c.sha256, progress=progress
            )
        return self._built[key]


def check_cord_limits(schemes: tuple[Scheme, ...], wanted: str | None) -> None:
    """Refuse sets of cord limits that do not serve every scheme: none may fall back on others in silence.

    Args:
        wanted: one set, or several separated by commas, of which each protocol takes the first that it holds.

    Raises:
        InputError: naming the schemes without such a set and what each offers; or a set that no protocol holds.
    """
    if wanted is None:
        return
    held = {s: _sets(load_protocol(s.protocol)) for s in schemes}
    asked = _asked(wanted)
    lacking = [s for s, sets in held.items() if not any(one in (*sets, *_BUDGETS) for one in asked)]
    if lacking or not asked:
        offered = "; ".join(f"{s.label} ({s.protocol}): {', '.join(held[s]) or 'none'}" for s in lacking or held)
        named = ", ".join(s.label for s in lacking or held)
        raise InputError(
            f"--cord-limits {wanted!r}: not held by the protocols of {named}. They hold: {offered}. Leave these "
            "schemes out, or name a set for each, separated by commas"
        )
    unknown = [one for one in asked if one not in _BUDGETS and not any(one in sets for sets in held.values())]
    if unknown:
        offered = "; ".join(f"{s.label} ({s.protocol}): {', '.join(sets) or 'none'}" for s, sets in held.items())
        raise InputError(f"--cord-limits {unknown[0]!r}: none of the protocols holds that set. They hold: {offered}")


def _asked(wanted: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in wanted.split(",") if word.strip())


def technique_of(case: Case) -> Technique | None:
    """How the case is usually treated; None when it does not say."""
    if case.beams.technique is not None:
        return case.beams.technique
    return None if case.protocol is None else load_protocol(case.protocol.name).technique


def _unexpanded(case: Case, phantom: Phantom) -> str | None:
    """A PTV drawn for the other technique does not fit this one: the CTV or GTV that it was made of; None without."""
    name = case.prescription.target if case.prescription is not None else "PTV"
    if phantom[name].role is not Role.PTV:
        return None
    drawn = [s.name for role in (Role.CTV, Role.GTV) for s in phantom.structures.with_role(role)]
    return drawn[0] if drawn else None


def _cord_limits(case: Case, protocol: Protocol, wanted: str | None) -> str | None:
    """The first set asked for that the protocol holds (one is there: ``check_cord_limits``), or else the case's own,
    which speaks of the case's protocol; None: those of this protocol.
    """
    own = case.protocol.cord_limits if case.protocol is not None else None
    asked = _asked(wanted or own or "")
    return next((one for one in asked if one in (*_sets(protocol), *_BUDGETS)), None)


def _sets(protocol: Protocol) -> tuple[str, ...]:
    return tuple(c.name for c in protocol.cord_limits)


def _parser() -> argparse.ArgumentParser:
    """That of ``rtsim run``, so that everything not said here is as it is there."""
    top = argparse.ArgumentParser(prog="rtsim")
    add_run(top.add_subparsers(dest="command", required=True))
    return top
