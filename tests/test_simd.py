"""The vector value of the kernels against NumPy, lane by lane."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from eitheror._kernels import simd
from eitheror._kernels.embedding import aligned, layout

Floats = NDArray[np.float32]


@numba.njit
def _every_function(table: Floats, out: Floats, factor: np.float32, chunks: Any) -> Any:
    """Use each function once: rows 0 and 1 of `table` in, nine rows out, three numbers back."""
    width = table.shape[1]
    simd.prefetch(table, width)
    a, b = simd.load(table, 0, chunks), simd.load(table, width, chunks)
    simd.store(out, 0, simd.zeros(chunks))
    simd.store(out, width, simd.add(a, b))
    simd.store(out, 2 * width, simd.add_scaled(a, factor, b))
    simd.store(out, 3 * width, simd.add_product(a, a, b))
    simd.store(out, 4 * width, simd.larger(a, b))
    simd.store(out, 5 * width, simd.every(factor, chunks))
    simd.store(out, 6 * width, simd.quotient(a, b))
    simd.store(out, 7 * width, simd.root(simd.exponential(a)))
    simd.store(out, 8 * width, simd.exponential(b))
    return simd.dot(a, b), simd.total(a), simd.largest(a)


@pytest.mark.parametrize("n_chunks", [1, 2, 3, 4, 7])
def test_every_function_equals_numpy(n_chunks: int) -> None:
    """Loads, stores, sums and products are NumPy's, whatever the length of the vector."""
    width = 16 * n_chunks
    table = aligned(2, width)
    table[:] = np.random.default_rng(n_chunks).standard_normal(table.shape)
    out = np.full((9, width), 7, np.float32)
    product, total, largest = _every_function(table, out, np.float32(0.5), (0,) * n_chunks)
    a, b = table
    np.testing.assert_array_equal(out[0], 0)
    np.testing.assert_array_equal(out[1], a + b)
    np.testing.assert_allclose(out[2], a + np.float32(0.5) * b, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(out[3], a + a * b, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[4], np.maximum(a, b))
    np.testing.assert_array_equal(out[5], np.float32(0.5))
    np.testing.assert_array_equal(out[6], a / b)
    np.testing.assert_allclose(out[7], np.sqrt(np.exp(a)), rtol=3e-7)
    np.testing.assert_allclose(out[8], np.exp(b), rtol=3e-7)
    assert total == pytest.approx(float(a.astype(float).sum()), rel=1e-5, abs=1e-5)
    assert largest == a.max()
    assert product == pytest.approx(float(a.astype(float) @ b), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("bits", [0, 1, 0b1010, 0x8001, 0xFFFF, -2, 0x7FFF0000])
def test_the_low_bits_say_which_lanes_change_sign(bits: int) -> None:
    """`flipped` negates lane i where bit i is 1; bits past the sixteenth and parts past the
    first are left out.
    """

    @numba.njit
    def flip(table: Floats, bits: int, chunks: Any) -> None:
        simd.store(table, 0, simd.flipped(simd.load(table, 0, chunks), bits))

    table = np.arange(1, 33, dtype=np.float32)
    expected = [-x if i < 16 and bits >> i & 1 else x for i, x in enumerate(table.tolist())]
    flip(table, bits, (0, 0))
    assert expected == table.tolist()


@numba.njit
def _exponentials(table: Floats, out: Floats) -> None:
    for place in range(0, table.size, 16):
        simd.store(out, place, simd.exponential(simd.load(table, place, (0,))))


def test_exponentials_are_exact_to_two_in_ten_million() -> None:
    """Relative error against float64 from -87.3 to 88; 0 below, and nan stays nan."""
    x = np.linspace(-87.3, 88, 160_000).astype(np.float32)
    x[:4] = -87.4, -1e30, -np.inf, np.nan
    out = np.empty_like(x)
    _exponentials(x, out)
    assert [0.0, 0.0, 0.0] == out[:3].tolist()
    assert np.isnan(out[3])
    exact = np.exp(x[4:].astype(float))
    assert np.abs(out[4:] / exact - 1).max() < 2e-7


@pytest.mark.parametrize("place", [1, 5, 16])
def test_a_vector_may_begin_anywhere(place: int) -> None:
    """A flat position need not be a multiple of the vector."""

    @numba.njit
    def shift(table: Floats, place: int, out: Floats, chunks: Any) -> None:
        simd.store(out, 1, simd.load(table, place, chunks))

    table, out = np.arange(40, dtype=np.float32), np.zeros(20, np.float32)
    shift(table, place, out, (0,))
    np.testing.assert_array_equal(out[1:17], table[place : place + 16])
    assert out[[0, 17, 18, 19]].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("place", [0, 1, 7])
def test_a_word_is_eight_bytes_the_first_lowest(place: int) -> None:
    """`load_word` reads from any position."""

    @numba.njit
    def word(data: NDArray[np.uint8], place: int) -> Any:
        return simd.load_word(data, place)

    data = np.arange(200, 216, dtype=np.uint8)
    assert int.from_bytes(data[place : place + 8].tobytes(), "little") == word(data, place)


@pytest.mark.parametrize("dim", [1, 10, 16, 17, 50, 64, 65, 100, 128, 300, 1000])
def test_layouts_hold_the_row_in_whole_vectors(dim: int) -> None:
    """Rows are whole vectors that begin at cache lines, and padding is a fourth at most."""
    chunks, width = layout(dim)
    assert width % (16 * len(chunks)) == 0
    assert dim <= width <= 1.25 * 16 * -(-dim // 16)
    assert aligned(3, width).ctypes.data % 64 == 0
