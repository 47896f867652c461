"""Files of 3D boxes and of rooms, mutated: each is evaluated, prepared, read, or refused with a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dense3d.apis.boxes3d_evaluation import evaluate_boxes3d
from dense3d.datasets.pointcloud.loading import LoadPoints
from dense3d.datasets.pointcloud.prepared import PreparedRooms
from dense3d.datasets.prepared import prepare
from tests.datasets.prepared.raw_trees import write_scannet, write_sunrgbd
from tests.fuzz.mutations import damaged, mutated
from tests.fuzz.outcomes import assert_clear

BOX = [0.5, -1.0, 0.5, 0.6, 0.6, 1.0, 0.3]
FOUND = {
    "classes": ["chair", "bed"],
    "scenes": {
        "room": {"boxes": [BOX, BOX], "labels": ["chair", 1], "scores": [0.9, 0.1]},
        "hall": {"boxes": [], "labels": [], "scores": []},
    },
}
TRUTH = {**FOUND, "scenes": {"room": {"boxes": [BOX], "labels": [0]}, "hall": {"boxes": [], "labels": []}}}


def _evaluate(found: Any, truth: Any, folder: Path) -> None:
    for name, document in (("found", found), ("truth", truth)):
        (folder / f"{name}.json").write_text(json.dumps(document))
    result = evaluate_boxes3d(folder / "found.json", folder / "truth.json", "indoor")
    for value in result.flat().values():
        assert 0 <= value <= 1 or value != value


def test_documents_of_boxes(profile, tmp_path):
    @profile
    @given(mutated(FOUND), st.one_of(st.just(TRUTH), mutated(TRUTH)))
    def ends_clearly(found, truth):
        assert_clear(_evaluate, found, truth, tmp_path)

    ends_clearly()


def _prepare_and_read(dataset: str, root: Path, folder: Path) -> None:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    prepare(dataset, root, out, workers=1)
    _read(out)


def _read(out: Path) -> None:
    rooms = PreparedRooms(str(out), split="train", pipeline=[])
    for record in rooms.records():
        LoadPoints().transform(record)


def _with_a_file_damaged(draw: st.DrawFn, root: Path, folder: Path) -> Path:
    """A copy of a tree in which one file is."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    file = draw(st.sampled_from(sorted(path for path in copy.rglob("*") if path.is_file())))
    file.write_bytes(draw(damaged(file.read_bytes())))
    return copy


def test_raw_scans(profile, tmp_path):
    root = write_scannet(tmp_path / "raw")
    _prepare_and_read("scannet", root, tmp_path)  # imports what the forked processes need

    @profile
    @given(st.data())
    def ends_clearly(data):
        copy = data.draw(st.composite(_with_a_file_damaged)(root, tmp_path))
        assert_clear(_prepare_and_read, "scannet", copy, tmp_path)

    ends_clearly()


def test_raw_frames(profile, tmp_path):
    root = write_sunrgbd(tmp_path / "raw")
    _prepare_and_read("sunrgbd", root, tmp_path)

    @profile
    @given(st.data())
    def ends_clearly(data):
        copy = data.draw(st.composite(_with_a_file_damaged)(root, tmp_path))
        assert_clear(_prepare_and_read, "sunrgbd", copy, tmp_path)

    ends_clearly()


def test_prepared_folders(profile, tmp_path):
    prepare("scannet", write_scannet(tmp_path / "raw"), tmp_path / "rooms", workers=1)
    document = json.loads((tmp_path / "rooms/prepared.json").read_text())

    @profile
    @given(st.data())
    def ends_clearly(data):
        copy = data.draw(st.composite(_with_a_file_damaged)(tmp_path / "rooms", tmp_path))
        if data.draw(st.booleans()):
            (copy / "prepared.json").write_text(json.dumps(data.draw(mutated(document))))
        assert_clear(_read, copy)

    ends_clearly()
