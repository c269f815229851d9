"""InfluenceSettings: how beamlets are computed; and how much memory there is for the matrix."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rtsim.errors import InputError
from rtsim.units import BYTES_PER_GB


@dataclass(frozen=True, kw_only=True)
class InfluenceSettings:
    """How beamlets are computed.

    Attributes:
        cones: directions of the transport.
        margin_mm: dose is kept up to this far beside a beamlet; what scatters farther is left to ``forward``.
        cutoff: entries below this fraction of their beamlet's maximum are thinned or dropped.
        thin: of n entries of size v below the cut-off c, keep about n v/c with the value c, evenly spread over voxels
            and beamlets: doses stay right on average, and far scatter of many beamlets adds up. False: drop them.
        memory_limit_gb: largest amount that building the matrix may take; None = 80 % of the memory that is free.
    """

    cones: int = 16
    margin_mm: float = 60.0
    cutoff: float = 0.005
    thin: bool = True
    memory_limit_gb: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.cones, int) and 12 <= self.cones <= 1024):
            raise InputError(f"cones is {self.cones!r}; a whole number 12 <= cones <= 1024 is allowed")
        if not 0.0 <= self.cutoff < 0.5:
            raise InputError(f"cutoff is {self.cutoff}; 0 <= cutoff < 0.5 is allowed")
        if not 5.0 <= self.margin_mm <= 300.0:
            raise InputError(f"margin_mm is {self.margin_mm}; 5 <= margin_mm <= 300 is allowed")
        if self.memory_limit_gb is not None and not self.memory_limit_gb > 0.0:
            raise InputError(f"memory_limit_gb is {self.memory_limit_gb}; it must be > 0 GB (or None)")


def available_memory_gb() -> float:
    """Free physical memory in GB, as far as the system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024.0 / BYTES_PER_GB
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / BYTES_PER_GB
    except (ValueError, OSError, AttributeError):
        return 4.0
