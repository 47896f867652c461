"""Pickles and YAML files that a config names are read as plain data; what wants more never runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.fileio import dump, load
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from dense3d.apis.browsing import check_data
from dense3d.config import load_config
from dense3d.datasets.scan import scan_before_training, scan_dataset
from dense3d.engine.runner import Runner
from dense3d.errors import DataError
from dense3d.pickles import load_plain

PLAIN = {
    "metainfo": {"classes": ("a", "b")},
    "data_list": [
        {"img_path": "a.jpg", "box": np.arange(8.0).reshape(2, 4)},
        {"names": np.array(["x", "yy"])},
    ],
    "others": [OrderedDict(a=1), defaultdict(list, b=[2]), {1, 2}, b"\xff\x00", 1 + 2j, 10**30, None, "é"],
    "scalars": [np.float32(0.5), np.int64(3), np.bool_(True), np.array(None)],
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


class Runs:
    """A pickle of it makes a file."""

    def __init__(self, file: Path) -> None:
        self.command = f"touch {file}"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_load(tmp_path: Path, protocol: int) -> None:
    dump(PLAIN, str(tmp_path / "a.pkl"), protocol=protocol)
    loaded = load(str(tmp_path / "a.pkl"))
    assert str(loaded) == str(PLAIN)
    assert np.array_equal(loaded["fortran"], PLAIN["fortran"])
    data = InstanceData(bboxes=np.ones((2, 4)), scores=np.ones(2), metainfo=dict(img_id=3))
    dump({"a/b.jpg": data}, str(tmp_path / "proposals.pickle"), protocol=protocol)
    assert load(str(tmp_path / "proposals.pickle"))["a/b.jpg"].bboxes.shape == (2, 4)


def dangerous(target: Path) -> dict[str, bytes]:
    """Pickles that would make a file if they ran."""
    code = f"open({str(target)!r}, 'w')"
    return {
        "system": pickle.dumps({"data_list": [Runs(target)]}),
        "protocol 0": pickle.dumps(Runs(target), 0),
        "eval": b"cbuiltins\neval\n(V" + code.encode() + b"\ntR.",
        "old eval": b"c__builtin__\neval\n(V" + code.encode() + b"\ntR.",
        "getattr": b"cbuiltins\ngetattr\n(cbuiltins\ndict\nVget\ntR.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.",
        "testing": b"\x80\x04\x8c\x05numpy\x8c\x07memmap.\x93.",
        "memmap": b"cnumpy\nmemmap\n(V" + str(target).encode() + b"\nVuint8\nVw+\ntR.",
        "encode": b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        "instance": b"(i__builtin__\neval\n.",
    }


@pytest.mark.parametrize("name", dangerous(Path("x")))
def test_nothing_else_does(tmp_path: Path, name: str) -> None:
    target, path = tmp_path / "ran", tmp_path / "infos.pkl"
    path.write_bytes(dangerous(target)[name])
    with pytest.raises(DataError, match=rf"^{path} (was refused: it names |is damaged)"):
        load(str(path))
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"(lp0\n", b"not a pickle", pickle.dumps(PLAIN)[:-40]])
def test_damaged_pickles(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^a\.pkl is damaged or no pickle"):
        load_plain(io.BytesIO(content), "a.pkl")


def test_yaml_has_no_python(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("data_list: [{img_path: a.jpg, height: 3}]\n")
    assert load(str(path)) == {"data_list": [{"img_path": "a.jpg", "height": 3}]}
    path.write_text(f"data_list: !!python/object/apply:os.system ['touch {tmp_path / 'ran'}']\n")
    with pytest.raises(DataError, match=rf"^{path} is no YAML of plain data: .*python.*line 1"):
        load(str(path))
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def infos(tmp_path: Path) -> dict:
    """Config of a data set whose list of samples is a pickle that makes the file ``ran``."""
    (tmp_path / "infos.pkl").write_bytes(dangerous(tmp_path / "ran")["system"])
    return dict(type="mmdet.BaseDetDataset", data_root=str(tmp_path), ann_file="infos.pkl", pipeline=[])


def loader(dataset: dict) -> dict:
    return dict(
        batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False), dataset=dataset
    )


def test_a_data_set_of_infos(tmp_path: Path, infos: dict) -> None:
    sentence = r"infos\.pkl was refused: it names posix\.system, .*JSON"
    (fault,) = scan_dataset(infos)[0].faults
    assert "posix.system" in str(fault)
    cfg = Config(dict(train_dataloader=loader(infos), default_scope="dense3d"))
    with pytest.raises(DataError, match=sentence):
        scan_before_training(cfg)
    with pytest.raises(DataError, match=sentence), DefaultScope.overwrite_default_scope("dense3d"):
        Runner.build_dataloader(loader(infos), seed=0)
    assert not (tmp_path / "ran").exists()
    dump(dict(metainfo={}, data_list=[dict(img_path="a.jpg")]), str(tmp_path / "infos.pkl"))
    with DefaultScope.overwrite_default_scope("dense3d"):
        assert len(Runner.build_dataloader(loader(infos), seed=0).dataset) == 1


def test_check_and_proposals(tmp_path: Path, infos: dict) -> None:
    cfg = load_config("dino_r18_synthetic-coco")
    cfg.pop("synthetic_data")
    cfg.train_dataloader.dataset = infos
    cfg.val_dataloader = cfg.test_dataloader = None
    reports = check_data(cfg)
    assert "posix.system" in str(reports[0].faults[0])
    entry = dict(image_id=1, id=1, category_id=1, bbox=[0, 0, 4, 4], area=16, iscrowd=0)
    image = dict(id=1, file_name="a.jpg", width=8, height=8)
    document = dict(images=[image], annotations=[entry], categories=[dict(id=1, name="a")])
    (tmp_path / "a.json").write_text(json.dumps(document))
    dataset = dict(
        type="mmdet.CocoDataset", data_root=str(tmp_path), ann_file="a.json", data_prefix=dict(img="")
    )
    dataset.update(metainfo=dict(classes=("a",)), pipeline=[], proposal_file="infos.pkl")
    sentence = r"infos\.pkl was refused: it names posix\.system"
    with pytest.raises(DataError, match=sentence), DefaultScope.overwrite_default_scope("dense3d"):
        Runner.build_dataloader(loader(dataset), seed=0)
    assert not (tmp_path / "ran").exists()


def test_other_doors(tmp_path: Path) -> None:
    """mmseg's volumes and the hierarchy of OpenImages."""
    script = f"""
import numpy as np, sys
import dense3d.engine, mmseg.utils.io, mmdet.datasets.openimages as openimages
from dense3d.pickles import restrict_loading
from dense3d.errors import DataError
restrict_loading()
def refused(call, *args):
    try: call(*args)
    except DataError: return True
content = open({str(tmp_path / "a.pkl")!r}, "rb").read()
assert refused(lambda: mmseg.utils.io.datafrombytes(content, backend="pickle"))
assert refused(lambda: openimages.np.load({str(tmp_path / "a.pkl")!r}, allow_pickle=True))
np.save({str(tmp_path / "b.npy")!r}, np.eye(3))
assert openimages.np.load({str(tmp_path / "b.npy")!r}, allow_pickle=True).shape == (3, 3)
"""
    (tmp_path / "a.pkl").write_bytes(dangerous(tmp_path / "ran")["system"])
    subprocess.run([sys.executable, "-c", script], check=True)
    assert not (tmp_path / "ran").exists()
