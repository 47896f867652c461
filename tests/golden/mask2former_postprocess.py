"""Golden checks of Mask2Former's results: panoptic, semantic, instances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.segmentation.mask2former import Mask2FormerPostProcess
from tests.golden import UnknownCheckError
from tests.golden.instance_order import by_score_and_class

Arrays = dict[str, np.ndarray]
MASK_STRIDE = 4


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Thresholds of the kit's ``config``; there are no weights."""
    first = kit.inputs(kit.checks[0]["name"])

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(value) for name, value in (first | inputs).items()}
        found = {}
        for image in range(len(tensors["pred_logits"])):
            results = _results(kit.meta["config"], tensors, image)
            found |= {f"{name}_{image}": tensor for name, tensor in results.items()}
        unknown = sorted(set(check["outputs"]) - set(found))
        if unknown:
            raise UnknownCheckError(f"there is no rule for {unknown[0]!r} of the check {check['name']!r}")
        return {name: found[name].numpy() for name in check["outputs"]}

    return run


def _results(config: dict, tensors: dict[str, Tensor], image: int) -> dict[str, Tensor]:
    post_process = Mask2FormerPostProcess(config["object_mask_threshold"], config["overlap_threshold"])
    logits, masks = tensors["pred_logits"][image], tensors["pred_masks"][image]
    padded = tuple(MASK_STRIDE * n for n in masks.shape[-2:])
    sizes = (tuple(tensors[name][image].tolist()) for name in ("image_sizes", "output_sizes"))
    masks = post_process.masks_of_image(masks, padded, *sizes)
    things = config["thing_classes"]
    result = post_process.panoptic(logits, masks, things)
    kept = things if config.get("panoptic_on", True) else None
    found = post_process.instances(logits, masks, config["test_topk_per_image"], kept)
    segments = [[segment.id, segment.category, segment.isthing] for segment in result.segments]
    return {
        "panoptic_seg": result.ids,
        "segments": torch.tensor(segments, dtype=torch.int32).view(-1, 3),
        "sem_seg": post_process.semantic(logits, masks),
        **by_score_and_class(found),
    }
