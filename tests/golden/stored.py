"""Golden numbers: what must not change unawares. ``pytest tests/golden --update-golden`` rewrites them.

The largest change that it prints goes into CHANGELOG.md. A golden says only that a number is the same as before, never
that it is right: tests/analytic and tests/published do that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

# Doses are float32 (one rounding: 6e-8) and sums in a fixed order. Measured: not one bit of these tables changed with
# one thread instead of two, nor with kernels compiled for a processor without AVX together with other BLAS routines.
# 1e-6 leaves room for the last bit of another C library's exp; a change of physics or of a table is larger by orders.
RELATIVE = 1e-6


class Golden:
    """One stored table of named numbers; ``update`` rewrites it and adds to ``log`` what moved."""

    def __init__(self, path: Path, *, update: bool, log: list[str]) -> None:
        self.path, self.update, self.log = path, update, log

    def check(self, got: Mapping[str, float]) -> None:
        """Equal to the stored table to RELATIVE, name by name; with --update-golden store it."""
        assert all(math.isfinite(v) for v in got.values())
        stored: dict[str, float] = json.loads(self.path.read_text()) if self.path.is_file() else {}
        if self.update:
            self.log.append(f"{self.path.name}: {self._largest(stored, got)}")
            partial = self.path.with_name(self.path.name + ".partial")
            partial.write_text(json.dumps(dict(got), indent=1) + "\n")
            partial.replace(self.path)
            return
        assert stored, f"{self.path.name} is missing; run pytest --update-golden and commit it"
        assert set(got) == set(stored), self._largest(stored, got)
        moved = {name: (stored[name], v) for name, v in got.items() if change(stored[name], v) > RELATIVE}
        assert not moved, (
            f"{len(moved)} of {len(got)} numbers moved, {self._largest(stored, got)}. If that is meant, run pytest "
            f"--update-golden and write the largest change into CHANGELOG.md. Moved (stored, now): {moved}"
        )

    def _largest(self, stored: Mapping[str, float], got: Mapping[str, float]) -> str:
        both = [name for name in got if name in stored]
        words = [f"{len(set(got) - set(stored))} new, {len(set(stored) - set(got))} gone"]
        if both:
            worst = max(both, key=lambda name: change(stored[name], got[name]))
            old, new = stored[worst], got[worst]
            words.append(f"largest change {change(old, new):.2e} in {worst} ({old!r} -> {new!r})")
        return ", ".join(words)


def change(old: float, new: float) -> float:
    """Relative change; infinite from 0 to something."""
    if old == new:
        return 0.0
    return abs(new - old) / abs(old) if old != 0.0 else math.inf
