"""Data sets as a whole: the same bytes from any number of workers, idempotent, whole or absent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dense3d.datasets.synthetic import ensure_dataset, make_dataset
from dense3d.datasets.synthetic.compositions import COMPOSITIONS
from dense3d.datasets.synthetic.generate import LAYOUTS, MANIFEST, SCENES
from dense3d.datasets.synthetic.workers import Job, render_records
from dense3d.datasets.synthetic.writers import WRITERS
from dense3d.errors import ConfigError, DataError

ROOM_LAYOUTS = tuple(name for name, writer in WRITERS.items() if writer.composition == "room")
SMALL = {"train": 5, "val": 2, "size": (64, 48), "seed": 1, "progress": False}


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def environment(repository: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repository)}


def hidden(folder: Path) -> list[str]:
    """Names of unfinished or replaced data sets in ``folder``; lock files may stay."""
    return [path.name for path in folder.glob(".*") if path.suffix != ".lock"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "data"
    assert make_dataset(root, layouts=ROOM_LAYOUTS, workers=1, **SMALL)
    return root


def test_known_layouts_are_the_writers() -> None:
    assert set(LAYOUTS) == set(WRITERS)
    assert set(SCENES) == set(COMPOSITIONS)


def test_layouts_of_different_scenes_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="layouts coco, kitti need different scenes"):
        make_dataset(tmp_path / "data", layouts=("coco", "kitti"), workers=1, **SMALL)
    assert not (tmp_path / "data").exists()


def test_scenes_that_a_layout_cannot_show_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="layouts kitti need scenes of 'street', not of 'close_up'"):
        make_dataset(tmp_path / "data", layouts=("kitti",), scenes="close_up", workers=1, **SMALL)
    assert not (tmp_path / "data").exists()


def test_other_scenes_are_another_recipe(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another recipe: scenes is None instead of 'close_up'"):
        make_dataset(made, layouts=ROOM_LAYOUTS, scenes="close_up", **SMALL)
    close = [
        make_dataset(tmp_path / name, layouts=("ade20k",), scenes="close_up", workers=workers, **SMALL)
        and tree(tmp_path / name)
        for name, workers in (("one", 1), ("two", 2))
    ]
    assert close[0] == close[1]
    image = "images/training/ADE_train_00000001.jpg"
    assert close[0][image] != tree(made)[image]


def test_two_worker_processes_write_the_same_bytes_as_none(made: Path, tmp_path: Path) -> None:
    assert make_dataset(tmp_path / "data", layouts=ROOM_LAYOUTS, workers=2, **SMALL)
    assert tree(tmp_path / "data") == tree(made)


def test_longer_data_sets_begin_with_the_shorter_one(made: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", layouts=("ade20k",), workers=1, **{**SMALL, "train": 7})
    longer, shorter = tree(tmp_path / "data"), tree(made)
    common = [name for name in shorter if name.startswith("images/") or "training" in name]
    assert len(common) > 10
    assert all(longer[name] == shorter[name] for name in common)


def test_a_second_call_does_nothing(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert not make_dataset(made, layouts=ROOM_LAYOUTS, workers=2, **SMALL)
    assert ensure_dataset(made, layouts=ROOM_LAYOUTS, **SMALL) == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_another_recipe_is_refused_and_named(made: Path) -> None:
    before = tree(made)
    with pytest.raises(DataError, match=r"another recipe: train is 5 instead of 6; .*overwrite"):
        make_dataset(made, layouts=ROOM_LAYOUTS, **{**SMALL, "train": 6})
    assert tree(made) == before


def test_overwrite_replaces_another_recipe(tmp_path: Path) -> None:
    root = tmp_path / "data"
    make_dataset(root, workers=1, **{**SMALL, "train": 1, "val": 0})
    assert make_dataset(root, workers=1, overwrite=True, **{**SMALL, "train": 2, "val": 0})
    assert len(list((root / "train2017").iterdir())) == 2
    assert hidden(tmp_path) == []


def test_foreign_folders_are_never_replaced(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(DataError, match=r"mine exists and is not a synthetic data set"):
        make_dataset(root, overwrite=True, **SMALL)
    assert tree(root) == {"photo.jpg": b"precious"}


@pytest.mark.parametrize("content", ["{", "[]", '{"recipe": 3}'])
def test_a_broken_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(DataError, match=r"synthetic.json is not a manifest"):
        make_dataset(tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layouts": ("coko",)}, r"'coko'; did you mean 'coco'"),
        ({"layouts": ()}, r"at least one layout"),
        ({"train": -1}, r"train=-1"),
        ({"train": 0, "val": 0}, r"both zero"),
        ({"size": (8, 48)}, r"size=8x48"),
        ({"seed": -2}, r"seed=-2"),
        ({"scenes": "closeup"}, r"'closeup'; did you mean 'close_up'"),
        ({"workers": 0}, r"workers=0"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_dataset(tmp_path / "data", **{**SMALL, **change})
    assert not (tmp_path / "data").exists()


def test_a_root_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"was not made, because writing failed"):
        make_dataset(tmp_path / "file" / "data", workers=1, **SMALL)


def test_a_failing_worker_is_reported(tmp_path: Path) -> None:
    # The workers cannot create folders below a file.
    (tmp_path / "file").write_text("")
    job = Job(str(tmp_path / "file"), ("coco",), 0, (64, 48), [("train", 0), ("train", 1)])
    with pytest.raises(DataError, match=r"rendering failed before the first sample: .*Not a directory"):
        list(render_records(job, workers=2))


def test_a_data_set_is_found_without_torch_or_open3d(made: Path, repository: Path) -> None:
    code = (
        "import sys; from dense3d.datasets.synthetic import ensure_dataset\n"
        f"ensure_dataset({str(made)!r}, layouts={ROOM_LAYOUTS!r}, **{SMALL!r})\n"
        "print([name for name in ('torch', 'open3d', 'mmengine', 'cv2') if name in sys.modules])"
    )
    run = [sys.executable, "-c", code]
    output = subprocess.run(run, env=environment(repository), capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


def test_of_two_processes_one_renders_and_the_other_waits(tmp_path: Path, repository: Path) -> None:
    # No "if __name__" guard: the workers must not run the caller's script again.
    script = tmp_path / "script.py"
    script.write_text(
        "from dense3d.datasets.synthetic import make_dataset\n"
        f"print(make_dataset({str(tmp_path / 'data')!r}, workers=2, **{SMALL!r}))\n"
    )
    run = [sys.executable, str(script)]
    env = environment(repository)
    both = [subprocess.Popen(run, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert answers == ["False", "True"]
    assert json.loads((tmp_path / "data" / MANIFEST).read_text())["recipe"]["train"] == SMALL["train"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads child processes from /proc")
def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path: Path, repository: Path) -> None:
    root = tmp_path / "data"
    code = (
        "from dense3d.datasets.synthetic import make_dataset\n"
        f"make_dataset({str(root)!r}, train=5000, size=(64, 48), workers=2, progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(repository))
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob(".data.making-*/train2017/*.jpg"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not root.exists()
    while any(is_running(child) for child in children):
        assert time.monotonic() < deadline, "the workers outlive the main process"
        time.sleep(0.05)
    assert make_dataset(root, workers=1, **SMALL)
    assert hidden(tmp_path) == []


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
