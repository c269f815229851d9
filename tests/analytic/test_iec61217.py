"""IEC 61217 to LPS: the cardinal table, exact quarters, orthonormal rotations, and where BLD +x and +y point."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.errors import InputError
from rtsim.geometry.iec61217 import (
    CARDINAL,
    bld_to_lps,
    check_angle,
    project_to_isocenter_plane,
    source_position_mm,
)

ANGLES = st.floats(0.0, 360.0, exclude_max=True)
LEFT, POSTERIOR, SUPERIOR = np.eye(3)


@pytest.mark.parametrize(("angles", "expected"), CARDINAL.items())
def test_cardinal_source_positions(
    angles: tuple[float, float], expected: tuple[str, tuple[float, float, float]]
) -> None:
    where, unit = expected
    named = {
        "anterior": -POSTERIOR,
        "posterior": POSTERIOR,
        "left": LEFT,
        "right": -LEFT,
        "superior": SUPERIOR,
        "inferior": -SUPERIOR,
    }
    np.testing.assert_array_equal(np.asarray(unit), named[where])
    source = source_position_mm((5.0, -7.0, 11.0), *angles, sad_mm=1000.0)
    np.testing.assert_array_equal(source, np.array([5.0, -7.0, 11.0]) + 1000.0 * np.asarray(unit))


@pytest.mark.parametrize("couch_deg", [0.0, 37.0, 90.0, 270.0])
def test_gantry_0_is_anterior_for_any_couch(couch_deg: float) -> None:
    np.testing.assert_array_equal(source_position_mm((0.0, 0.0, 0.0), 0.0, couch_deg, 1000.0), [0.0, -1000.0, 0.0])


# source: IEC 61217 for a head-first supine patient, read off a drawing of the room, not off the matrix
@pytest.mark.parametrize(
    ("gantry", "couch", "collimator", "x_points", "y_points"),
    [
        (0, 0, 0, LEFT, SUPERIOR),
        (0, 0, 90, SUPERIOR, -LEFT),
        (0, 0, 180, -LEFT, -SUPERIOR),
        (90, 0, 0, POSTERIOR, SUPERIOR),
        (180, 0, 0, -LEFT, SUPERIOR),
        (270, 0, 0, -POSTERIOR, SUPERIOR),
        (180, 0, 90, SUPERIOR, LEFT),
    ],
)
def test_bld_axes(gantry: float, couch: float, collimator: float, x_points: np.ndarray, y_points: np.ndarray) -> None:
    rotation = bld_to_lps(gantry, couch, collimator)
    np.testing.assert_array_equal(rotation[:, 0], x_points)
    np.testing.assert_array_equal(rotation[:, 1], y_points)


@given(gantry=ANGLES, couch=ANGLES, collimator=ANGLES)
def test_rotations_are_orthonormal_and_right_handed(gantry: float, couch: float, collimator: float) -> None:
    rotation = bld_to_lps(gantry, couch, collimator)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=4e-16 * 8)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-14)


def test_quarters_are_exact() -> None:
    for angles in itertools.product((0.0, 90.0, 180.0, 270.0), repeat=3):
        assert set(np.abs(bld_to_lps(*angles)).ravel()) == {0.0, 1.0}


@given(gantry=ANGLES, couch=ANGLES, collimator=ANGLES)
def test_the_collimator_does_not_move_the_source(gantry: float, couch: float, collimator: float) -> None:
    source = source_position_mm((0.0, 0.0, 0.0), gantry, couch, 1.0)
    np.testing.assert_allclose(bld_to_lps(gantry, couch, collimator)[:, 2], source, atol=1e-15)


@given(
    gantry=ANGLES,
    couch=ANGLES,
    collimator=ANGLES,
    x=st.floats(-200, 200),
    y=st.floats(-200, 200),
    z=st.floats(-300, 300),
)
def test_points_on_one_ray_project_to_one_point(
    gantry: float, couch: float, collimator: float, x: float, y: float, z: float
) -> None:
    """A point of the isocenter plane slid along its ray keeps bev; its distance along the axis is SAD - z."""
    isocenter = (12.0, -34.0, 56.0)
    rotation = bld_to_lps(gantry, couch, collimator)
    shrink = (1000.0 - z) / 1000.0
    point = np.array(isocenter) + rotation @ np.array([x * shrink, y * shrink, z])
    bev, distance = project_to_isocenter_plane(point, isocenter, rotation, 1000.0)
    np.testing.assert_allclose(bev, [x, y], atol=1e-9)
    assert distance == pytest.approx(1000.0 - z, abs=1e-9)


def test_projection_keeps_the_shape_of_the_points() -> None:
    bev, distance = project_to_isocenter_plane(np.zeros((2, 5, 3)), (0.0, 0.0, 0.0), bld_to_lps(0.0), 1000.0)
    assert (bev.shape, distance.shape) == ((2, 5, 2), (2, 5))


@pytest.mark.parametrize("angle", [-0.1, 360.0, 400.0, float("nan"), float("inf")])
def test_angles_out_of_range_name_their_field(angle: float) -> None:
    with pytest.raises(InputError, match=r"gantry_deg is .*0 <= gantry_deg < 360"):
        check_angle("gantry_deg", angle)


def test_angles_in_range_come_back() -> None:
    assert check_angle("couch_deg", 359.999) == 359.999
    assert isinstance(check_angle("couch_deg", 90), float)
