"""Choices of ``rtsim run`` that the parser shows in its help; it must not import an engine for that."""

from __future__ import annotations

from typing import Final

DELIVERIES: Final = ("step_and_shoot", "sliding_window", "arc")
"""Techniques of delivery of a stereotactic plan; the first is the default."""
DEFAULT_ARCS: Final = 2
MOST_ARCS: Final = 3
EMERGENCY_PROTOCOL: Final = "spine_conventional_1fx"
"""8 Gy once: what an emergency field gives unless --protocol says otherwise."""
EMERGENCY_POINTS: Final = ("vertebral_body", "target_center", "target_anterior", "cord", "midplane", "isocenter")
"""Members of ``rtsim.optimize.PrescribedTo``."""

CHECK_ENGINES: Final = ("monte_carlo",)
"""Engines that can give a second opinion on a plan of the collapsed cone."""
CHECK_RUNS: Final = 8
"""Independent runs: their spread tells the uncertainty of a mean dose over a target to 27 %, where noise that is
correlated along whole rays hides from a single run."""
MOST_SEED: Final = 2**58 - 1
"""Run n of a check has the seed ``CHECK_RUNS`` seed + n, and the Monte Carlo engine takes seeds up to 2^62."""
CHECK_UNCERTAINTY_PERCENT: Final = 2.0
"""One standard deviation, mean of the voxels above half the maximum: about a minute on two cores. A near-maximum over
0.035 cm3 is then known to about 1 %, a mean over a target to a fraction of that."""
CHECK_UNCERTAINTY_LIMITS_PERCENT: Final = (0.1, 5.0)
"""Below, hours; above, nothing is resolved."""
