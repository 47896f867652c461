"""What the screen and the curve picture are made of."""

from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace
from unittest import mock

import cv2
import pytest
from matplotlib.axes import Axes
from rich.console import Console

from dense3d.datasets.synthetic import generate
from dense3d.engine.console import _AUXILIARY, ConsoleHook, metric_table, quiet
from dense3d.engine.pictures import draw_curves, read_scalars
from dense3d.engine.resumable import write_pointer


def test_metric_table_has_a_row_an_evaluation_and_blanks_where_nothing_was_measured():
    rows = {"epoch 1": {"coco/bbox_mAP": 0.25}, "epoch 2": {"coco/bbox_mAP": 0.5, "extra": 1.0}}
    out = io.StringIO()
    Console(file=out, width=80).print(metric_table("metrics", rows))
    lines = out.getvalue().splitlines()
    first = next(line for line in lines if "epoch 1" in line)
    second = next(line for line in lines if "epoch 2" in line)
    assert "box AP" in out.getvalue()
    assert "0.250" in first
    assert "1.000" not in first
    assert "0.500" in second
    assert "1.000" in second


def test_many_metrics_stand_below_each_other():
    names = [f"kitti/Car/3d_ap40_moderate_{i:02d}" for i in range(30)]
    rows = {"epoch 1": dict.fromkeys(names, 0.25), "epoch 2": dict.fromkeys(names[1:], 0.5)}
    out = io.StringIO()
    Console(file=out, width=80).print(metric_table("metrics", rows))
    lines = [line for line in out.getvalue().splitlines() if "kitti/" in line]
    assert [next(name for name in names if name in line) for line in lines] == names
    assert "0.500" not in lines[0]
    assert all("0.250" in line and "0.500" in line for line in lines[1:])


def test_metrics_of_panoptic_runs_are_not_cut_off_on_a_narrow_screen():
    names = [f"panoptic/{name}{group}" for group in ("", "_th", "_st") for name in ("PQ", "SQ", "RQ")]
    out = io.StringIO()
    rows = {f"epoch {i}": dict.fromkeys([*names, "cost/GFLOPs"], i / 8) for i in (1, 2, 3)}
    Console(file=out, width=80).print(metric_table("metrics", rows))
    assert "…" not in out.getvalue()
    (line,) = (line for line in out.getvalue().splitlines() if "RQ_st" in line)
    assert all(value in line for value in ("0.125", "0.250", "0.375"))


@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [
        ("loss_cls", False),
        ("loss_bbox", False),
        ("d0.loss_cls", True),
        ("enc_loss_cls", True),
        ("dn_loss_iou", True),
    ],
)
def test_losses_of_inner_layers_stay_off_the_screen(name, auxiliary):
    assert bool(_AUXILIARY.search(name)) is auxiliary


def test_quiet_keeps_the_log_file_whole(tmp_path, capsys):
    logger = logging.getLogger("dense3d-test-quiet")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    screen, file = logging.StreamHandler(), logging.FileHandler(tmp_path / "log.txt")
    logger.handlers = [screen, file]
    quiet(logger)
    logger.info("the long configuration")
    logger.warning("'X' will be deprecated in future")
    logger.warning("epoch_3.pth is damaged; epoch_2.pth is taken")
    shown, written = capsys.readouterr().err, (tmp_path / "log.txt").read_text()
    assert shown.splitlines() == ["epoch_3.pth is damaged; epoch_2.pth is taken"]
    assert len(written.splitlines()) == 3


def test_curves_join_a_run_and_its_resumption(tmp_path):
    for folder, steps in (("20260101_000000", (10, 20, 30)), ("20260101_000100", (30, 40))):
        log = tmp_path / folder / "vis_data/scalars.json"
        log.parent.mkdir(parents=True)
        rows = [dict(loss=100.0 / s + len(steps), lr=0.1, step=s) for s in steps]
        rows.append({"coco/bbox_mAP": 0.1 * len(steps), "step": steps[-1]})
        log.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"loss": 1.0, "st')
    training, metrics = read_scalars(tmp_path)
    assert sorted(training["loss"]) == [10, 20, 30, 40]
    assert training["loss"][30] == pytest.approx(100 / 30 + 2)
    assert metrics["coco/bbox_mAP"] == {30: pytest.approx(0.3), 40: pytest.approx(0.2)}
    picture = draw_curves(tmp_path)
    assert cv2.imread(str(picture)).shape[1] > 1000


def test_curves_leave_single_classes_to_the_log(tmp_path):
    log = tmp_path / "20260101_000000" / "vis_data/scalars.json"
    log.parent.mkdir(parents=True)
    classes = {f"boxes3d/AP25_{name}": 0.1 for name in "abcdefghijkl"}
    rows = [dict(loss=1.0, lr=0.1, step=1), {"boxes3d/AP25": 0.5, **classes, "step": 1}]
    log.write_text("\n".join(map(json.dumps, rows)))
    with mock.patch.object(Axes, "plot", autospec=True, side_effect=Axes.plot) as plot:
        draw_curves(tmp_path)
    assert {call.kwargs["label"] for call in plot.call_args_list} == {"loss", "lr", "boxes3d/AP25"}


def test_nothing_logged_draws_nothing(tmp_path):
    assert draw_curves(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_kittis_many_figures_are_told_in_few(capsys):
    """72 figures of three classes: six in the line and the table, all of them in the log."""
    figures = {
        f"kitti/{name}/{kind}_ap40_{difficulty}_{overlap}": 1.0
        for name in ("Car", "Pedestrian", "Cyclist")
        for kind in ("3d", "bev", "bbox", "aos")
        for difficulty in ("easy", "moderate", "hard")
        for overlap in ("strict", "loose")
    }
    assert len(figures) == 72
    hook = ConsoleHook()
    hook._console = Console(width=400)
    hook.after_val_epoch(SimpleNamespace(epoch=1, iter=7), figures)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.count("kitti/") == 6 and "kitti/Car/3d_ap40_moderate_strict 1.000" in line
    assert line.endswith("... of 72, see the log")
    hook.after_test_epoch(None, figures)
    out = capsys.readouterr().out
    assert out.count("kitti/") == 6 and "all 72 figures are in the log" in out


@pytest.mark.parametrize("files", [[], ["curves.png"], ["curves.png", "epoch_1.pth"]])
def test_the_last_line_names_what_is_there(tmp_path, capsys, files):
    for name in files:
        (tmp_path / name).touch()
    if "epoch_1.pth" in files:
        write_pointer(tmp_path, tmp_path / "epoch_1.pth")
    hook = ConsoleHook()
    hook._console = Console(width=400)
    hook.after_train(SimpleNamespace(work_dir=str(tmp_path), cfg=SimpleNamespace(filename=None)))
    out = capsys.readouterr().out
    assert ("curves.png" in out) == ("curves.png" in files)
    assert ("checkpoints" in out) == ("next: dense3d test" in out) == ("epoch_1.pth" in files)


def test_a_left_out_step_does_not_hide_the_other_losses():
    hook = ConsoleHook()
    hook._window = [{"loss": 1.0}, {"loss": float("nan")}, {"loss": 3.0}]
    assert hook._losses() == "loss 2.000"
    hook._window = [{"loss": float("nan")}]
    assert hook._losses() == "loss nan"


def test_a_redirected_rendering_tells_of_itself_at_once(capsys, monkeypatch):
    monkeypatch.setattr(generate, "LINE_SECONDS", 0.0)
    assert list(generate.with_bar(iter("abc"), 3, progress=True)) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "rendering 3 synthetic images, once" and lines[-1].startswith("rendered 3/3")


def test_without_figures_there_is_no_table():
    out, hook = io.StringIO(), ConsoleHook()
    hook._console = Console(file=out, width=80)
    hook.after_test_epoch(None, {})
    assert not out.getvalue()
