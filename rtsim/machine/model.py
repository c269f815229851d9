"""Machine: what a treatment machine can do. Read from TOML (rtsim/machine/data); every number has its source there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rtsim.errors import InputError
from rtsim.materials import Spectrum
from rtsim.typing import FloatArray


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What one monitor unit means: ``dose_gy_per_mu`` at ``depth_mm`` in water, ``ssd_mm``, ``field_mm`` at the isocenter."""

    dose_gy_per_mu: float
    depth_mm: float
    ssd_mm: float
    field_mm: tuple[float, float] = (100.0, 100.0)


@dataclass(frozen=True, kw_only=True)
class FocalSpot:
    """The primary source: a Gaussian of this full width at half maximum along BLD x and y at the target. 0 = a point."""

    fwhm_x_mm: float = 0.0
    fwhm_y_mm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ExtraFocalSource:
    """Photons scattered in the head: a Gaussian source plane below the target.

    ``fraction`` of the total energy fluence on the axis of the calibration field; ``sigma_mm`` in its own plane, which
    lies ``distance_mm`` below the target. fraction 0 = none.
    """

    fraction: float = 0.0
    sigma_mm: float = 20.0
    distance_mm: float = 125.0


@dataclass(frozen=True, kw_only=True)
class ElectronContamination:
    """Contaminating electrons: surface dose ``fraction`` of the photon maximum in the calibration field, falling as
    exp(-attenuation z) with water depth, laterally blurred by ``sigma_mm``. fraction 0 = none."""

    fraction: float = 0.0
    attenuation_per_mm: float = 0.15
    sigma_mm: float = 25.0


@dataclass(frozen=True, eq=False, kw_only=True)
class OffAxisProfile:
    """Primary energy fluence in air against radius in the isocenter plane (1 on the axis), and spectral softening.

    ``softening``: polynomial (c1, c2, c3) of mu(theta)/mu(0) = 1 + c1 t + c2 t^2 + c3 t^3, t in degrees (Tailor 1998).
    """

    radius_mm: tuple[float, ...] = (0.0, 400.0)
    relative: tuple[float, ...] = (1.0, 1.0)
    softening: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Jaws:
    """One pair of jaws along BLD x and one along y; positions in the isocenter plane."""

    distance_x_mm: float
    distance_y_mm: float
    limit_mm: float
    transmission: float


@dataclass(frozen=True, eq=False, kw_only=True)
class MultileafCollimator:
    """A multileaf collimator whose leaves move along BLD x.

    Attributes:
        model: e.g. "Millennium 120".
        leaf_edges_mm: (n + 1,) increasing BLD y of the leaf sides in the isocenter plane.
        distance_mm: target to the middle of the leaves.
        transmission: average through leaf and interleaf.
        leaf_end_radius_mm: rounded ends; 0 = focused flat ends.
        dosimetric_leaf_gap_mm: full gap: each end transmits as if retracted by half of it.
        tongue_groove_mm: width at the isocenter of the strip that tongue or groove shields beside a closed neighbour.
        min_gap_mm, max_position_mm, max_speed_mm_s: limits.
    """

    model: str
    leaf_edges_mm: tuple[float, ...]
    distance_mm: float
    transmission: float
    leaf_end_radius_mm: float = 80.0
    dosimetric_leaf_gap_mm: float = 0.0
    tongue_groove_mm: float = 0.0
    min_gap_mm: float = 0.0
    max_position_mm: float = 200.0
    max_speed_mm_s: float = 25.0

    def __post_init__(self) -> None:
        edges = np.asarray(self.leaf_edges_mm, dtype=np.float64)
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise InputError(f"leaf_edges_mm of MLC {self.model!r} must be at least two increasing positions in mm")

    @property
    def leaf_count(self) -> int:
        """Number of leaf pairs."""
        return len(self.leaf_edges_mm) - 1


@dataclass(frozen=True, kw_only=True)
class Wedge:
    """A wedge: ``angle_deg`` is the tilt of the isodose at 100 mm depth (ICRU 24); orientation = the BLD direction, in
    degrees from +x towards +y, that the thin end (the hot side, toe) points to."""

    name: str
    angle_deg: float
    orientation_deg: float = 0.0
    physical: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.angle_deg <= 60.0:
            raise InputError(f"angle_deg of wedge {self.name!r} is {self.angle_deg}; wedges have 0 < angle_deg <= 60")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What gantry, dose rate and monitor units can do."""

    max_dose_rate_mu_min: float = 600.0
    max_gantry_speed_deg_s: float = 6.0
    max_monitor_units_per_beam: float = 9999.0
    min_monitor_units_per_segment: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Machine:
    """A treatment machine (photon beam of one energy).

    A bare point source has ``calibration`` None: its beams then carry photons per cm2 (on the axis, in the isocenter
    plane, in vacuum) where others carry monitor units, and its doses are Gy per that fluence.
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
        if not math.isfinite(self.sad_mm) or self.sad_mm <= 0:
            raise InputError(f"sad_mm of machine {self.name!r} is {self.sad_mm}; a distance > 0 mm is needed")

    @property
    def leaf_edges_mm(self) -> FloatArray:
        """(n + 1,) leaf sides in BLD y; one leaf over the whole field when the machine has no MLC."""
        if self.mlc is None:
            half = self.max_field_mm / 2
            return np.array([-half, half])
        return np.asarray(self.mlc.leaf_edges_mm, dtype=np.float64)
