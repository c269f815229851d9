"""From a case and a scheme to what ``rtsim run`` would plan: the same patient, target and beams of the technique."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace

from rtsim.cli.request import Request, request_of
from rtsim.cli.run_arguments import add_run
from rtsim.errors import InputError
from rtsim.evaluate.comparison import Scheme
from rtsim.io.case import BeamChoice, Case
from rtsim.io.case_phantom import PhantomRecipe, SpineRecipe
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol import Protocol, Technique, load_protocol
from rtsim.typing import Progress

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
    """Refuse a set of cord limits that no protocol of the schemes holds.

    Raises:
        InputError: naming what each offers.
    """
    protocols = [load_protocol(name) for name in dict.fromkeys(s.protocol for s in schemes)]
    if wanted is None or any(wanted in _sets(p) for p in protocols):
        return
    offered = "; ".join(f"{p.name}: {', '.join(_sets(p)) or 'none'}" for p in protocols)
    raise InputError(f"--cord-limits {wanted!r}: none of the protocols holds that set. They hold: {offered}")


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
    """The set that was asked for, or else the case's, where the protocol holds it; None: the protocol's own."""
    chosen = wanted or (case.protocol.cord_limits if case.protocol is not None else None)
    return chosen if chosen in _sets(protocol) else None


def _sets(protocol: Protocol) -> tuple[str, ...]:
    return tuple(c.name for c in protocol.cord_limits)


def _parser() -> argparse.ArgumentParser:
    """That of ``rtsim run``, so that everything not said here is as it is there."""
    top = argparse.ArgumentParser(prog="rtsim")
    add_run(top.add_subparsers(dest="command", required=True))
    return top
