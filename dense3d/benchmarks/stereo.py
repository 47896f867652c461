"""Suite ``stereo``: errors on real pairs of the sample data, of semi-global matching and of networks.

A pair is read, batched and compared as in ``dense3d test``. Networks that were not trained on such images
are transfer, and their labels say so.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dense3d.datasets.stereo.base import pair_record
from dense3d.datasets.stereo.loading import LoadStereo
from dense3d.datasets.stereo.packing import PackStereoInputs
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.datasets.stereo.scene_flow import scene_flow_rig
from dense3d.errors import DataError
from dense3d.evaluation.depth.metrics import DisparityMetric
from dense3d.evaluation.depth.result import ImageResult
from dense3d.evaluation.depth.samples import array_of
from dense3d.files import is_file
from dense3d.stereo.block_matching import SemiGlobalMatching
from dense3d.stereo.mean_of_truth import MeanOfTruth
from dense3d.structures import RectifiedRig


@dataclass(frozen=True)
class PairCase:
    """One pair, files relative to ``stereo`` in the sample data.

    Args:
        name: for the command line.
        left, right: images.
        disparity, nonoccluded: file and format, see :mod:`dense3d.datasets.stereo.formats`.
        protocol: that figures are given under.
        datasets: types of the data sets with such images: networks that were trained on none are transfer.
        rig: calibration, a file or, where the sample data have none, what was published.
        disparities: that semi-global matching tries: a multiple of 16 above what the data set's calibration
            says, else 192 as is usual.
    """

    name: str
    left: str
    right: str
    disparity: tuple[str, str]
    nonoccluded: tuple[str, str] | None
    protocol: str
    datasets: tuple[str, ...]
    rig: str | RectifiedRig
    disparities: int = 192

    def read(self, folder: Path) -> dict[str, Any]:
        """Inputs and data sample of the pair.

        Raises:
            DataError: a file is missing or damaged.
        """
        root = folder / "stereo"
        if not is_file(root / self.left):
            raise DataError(f"{root / self.left} does not exist: set DENSE3D_SAMPLE_DATA to the sample data")
        files = {"disparity": self.disparity, "nonoccluded": self.nonoccluded}
        record = pair_record(
            self.name,
            root / self.left,
            root / self.right,
            read_rig(root / self.rig) if isinstance(self.rig, str) else self.rig,
            **{name: (root / entry[0], entry[1]) for name, entry in files.items() if entry},
        )
        return PackStereoInputs()(LoadStereo()(record))


# Of KITTI's rigs the one of 2011_09_26 has images of 1242 x 375 pixels; P2 and P3 of its calibration, which
# testing/000000 of the sample data has too.
KITTI_RIG = RectifiedRig(
    721.5377, (44.85728 + 339.5242) / 721.5377, 609.5593, 172.854, width=1242, height=375
)
CASES = [
    PairCase(
        "kitti-000046",
        "kitti2015/training/image_2/000046_10.png",
        "kitti2015/training/image_3/000046_10.png",
        ("kitti2015/training/disp_occ_0/000046_10.png", "png/256"),
        None,
        "kitti-2015",
        ("KittiStereo", "KittiEigenDepth"),
        KITTI_RIG,
    ),
    PairCase(
        "motorcycle",
        "middlebury2014/trainingQ/Motorcycle/im0.png",
        "middlebury2014/trainingQ/Motorcycle/im1.png",
        ("middlebury2014/trainingQ/Motorcycle/disp0GT.pfm", "pfm"),
        ("middlebury2014/trainingQ/Motorcycle/mask0nocc.png", "seen"),
        "middlebury",
        ("Middlebury",),
        "middlebury2014/trainingQ/Motorcycle/calib.txt",
        disparities=80,
    ),
    PairCase(
        "sceneflow-0006",
        "sceneflow/frames_cleanpass/A/0032/left/0006.png",
        "sceneflow/frames_cleanpass/A/0032/right/0006.png",
        ("sceneflow/disparity/A/0032/left/0006.pfm", "pfm"),
        ("sceneflow/occlusion/A/0032/left/0006.png", "occluded"),
        "sceneflow",
        ("SceneFlow",),
        scene_flow_rig("A/0032", (960, 540)),
    ),
]


def baselines(case: PairCase) -> dict[str, nn.Module]:
    """Semi-global matching with and without what makes its map dense."""
    make = functools.partial(SemiGlobalMatching, disparities=case.disparities)
    return {
        "SGBM, sure pixels only": make(fill=False),
        "SGBM, filled from the left": make(),
        "the same without margin": make(margin=False),
        "mean of the ground truth": MeanOfTruth(),
    }


def measure(case: PairCase, model: Any, folder: Path) -> tuple[ImageResult, np.ndarray]:
    """Errors of one model on one pair, and its disparity (H, W)."""
    packed = case.read(folder)
    inputs = {side: [image] for side, image in packed["inputs"].items()}
    with torch.no_grad():
        (sample,) = model.test_step({"inputs": inputs, "data_samples": [packed["data_samples"]]})
    metric = DisparityMetric(protocol=case.protocol)
    found = sample.to_dict()
    result = metric.compare(case.name, found)
    predicted = found.get("pred_disparity")
    return result, array_of(predicted)[0] if predicted is not None else np.zeros(result.size, np.float32)
