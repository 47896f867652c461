"""The three metrics of mmengine on samples as the models give them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.ops import resize_disparity
from dense3d.registry import METRICS
from dense3d.stereo.data_preprocessor import StereoDataPreprocessor
from dense3d.structures.rectified_rig import RectifiedRig
from dense3d.structures.stereo_sample import StereoSample

RIG = RectifiedRig(focal=60.0, baseline=0.5, cx=31.5, cy=15.5, width=64, height=32)
INF = float("inf")


def samples(number: int = 5) -> list[dict]:
    generator = torch.Generator().manual_seed(1)
    found = []
    for index in range(number):
        truth = 1 + 9 * torch.rand(1, 32, 64, generator=generator)
        noise = torch.randn(1, 32, 64, generator=generator)
        truth[torch.rand(truth.shape, generator=generator) < 0.1 * index] = INF
        found.append(
            dict(
                sample_id=f"{'sunny' if index % 2 else 'foggy'}/{index}",
                rig=RIG,
                img_shape=(32, 64),
                gt_disparity=truth,
                gt_nonoccluded=torch.rand(truth.shape, generator=generator) < 0.8,
                pred_disparity=(torch.nan_to_num(truth, posinf=5.0) + noise).clamp(min=0.1),
            )
        )
    return found


def evaluated(config: dict, data: list[dict]) -> dict[str, float]:
    metric = METRICS.build(config)
    for sample in data:
        metric.process({}, [sample])
    return metric.evaluate(len(data))


def test_disparity_against_a_loop():
    data = samples()
    figures = evaluated(dict(type="DisparityMetric"), data)
    errors, regions = [], []
    for sample in data:
        valid = torch.isfinite(sample["gt_disparity"])
        error = (sample["gt_disparity"] - sample["pred_disparity"]).abs()[valid]
        errors.append(torch.stack((error, sample["gt_disparity"][valid])).double())
        regions.append(sample["gt_nonoccluded"][valid])
    (error, truth), seen = torch.cat(errors, 1), torch.cat(regions)
    wrong = (error > 3) & (error > 0.05 * truth)
    expected = {
        "disparity/EPE": error.mean(),
        "disparity/rmse": error.square().mean().sqrt(),
        "disparity/D1": 100 * wrong.double().mean(),
        "disparity/bad-0.5_nonoccluded": 100 * (error[seen] > 0.5).double().mean(),
        "disparity/EPE_occluded": error[~seen].mean(),
    }
    for name, value in expected.items():
        assert figures[name] == pytest.approx(float(value), rel=1e-6), name
    per_image = evaluated(dict(type="DisparityMetric", protocol="middlebury"), data)
    means = [part[0].mean() for part in errors]
    assert per_image["disparity/EPE"] == pytest.approx(float(torch.stack(means).mean()), rel=1e-6)


def test_perfect_predictions_score_perfectly():
    data = samples()
    for sample in data:
        sample["pred_disparity"] = sample["gt_disparity"].nan_to_num(posinf=1.0)
    disparity = evaluated(dict(type="DisparityMetric"), data)
    assert all(value == 0 for value in disparity.values())
    depth = evaluated(dict(type="DepthMetric", protocol="none"), data)
    assert depth["depth/abs_rel"] == pytest.approx(0, abs=1e-6) and depth["depth/a1"] == 1


def test_inverse_depth_and_disparity_are_the_same_prediction():
    data = samples()
    inverse = copy.deepcopy(data)
    for sample in inverse:
        sample["pred_inverse_depth"] = sample.pop("pred_disparity") / (RIG.focal * RIG.baseline)
        disparity = sample.pop("gt_disparity")
        sample["gt_depth"] = torch.nan_to_num(RIG.depth(disparity), posinf=0.0) * torch.isfinite(disparity)
    for config in (dict(type="DisparityMetric"), dict(type="DepthMetric", protocol="kitti-improved")):
        mine, theirs = evaluated(config, data), evaluated(config, inverse)
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            assert value == pytest.approx(theirs[name], rel=1e-4), name


def test_a_prediction_of_another_size_is_resized_with_its_values():
    (sample,) = samples(1)
    half = sample | {
        "pred_disparity": resize_disparity(sample["pred_disparity"], (16, 32)),
        "img_shape": (16, 32),
        "rig": RIG.resized(32, 16),
    }
    back = sample | {"pred_disparity": resize_disparity(half["pred_disparity"], (32, 64))}
    config = dict(type="DisparityMetric")
    assert evaluated(config, [half]) == evaluated(config, [back])
    depth = evaluated(dict(type="DepthMetric", protocol=dict(name="none", resize="inverse")), [half])
    same = evaluated(dict(type="DepthMetric", protocol="none"), [back])
    assert depth["depth/abs_rel"] == pytest.approx(same["depth/abs_rel"], rel=1e-5)


def test_padding_of_the_data_preprocessor_does_not_count():

    data = samples(2)
    inputs = {side: [torch.zeros(3, 32, 64, dtype=torch.uint8)] * 2 for side in ("left", "right")}
    padded = []
    for sample in data:
        element = StereoSample(metainfo={k: sample[k] for k in ("sample_id", "rig", "img_shape")})
        element.set_data({k: v for k, v in sample.items() if k.startswith("gt")})
        padded.append(element)
    preprocessor = StereoDataPreprocessor(pad_divisor=48)
    batch = preprocessor({"inputs": inputs, "data_samples": padded})["data_samples"]
    assert batch[0].gt_disparity.shape == (1, 48, 96)
    back = [b.to_dict() | {"pred_disparity": s["pred_disparity"]} for b, s in zip(batch, data)]
    config = dict(type="DisparityMetric")
    assert evaluated(config, back) == evaluated(config, data)


def test_flow_against_a_loop():
    generator = torch.Generator().manual_seed(2)
    truth = 30 * torch.randn(3, 2, 12, 20, generator=generator)
    noise = 2 * torch.randn(3, 2, 12, 20, generator=generator)
    truth[:, :, :3] = INF
    data = [dict(gt_flow=t, pred_flow=t.nan_to_num(posinf=0.0) + n) for t, n in zip(truth, noise)]
    figures = evaluated(dict(type="FlowMetric"), data)
    valid = torch.isfinite(truth).all(1)
    error, speed = noise.norm(dim=1)[valid].double(), truth.norm(dim=1)[valid].double()
    assert figures["flow/EPE"] == pytest.approx(float(error.mean()), rel=1e-5)
    wrong = (error > 3) & (error > 0.05 * speed)
    assert figures["flow/Fl"] == pytest.approx(100 * float(wrong.double().mean()))
    fast = error[speed >= 40].mean()
    assert figures["flow/EPE_s40+"] == pytest.approx(float(fast), rel=1e-5)


def test_spring_takes_the_smallest_error_of_four():
    truth = torch.tensor([[4.0, INF, 9.0, 9.0], [5.0, 6.0, 9.0, 1.0]])
    sample = dict(gt_disparity=truth[None], pred_disparity=torch.tensor([[[6.5, 3.0]]]))
    figures = evaluated(dict(type="DisparityMetric", protocol="spring"), [sample])
    assert figures["disparity/EPE"] == (0.5 + 2) / 2
    assert figures["disparity/bad-1"] == 50


def test_processes_together_give_what_one_gives():
    """mmengine gathers the results of the processes in turn; the sums of each image make that exact."""
    data, config = samples(6), dict(type="DisparityMetric")
    whole = METRICS.build(config)
    parts = [METRICS.build(config) for _ in range(2)]
    for index, sample in enumerate(data):
        whole.process({}, [sample])
        parts[index % 2].process({}, [sample])
    gathered = [result for pair in zip(*(part.results for part in parts)) for result in pair]
    assert whole.compute_metrics(gathered) == whole.compute_metrics(whole.results)


def test_files_folders_and_the_table(tmp_path, caplog):
    file = tmp_path / "figures.json"
    config = dict(type="DisparityMetric", protocol="kitti-2015", by_folder=True, result_file=str(file))
    figures = evaluated(config, samples())
    assert {"disparity/sunny/D1", "disparity/foggy/D1"} <= set(figures)
    written = json.loads(file.read_text())
    assert written["protocol"] == "kitti-2015"
    assert written["mean"]["all"]["D1"] == figures["disparity/D1"]
    assert [row["image"] for row in written["per_image"]] == [s["sample_id"] for s in samples()]


def test_regions_of_folders_and_of_samples(tmp_path):
    import cv2

    data = samples(2)
    mask = np.zeros((32, 64), np.uint8)
    mask[4:20, 10:40] = 255
    for sample in data:
        (tmp_path / sample["sample_id"]).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{sample['sample_id']}.png"), mask)
    config = dict(type="DepthMetric", protocol="none", regions=dict(flat=str(tmp_path)))
    figures = evaluated(config, data)
    assert {"depth/abs_rel", "depth/abs_rel_flat", "depth/a1_occluded"} <= set(figures)
    errors = []
    for sample in data:
        valid = (torch.isfinite(sample["gt_disparity"]) & torch.from_numpy(mask > 0))[0]
        truth, prediction = (RIG.depth(sample[f"{k}_disparity"][0][valid]) for k in ("gt", "pred"))
        errors.append(((truth - prediction).abs() / truth).mean())
    assert figures["depth/abs_rel_flat"] == pytest.approx(float(sum(errors) / 2), rel=1e-5)


def test_splits_by_the_path_of_the_images():
    data = [
        s | {"left_path": f"/set/{w}/{i}.png"} for i, (s, w) in enumerate(zip(samples(3), ("a", "b", "a")))
    ]
    config = dict(type="DepthMetric", protocol="drivingstereo")
    figures = evaluated(config | dict(splits=dict(foggy="/a/", rainy="/b/")), data)
    assert figures["depth/foggy/abs_rel"] == evaluated(config, [data[0], data[2]])["depth/abs_rel"]
    assert figures["depth/rainy/abs_rel"] == evaluated(config, [data[1]])["depth/abs_rel"]
    assert figures["depth/abs_rel"] == evaluated(config, data)["depth/abs_rel"]


def test_an_empty_image_is_counted_and_no_nan():
    data = samples(3)
    data[1]["gt_disparity"] = torch.full((1, 32, 64), INF)
    metric = METRICS.build(dict(type="DepthMetric", protocol="kitti-eigen-garg"))
    metric.process({}, data)
    from dense3d.evaluation.depth import summarise

    result = summarise(metric.protocol, metric.results)
    assert result.empty == [data[1]["sample_id"]]
    assert "1 of them without ground truth that counts" in result.table()
    kept = evaluated(dict(type="DepthMetric", protocol="kitti-eigen-garg"), [data[0], data[2]])
    assert metric.evaluate(3) == kept


def test_bfloat16_predictions():
    (sample,) = samples(1)
    sample["pred_disparity"] = sample["pred_disparity"].bfloat16()
    assert np.isfinite(evaluated(dict(type="DisparityMetric"), [sample])["disparity/EPE"])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (dict(type="DepthMetric"), "needs a protocol"),
        (dict(type="DepthMetric", protocol="kitti-eigen-gard"), "did you mean 'kitti-eigen-garg'"),
        (dict(type="DepthMetric", protocol="kitti-2015"), "is one of disparity"),
        (dict(type="DisparityMetric", protocol=dict(name="spring", double=True)), "did you mean 'doubled'"),
        (dict(type="DisparityMetric", holes="fill"), "holes='fill'"),
        (dict(type="FlowMetric", result_file="a.txt"), ".json or .csv"),
    ],
)
def test_bad_configs_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        METRICS.build(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(gt_disparity=None), "neither gt_disparity nor gt_depth"),
        (dict(pred_disparity=None), "neither pred_disparity nor pred_inverse_depth"),
        (dict(pred_disparity=None, pred_inverse_depth=torch.ones(1, 32, 64), rig=None), "calibration"),
        (dict(gt_nonoccluded=torch.ones(1, 8, 8)), "8x8"),
    ],
)
def test_samples_that_lack_something(changes, words):
    (sample,) = samples(1)
    with pytest.raises(DataError, match=f"pair foggy/0: .*{words}"):
        evaluated(dict(type="DisparityMetric"), [sample | changes])
