"""Objects in their released layouts, written small by the test; real samples where they are."""

import json
import pickle

import numpy as np
import pytest

from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS

PIPELINE = [dict(type="LoadPoints"), dict(type="NormalizePoints"), dict(type="PackPointInputs")]


def _build(kind, root, **settings):
    return DATASETS.build(dict(type=kind, data_root=str(root), pipeline=PIPELINE, **settings))


def _labels(dataset):
    return [int(dataset[i]["data_samples"].gt_label) for i in range(len(dataset))]


def _points(seed, columns=3, count=30):
    return np.random.default_rng(seed).normal(size=(count, columns)).astype(np.float32)


def test_shapenet55(tmp_path):
    names = {"train": ["02691156-a.npy", "03001627-b.npy"], "test": ["02958343-c.npy"]}
    (tmp_path / "ShapeNet-55").mkdir()
    (tmp_path / "shapenet_pc").mkdir()
    for split, lines in names.items():
        (tmp_path / "ShapeNet-55" / f"{split}.txt").write_text("\n".join(lines) + "\n")
        for seed, line in enumerate(lines):
            np.save(tmp_path / "shapenet_pc" / line, _points(seed))
    assert _labels(_build("ShapeNet55", tmp_path)) == [0, 2]
    assert _labels(_build("ShapeNet55", tmp_path, split="test")) == [1]
    dataset = _build("ShapeNet55", tmp_path, split="all")
    assert len(dataset) == 3
    points = dataset[0]["inputs"]["points"].numpy()
    centred = _points(0) - _points(0).mean(axis=0)
    np.testing.assert_allclose(points, centred / np.linalg.norm(centred, axis=1).max(), atol=1e-5)
    (tmp_path / "shapenet_pc" / "03001627-b.npy").unlink()
    with pytest.raises(DataError, match=r"03001627-b\.npy does not exist"):
        _build("ShapeNet55", tmp_path)
    assert len(_build("ShapeNet55", tmp_path, skip_bad_samples=True)) == 1


@pytest.fixture
def modelnet(tmp_path):
    (tmp_path / "modelnet40_shape_names.txt").write_text("airplane\nnight_stand\n")
    (tmp_path / "modelnet40_train.txt").write_text("airplane_0001\nnight_stand_0002\n")
    for seed, name in enumerate(["airplane/airplane_0001", "night_stand/night_stand_0002"]):
        (tmp_path / name).parent.mkdir()
        np.savetxt(tmp_path / f"{name}.txt", _points(seed, 6), delimiter=",")
    return tmp_path


def test_modelnet40_as_text_and_as_pickle_are_the_same(modelnet):
    text = _build("ModelNet40", modelnet)
    arrays = [_points(0, 6), _points(1, 6)]
    with (modelnet / "modelnet40_train_8192pts_fps.dat").open("wb") as file:
        pickle.dump([arrays, [np.array([0]), np.array([1])]], file, protocol=2)
    dat = _build("ModelNet40", modelnet)
    assert _labels(text) == _labels(dat) == [0, 1] and text.metainfo["classes"] == ("airplane", "night_stand")
    assert "dat" in dat.get_data_info(0)["path"]
    for index in range(2):
        one, two = (dataset[index]["inputs"]["points"] for dataset in (text, dat))
        np.testing.assert_allclose(one, two, atol=1e-5)
    only = _build("ModelNet40", modelnet, storage="text", only=["night_stand"])
    assert _labels(only) == [1]


class _Trap:
    def __reduce__(self):
        return print, ("a pickle ran code",)


def test_pickles_that_would_run_code_are_refused(modelnet, capsys):
    with (modelnet / "modelnet40_train_8192pts_fps.dat").open("wb") as file:
        pickle.dump([[_Trap()], [np.array([0])]], file)
    with pytest.raises(DataError, match="a pickle can run any code"):
        _build("ModelNet40", modelnet)
    assert "ran code" not in capsys.readouterr().out
    (modelnet / "modelnet40_train_8192pts_fps.dat").write_bytes(b"\x80\x04no")
    with pytest.raises(DataError, match="damaged or no pickle"):
        _build("ModelNet40", modelnet)
    with (modelnet / "modelnet40_train_8192pts_fps.dat").open("wb") as file:
        pickle.dump([[_points(0, 6)], [np.array([7])]], file)
    with pytest.raises(DataError, match="has the label 7"):
        _build("ModelNet40", modelnet)


@pytest.mark.parametrize("folder", ["5way_10shot", "5way10shot"])
def test_few_shot_folds(tmp_path, folder):
    (tmp_path / folder).mkdir()
    fold = {
        s: [(_points(i, 6), i % 5, 30 + i % 5) for i in range(n)] for s, n in (("train", 50), ("test", 100))
    }
    (tmp_path / folder / "3.pkl").write_bytes(pickle.dumps(fold))
    train = _build("ModelNetFewShot", tmp_path, way=5, shot=10, fold=3)
    assert len(train) == 50 and _labels(train)[:6] == [0, 1, 2, 3, 4, 0]
    assert len(_build("ModelNetFewShot", tmp_path, fold=3, split="test")) == 100
    with pytest.raises(DataError, match=r"4\.pkl does not exist"):
        _build("ModelNetFewShot", tmp_path, fold=4)
    with pytest.raises(ConfigError, match="no such fold"):
        _build("ModelNetFewShot", tmp_path, fold=-1)


@pytest.mark.parametrize("variant", ["OBJ_BG", "OBJ_ONLY", "PB_T50_RS"])
def test_scan_object_nn(tmp_path, variant):
    h5py = pytest.importorskip("h5py")
    names = {
        "OBJ_BG": "main_split/{}_objectdataset.h5",
        "OBJ_ONLY": "main_split_nobg/{}_objectdataset.h5",
        "PB_T50_RS": "main_split/{}_objectdataset_augmentedrot_scale75.h5",
    }
    for split, count in (("training", 3), ("test", 2)):
        path = tmp_path / "h5_files" / names[variant].format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["data"] = np.stack([_points(i) for i in range(count)])
            file["label"] = np.arange(count, dtype=np.int32) + 11
    assert _labels(_build("ScanObjectNN", tmp_path, variant=variant)) == [11, 12, 13]
    raw = DATASETS.build(
        dict(
            type="ScanObjectNN",
            data_root=str(tmp_path),
            variant=variant,
            split="test",
            pipeline=[dict(type="LoadPoints")],
        )
    )
    np.testing.assert_array_equal(raw[1]["points"], _points(1))
    with pytest.raises(ConfigError, match="variant must be one of"):
        _build("ScanObjectNN", tmp_path, variant="PB_T25")
    other = "OBJ_ONLY" if variant != "OBJ_ONLY" else "OBJ_BG"
    with pytest.raises(DataError, match=r"objectdataset.*\.h5 does not exist"):
        _build("ScanObjectNN", tmp_path, variant=other)


def test_shapenet_part(tmp_path):
    (tmp_path / "train_test_split").mkdir()
    for split, entries in {"train": ["02691156/a"], "val": ["03797390/b"], "test": ["04379243/c"]}.items():
        entries = [f"shape_data/{entry}" for entry in entries]
        (tmp_path / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(entries))
    for name, part in (("02691156/a", 3), ("03797390/b", 37), ("04379243/c", 49)):
        (tmp_path / name).parent.mkdir()
        np.savetxt(tmp_path / f"{name}.txt", np.hstack([_points(0, 6), np.full((30, 1), part)]))
    dataset = _build("ShapeNetPart", tmp_path)
    assert len(dataset) == 2 and [int(dataset[i]["data_samples"].category) for i in range(2)] == [0, 11]
    assert set(dataset[1]["data_samples"].gt_point_labels.tolist()) == {37}
    parts = dataset.metainfo["parts"]
    assert sorted(p for own in parts.values() for p in own) == list(range(50)) and parts["Mug"] == (36, 37)
    np.savetxt(tmp_path / "04379243/c.txt", np.hstack([_points(0, 6), np.full((30, 1), 3)]))
    with pytest.raises(DataError, match="part 3 is none of Table, which has 47 to 49"):
        _build("ShapeNetPart", tmp_path, split="test")[0]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ShapeNet55", r"ShapeNet-55/train\.txt does not exist"),
        ("ModelNet40", r"modelnet40_shape_names\.txt does not exist"),
        ("ModelNetFewShot", r"5way_10shot/0\.pkl does not exist"),
        ("ScanObjectNN", r"training_objectdataset_augmentedrot_scale75\.h5 does not exist"),
        ("ShapeNetPart", r"shuffled_train_file_list\.json cannot be read"),
        ("ScanNet", "neither scans nor train nor scannet_infos"),
        ("S3DIS", "Area_1 does not exist"),
        ("SunRgbdPoints", "v1_train does not exist, nor sunrgbd_infos"),
    ],
)
def test_what_is_missing_is_named(tmp_path, kind, message):
    with pytest.raises(DataError, match=message):
        _build(kind, tmp_path)
    with pytest.raises(DataError, match="the data root does not exist"):
        _build(kind, tmp_path / "none")


def test_a_cloud_without_points_is_named(modelnet):
    (modelnet / "airplane" / "airplane_0001.txt").write_text("nan,nan,nan,0,0,1\n")
    with pytest.raises(DataError, match=r"airplane_0001\.txt holds no point with finite coordinates"):
        _build("ModelNet40", modelnet)[0]


def test_bad_clouds_are_skipped_in_training_and_listed(modelnet):
    (modelnet / "airplane" / "airplane_0001.txt").write_text("no numbers\n")
    dataset = _build("ModelNet40", modelnet, skip_bad_samples=True)
    assert int(dataset[0]["data_samples"].gt_label) == 1  # the next one stands in
    assert len(dataset.bad_samples()) == 1 and "airplane_0001.txt" in dataset.bad_samples()[0]
    with pytest.raises(DataError, match=r"airplane_0001\.txt cannot be read as x,y,z,nx,ny,nz"):
        _build("ModelNet40", modelnet)[0]


def test_real_modelnet(sample_data):
    dataset = _build("ModelNet40", sample_data / "modelnet40_normal_resampled", split="test")
    item = dataset[0]
    assert len(dataset) == 33 and len(dataset.metainfo["classes"]) == 40
    assert item["inputs"]["points"].shape == (2048, 3) and item["data_samples"].gt_label == 0
