"""The patient outline when nobody drew one: the largest dense body in the CT, filled, without couch and air."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from rtsim.errors import GeometryError
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure

OUTLINE_DENSITY_G_CM3: Final = 0.4
"""Between lung (0.26) and fat (0.92): the skin is found half way down its edge."""
_OPENING_MM: Final = 7.0
"""Couch tops and clothes that touch the skin by less than this are cut off."""


def find_external(phantom: Phantom, name: str = "BODY") -> Structure:
    """Outline of the patient from the density: threshold, opening, largest component, holes filled slice by slice.

    Raises:
        GeometryError: nothing in the grid is denser than the threshold.
    """
    grid = phantom.grid
    dense = phantom.density_g_cm3 > OUTLINE_DENSITY_G_CM3
    radius = [max(1, round(_OPENING_MM / 2 / s)) for s in (grid.spacing_mm[1], grid.spacing_mm[0])]
    y, x = np.ogrid[-radius[0] : radius[0] + 1, -radius[1] : radius[1] + 1]
    disc = ((y / radius[0]) ** 2 + (x / radius[1]) ** 2 <= 1.0)[None]
    # Padding with the edge keeps a body that is cut by the grid from being eaten at its cut face.
    padded = np.pad(dense, ((0, 0), (radius[0],) * 2, (radius[1],) * 2), mode="edge")
    opened = ndimage.binary_opening(padded, structure=disc)[:, radius[0] : -radius[0], radius[1] : -radius[1]]
    labels, count = ndimage.label(opened)
    if count == 0:
        raise GeometryError(
            f"nothing in the CT is denser than {OUTLINE_DENSITY_G_CM3} g/cm3: no patient outline can be found"
        )
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    for k in range(grid.shape[0]):
        largest[k] = ndimage.binary_fill_holes(largest[k])
    return Structure.from_coverage(name, Role.EXTERNAL, grid, largest, color=(160, 160, 160))


def with_external(phantom: Phantom) -> Phantom:
    """The same phantom, with an outline found by :func:`find_external` when no structure has the role EXTERNAL."""
    if phantom.structures.with_role(Role.EXTERNAL):
        return phantom
    return phantom.with_structures(find_external(phantom))
