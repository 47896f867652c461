"""Sessions keep everything, tell what does not fit, and survive whatever happens to the process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from transfer_function.cubes import BRIGHT, DARK, two_cubes
from transfer_function.test_editing import random_edit

from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function import Workspace
from dense3d.transfer_function.history import Imported
from dense3d.transfer_function.session import MOST_BYTES, SessionError, identity
from dense3d.transfer_function.session_file import SessionFile, SessionInUseError


def edited(seed: int = 0, edits: int = 40) -> Workspace:
    workspace, random = Workspace(two_cubes()), np.random.default_rng(seed)
    for _ in range(edits):
        random_edit(workspace, random)
    workspace.undo()
    workspace.update_class(workspace.classes[0].id, visible=False)
    workspace.set_view({"crosshair": [1, 2, 3], "camera": {"azimuth": 30.5}})
    return workspace


def documents(workspace: Workspace) -> list:
    history = workspace.history
    return [history.start, *(document for _, document in history.steps)]


@pytest.mark.parametrize("seed", range(3))
def test_a_session_brings_back_everything(seed, tmp_path):
    workspace = edited(seed)
    workspace.save(tmp_path / "session.json")
    other = Workspace(two_cubes())
    other.resume(tmp_path / "session.json")
    assert documents(other) == documents(workspace)
    assert other.steps == workspace.steps and other.history.redo_name == workspace.history.redo_name
    assert (other.hidden, other.view, other.method) == (workspace.hidden, workspace.view, workspace.method)
    while workspace.undo():
        other.undo()
        assert other.document == workspace.document
    assert other.add_class() == workspace.add_class()  # ids go on where they were
    other.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["volume"]["name"] == "cubes.nii.gz"


def test_an_import_survives(tmp_path):
    workspace = Workspace(two_cubes())
    labels = (workspace.volume.values == 300).astype(np.uint8)
    workspace.add_class("bright")
    workspace.add_import(Imported(labels, "seg.nii.gz"), workspace.classes)
    workspace.save(tmp_path / "session.json")
    other = Workspace(two_cubes())
    other.resume(tmp_path / "session.json")
    np.testing.assert_array_equal(other.document.imported.labels, labels)
    np.testing.assert_array_equal(other.labels_full(), labels)


def test_the_format_of_the_file_does_not_matter_but_its_content_does():
    volume = two_cubes()
    flipped = Volume(
        volume.values[::-1],
        volume.affine @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    )
    assert identity(flipped.canonical()).digest == identity(volume).digest
    changed = volume.values.copy()
    changed[4, 5, 6] += 1
    assert identity(Volume(changed, volume.affine)).digest != identity(volume).digest
    moved = volume.affine.copy()
    moved[0, 3] += 1
    assert identity(Volume(volume.values, moved)).digest != identity(volume).digest


def test_another_volume_is_told(tmp_path):
    edited().save(tmp_path / "session.json")
    other = Workspace(Volume(two_cubes().values[:-1], np.eye(4), name="other.nii"))
    with pytest.raises(SessionError, match=r"another volume: cubes.nii.gz \(20 x 16 x 12\), not other.nii"):
        other.resume(tmp_path / "session.json")
    assert not other.steps


def broken(change) -> bytes:
    session = json.loads(edited().session_text())
    change(session)
    return json.dumps(session).encode()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "no JSON"),
        (b"[1, 2]", "no JSON"),
        (b'{"a": ' * 5000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"{}", "no session"),
        (broken(lambda s: s.update(version=2)), "version 2, this dense3d reads version 1"),
        (broken(lambda s: s.update(version="x" * 999)), "version x"),
        (broken(lambda s: s.pop("marks")), "damaged.*marks"),
        (broken(lambda s: s.update(position=-1)), "damaged.*position"),
        (broken(lambda s: s.update(position=10**30)), "damaged"),
        (broken(lambda s: s["documents"][0].update(marks=[0, 5, 10**6])), "damaged"),
        (broken(lambda s: s["documents"][-1].update(classes=[0, 0])), "damaged"),
        (broken(lambda s: s["classes"][0].update(threshold=2.0)), "damaged.*threshold"),
        (broken(lambda s: s["classes"][0].update(id=0)), "damaged.*id"),
        (broken(lambda s: s["classes"][0].update(name="a\nb")), "damaged.*name"),
        (broken(lambda s: s["marks"][0].update(kind="sphere")), "damaged"),
        (
            broken(lambda s: s.update(marks=[{"kind": "point", "id": 1, "class": 1, "voxel": [99, 0, 0]}])),
            "damaged",
        ),
        (broken(lambda s: s.update(imports=[{"name": "x", "labels": "????"}])), "damaged"),
        (broken(lambda s: s.update(imports=[{"name": "x", "labels": "eJwDAAAAAAE="}])), "do not fill"),
        (broken(lambda s: s.update(documents=[])), "damaged"),
    ],
)
def test_a_damaged_session_is_told_and_changes_nothing(text, sentence, tmp_path):
    (tmp_path / "session.json").write_bytes(text)
    workspace = Workspace(two_cubes())
    workspace.add_class("kept")
    with pytest.raises(SessionError, match=sentence) as error:
        workspace.resume(tmp_path / "session.json")
    assert "session.json" in str(error.value) and len(str(error.value)) < 700
    assert workspace.steps == ["new class kept"]


def test_a_bomb_of_labels_is_not_unfolded(tmp_path):
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(10**8), 9)).decode()
    (tmp_path / "s.json").write_bytes(broken(lambda s: s.update(imports=[{"name": "x", "labels": bomb}])))
    with pytest.raises(SessionError, match="do not fill"):
        Workspace(two_cubes()).resume(tmp_path / "s.json")


def test_what_is_no_session_file_is_told(tmp_path):
    with pytest.raises(SessionError, match="no such session file"):
        Workspace(two_cubes()).resume(tmp_path / "none.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(SessionError, match="more than any session"):
        Workspace(two_cubes()).resume(tmp_path / "large.json")


def wait_until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_changes_are_saved_by_themselves(tmp_path):
    path = tmp_path / "session.json"
    with Workspace(two_cubes()) as workspace:
        workspace.keep_in(path)
        workspace.add_class("liver")
        wait_until(lambda: workspace.session_file.saved)
        assert "liver" in path.read_text()
        workspace.click(1, DARK)
    with Workspace(two_cubes()) as workspace:
        workspace.keep_in(path)
        assert workspace.steps == ["new class liver", "click on liver"]
        assert workspace.undo() == "click on liver"


def test_changes_in_quick_succession_are_saved_together(tmp_path, monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.session_file.QUIET", 1000.0)
    monkeypatch.setattr("dense3d.transfer_function.session_file.LONGEST", 1000.0)
    saves = []
    file = SessionFile(tmp_path / "session.json", lambda: saves.append(1) or b"{}")
    for _ in range(50):
        file.changed()
    assert not saves and not file.saved
    file.close()  # at once, without waiting for quiet
    assert saves == [1] and file.saved and (tmp_path / "session.json").read_bytes() == b"{}"


def test_changes_without_an_end_are_saved_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.session_file.LONGEST", 0.2)
    saves = []
    file = SessionFile(tmp_path / "session.json", lambda: saves.append(1) or b"{}")

    def one_more() -> bool:
        file.changed()
        return bool(saves)

    wait_until(one_more)
    file.close()


def test_a_session_finds_its_volume_beside_it(tmp_path):
    import nibabel

    volume = two_cubes()
    nibabel.save(nibabel.Nifti1Image(volume.values, volume.affine), tmp_path / "cubes.nii.gz")
    edited().save(tmp_path / "session.json")
    loaded = Workspace.load(tmp_path / "session.json", method="graph-quick")
    assert loaded.document == edited().document and loaded.method == "graph-quick"
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "session.json"
    (tmp_path / "session.json").rename(moved)
    assert Workspace.load(moved, tmp_path / "cubes.nii.gz").document == loaded.document
    with pytest.raises(DataError, match=r"cubes\.nii\.gz"):
        Workspace.load(moved)
    moved.write_bytes(broken(lambda s: s["volume"].update(name="../cubes.nii.gz")))
    with pytest.raises(DataError, match="leads out"):
        Workspace.load(moved)


def test_a_second_workspace_on_the_same_file_is_told(tmp_path):
    path = tmp_path / "session.json"
    with Workspace(two_cubes()) as first, Workspace(two_cubes()) as second:
        first.keep_in(path)
        with pytest.raises(SessionInUseError, match=f"in use by process {os.getpid()}: close that one"):
            second.keep_in(path)
        second.keep_in(tmp_path / "other.json")
    with Workspace(two_cubes()) as third:
        third.keep_in(path)


def test_a_full_disk_is_told_and_work_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "session.json"
    workspace = Workspace(two_cubes())
    workspace.keep_in(path)
    workspace.add_class("liver")
    workspace.session_file.save()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        workspace.click(1, BRIGHT)
        wait_until(lambda: workspace.session_file.problem is not None)
        assert "no space" in workspace.session_file.problem and not workspace.session_file.saved
        assert json.loads(path.read_text())["marks"] == []
    workspace.close()
    assert len(json.loads(path.read_text())["marks"]) == 1
    assert not list(tmp_path.glob(".*.tmp"))


CHILD = """
import sys, time
from transfer_function.cubes import two_cubes
from dense3d.transfer_function import Workspace

workspace = Workspace(two_cubes())
workspace.keep_in(sys.argv[1])
workspace.add_class("liver")
number = 0
while True:
    workspace.click(1, (number % 20, number // 20 % 16, number // 320 % 12))
    number += 1
    if workspace.session_file.saved or number % 50 == 0:
        workspace.session_file.save()
        print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_was_saved(tmp_path, repository):
    path = tmp_path / "session.json"
    environment = dict(os.environ, PYTHONPATH=f"{repository}:{repository / 'tests'}")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, env=environment
    )
    try:
        saved = 0
        for _ in range(6):
            saved = int(child.stdout.readline())
        with pytest.raises(SessionInUseError, match=f"process {child.pid}"), Workspace(two_cubes()) as other:
            other.keep_in(path)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    (tmp_path / f".session.json.{child.pid}.0123abcd.tmp").write_bytes(b"half")
    with Workspace(two_cubes()) as workspace:
        workspace.keep_in(path)
        assert len(workspace.document.marks) >= saved and not list(tmp_path.glob(".*.tmp"))
        assert workspace.undo() == "click on liver"
