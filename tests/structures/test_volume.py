"""Volumes: grids, the 48 orientations, block means and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dense3d.structures import AxisOrder, Volume, axis_codes

ORIENTATIONS = [
    AxisOrder(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
PHANTOM = np.random.default_rng(0).integers(-1000, 1000, (5, 7, 4)).astype(np.int16)
AFFINE = np.array([[0.7, 0, 0, -20.0], [0, 1.1, 0, 13.0], [0, 0, 2.5, 4.0], [0, 0, 0, 1]])


def in_order(order: AxisOrder, values: np.ndarray = PHANTOM) -> Volume:
    """The same patient stored with axes in another order."""
    return Volume(order.apply(values), AFFINE @ order.index_affine(values.shape))


@pytest.mark.parametrize("order", ORIENTATIONS, ids=str)
def test_every_orientation_leads_to_one_canonical_grid_and_back(order: AxisOrder) -> None:
    volume = in_order(order)
    canonical = volume.canonical()
    assert canonical.orientation == "RAS"
    np.testing.assert_array_equal(canonical.values, PHANTOM)
    np.testing.assert_allclose(canonical.affine, AFFINE)
    np.testing.assert_array_equal(canonical.to_source(canonical.values), volume.values)
    np.testing.assert_array_equal(canonical.from_source(volume.values), PHANTOM)
    assert np.shares_memory(canonical.values, volume.values)


@pytest.mark.parametrize("order", ORIENTATIONS, ids=str)
def test_a_reduced_volume_of_every_orientation_is_the_same_and_leads_back(order: AxisOrder) -> None:
    working = in_order(order).reduced(3)
    np.testing.assert_array_equal(working.values, in_order(AxisOrder()).reduced(3).values)
    marks = np.zeros(working.shape, np.uint8)
    marks[2, 0, 1] = 1  # the last block along x is one voxel wide, that along y has three voxels
    full = working.to_full(marks)
    assert full.shape == PHANTOM.shape
    assert np.argwhere(full).min(0).tolist() == [4, 0, 2]
    assert np.argwhere(full).max(0).tolist() == [4, 2, 3]
    np.testing.assert_array_equal(working.to_source(marks), order.apply(full))


def test_axis_codes_and_order_agree_with_nibabel_on_oblique_grids() -> None:
    nibabel = pytest.importorskip("nibabel")
    random = np.random.default_rng(1)
    for _ in range(200):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(random.normal(size=(3, 3)))[0]
        if len(set(np.abs(affine[:3, :3]).argmax(0))) < 3:
            continue  # so oblique that versions of nibabel differ
        affine[:3, :3] *= random.uniform(0.3, 5, 3)
        assert axis_codes(affine) == "".join(nibabel.aff2axcodes(affine))
        image = nibabel.Nifti1Image(PHANTOM, affine)
        closest = nibabel.as_closest_canonical(image)
        canonical = Volume(PHANTOM, affine).canonical()
        np.testing.assert_array_equal(canonical.values, np.asarray(closest.dataobj))
        np.testing.assert_allclose(canonical.affine, closest.affine, atol=1e-5)


def test_orders_compose_and_invert() -> None:
    for first, second in itertools.product(ORIENTATIONS[::5], ORIENTATIONS[::7]):
        np.testing.assert_array_equal(first.then(second).apply(PHANTOM), second.apply(first.apply(PHANTOM)))
        assert first.then(first.inverse()) == AxisOrder()


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "u2", "i4", ">u4", "f4", ">f8"])
def test_block_means_are_means_of_blocks(dtype: str) -> None:
    kind = np.dtype(dtype)
    random = np.random.default_rng(2)
    if kind.kind == "f":
        values = random.normal(size=(13, 9, 11)).astype(kind)
    else:
        limits = np.iinfo(kind)
        values = random.integers(limits.min, limits.max, (13, 9, 11), dtype=kind.newbyteorder("="))
    volume = Volume(np.asarray(values, kind), np.eye(4)).reduced(4)
    assert volume.factors == (4, 3, 3)
    assert volume.values.dtype == kind.newbyteorder("=")
    for block in np.ndindex(volume.shape):
        voxels = values[tuple(slice(b * f, b * f + f) for b, f in zip(block, volume.factors))]
        mean = voxels.astype(np.float64).mean()
        expected = mean if kind.kind == "f" else np.rint(mean)
        np.testing.assert_allclose(volume.values[block].astype(float), expected, rtol=1e-6, atol=1e-6)


def test_the_centre_of_a_block_stays_where_it_is() -> None:
    volume = Volume(np.zeros((8, 8, 8), np.uint8), AFFINE)
    working = volume.reduced(2)
    block_centre = working.affine @ [1, 1, 1, 1]
    np.testing.assert_allclose(block_centre, volume.affine @ [5.5, 5.5, 5.5, 1])
    assert working.spacing == pytest.approx([4 * step for step in volume.spacing])
    assert working.to_working(np.array([[3, 4, 7]])).tolist() == [[0, 1, 1]]


def test_a_memory_map_is_reduced_in_pieces(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dense3d.structures.volume_blocks.SLAB_BYTES", 1)
    values = np.random.default_rng(3).integers(0, 60000, (12, 10, 9)).astype(">u2")
    (tmp_path / "raw").write_bytes(values.tobytes("F"))
    mapped = np.memmap(tmp_path / "raw", ">u2", "r", shape=values.shape, order="F")
    affine = np.diag([-1.0, 1, -1, 1])
    np.testing.assert_array_equal(
        Volume(mapped, affine).reduced(4).values, Volume(values, affine).reduced(4).values
    )
    private = np.memmap(tmp_path / "raw", ">u2", "c", shape=values.shape, order="F")
    private[:] = 7  # lives in memory only: letting pages go would lose it
    assert (Volume(private, affine).reduced(4).values == 7).all()


def test_an_array_of_another_grid_is_no_result() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 7, 5\) is not on this volume's grid"):
        Volume(PHANTOM, AFFINE).to_source(np.zeros((5, 7, 5)))
