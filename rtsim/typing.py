"""Names of the array and callback types that signatures use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
AnyFloatArray: TypeAlias = NDArray[np.floating]
IntArray: TypeAlias = NDArray[np.int64]
UInt8Array: TypeAlias = NDArray[np.uint8]
BoolArray: TypeAlias = NDArray[np.bool_]
Vector3: TypeAlias = tuple[float, float, float]

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the fraction done (0..1) and what is being done; raising from it (Ctrl-C) stops the work."""
