"""Decomposition of fluence maps: exact sums, one interval a row, and the least beam-on time of the closed formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rtsim.errors import InputError
from rtsim.optimize.decomposition import Decomposition, decompose, least_beam_on_time, quantize

MAPS = hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(0, 9))


@pytest.mark.parametrize("method", list(Decomposition))
@given(levels=MAPS)
@settings(max_examples=120, deadline=None)
def test_shapes_sum_to_the_map_in_the_least_time(method: Decomposition, levels: np.ndarray) -> None:
    shapes = decompose(levels, method)
    total = sum((s.time * s.mask(levels.shape[1]) for s in shapes), np.zeros_like(levels))
    assert np.array_equal(total, levels)
    # source: Engel 2005, theorem 2: T = max_i sum_j max(0, a_ij - a_i,j-1)
    steps = np.diff(levels, axis=1, prepend=0)
    assert sum(s.time for s in shapes) == np.where(steps > 0, steps, 0).sum(axis=1).max() == least_beam_on_time(levels)


def test_by_hand() -> None:
    levels = np.array([[1, 3, 2], [0, 4, 4]])
    assert least_beam_on_time(levels) == 4
    shapes = decompose(levels, Decomposition.SWEEP)
    assert sum(s.time for s in shapes) == 4
    assert decompose(np.zeros((2, 3), dtype=np.int64)) == ()


def test_largest_first_needs_fewer_segments_than_the_sweep() -> None:
    rng = np.random.default_rng(8)
    few = sweep = 0
    for _ in range(20):
        levels = rng.integers(0, 11, (12, 14))
        few += len(decompose(levels, Decomposition.FEW_SEGMENTS))
        sweep += len(decompose(levels, Decomposition.SWEEP))
    assert few < 0.6 * sweep


def test_quantize_is_exact_for_levels_and_bounded_otherwise() -> None:
    levels, step = quantize(np.array([[0.0, 2.5, 5.0, 12.5]]), 5)
    assert step == pytest.approx(2.5)
    assert levels.tolist() == [[0, 1, 2, 5]]
    fluence = np.random.default_rng(1).uniform(0, 30, (8, 8))
    levels, step = quantize(fluence, 10)
    assert np.abs(levels * step - fluence).max() <= step / 2 * 1.2
    with pytest.raises(InputError, match="levels is 0"):
        quantize(fluence, 0)
