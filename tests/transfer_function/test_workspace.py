"""Results of a workspace against what is known of the volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transfer_function.cubes import BRIGHT, DARK, two_cubes

import dense3d
from dense3d.datasets.volumes import open_volume, read_segmentation, write_segmentation
from dense3d.errors import ConfigError, DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function import Workspace
from dense3d.transfer_function.functions import TransferFunction
from dense3d.transfer_function.history import Imported
from dense3d.transfer_function.marks import Grid
from dense3d.transfer_function.measures import uncertainty, voxel_counts
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.upsampling import repeated, upsampled


def marked(volume: Volume | None = None, **options) -> Workspace:
    """Both cubes found by a click each."""
    workspace = Workspace(two_cubes() if volume is None else volume, **options)
    dark, bright = workspace.add_class("dark"), workspace.add_class("bright")
    workspace.click(dark, DARK)
    workspace.click(bright, BRIGHT)
    workspace.click(0, (18, 2, 10))
    return workspace


TRUTH = 1 * (two_cubes().values == 100) + 2 * (two_cubes().values == 300)


def test_clicks_find_the_cubes():
    workspace = marked()
    np.testing.assert_array_equal(workspace.labels(), TRUTH)
    np.testing.assert_array_equal(workspace.labels_full(), TRUTH)
    # 6 x 6 x 6 and 7 x 6 x 6 voxels of 6 cubic millimetres
    assert workspace.volumes_ml() == pytest.approx({1: 216 * 0.006, 2: 252 * 0.006})


def test_the_next_click_lies_in_the_middle_of_an_unsure_cube():
    values = two_cubes().values.repeat(2, 0)[:-1]
    workspace = Workspace(Volume(values, np.eye(4)), limit=20)
    workspace.add_class("one")
    assert workspace.next_click() is None  # nothing is classified yet
    scores = np.zeros((1, *workspace.working.shape), np.uint8)
    scores[0, 4:7, 4:9, 4:9] = 130
    workspace.keep_scores(workspace.snapshot(), scores)
    assert workspace.factors == (2, 1, 1) and workspace.next_click() == (11, 6, 6)
    scores[0, scores[0] > 0] = 255
    assert workspace.next_click() is None


def test_labels_lie_on_the_grid_of_the_file():
    volume = two_cubes()
    values = volume.values.transpose(2, 0, 1)[::-1, :, ::-1]
    order = np.zeros((4, 4))
    order[2, 0], order[0, 1], order[1, 2], order[3, 3] = -1, 1, -1, 1
    order[2, 3], order[1, 3] = 11, 15
    turned = Volume(values, volume.affine @ order)
    workspace = marked(turned)
    assert workspace.volume.shape == volume.shape
    np.testing.assert_array_equal(workspace.labels_source(), TRUTH.transpose(2, 0, 1)[::-1, :, ::-1])


def test_many_marks_at_once_equal_one_by_one():
    at_once, one_by_one = Workspace(two_cubes()), Workspace(two_cubes())
    voxels = [(4, 4, 4), (3, 5, 6), (6, 3, 3)]
    for workspace in (at_once, one_by_one):
        workspace.add_class("dark")
        workspace.click(0, (18, 2, 10))
    at_once.click(1, voxels)
    for voxel in voxels:
        one_by_one.click(1, voxel)
        one_by_one.scores()
    np.testing.assert_array_equal(at_once.scores(), one_by_one.scores())


def test_undo_brings_the_scores_back():
    workspace = marked()
    before = workspace.scores().copy()
    workspace.click(1, (6, 6, 6))
    workspace.click(2, DARK)
    workspace.scores()
    workspace.undo()
    workspace.undo()
    np.testing.assert_array_equal(workspace.scores(), before)


def test_what_is_painted_holds_exactly():
    workspace = marked()
    workspace.stroke(2, [(4, 4, 4), (4, 4, 6)], 1.0)
    workspace.stroke(1, [(3, 3, 3)], 0, positive=False)
    labels = workspace.labels()
    assert (labels[3:6, 4, 4] == 2).all() and (labels[4, 4, 4:7] == 2).all() and labels[3, 3, 3] != 1
    plane = workspace.classified().plane(2, 4)
    np.testing.assert_array_equal(plane, workspace.scores()[:, :, :, 4])


@pytest.mark.parametrize("axis", range(3))
def test_a_plane_is_that_of_the_volume(axis):
    workspace = marked()
    for index in (3, 5, 7):
        plane = workspace.classified().plane(axis, index)
        np.testing.assert_array_equal(plane, np.take(workspace.scores(), index, axis + 1))


def test_an_import_holds_until_marks_change_it(tmp_path):
    workspace = Workspace(two_cubes())
    odd = TRUTH.copy()
    odd[0, 0, 0] = 1  # what no classifier would find
    write_segmentation(
        tmp_path / "seg.seg.nrrd",
        odd,
        workspace.volume,
        {1: "dark", 2: "bright"},
        {1: (1, 0, 0), 2: (0, 1, 0)},
    )
    bright = workspace.add_class("bright")
    assert workspace.import_segmentation(tmp_path / "seg.seg.nrrd") == "import of seg.seg.nrrd"
    names = {one.name: one for one in workspace.classes}
    assert names["bright"].id == bright and names["dark"].color == (255, 0, 0)
    expected = np.array([0, names["dark"].id, bright], np.uint8)[odd]
    np.testing.assert_array_equal(workspace.labels_full(), expected)
    np.testing.assert_array_equal(workspace.labels(), expected)
    # The dark cube is bright now; all else stays.
    workspace.click(bright, [(3, 3, 3), (6, 6, 6), (5, 4, 3)])
    labels = workspace.labels_full()
    assert (labels[odd == 2] == bright).all() and labels[0, 0, 0] == names["dark"].id
    assert (labels[two_cubes().values == 100] == bright).mean() > 0.1
    workspace.undo()
    np.testing.assert_array_equal(workspace.labels_full(), expected)
    workspace.undo()
    assert [one.name for one in workspace.classes] == ["bright"] and not workspace.labels().any()


def test_a_removed_class_leaves_its_imported_voxels_empty():
    workspace = Workspace(two_cubes())
    for name in ("dark", "bright"):
        workspace.add_class(name)
    workspace.add_import(Imported(TRUTH.astype(np.uint8), "seg"), workspace.classes)
    workspace.remove_class(1)
    np.testing.assert_array_equal(workspace.labels_full(), 2 * (TRUTH == 2))
    workspace.remove_class(2)
    assert not workspace.labels_full().any()


def test_dice_against_a_reference(tmp_path):
    workspace = marked()
    workspace.add_class("nothing")
    reference = TRUTH.copy()
    reference[2:5, 2:8, 2:8] = 0  # half of the dark cube
    write_segmentation(tmp_path / "ref.seg.nrrd", reference, workspace.volume, {1: "Dark", 2: "bright"})
    workspace.load_reference(tmp_path / "ref.seg.nrrd")
    assert workspace.dice() == {1: pytest.approx(2 * 108 / (216 + 108)), 2: 1.0, 3: None}
    write_segmentation(tmp_path / "ref.nii.gz", reference, workspace.volume)  # without names: by number
    workspace.load_reference(tmp_path / "ref.nii.gz")
    assert workspace.dice()[2] == 1.0
    assert workspace.load_reference(tmp_path / "ref.nii.gz", {1: "bright", 2: "dark"}) == ["bright", "dark"]
    assert workspace.dice() == {1: 0.0, 2: 0.0, 3: None}


@pytest.mark.parametrize("suffix", [".nii.gz", ".seg.nrrd"])
def test_an_exported_segmentation_comes_back(suffix, tmp_path):
    workspace = marked()
    workspace.export(tmp_path / f"seg{suffix}", class_ids=[2])
    found = read_segmentation(tmp_path / f"seg{suffix}", workspace.volume)
    np.testing.assert_array_equal(found.labels, 2 * (TRUTH == 2))
    assert suffix == ".nii.gz" or found.names == {2: "bright"}


@pytest.mark.parametrize(
    "name",
    [
        "s.stl.zip",
        "s.ply.zip",
        "s.csv",
        "s.session.json",
        "f.json",
        "f.vp.json",
        "f.vp",
        "f.paraview.json",
        "c.label",
    ],
)
def test_every_format_is_found_by_its_suffix(name, tmp_path):
    assert marked().export(tmp_path / name).stat().st_size > 50


def test_exports_that_are_not_possible_are_told(tmp_path):
    workspace = marked()
    with pytest.raises(ConfigError, match="no format has this suffix"):
        workspace.export(tmp_path / "seg.xyz")
    with pytest.raises(ConfigError, match="did you mean 'nifti'"):
        workspace.export(tmp_path / "seg", "nifty")
    with pytest.raises(DataError, match="no class 9"):
        workspace.export(tmp_path / "seg.nii.gz", class_ids=[9])
    assert not list(tmp_path.iterdir())


def test_sizes_as_a_table(tmp_path):
    rows = marked().export(tmp_path / "sizes.csv").read_text().splitlines()
    assert rows == ["id,name,voxels,millilitres,dice", "1,dark,216,1.296,", "2,bright,252,1.512,"]


FUNCTION = TransferFunction(
    np.array([(0, 0.2, 0.4, 0.6), (100, 1, 0, 0), (100, 0, 1, 0), (300, 1, 1, 1)]),
    np.array([(50, 0), (100, 0.5), (200, 0.8)]),
)


@pytest.mark.parametrize("suffix", [".json", ".vp.json", ".vp", ".paraview.json"])
def test_a_transfer_function_comes_back(suffix, tmp_path):
    workspace = marked()
    values = np.array([-50.0, 0, 20, 60, 90, 110, 150, 250, 400])
    assert workspace.set_transfer_function(FUNCTION) == "transfer function"
    np.testing.assert_allclose(workspace.curve()(values), FUNCTION(values), atol=0.003)
    workspace.export(tmp_path / f"f{suffix}")
    workspace.undo()
    assert workspace.document.transfer_function is None
    assert workspace.import_transfer_function(tmp_path / f"f{suffix}") == "transfer function"
    np.testing.assert_allclose(workspace.curve()(values), FUNCTION(values), atol=0.006)


def test_a_picture_shows_what_is_visible():
    workspace = marked()
    workspace.update_class(1, color=(255, 0, 0))
    workspace.update_class(2, color=(0, 255, 0))
    both = workspace.render(width=96, height=96, transfer=None)
    assert set(np.unique(both.class_ids)) == {-1, 1, 2}
    workspace.update_class(1, visible=False)
    one = workspace.render(width=96, height=96, transfer=None)
    assert set(np.unique(one.class_ids)) == {-1, 2}
    assert (one.pixels != both.pixels).any()


def test_a_coarser_working_grid(tmp_path):
    values = np.repeat(np.repeat(np.repeat(two_cubes().values, 2, 0), 2, 1), 2, 2)
    volume = Volume(values[:-1], two_cubes().affine @ np.diag([0.5, 0.5, 0.5, 1]))
    workspace = Workspace(volume, limit=20)
    assert workspace.working.shape == (20, 16, 12) and workspace.factors == (2, 2, 2)
    for name, voxel in (("dark", DARK), ("bright", BRIGHT)):
        workspace.click(workspace.add_class(name), tuple(2 * i for i in voxel))
    workspace.click(0, (36, 4, 20))
    np.testing.assert_array_equal(workspace.labels(), TRUTH)
    full = workspace.labels_full()
    assert full.shape == volume.shape
    expected = np.repeat(np.repeat(np.repeat(TRUTH, 2, 0), 2, 1), 2, 2)[:-1]
    assert (full == expected).mean() > 0.97
    interior = repeated(np.pad(TRUTH, 0) > 0, volume.shape, (2, 2, 2))
    assert full[interior & (expected == 2)].mean() > 1.6
    assert workspace.volumes_ml()[2] == pytest.approx(252 * 0.006)


def test_a_volume_that_was_reduced_when_it_was_opened(tmp_path):
    """What does not fit into memory is; results still go to the grid of the file."""
    import nibabel

    values = np.repeat(np.repeat(np.repeat(two_cubes().values, 2, 0), 2, 1), 2, 2)[::-1]
    affine = np.diag([-0.5, 1.0, 1.5, 1.0])
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "ct.nii")
    workspace = marked(open_volume(tmp_path / "ct.nii", limit=20))
    assert workspace.volume.shape == (20, 16, 12) and workspace.factors == (1, 1, 1)
    expected = np.repeat(np.repeat(np.repeat(TRUTH, 2, 0), 2, 1), 2, 2)[::-1]
    np.testing.assert_array_equal(workspace.labels_source(), expected)
    assert workspace.volumes_ml()[2] == pytest.approx(252 * 0.006)
    workspace.export(tmp_path / "seg.nii.gz")
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "seg.nii.gz").dataobj), expected)
    other = Workspace(open_volume(tmp_path / "ct.nii", limit=20))
    other.import_segmentation(tmp_path / "seg.nii.gz")
    np.testing.assert_array_equal(other.labels_source(), expected)


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 1, 2)])
def test_interpolation_is_that_of_torch(factors):
    scores = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    shape = tuple(n * f for n, f in zip(scores.shape[1:], factors))
    found = np.concatenate([slab for _, slab in upsampled(scores, shape, factors)], 1)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None].double(), size=shape, mode="trilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=0.51)


def test_interpolation_in_slabs_is_that_at_once(monkeypatch):
    scores = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    whole = [slab for _, slab in upsampled(scores, (9, 8, 5), (2, 2, 2))]
    monkeypatch.setattr("dense3d.transfer_function.upsampling.SLAB_VALUES", 160)
    parts = dict(upsampled(scores, (9, 8, 5), (2, 2, 2)))
    assert len(whole) == 1 and list(parts) == [0, 2, 4, 6, 8]
    np.testing.assert_array_equal(np.concatenate(list(parts.values()), 1), whole[0])


@pytest.mark.parametrize("shape", [(7, 8, 5), (6, 4, 4)])
def test_counts_are_those_of_the_full_grid(shape):
    factors = (2, 4, 3)
    grid = Grid(shape, (1, 1, 1), factors)
    labels = np.random.default_rng(0).integers(0, 4, grid.working_shape, np.uint8)
    expected = np.bincount(repeated(labels, shape, factors).ravel(), minlength=256)
    np.testing.assert_array_equal(voxel_counts(labels, shape, factors), expected)


@pytest.mark.parametrize("low", [(43, 0, 0), (44, 0, 0), (25, 27, 23), (5, 6, 5)])
def test_sizes_of_a_reduced_volume_are_those_of_its_export_but_for_partial_volume(low, tmp_path):
    """Odd sizes: the last cells of the working grid have one voxel along an axis, and not two."""
    import nibabel

    from dense3d.structures.volume_blocks import block_means
    from dense3d.transfer_function.server.work import measure

    shape, spacing = (45, 47, 41), (0.8, 0.9, 1.3)
    truth = np.zeros(shape, bool)
    truth[tuple(slice(start, size - (start == 5) * 20) for start, size in zip(low, shape))] = True
    values = np.where(truth, 300, 100).astype(np.int16)
    workspace = Workspace(Volume(values, np.diag([*spacing, 1.0])), limit=24, method="graph-quick")
    assert workspace.factors == (2, 2, 2)
    workspace.add_class("one")
    workspace.click(1, low)
    inside = block_means(truth.astype(float), workspace.factors)
    scores = np.where(inside > 0.5, 240, 15).astype(np.uint8)[None]  # as by a perfect method
    snapshot = workspace.snapshot()
    workspace.keep_scores(snapshot, scores)
    shown = measure(workspace, snapshot, scores).millilitres[1]
    assert shown == pytest.approx(workspace.volumes_ml()[1])
    voxel = float(np.prod(spacing)) / 1000
    mixed = repeated((inside > 0) & (inside < 1), shape, workspace.factors).sum() * voxel
    assert abs(shown - truth.sum() * voxel) <= 0.5 * mixed + 1e-9
    workspace.export(tmp_path / "one.nii.gz")
    exported = (np.asarray(nibabel.load(tmp_path / "one.nii.gz").dataobj) == 1).sum() * voxel
    assert abs(shown - exported) <= mixed + 1e-9
    if low == (44, 0, 0):  # all in cells of half the size; nothing is mixed
        assert mixed == 0 and shown == pytest.approx(exported) == pytest.approx(47 * 41 * voxel)


@pytest.mark.parametrize("seed", range(3))
def test_a_margin_is_what_it_takes_to_change_the_class(seed):
    """By definition, found by trying every change of the deciding score."""
    random = np.random.default_rng(seed)
    scores = random.integers(0, 256, (3, 1, 1, 8), np.uint8)
    thresholds = np.array([0.5, 0.3, 0.7])
    labels = resolve(scores, thresholds)
    margins = []
    for voxel in range(8):
        column = scores[:, 0, 0, voxel].astype(int)
        label, smallest = labels[0, 0, voxel], 255
        for changed in [label - 1] if label else range(3):
            for by in range(256):
                other = column.copy()
                other[changed] = np.clip(other[changed] + (-by if label else by), 0, 255)
                if resolve(other.astype(np.uint8)[:, None], thresholds)[0] != label:
                    smallest = min(smallest, by)
                    break
        margins.append(smallest)
    found = uncertainty(scores, thresholds)
    expected = np.bincount(np.array(margins) // 4, minlength=64)
    # A tie goes to the first class, so a margin may be one less than what changes it.
    assert np.abs(np.cumsum(found.counts) - np.cumsum(expected)).max() <= 1
    assert found.counts.sum() == 8


def test_without_marks_there_is_nothing():
    workspace = Workspace(two_cubes())
    assert workspace.scores().shape == (0, 20, 16, 12) and not workspace.labels().any()
    workspace.add_class("a")
    assert not workspace.scores().any() and workspace.volumes_ml() == {1: 0.0}
    workspace.click(1, DARK, positive=False)
    assert not workspace.labels().any() and not workspace.ready  # nothing had to be prepared
    assert workspace.uncertainty().unsure == 0


def test_open_takes_files_arrays_and_volumes(tmp_path):
    import nibabel

    volume = two_cubes()
    nibabel.save(nibabel.Nifti1Image(volume.values, volume.affine), tmp_path / "ct.nii.gz")
    by_file = dense3d.transfer_function.open(tmp_path / "ct.nii.gz", session=tmp_path / "session.json")
    by_array = dense3d.transfer_function.open(volume.values)
    by_volume = dense3d.transfer_function.open(open_volume(tmp_path / "ct.nii.gz"), limit=10)
    np.testing.assert_array_equal(by_file.volume.values, by_array.volume.values)
    assert by_file.volume.spacing == (1, 2, 3) and by_volume.working.shape == (10, 8, 6)
    by_file.add_class("kept")
    by_file.close()
    assert "kept" in (tmp_path / "session.json").read_text()
    volume.values.tofile(tmp_path / "scan.raw")
    with pytest.raises(DataError):
        dense3d.transfer_function.open(tmp_path / "none.nii.gz")
    with pytest.raises(ConfigError, match="no method 'grap'; did you mean 'graph'"):
        dense3d.transfer_function.open(volume, method="grap")
    with pytest.raises(ConfigError, match="looks through an image backbone"):
        dense3d.transfer_function.open(volume, method="similarity")


def test_importing_dense3d_imports_nothing_heavy(repository):
    import subprocess
    import sys

    heavy = ("torch", "nibabel", "starlette", "numba", "scipy")
    code = f"import sys, dense3d; dense3d.transfer_function; assert not set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)
