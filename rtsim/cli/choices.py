"""Choices of ``rtsim run`` that the parser shows in its help; it must not import an engine for that."""

from __future__ import annotations

from typing import Final

CHECK_ENGINES: Final = ("monte_carlo",)
"""Engines that can give a second opinion on a plan of the collapsed cone."""
CHECK_UNCERTAINTY_PERCENT: Final = 1.0
"""One standard deviation, mean of the voxels above half the maximum."""
CHECK_UNCERTAINTY_LIMITS_PERCENT: Final = (0.1, 5.0)
"""Below, hours; above, nothing is resolved."""
