"""KITTI's AP against the frame-by-frame reference, closed forms and the rules one by one."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.benchmarks.kitti_eval import make_frames
from dense3d.datasets.kitti import KittiObjects, parse_objects, read_objects
from dense3d.errors import ConfigError
from dense3d.evaluation.kitti import METRICS, Protocol, evaluate
from dense3d.evaluation.kitti.average_precision import curve, score_thresholds
from dense3d.evaluation.kitti.reference import evaluate_reference
from dense3d.evaluation.kitti.result import ap11, ap40

CAR = "Car 0.00 0 0.10 100 100 200 180 1.5 1.6 4 0 1.6 20 0.3"
COPIES = 50  # with 40 or more ground truths a perfect curve reaches recall 1


def label(*lines: str) -> KittiObjects:
    return parse_objects("\n".join(lines))


def result(*lines: str) -> KittiObjects:
    return parse_objects("\n".join(lines), is_result=True)


def ap_of(
    labels: list[KittiObjects], results: list[KittiObjects], level: int = 0, limits: int = 0
) -> list[float]:
    """AP40 of 2D, AOS, BEV and 3D of cars."""
    return evaluate(labels, results, Protocol.of(["Car"])).ap40[limits, :, 0, level].tolist()


def test_equal_to_the_reference_on_made_up_streets():
    labels, results = make_frames(60, detections=30)
    found = evaluate(labels, results)
    expected = evaluate_reference(labels, results)
    assert 10 < found.ap40[0, 3].max() < 95
    np.testing.assert_allclose(found.curves, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_reference_in_crowds_with_ties(seed):
    """Few places, scores and heights, so that objects compete for each other in every way."""
    rng = np.random.default_rng(seed)

    def frame(types: list[str], count: int) -> KittiObjects:
        x, z = rng.integers(0, 3, count) * 0.4, 20 + rng.integers(0, 3, count) * 0.2
        x = x + rng.uniform(0, 1e-3, count)  # no two 3D overlaps are equal up to rounding
        left, top = 100 + rng.integers(0, 4, count) * 4.0, 100 + rng.integers(0, 3, count) * 1.0
        height = rng.choice([24.9, 25, 39.9, 40, 40.1, 41, 42, 43], count)
        columns = [rng.choice([0, 0.2, 0.6], count), rng.integers(0, 4, count), rng.uniform(-3, 3, count)]
        columns += [left, top, left + 60, top + height, *np.full((3, count), [[1.5], [1.6], [4.0]]), x]
        columns += [np.full(count, 1.6), z, rng.choice([0.0, 0.1, np.pi], count)]
        return KittiObjects(tuple(rng.choice(types, count).tolist()), np.stack(columns, axis=1))

    labels = [frame(["Car", "Car", "Van", "DontCare", "Pedestrian", "Truck"], 6) for _ in range(40)]
    results = [frame(["Car", "Car", "Pedestrian"], 6) for _ in range(40)]
    results = [r.with_scores(rng.choice([0.1, 0.5, 0.5, 0.9], len(r))) for r in results]
    found = evaluate(labels, results).curves
    assert (found.max(axis=(0, 2, 3, 4)) > 0.2).all()
    np.testing.assert_allclose(found, evaluate_reference(labels, results), atol=1e-12)


def test_labels_against_themselves_are_perfect(sample_data):
    files = sorted((sample_data / "kitti/training/label_2").glob("*.txt"))
    labels = [read_objects(file) for file in files] * 30  # two cyclists are easy ones
    results = [frame.select(np.array(frame.names) != "DontCare").with_scores(0.5) for frame in labels]
    found = evaluate(labels, results)
    assert found.ground_truths.min() >= 40
    np.testing.assert_allclose(found.ap40, 100, atol=1e-9)
    np.testing.assert_allclose(found.ap11, 100, atol=1e-9)


def test_no_detection_at_all_is_zero():
    empty = result()
    assert ap_of([label(CAR)] * COPIES, [empty] * COPIES) == [0, 0, 0, 0]


def test_half_of_the_objects_found_is_half_the_recall():
    results = [result(f"{CAR} 0.9"), result()] * 40
    assert ap_of([label(CAR)] * 80, results) == pytest.approx([50, 50, 50, 50], abs=2.5)


def test_a_false_positive_beside_each_true_one_halves_the_precision():
    false = CAR.replace("100 100 200 180", "600 100 700 180").replace("0 1.6 20", "15 1.6 20")
    results = [result(f"{CAR} 0.5", f"{false} 0.5")] * COPIES
    assert ap_of([label(CAR)] * COPIES, results) == pytest.approx([50, 50, 50, 50])


def test_opposite_headings_cost_orientation_only():
    turned = CAR.replace("0.00 0 0.10", f"0.00 0 {0.1 - np.pi:.8f}")
    ap = ap_of([label(CAR)] * COPIES, [result(f"{turned} 0.5")] * COPIES)
    assert ap == pytest.approx([100, 0, 100, 100], abs=1e-6)
    quarter = CAR.replace("0.00 0 0.10", f"0.00 0 {0.1 + np.pi / 2:.8f}")
    assert ap_of([label(CAR)] * COPIES, [result(f"{quarter} 0.5")] * COPIES)[1] == pytest.approx(50)


def test_regions_without_labels_excuse_2d_boxes_only():
    region = "DontCare -1 -1 -10 550 50 750 250 -1 -1 -1 -1000 -1000 -1000 -10"
    false = CAR.replace("100 100 200 180", "600 100 700 180").replace("0 1.6 20", "15 1.6 20")
    labels, results = [label(CAR, region)] * COPIES, [result(f"{CAR} 0.5", f"{false} 0.5")] * COPIES
    assert ap_of(labels, results) == pytest.approx([100, 100, 50, 50])


@pytest.mark.parametrize(("neighbour", "expected"), [("Van", 100), ("Truck", 50)])
def test_vans_absorb_detections_of_cars_and_trucks_do_not(neighbour, expected):
    other = CAR.replace("100 100 200 180", "600 100 700 180").replace("0 1.6 20", "15 1.6 20")
    labels = [label(CAR, other.replace("Car", neighbour))] * COPIES
    results = [result(f"{CAR} 0.5", f"{other} 0.5")] * COPIES
    assert ap_of(labels, results) == pytest.approx([expected] * 4)


def test_a_loose_limit_accepts_what_a_strict_one_does_not():
    shifted = CAR.replace("0 1.6 20", "0.8 1.6 20").replace("100 100 200 180", "101 100 200 180")
    labels, results = [label(CAR)] * COPIES, [result(f"{shifted} 0.5")] * COPIES
    strict, loose = ap_of(labels, results), ap_of(labels, results, limits=1)
    assert (strict[2], loose[2]) == (0, 100)
    assert strict[0] == loose[0] == 100


def test_classes_are_compared_without_case_and_may_be_fewer():
    lower = result(f"{CAR.replace('Car', 'car')} 0.5")
    found = evaluate([label(CAR)] * COPIES, [lower] * COPIES, Protocol.of(["cyclist", "car"]))
    assert found.protocol.classes == ("Cyclist", "Car")
    assert found.ap40[0, 3, :, 0].tolist() == [0, 100]
    assert found.ground_truths[:, 0].tolist() == [0, COPIES]


def test_no_orientation_where_an_angle_is_absent():
    without = CAR.replace("0.00 0 0.10", "0.00 0 -10")
    results = [result(f"{CAR} 0.5")] * 49 + [result(f"{without} 0.5")]
    found = evaluate([label(CAR)] * COPIES, results)
    assert np.isnan(found.curves[:, METRICS.index("aos")]).all()
    assert np.isfinite(found.curves[:, [0, 2, 3]]).all()
    assert any("alpha" in notice for notice in found.notices())
    assert not any("aos" in name for name in found.flat())
    assert found.to_dict()["classes"]["Car"]["aos"]["strict"]["ap40"]["easy"] is None
    assert " - " in found.table()


def test_results_without_3d_boxes_are_evaluated_in_2d():
    flat = "Car -1 -1 -10 100 100 200 180 -1 -1 -1 -1000 -1000 -1000 -10 0.9"
    ap = ap_of([label(CAR)] * COPIES, [result(flat)] * COPIES)
    assert (ap[0], ap[2], ap[3]) == (100, 0, 0)


def test_few_ground_truths_are_told():
    found = evaluate([label(CAR)] * 10, [result(f"{CAR} 0.5")] * 10, Protocol.of(["Car"]))
    assert found.ap40[0, 0, 0, 0] == pytest.approx(100 * 9 / 40)  # as the devkit has it
    assert "10 easy" in found.notices()[0]


def test_averages_of_known_curves():
    falling = np.linspace(1, 0, 41)
    assert ap11(falling) == pytest.approx(50)
    assert ap40(falling) == pytest.approx(100 * falling[1:].mean())
    only_first = np.zeros(41)
    only_first[0] = 1
    assert (ap11(only_first), ap40(only_first)) == (pytest.approx(100 / 11), 0)
    assert curve(np.array([0.2, 0.8, 0.5]))[:4].tolist() == [0.8, 0.8, 0.5, 0]


@pytest.mark.parametrize(("found", "total"), [(200, 200), (150, 200), (37, 41), (1, 1), (0, 5)])
def test_thresholds_are_those_nearest_to_the_recall_steps(found, total):
    """With at least 40 labels step k of the curve has the true positive whose recall is nearest to k / 40."""
    scores = np.linspace(1, 0.1, found)
    kept = score_thresholds(scores, total)
    assert len(kept) <= 41
    assert (np.diff(kept) < 0).all()
    recall = (np.searchsorted(-scores, -kept) + 1) / total
    if total >= 40:
        steps = np.arange(len(kept) - 1) / 40
        np.testing.assert_allclose(recall[:-1], steps, atol=1 / total)


def test_unknown_and_repeated_classes():
    with pytest.raises(ConfigError, match=r"'Pedestrain'; did you mean 'Pedestrian'; it has Car"):
        Protocol.of(["Pedestrain"])
    with pytest.raises(ConfigError, match="'Car' is given twice"):
        Protocol.of(["Car", "car"])
    with pytest.raises(ConfigError, match="no class"):
        Protocol.of([])
    with pytest.raises(ValueError, match="1 frames have labels and 2 have results"):
        evaluate([label(CAR)], [result(), result()])
