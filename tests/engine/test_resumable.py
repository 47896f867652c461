"""Which checkpoint --resume takes: the furthest one of this folder, past damaged ones, which are named."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from processes import assert_same_run, finish, losses, start

from dense3d.engine.checkpoint import load_checkpoint
from dense3d.engine.resumable import check_parts, newest_resumable, read_pointer
from dense3d.errors import CheckpointError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with three checkpoints: iter_24, iter_26 and iter_28."""
    folder = tmp_path_factory.mktemp("run")
    finish(folder)
    return folder


@pytest.fixture
def cut(run, tmp_path):
    """A copy of the run without its last checkpoint; all files of one time, the pointer as it was."""
    folder = tmp_path / "cut"
    folder.mkdir()
    for name in ("iter_24.pth", "iter_26.pth", "last_checkpoint", "losses.jsonl"):
        shutil.copy(run / name, folder / name)
        os.utime(folder / name, (1_000_000_000, 1_000_000_000))
    return folder


def found(folder) -> tuple[str | None, list[str]]:
    """Name of the checkpoint that is taken, and what is said of others."""
    told: list[str] = []
    newest = newest_resumable([folder], told.append)
    return newest and newest[0].name, told


def rewrite(path, **parts) -> None:
    checkpoint = torch.load(path, weights_only=True)
    torch.save({**checkpoint, **parts}, path)


def test_a_copied_folder_goes_on_from_its_furthest_checkpoint(cut, run):
    os.utime(cut / "iter_24.pth", (2_000_000_000, 2_000_000_000))
    assert found(cut) == ("iter_26.pth", [])
    finish(cut, resume=True)
    assert_same_run(cut, run)
    assert "iter_28" not in (cut / "output.txt").read_text()


def test_the_pointer_leads_nowhere_else(run, tmp_path):
    (tmp_path / "last_checkpoint").write_text(str(run / "iter_28.pth"))
    assert found(tmp_path) == (None, [])


def test_a_pointer_that_cannot_be_read_does_not_matter(cut):
    for content in (b"\xff\xfe\x00", b"", b"\0", b"a" * 5000, str(cut / "no.pth").encode()):
        (cut / "last_checkpoint").write_bytes(content)
        assert read_pointer(cut) is None
        assert found(cut) == ("iter_26.pth", [])


def test_a_dangling_link_is_named_and_passed_over(cut):
    (cut / "iter_27.pth").symlink_to("/nowhere/iter_27.pth")
    name, (told,) = found(cut)
    assert name == "iter_26.pth"
    assert "iter_27.pth is a link to /nowhere/iter_27.pth, which does not exist (looking for" in told


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"optimizer": [1]}, "its part optimizer is a list, not a dict"),
        ({"meta": "text"}, "its part meta is a str, not a dict"),
        ({"meta": {"epoch": 1, "iter": "26"}}, "its part meta.iter is a str, not a int"),
        ({"state_dict": {"a": 1}}, "its part state_dict['a'] is a int, not a Tensor"),
        ({"message_hub": [1]}, "its part message_hub is a list, not a dict"),
        ({"message_hub": {"log_scalars": 3}}, "its part message_hub.log_scalars is a int, not a dict"),
        ({"param_schedulers": 5}, "its part param_schedulers is a int, not a list or dict"),
        ({"param_schedulers": [3]}, "its part param_schedulers[0] is a int, not a dict"),
        ({"dense3d": {"progress": 3}}, "its part dense3d.progress is a int, not a dict"),
        ({"dense3d": [2]}, "its part dense3d is a list, not a dict"),
    ],
)
def test_parts_of_other_types_are_named_and_passed_over(cut, parts, fault):
    rewrite(cut / "iter_26.pth", **parts)
    name, (told,) = found(cut)
    assert name == "iter_24.pth" and fault in told and "iter_26.pth" in told


def test_damaged_bytes_are_named_and_passed_over(cut, run):
    """Cut off, empty, not a checkpoint, and one bit of a weight flipped."""
    path = cut / "iter_26.pth"
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["state_dict"]["stem.weight"].numpy().tobytes()
    content[content.index(weight) + 5] ^= 4
    for damaged in (content[:3000], b"", b"text", content):
        path.write_bytes(damaged)
        name, (told,) = found(cut)
        assert name == "iter_24.pth" and str(path) in told
    assert "does not have the checksum it was written with" in told
    finish(cut, resume=True)
    assert_same_run(cut, run)


def test_lost_weights_are_passed_over(cut):
    checkpoint = torch.load(cut / "iter_26.pth", weights_only=True)
    checkpoint["ema_state_dict"]["module.stem.weight"][0] = float("nan")
    torch.save(checkpoint, cut / "iter_26.pth")
    finish(cut, resume=True)
    output = (cut / "output.txt").read_text()
    assert "iter_26.pth holds weights that are not finite (stem.weight), so" in output
    assert losses(cut)[28]["iter"] == 24


def test_only_damaged_ones_are_an_error(cut):
    for name in ("iter_24.pth", "iter_26.pth"):
        (cut / name).write_bytes(b"x")
    with pytest.raises(
        CheckpointError, match=r"can be resumed from, 2 damaged: iter_24\.pth, iter_26\.pth; delete"
    ):
        found(cut)
    process = start(cut, resume=True)
    process.join()
    assert process.exitcode == 1 and "2 damaged" in (cut / "output.txt").read_text()


def test_the_best_checkpoint_of_the_original_stays(tmp_path):
    """A copy's checkpoint names the original's best one as the one to delete when a better one comes."""
    hook = {"type": "CheckpointHook", "interval": 1, "save_best": "tiny/error", "rule": "less"}
    options = {"validate": True, "default_hooks": {"checkpoint": hook}}
    first, second = tmp_path / "first", tmp_path / "second"
    finish(first, train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": 1}, **options)
    shutil.copytree(first, second)
    best = next(first.glob("best_*"))
    finish(second, resume=True, **options)
    assert best.exists()
    assert len(list(second.glob("best_*"))) == 1


def test_a_best_figure_that_the_evaluation_lacks_is_one_sentence(tmp_path):
    hook = {"type": "CheckpointHook", "interval": 1, "save_best": "tiny/eror", "rule": "less"}
    process = start(tmp_path, validate=True, default_hooks={"checkpoint": hook})
    process.join()
    output = (tmp_path / "output.txt").read_text()
    assert "ConfigError: CheckpointHook(save_best='tiny/eror'): the evaluation has no such figure" in output
    assert "did you mean 'tiny/error'?" in output and (tmp_path / "epoch_1.pth").exists()


def test_a_flipped_bit_is_found_whoever_reads(run, tmp_path):
    path = tmp_path / "flipped.pth"
    content = bytearray((run / "iter_28.pth").read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_archives_without_checksums_and_old_files_load(tmp_path):
    state = {"state_dict": {"w": torch.ones(3)}}
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "plain.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("plain.pth", "old.pth"):
        assert torch.equal(load_checkpoint(tmp_path / name)["state_dict"]["w"], torch.ones(3))


def test_other_peoples_files_are_no_checkpoints_of_the_run(tmp_path):
    torch.save({"model": {"w": torch.ones(3)}, "optimizer": {}}, tmp_path / "official.pth")
    torch.save({"w": torch.ones(3)}, tmp_path / "weights.pth")
    assert found(tmp_path) == (None, [])


def test_sound_parts_pass(run):
    check_parts(torch.load(run / "iter_28.pth", weights_only=True), "iter_28.pth")
