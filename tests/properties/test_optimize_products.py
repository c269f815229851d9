"""Products by rows: the same as NumPy's, on any number of threads, with and without the rows that sleep."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import sparse

from rtsim.optimize.products import Products, Waking, quiet_levels


def matrix(rows: int, columns: int, seed: int, density: float = 0.4) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    full = rng.uniform(0.0, 1.0, (rows, columns)) * (rng.random((rows, columns)) < density)
    full[rows // 2] = 0.0
    return sparse.csr_array(full.astype(np.float32))


@pytest.mark.parametrize("dense", [False, True])
def test_products_equal_those_of_numpy(dense: bool) -> None:
    a = matrix(300, 41, 1)
    full = a.toarray().astype(np.float64)
    products = Products(a.toarray() if dense else a)
    rng = np.random.default_rng(2)
    x, g = rng.normal(size=41), rng.normal(size=300) * (rng.random(300) < 0.5)
    out = np.full(300, np.nan)
    products.times(x, out)
    # sums of 41 and 300 products in float64
    np.testing.assert_allclose(out, full @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(products.transposed_times(g), full.T @ g, rtol=1e-12, atol=1e-11)
    some = np.array([3, 7, 150, 299])
    part = np.zeros(300)
    products.times(x, part, some)
    assert np.array_equal(part[some], out[some])
    assert np.count_nonzero(part) <= 4
    lengths, positive = products.norms()
    np.testing.assert_allclose(lengths, np.linalg.norm(full, axis=1), rtol=1e-6)  # squared in float32, the entries' own
    assert positive


def test_no_slope_gives_no_gradient() -> None:
    assert np.array_equal(Products(matrix(50, 9, 3)).transposed_times(np.zeros(50)), np.zeros(9))


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    a = matrix(6000, 120, 4, density=0.9)  # 13 blocks of a transposed product
    products = Products(a)
    rng = np.random.default_rng(5)
    x, g = rng.normal(size=120), rng.normal(size=6000)
    found = []
    before = numba.get_num_threads()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            out = np.empty(6000)
            products.times(x, out)
            found.append((out, products.transposed_times(g)))
    finally:
        numba.set_num_threads(before)
    for out, gradient in found[1:]:
        assert np.array_equal(out, found[0][0])
        assert np.array_equal(gradient, found[0][1])


@pytest.mark.parametrize("negative", [False, True])
def test_rows_that_count_are_exact_along_a_walk(negative: bool) -> None:
    """Wherever the walk goes: what lies above its level is exact, what is not exact lies below, before and after."""
    a = matrix(400, 30, 6)
    if negative:
        a.data[::7] *= -0.3
    full = a.toarray().astype(np.float64)
    rng = np.random.default_rng(7)
    offset = rng.uniform(0.0, 0.5, 400)
    quiet = quiet_levels(400, [(np.arange(300), 6.0), (np.arange(250, 400), rng.uniform(2.0, 9.0, 150))])
    quiet[:20] = -np.inf
    waking = Waking(Products(a), offset, quiet)
    x = np.full(30, 1.0)
    slept = 0
    for _ in range(60):
        x = np.maximum(x + rng.normal(scale=0.08, size=30), 0.0)
        exact = full @ x + offset
        dose = waking.dose(x)
        off = np.abs(dose - exact) > 1e-9
        slept += int(off.sum())
        assert (dose[off] < quiet[off]).all()
        assert (exact[off] < quiet[off]).all()
        assert not off[:20].any()
    assert slept > 1000  # else the test would say nothing


def test_the_lowest_level_of_a_row_counts() -> None:
    levels = quiet_levels(4, [(np.array([0, 1]), 5.0), (np.array([1, 2]), np.array([3.0, 7.0]))])
    assert np.array_equal(levels, [5.0, 3.0, 7.0, np.inf])
