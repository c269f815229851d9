"""HU to density and material index, one pass over the voxels."""

import math

from numba import njit


@njit(cache=True, nogil=True)
def classify(hu, knot_hu, knot_density, slope, edges_hu, metal_density, first_segment, first_material, density, index,
             first, stop):  # fmt: skip
    """Density and material index of the voxels first .. stop.

    hu (n,) float32; knot_hu, knot_density (m,) and slope (m - 1,) float64: the curve; edges_hu (c,) float64 between
    the c + 1 materials, the last of them metal; first_segment, first_material int64: where the search starts for each
    whole HU from floor(knot_hu[0]) on. Out: density (n,) float32 g/cm3, index (n,) uint8. Outside the curve the
    density is that of the nearer end; metal_density and denser is metal.
    """
    low = math.floor(knot_hu[0])
    last_bucket = first_segment.size - 1
    last_segment = slope.size - 1
    metal = edges_hu.size
    for v in range(first, stop):
        h = min(max(float(hu[v]), knot_hu[0]), knot_hu[last_segment + 1])
        bucket = min(int(h - low), last_bucket)
        s = first_segment[bucket]
        while s < last_segment and h >= knot_hu[s + 1]:
            s += 1
        d = knot_density[s] + (h - knot_hu[s]) * slope[s]
        density[v] = d
        m = first_material[bucket]
        while m < metal and h >= edges_hu[m]:
            m += 1
        if d >= metal_density:
            m = metal
        index[v] = m
