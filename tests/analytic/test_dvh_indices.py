"""Plan indices of concentric spheres, where every volume is known."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose
from rtsim.evaluate.indices import (
    conformity_paddick,
    conformity_rtog,
    coverage_percent,
    falloff,
    gradient_index,
    homogeneity_icru83,
    homogeneity_rtog,
    isodose_volumes_cm3,
    r50,
)
from rtsim.evaluate.metric import metric
from rtsim.geometry.grid import Grid
from rtsim.phantom.structure import Role, Structure
from tests.analytic.test_dvh import covered

GRID = Grid.covering((-40.0,) * 3, (40.0,) * 3, (2.0,) * 3)
RX_GY = 20.0


def radial_dose(spacing_mm: float = 1.5) -> Dose:
    """20 Gy at r = 12 mm, linear in the radius: 1 Gy/mm, so that an isodose of D Gy is a sphere of 32 - D mm."""
    grid = Grid.covering((-40.0,) * 3, (40.0,) * 3, (spacing_mm,) * 3)
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    return Dose(values_gy=np.clip(32.0 - np.sqrt(x * x + y * y + z * z), 0.0, None), grid=grid)


def ball(name: str, role: Role, radius_mm: float, center_x_mm: float = 0.0) -> Structure:
    inside = lambda x, y, z: (x - center_x_mm) ** 2 + y * y + z * z <= radius_mm**2  # noqa: E731
    return Structure.from_coverage(name, role, GRID, covered(GRID, inside))


@pytest.fixture(scope="module")
def target() -> Structure:
    return ball("PTV", Role.PTV, 10.0)


def volume_cm3(radius_mm: float) -> float:
    return 4 / 3 * np.pi * radius_mm**3 / 1000.0


def test_isodose_volumes() -> None:
    """Trilinear interpolation lowers a cone by up to h^2/8 * 2/r = 0.05 mm at h = 1.5 mm, r = 12 mm: 1.2 % of the
    volume.
    """
    got = isodose_volumes_cm3(radial_dose(), (20.0, 10.0))
    assert got[0] == pytest.approx(volume_cm3(12.0), rel=0.012)
    assert got[1] == pytest.approx(volume_cm3(22.0), rel=0.004)
    assert isodose_volumes_cm3(radial_dose(), (50.0,)) == (0.0,)


def test_isodose_volume_counts_inside_the_outline_only() -> None:
    half = Structure.from_coverage(
        "BODY", Role.EXTERNAL, GRID, np.broadcast_to(GRID.x_mm > 0, GRID.shape).astype(np.float32)
    )
    (got,) = isodose_volumes_cm3(radial_dose(), (20.0,), external=half)
    assert got == pytest.approx(volume_cm3(12.0) / 2, rel=0.02)


def test_indices_of_concentric_spheres(target: Structure) -> None:
    dose = radial_dose()
    ratio = (12.0 / 10.0) ** 3
    assert coverage_percent(dose, target, RX_GY) == pytest.approx(100.0)
    assert conformity_paddick(dose, target, RX_GY) == pytest.approx(1 / ratio, rel=0.01)
    assert conformity_rtog(dose, target, RX_GY) == pytest.approx(ratio, rel=0.01)
    assert gradient_index(dose, RX_GY) == pytest.approx((22 / 12) ** 3, rel=0.01)
    assert r50(dose, target, RX_GY) == pytest.approx(2.2**3, rel=0.01)


def test_homogeneity(target: Structure) -> None:
    """In a ball of radius R volume grows with r^3: the hottest p lie inside r = R p^(1/3)."""
    histogram = dvh(radial_dose(0.5), target)
    d = {p: 32.0 - 10.0 * (p / 100) ** (1 / 3) for p in (2, 50, 98)}
    assert homogeneity_icru83(histogram) == pytest.approx((d[2] - d[98]) / d[50], rel=0.01)
    # The tip of the cone lies between voxel centers, the nearest is 0.43 mm off: about 0.45 of 32 Gy are missed.
    assert homogeneity_rtog(histogram, RX_GY) == pytest.approx(1.6, abs=0.03)


def test_metric_by_text(target: Structure) -> None:
    dose = radial_dose(0.5)
    assert float(metric(dose, target, "D50%")) == pytest.approx(32 - 10 * 0.5 ** (1 / 3), abs=0.05)
    assert float(metric(dose, target, "D50% %", prescription_gy=RX_GY)) == pytest.approx(
        5 * (32 - 10 * 0.5 ** (1 / 3)), abs=0.25
    )
    assert float(metric(dose, target, "V24Gy")) == pytest.approx(100 * 0.8**3, abs=0.6)
    assert float(metric(dose, target, "V120% cm3", prescription_gy=RX_GY)) == pytest.approx(volume_cm3(8.0), rel=0.01)
    assert float(metric(dose, target, "CV24Gy")) == pytest.approx(volume_cm3(10.0) - volume_cm3(8.0), rel=0.01)
    assert float(metric(dose, target, "Dmean")) == pytest.approx(32.0 - 7.5, abs=0.05)
    assert float(metric(dose, target, "conformity_paddick", prescription_gy=RX_GY)) == pytest.approx(1.2**-3, rel=0.01)
    assert str(metric(dose, target, "D0.035cc")).endswith(" Gy")


def test_falloff_on_the_line_between_two_balls(target: Structure) -> None:
    """Surfaces 12 mm apart on the x axis in a dose that falls by 1 Gy/mm = 5 %/mm."""
    organ = ball("spinal_cord", Role.OAR, 5.0, center_x_mm=27.0)
    way = falloff(radial_dose(), target, organ, RX_GY)
    assert way is not None
    assert way.distance_mm == pytest.approx(12.0, abs=0.3)
    assert way.mean_percent_per_mm == pytest.approx(5.0, rel=0.01)
    assert way.steepest_percent_per_mm == pytest.approx(5.0, rel=0.02)
    assert way.target_point_mm[0] == pytest.approx(10.0, abs=0.3)


def test_falloff_is_none_where_surfaces_touch(target: Structure) -> None:
    assert falloff(radial_dose(), target, ball("cord", Role.OAR, 5.0, center_x_mm=12.0), RX_GY) is None
