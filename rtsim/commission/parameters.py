"""What of a machine is fitted, within which limits, and how the numbers make a machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.commission.water import Line, WaterRun
from rtsim.machine import ElectronContamination, FocalSpot, Jaws, Machine, OffAxisProfile, linac_spectrum
from rtsim.materials import Spectrum
from rtsim.typing import FloatArray

FWHM_OF_SIGMA: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
_NODES_MM: Final = (25.0, 50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 200.0, 240.0)
TAILOR: Final = (0.00181, 0.00202, -0.0000942)
"""Off-axis softening of a beam with flattening filter: Tailor 1998 [M], as in the generic machines."""
_SMOOTH: Final = 0.02
"""By this much a node of the off-axis profile may leave the line between its neighbors at no great cost. [E]"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One number that is fitted.

    Attributes:
        name, unit: for reports.
        start, low, high: where the fit starts and how far it may go.
        step: of the difference that gives the derivative.
        reach: longest step of a round.
        prior_sigma: one standard deviation of what is known before; infinite = nothing.
        bends: does the dose not follow it in proportion? Then its derivative is computed a second time.
        changes: does the dose of a run change with it?
    """

    name: str
    unit: str
    start: float
    low: float
    high: float
    step: float
    reach: float
    prior_sigma: float = math.inf
    bends: bool = False
    changes: Callable[[WaterRun], bool] = lambda _: True


@dataclass(frozen=True, eq=False)
class Parameters:
    """The parameters of a fit, in the order of the vector of values."""

    base: Machine
    endpoint_mev: float | None
    radius_mm: tuple[float, ...]
    listed: tuple[Parameter, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, base: Machine, endpoint_mev: float | None, reach_mm: float) -> Parameters:
        """What can be fitted to ``base``: without jaws there are no edges that a source could blur.

        Args:
            endpoint_mev: of the spectrum; None keeps the spectrum of the base.
            reach_mm: largest radius in the isocenter plane at which a profile says anything.
        """
        notes = []
        listed: list[Parameter] = []
        if endpoint_mev is None:
            notes.append(
                f"the spectrum is that of {base.name}: its nominal energy {base.nominal_energy!r} is not in MV"
            )
        else:
            listed += _spectrum_parameters()
        if base.jaws is None:
            notes.append(f"{base.name} has no jaws: source sizes and transmission are not fitted")
        else:
            listed += _head_parameters(base, base.jaws)
        listed += _electron_parameters(base)
        radius = (*(r for r in _NODES_MM if r < reach_mm - 10.0), round(reach_mm, 1))
        listed += [*_profile_parameters(base, radius), _softening_parameter(base)]
        notes.append(
            f"the off-axis profile is fitted up to {radius[-1]:g} mm; beyond, it goes on in the shape of {base.name}"
        )
        return cls(base, endpoint_mev, radius, tuple(listed), tuple(notes))

    def value(self, x: FloatArray, name: str, otherwise: float) -> float:
        """The value of a parameter in a vector; ``otherwise`` when it is not fitted."""
        for p, v in zip(self.listed, x, strict=True):
            if p.name == name:
                return float(v)
        return otherwise

    def machine(self, x: FloatArray) -> Machine:
        """The photon part of the machine, without electrons and calibration (doses per unit of fluence)."""
        base = self.base
        spectrum = base.spectrum
        if self.endpoint_mev is not None:
            spectrum = _spectrum(self.endpoint_mev, self.value(x, "tungsten", 0.0), self.value(x, "aluminium", 0.0))
        jaws = base.jaws
        if jaws is not None:
            jaws = replace(
                jaws,
                transmission=self.value(x, "jaw_transmission", jaws.transmission),
                monitor_backscatter=self.value(x, "monitor_backscatter", jaws.monitor_backscatter),
            )
        spot, source = base.focal_spot, base.extra_focal
        variance = [
            self.value(x, f"focal_spot_{axis}", (width / FWHM_OF_SIGMA) ** 2)
            for axis, width in (("x", spot.fwhm_x_mm), ("y", spot.fwhm_y_mm))
        ]
        return replace(
            base,
            spectrum=spectrum,
            focal_spot=FocalSpot(
                fwhm_x_mm=FWHM_OF_SIGMA * math.sqrt(variance[0]), fwhm_y_mm=FWHM_OF_SIGMA * math.sqrt(variance[1])
            ),
            extra_focal=replace(
                source,
                fraction=self.value(x, "extra_focal_fraction", source.fraction),
                sigma_mm=self.value(x, "extra_focal_sigma", source.sigma_mm),
            ),
            electrons=replace(base.electrons, fraction=0.0),
            off_axis=self._off_axis(x),
            jaws=jaws,
            calibration=None,
        )

    def electrons(self, x: FloatArray) -> ElectronContamination:
        """The contaminating electrons."""
        e = self.base.electrons
        return replace(
            e,
            fraction=self.value(x, "electron_fraction", e.fraction),
            attenuation_per_mm=self.value(x, "electron_attenuation", e.attenuation_per_mm),
        )

    def _off_axis(self, x: FloatArray) -> OffAxisProfile:
        base = self.base.off_axis
        fitted = [self.value(x, _node_name(r), 1.0) for r in self.radius_mm]
        last = self.radius_mm[-1]
        at_last = float(np.interp(last, base.radius_mm, base.relative))
        outside = [(r, v) for r, v in zip(base.radius_mm, base.relative, strict=True) if r > last]
        carried = [fitted[-1] * v / at_last if at_last > 0.0 else v for _, v in outside]
        return OffAxisProfile(
            radius_mm=(0.0, *self.radius_mm, *(r for r, _ in outside)),
            relative=(1.0, *fitted, *carried),
            softening=self._softening(self.value(x, "softening", 0.0)),
        )

    def _softening(self, scale: float) -> tuple[float, float, float]:
        shape = _softening_shape(self.base)
        return scale * shape[0], scale * shape[1], scale * shape[2]

    def prior_residuals(self, x: FloatArray) -> FloatArray:
        """What is known before the fit: weak limits on parameters, and a smooth off-axis profile."""
        known = [(v - p.start) / p.prior_sigma for p, v in zip(self.listed, x, strict=True) if p.prior_sigma < math.inf]
        radius = np.array([0.0, *self.radius_mm])
        profile = np.array([1.0, *(self.value(x, _node_name(r), 1.0) for r in self.radius_mm)])
        bend = [
            (profile[n] - np.interp(radius[n], radius[[n - 1, n + 1]], profile[[n - 1, n + 1]])) / _SMOOTH
            for n in range(1, radius.size - 1)
        ]
        return np.array([*known, *bend])


@lru_cache(maxsize=64)
def _spectrum(endpoint_mev: float, tungsten: float, aluminium: float) -> Spectrum:
    # the same object for the same numbers: the engine keeps the kernel of a spectrum that it has seen
    return linac_spectrum(
        "fitted to measured data", endpoint_mev=endpoint_mev, tungsten_g_cm2=tungsten, aluminium_g_cm2=aluminium
    )


def _softening_shape(base: Machine) -> tuple[float, float, float]:
    """The polynomial that is scaled: that of the base, or Tailor's when the base has none."""
    return base.off_axis.softening if any(base.off_axis.softening) else TAILOR


def _softening_parameter(base: Machine) -> Parameter:
    # profiles of one field at several depths tell fluence (all depths alike) from softening (grows with depth)
    start = 1.0 if any(base.off_axis.softening) else 0.0
    return Parameter(
        name="softening", unit="of base" if start else "of Tailor 1998", start=start, low=0.0, high=2.5, step=0.25,
        reach=1.0, prior_sigma=0.7, changes=_reaches(40.0),
    )  # fmt: skip


def _node_name(radius_mm: float) -> str:
    return f"off_axis_{radius_mm:g}"


def _is_depth(run: WaterRun) -> bool:
    return run.line is Line.DEPTH


def _spectrum_parameters() -> list[Parameter]:
    # starts: C1 = 1.222 of all beams tuned here, C2 = 5 (2.1 to 7); weak priors as wide as the tabulated beams differ
    return [
        Parameter(
            name="tungsten", unit="g/cm2", start=1.5, low=0.0, high=8.0, step=0.1, reach=1.0, prior_sigma=1.0,
            bends=True, changes=_is_depth,
        ),
        Parameter(
            name="aluminium", unit="g/cm2", start=25.0, low=0.0, high=120.0, step=1.0, reach=20.0, prior_sigma=25.0,
            bends=True, changes=_is_depth,
        ),
    ]  # fmt: skip


def _head_parameters(base: Machine, jaws: Jaws) -> list[Parameter]:
    spot, source = base.focal_spot, base.extra_focal
    out = []
    for axis, width, line in (("x", spot.fwhm_x_mm, Line.CROSSLINE), ("y", spot.fwhm_y_mm, Line.INLINE)):
        out.append(
            Parameter(
                name=f"focal_spot_{axis}", unit="mm2", start=(width / FWHM_OF_SIGMA) ** 2, low=0.0, high=10.0, step=0.1,
                reach=1.0, changes=_sees_edge(line),
            )
        )  # fmt: skip
    out += [
        Parameter(
            name="extra_focal_fraction", unit="", start=source.fraction, low=0.0, high=0.3, step=0.01, reach=0.05,
            bends=True,
        ),
        # without extra-focal photons their width means nothing: the prior then keeps it where it was
        Parameter(
            name="extra_focal_sigma", unit="mm", start=source.sigma_mm, low=3.0, high=60.0, step=1.5, reach=10.0,
            prior_sigma=10.0, bends=True,
        ),
        Parameter(
            name="jaw_transmission", unit="", start=jaws.transmission, low=0.0, high=0.03, step=0.001, reach=0.005,
            prior_sigma=0.004,
        ),
        # 0 to 2 % [M]: the base's is no better known. Only output factors see it; those of square fields hardly tell
        # it from extra-focal photons
        Parameter(
            name="monitor_backscatter", unit="", start=jaws.monitor_backscatter, low=0.0, high=0.1, step=0.005,
            reach=0.02, prior_sigma=0.01, changes=_is_depth,
        ),
    ]  # fmt: skip
    return out


def _sees_edge(line: Line) -> Callable[[WaterRun], bool]:
    """Runs across the edges along ``line``, and axes of fields so small that their edges matter there."""

    def changes(run: WaterRun) -> bool:
        return run.line is line or (run.line is Line.DEPTH and min(run.field_mm) <= 30.0)

    return changes


def _electron_parameters(base: Machine) -> list[Parameter]:
    # the electrons are added to the photon dose of a run: no run is computed again for them
    e = base.electrons
    return [
        Parameter(
            name="electron_fraction", unit="", start=e.fraction, low=0.0, high=0.6, step=0.01, reach=0.1,
            changes=lambda _: False,
        ),
        Parameter(
            name="electron_attenuation", unit="per mm", start=e.attenuation_per_mm, low=0.05, high=0.5, step=0.01,
            reach=0.05, prior_sigma=0.05, changes=lambda _: False,
        ),
    ]  # fmt: skip


def _profile_parameters(base: Machine, radius_mm: tuple[float, ...]) -> list[Parameter]:
    out = []
    for begins, radius in zip((0.0, *radius_mm[:-1]), radius_mm, strict=True):
        start = float(np.interp(radius, base.off_axis.radius_mm, base.off_axis.relative))
        out.append(
            Parameter(
                name=_node_name(radius), unit="", start=start, low=0.05, high=3.0, step=0.01, reach=0.1,
                changes=_reaches(begins),
            )
        )  # fmt: skip
    return out


def _reaches(begins_mm: float) -> Callable[[WaterRun], bool]:
    """Runs whose field reaches beyond the radius from which a node of the off-axis profile counts."""

    def changes(run: WaterRun) -> bool:
        x, y = run.field_mm[0] / 2, run.field_mm[1] / 2
        along = {Line.CROSSLINE: x, Line.INLINE: y, Line.DIAGONAL: math.hypot(x, y), Line.DEPTH: min(x, y)}[run.line]
        return along > begins_mm

    return changes
