"""Kernels of the Monte Carlo engine, in files of one idea each.

Numba's cache watches the file of the compiled function only, so that a helper in another file could go stale without
a word. The one cached function here (``history.simulate``) therefore closes over a hash of every file of this folder,
which is part of its cache key: an edit anywhere in the folder compiles it anew.

Helpers are compiled with ``_nrt=False``: they allocate nothing, and without it numba counts references to arrays with
an atomic operation wherever one is sliced or unpacked, which took a third of the time.
"""

from __future__ import annotations

import hashlib
import pathlib


def fingerprint() -> str:
    """A hash of the kernel files of this folder."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
