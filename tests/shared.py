"""Where the reference material lies (Monte Carlo doses, CTs): RTSIM_SHARED, or a folder beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("RTSIM_SHARED", Path(__file__).resolve().parents[2] / "shared"))

requires_shared = pytest.mark.skipif(
    not (SHARED / "reference").is_dir(),
    reason=f"the reference material is not at {SHARED}; set RTSIM_SHARED to the folder that holds reference/ and data/",
)
