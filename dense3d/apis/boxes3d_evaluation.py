"""Average precision of a file of 3D boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dense3d.errors import DataError
from dense3d.evaluation.boxes3d import Boxes3DResult, get_protocol, read_scene_boxes
from dense3d.evaluation.boxes3d.result import require_result_name
from dense3d.files import require_writable_file


def evaluate_boxes3d(
    predictions: str | Path,
    ground_truth: str | Path,
    protocol: str,
    thresholds: Sequence[float] | None = None,
    top: int | None = None,
    out: str | Path | None = None,
) -> Boxes3DResult:
    """Evaluate predicted boxes of rooms, on the CPU.

    Args:
        predictions: file of boxes with scores, see :func:`dense3d.evaluation.boxes3d.read_scene_boxes`.
        ground_truth: file of boxes of the same scenes.
        protocol: a name of :data:`dense3d.evaluation.boxes3d.PROTOCOLS`.
        thresholds: IoUs that a match has to exceed; the protocol's unless given.
        top: of ``"nerf-rpn"``: average precision of that many proposals of a scene; of all unless given.
        out: also write all figures there, ``.json`` or ``.csv``.

    Raises:
        ConfigError: no such protocol, or a file of another suffix.
        DataError: a faulty file; scenes or classes that do not fit; or ``out`` is one of the files.
    """
    rules = get_protocol(protocol, thresholds, top)
    if out is not None:
        require_writable_file(require_result_name(out))
        if Path(out).resolve() in {Path(predictions).resolve(), Path(ground_truth).resolve()}:
            raise DataError(f"{out} is one of the files to evaluate; write the figures to another one")
    truth, found = read_scene_boxes(ground_truth), read_scene_boxes(predictions)
    if found.scores is None:
        raise DataError(f"{predictions} has boxes without scores: is it the ground truth? PRED comes first")
    if len(truth) and truth.scores is not None:
        raise DataError(f"{ground_truth} has boxes with scores: are these the predictions? PRED comes first")
    result = rules.evaluate(truth, found)
    if out is not None:
        result.write(out)
    return result
