"""Settings of how segments are improved."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtsim.errors import InputError
from rtsim.optimize.apertures.settings import DirectAperture
from rtsim.optimize.segment_weights import WEIGHT_SOLVER
from rtsim.optimize.solver import AugmentedLagrangian


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """How segments are improved: monitor units alone, then searches for new apertures, then all leaf ends together.

    Attributes:
        direct: of leaf ends and monitor units together; None: monitor units alone.
        weight_solver: of monitor units alone, before and after it.
        searches: for new apertures before the first forward dose; ``searches_later`` before each of the others.
        search_iterations: of ``direct`` before each search.
        monitor_unit_price: what 100 MU per Gy cost, as a share of the objective of the weighted segments. Fewer
            monitor units mean larger and fewer segments.
        merge: segments are merged that change the fluence of their beam by less than this share.
        min_open_mm2: new apertures with a smaller open area in the isocenter plane are left out.
    """

    direct: DirectAperture | None = field(default_factory=DirectAperture)
    weight_solver: AugmentedLagrangian = WEIGHT_SOLVER
    searches: int = 4
    searches_later: int = 1
    search_iterations: int = 50
    monitor_unit_price: float = 0.15
    merge: float = 0.05
    min_open_mm2: float = 75.0

    def __post_init__(self) -> None:
        if min(self.searches, self.searches_later) < 0 or self.search_iterations < 1:
            raise InputError("searches and searches_later must be >= 0, search_iterations >= 1")
        if min(self.monitor_unit_price, self.merge, self.min_open_mm2) < 0.0:
            raise InputError("monitor_unit_price, merge and min_open_mm2 must be >= 0")
