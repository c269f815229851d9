"""Machine: what a treatment machine can do. Read from TOML (rtsim/machine/data); every number has its source there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.errors import InputError, unknown_name
from rtsim.machine.limits import Limits, check_range
from rtsim.materials import Spectrum
from rtsim.typing import FloatArray

DOSE_GY_PER_MU: Final = (0.0005, 0.05)
"""Lowest and highest dose of one monitor unit, in Gy, that a machine can have: a slip of a unit (cGy) lies outside
[E]; linacs and the usual cobalt-60 convention give about 0.01 Gy at the maximum."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One monitor unit: ``dose_gy_per_mu`` at ``depth_mm`` in water, at ``ssd_mm``, ``field_mm`` at isocenter."""

    dose_gy_per_mu: float
    depth_mm: float
    ssd_mm: float
    field_mm: tuple[float, float] = (100.0, 100.0)

    def __post_init__(self) -> None:
        check_range("the calibration", "dose_gy_per_mu", self.dose_gy_per_mu, 1e-6, 1.0, "Gy/MU")
        check_range("the calibration", "depth_mm", self.depth_mm, 0.0, 300.0, "mm")
        check_range("the calibration", "ssd_mm", self.ssd_mm, 100.0, 5000.0, "mm")
        for side in self.field_mm:
            check_range("the calibration", "field_mm", side, 1.0, 1000.0, "mm")


@dataclass(frozen=True, kw_only=True)
class FocalSpot:
    """The primary source: a Gaussian of this full width at half maximum along BLD x and y; 0 = a point."""

    fwhm_x_mm: float = 0.0
    fwhm_y_mm: float = 0.0

    def __post_init__(self) -> None:
        check_range("the focal spot", "fwhm_x_mm", self.fwhm_x_mm, 0.0, 100.0, "mm")
        check_range("the focal spot", "fwhm_y_mm", self.fwhm_y_mm, 0.0, 100.0, "mm")


@dataclass(frozen=True, kw_only=True)
class ExtraFocalSource:
    """Photons scattered in the head: a Gaussian source plane below the target.

    ``fraction`` of the total energy fluence on the axis of the calibration field; ``sigma_mm`` in its own plane, which
    lies ``distance_mm`` below the target. fraction 0 = none.
    """

    fraction: float = 0.0
    sigma_mm: float = 20.0
    distance_mm: float = 125.0

    def __post_init__(self) -> None:
        check_range("the extra-focal source", "fraction", self.fraction, 0.0, 0.5)
        check_range("the extra-focal source", "sigma_mm", self.sigma_mm, 0.1, 500.0, "mm")
        check_range("the extra-focal source", "distance_mm", self.distance_mm, 0.0, 900.0, "mm")


@dataclass(frozen=True, kw_only=True)
class ElectronContamination:
    """Contaminating electrons: surface dose ``fraction`` of the photon maximum in the calibration field, falling as
    exp(-attenuation z) with water depth, laterally blurred by ``sigma_mm``. fraction 0 = none."""

    fraction: float = 0.0
    attenuation_per_mm: float = 0.15
    sigma_mm: float = 25.0

    def __post_init__(self) -> None:
        check_range("the electron contamination", "fraction", self.fraction, 0.0, 1.0)
        check_range("the electron contamination", "attenuation_per_mm", self.attenuation_per_mm, 1e-3, 10.0, "per mm")
        check_range("the electron contamination", "sigma_mm", self.sigma_mm, 0.1, 500.0, "mm")


@dataclass(frozen=True, eq=False, kw_only=True)
class OffAxisProfile:
    """Primary energy fluence in air against radius in the isocenter plane (1 on the axis), and spectral softening.

    ``softening``: polynomial (c1, c2, c3) of mu(theta)/mu(0) = 1 + c1 t + c2 t^2 + c3 t^3, t in degrees (Tailor 1998).
    """

    radius_mm: tuple[float, ...] = (0.0, 400.0)
    relative: tuple[float, ...] = (1.0, 1.0)
    softening: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        radius = np.asarray(self.radius_mm, dtype=np.float64)
        if radius.size < 2 or radius.size != len(self.relative) or radius[0] != 0.0 or not (np.diff(radius) > 0).all():
            raise InputError(
                f"radius_mm of the off-axis profile is {self.radius_mm} for {len(self.relative)} relative "
                "values; increasing radii that start at 0 mm, one value each, are needed"
            )
        if self.relative[0] != 1.0:
            raise InputError(f"relative of the off-axis profile starts at {self.relative[0]}; it is 1 on the axis")
        for value in self.softening:
            check_range("the off-axis profile", "softening", value, -1.0, 1.0)
        for value in self.relative:
            check_range("the off-axis profile", "relative", value, 0.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Jaws:
    """One pair of jaws along BLD y and, on most machines, one along x; positions in the isocenter plane.

    Attributes:
        along: "xy"; or "y" for a machine whose leaves alone bound the field along x (Agility).
        distance_x_mm, distance_y_mm: target to the middle of a jaw; no x distance for ``along`` "y".
        limit_mm: farthest position from the axis.
        transmission: through a closed jaw.
        overtravel_x_mm, overtravel_y_mm: how far a jaw crosses the midline; None: not limited here.
        monitor_backscatter: share by which closed y jaws raise the reading of the monitor chamber, falling linearly to
            0 where they are fully open; the chamber ends the beam earlier by as much.
    """

    distance_y_mm: float
    limit_mm: float
    transmission: float
    distance_x_mm: float | None = None
    along: str = "xy"
    monitor_backscatter: float = 0.0
    overtravel_x_mm: float | None = None
    overtravel_y_mm: float | None = None

    def __post_init__(self) -> None:
        if self.along not in ("xy", "y"):
            raise InputError(f"along of the jaws is {self.along!r}; allowed are 'xy' and 'y' (no jaws along BLD x)")
        if (self.along == "y") != (self.distance_x_mm is None):
            raise InputError(
                f"distance_x_mm of the jaws is {self.distance_x_mm} with along = {self.along!r}; jaws along 'xy' need "
                "it in mm, a machine without jaws along BLD x leaves it out and says along = 'y'"
            )
        if self.distance_x_mm is not None:
            check_range("the jaws", "distance_x_mm", self.distance_x_mm, 1.0, 1000.0, "mm")
        for name in ("distance_y_mm", "limit_mm"):
            check_range("the jaws", name, getattr(self, name), 1.0, 1000.0, "mm")
        for name in ("overtravel_x_mm", "overtravel_y_mm"):
            if getattr(self, name) is not None:
                check_range("the jaws", name, getattr(self, name), 0.0, self.limit_mm, "mm")
        check_range("the jaws", "transmission", self.transmission, 0.0, 1.0)
        check_range("the jaws", "monitor_backscatter", self.monitor_backscatter, 0.0, 0.1)

    @property
    def overtravel_mm(self) -> tuple[float | None, float | None]:
        """Along x and y."""
        return self.overtravel_x_mm, self.overtravel_y_mm


@dataclass(frozen=True, eq=False, kw_only=True)
class MultileafCollimator:
    """A multileaf collimator whose leaves move along BLD x.

    Attributes:
        model: e.g. "Millennium 120".
        leaf_edges_mm: (n + 1,) increasing BLD y of the leaf sides in the isocenter plane.
        distance_mm: target to the middle of the leaves.
        transmission: average through leaf and interleaf.
        leaf_end_radius_mm: rounded ends; 0 = focused flat ends.
        leaf_position: what a leaf position is: "light_field", the tangent from the target to the rounded end (machines
            that linearize it by a table: Varian, Elekta); or "tip", the apex of the leaf projected onto the isocenter
            plane, which the shadow of a rounded end passes by R (SAD/distance) (sec - 1) off the axis (Boyer 1997).
        dosimetric_leaf_gap_mm: full gap on the axis: the width by which a pair transmits more than between its
            positions, through both rounded tips.
        tongue_groove_mm: width in the isocenter plane of the strip, centered on the side of two neighbouring leaves,
            that either of them shields by half of its thickness.
        min_gap_mm, max_position_mm, max_speed_mm_s: limits.
        max_leaf_span_mm: between the foremost and the hindmost leaf of one bank, which share a carriage; None: not
            limited here.
        interdigitates: whether a leaf may pass the opposing leaves beside its own.
    """

    model: str
    leaf_edges_mm: tuple[float, ...]
    distance_mm: float
    transmission: float
    leaf_end_radius_mm: float = 80.0
    leaf_position: str = "light_field"
    dosimetric_leaf_gap_mm: float = 0.0
    tongue_groove_mm: float = 0.0
    min_gap_mm: float = 0.0
    max_position_mm: float = 200.0
    max_speed_mm_s: float = 25.0
    max_leaf_span_mm: float | None = None
    interdigitates: bool = True

    def __post_init__(self) -> None:
        edges = np.asarray(self.leaf_edges_mm, dtype=np.float64)
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise InputError(f"leaf_edges_mm of MLC {self.model!r} must be at least two increasing positions in mm")
        if self.leaf_position not in ("light_field", "tip"):
            raise InputError(
                f"leaf_position of MLC {self.model!r} is {self.leaf_position!r}; allowed are 'light_field' and 'tip'"
            )
        owner = f"MLC {self.model!r}"
        check_range(owner, "transmission", self.transmission, 0.0, 1.0)
        check_range(owner, "distance_mm", self.distance_mm, 1.0, 1000.0, "mm")
        check_range(owner, "max_position_mm", self.max_position_mm, 1.0, 1000.0, "mm")
        check_range(owner, "max_speed_mm_s", self.max_speed_mm_s, 0.1, 1000.0, "mm/s")
        for name in ("leaf_end_radius_mm", "dosimetric_leaf_gap_mm", "tongue_groove_mm", "min_gap_mm"):
            check_range(owner, name, getattr(self, name), 0.0, 500.0, "mm")
        if self.max_leaf_span_mm is not None:
            check_range(owner, "max_leaf_span_mm", self.max_leaf_span_mm, 1.0, 2000.0, "mm")
        if self.leaf_end_radius_mm >= self.distance_mm:
            raise InputError(
                f"leaf_end_radius_mm of {owner} is {self.leaf_end_radius_mm:g}; a leaf end at distance_mm "
                f"{self.distance_mm:g} has a smaller radius in mm (0 = flat)"
            )
        if self.tongue_groove_mm >= float(np.diff(edges).min()):
            raise InputError(
                f"tongue_groove_mm of {owner} is {self.tongue_groove_mm:g}; it must be narrower than the narrowest "
                f"leaf, {float(np.diff(edges).min()):g} mm"
            )

    @property
    def leaf_count(self) -> int:
        """Number of leaf pairs."""
        return len(self.leaf_edges_mm) - 1


@dataclass(frozen=True, kw_only=True)
class Wedge:
    """A wedge in the beam.

    Attributes:
        angle_deg: tilt of the isodose at 100 mm depth (ICRU 24).
        orientation_deg: the BLD direction, in degrees from +x towards +y, that the thin end (the hot side, toe) points
            to.
        physical: a wedge of metal; False = virtual, made by a moving jaw.
        factor: fluence on the axis relative to the open beam (wedge factor). A virtual wedge is counted in the monitor
            units that give the open fluence on the axis: 1.
    """

    name: str
    angle_deg: float
    orientation_deg: float = 0.0
    physical: bool = False
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.angle_deg <= 60.0:
            raise InputError(f"angle_deg of wedge {self.name!r} is {self.angle_deg}; wedges have 0 < angle_deg <= 60")
        if not math.isfinite(self.orientation_deg) or not 0.0 <= self.orientation_deg < 360.0:
            raise InputError(
                f"orientation_deg of wedge {self.name!r} is {self.orientation_deg}; "
                "allowed are 0 <= orientation_deg < 360"
            )
        check_range(f"wedge {self.name!r}", "factor", self.factor, 0.01, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Machine:
    """A treatment machine (photon beam of one energy).

    A bare point source has ``calibration`` None: its beams then carry photons per cm2 (on the axis, in the isocenter
    plane, in vacuum) where others carry monitor units, and its doses are Gy per that fluence.

    Raises:
        InputError: a distance, the calibration or the names of the wedges cannot be.
    """

    name: str
    description: str
    spectrum: Spectrum
    sad_mm: float = 1000.0
    nominal_energy: str = ""
    calibration: Calibration | None = None
    focal_spot: FocalSpot = field(default_factory=FocalSpot)
    extra_focal: ExtraFocalSource = field(default_factory=ExtraFocalSource)
    electrons: ElectronContamination = field(default_factory=ElectronContamination)
    off_axis: OffAxisProfile = field(default_factory=OffAxisProfile)
    jaws: Jaws | None = None
    mlc: MultileafCollimator | None = None
    wedges: tuple[Wedge, ...] = ()
    limits: Limits = field(default_factory=Limits)
    max_field_mm: float = 400.0
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        owner = f"machine {self.name!r}"
        if not math.isfinite(self.sad_mm) or self.sad_mm <= 0:
            raise InputError(f"sad_mm of machine {self.name!r} is {self.sad_mm}; a distance > 0 mm is needed")
        check_range(owner, "max_field_mm", self.max_field_mm, 1.0, 2000.0, "mm")
        if self.jaws is not None and self.jaws.along == "y" and self.mlc is None:
            raise InputError(f"{owner} has no jaws along BLD x and no mlc; one of them must bound x")
        for name, distance in self._devices():
            if distance >= self.sad_mm:
                raise InputError(f"{name} of {owner} is {distance:g}; it must be less than sad_mm {self.sad_mm:g} mm")
        names = [w.name for w in self.wedges]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(f"{owner} has two wedges of the name {', '.join(twice)}; give each its own name")
        if self.calibration is not None:
            self._check_calibration(self.calibration, owner)

    def _check_calibration(self, calibration: Calibration, owner: str) -> None:
        low, high = DOSE_GY_PER_MU
        if not low <= calibration.dose_gy_per_mu <= high:
            raise InputError(
                f"dose_gy_per_mu of {owner} is {calibration.dose_gy_per_mu:g}; allowed are {low:g} <= dose_gy_per_mu "
                f"<= {high:g} Gy per MU; is it in cGy? (1 cGy per MU = 0.01)"
            )
        for name, distance in self._devices():
            if calibration.ssd_mm <= distance:
                raise InputError(
                    f"ssd_mm of the calibration of {owner} is {calibration.ssd_mm:g}; the water must lie below the "
                    f"head: more than {name}, {distance:g} mm"
                )

    def _devices(self) -> list[tuple[str, float]]:
        """(name, distance from the target in mm) of what the beam passes above the isocenter."""
        found: list[tuple[str, float | None]] = []
        if self.extra_focal.fraction > 0.0:
            found.append(("distance_mm of extra_focal", self.extra_focal.distance_mm))
        if self.jaws is not None:
            found.append(("distance_x_mm of jaws", self.jaws.distance_x_mm))
            found.append(("distance_y_mm of jaws", self.jaws.distance_y_mm))
        if self.mlc is not None:
            found.append(("distance_mm of mlc", self.mlc.distance_mm))
        return [(name, distance) for name, distance in found if distance is not None]

    @property
    def leaves_bound_x(self) -> bool:
        """True when no jaws stop the beam along BLD x: every field needs leaves."""
        return self.jaws is not None and self.jaws.along == "y"

    @property
    def field_limit_x_mm(self) -> tuple[float, float]:
        """Lowest and highest BLD x, in the isocenter plane, that jaws and leaves can open."""
        half = self.max_field_mm / 2
        half = half if self.jaws is None or self.leaves_bound_x else min(half, self.jaws.limit_mm)
        half = half if self.mlc is None else min(half, self.mlc.max_position_mm)
        return -half, half

    @property
    def field_limit_y_mm(self) -> tuple[float, float]:
        """Lowest and highest BLD y, in the isocenter plane, that jaws can open and leaves can shape."""
        half = self.max_field_mm / 2
        half = half if self.jaws is None else min(half, self.jaws.limit_mm)
        edges = self.leaf_edges_mm
        return max(-half, float(edges[0])), min(half, float(edges[-1]))

    def wedge(self, name: str, *, orientation_deg: float = 0.0) -> Wedge:
        """The wedge ``name`` with its thin end (toe) turned to ``orientation_deg``, from BLD +x towards +y.

        Raises:
            InputError: the machine has no wedge of that name (with the nearest one).
        """
        for wedge in self.wedges:
            if wedge.name == name:
                return replace(wedge, orientation_deg=orientation_deg)
        raise InputError(f"machine {self.name!r}: " + unknown_name("wedge", name, [w.name for w in self.wedges]))

    def with_wedge(self, wedge: Wedge) -> Machine:
        """The machine with one more wedge, or with this in place of its own of that name; itself where it has it."""
        return _with_wedge(self, replace(wedge, orientation_deg=0.0))

    @property
    def leaf_edges_mm(self) -> FloatArray:
        """(n + 1,) leaf sides in BLD y; one leaf over the whole field when the machine has no MLC."""
        if self.mlc is None:
            half = self.max_field_mm / 2
            return np.array([-half, half])
        return np.asarray(self.mlc.leaf_edges_mm, dtype=np.float64)


@lru_cache(maxsize=32)
def _with_wedge(machine: Machine, wedge: Wedge) -> Machine:
    """One machine for all beams of a wedge: its calibration is computed once a machine."""
    if wedge in (replace(w, orientation_deg=0.0) for w in machine.wedges):
        return machine
    return replace(machine, wedges=(*(w for w in machine.wedges if w.name != wedge.name), wedge))
