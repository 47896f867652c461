"""Golden checks of contrastive denoising queries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dense3d.detection2d.relation_detr.denoising import ContrastiveDenoising
from dense3d.detection2d.relation_detr.references import box_logits
from tests.golden import UnknownCheckError
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the generator of the kit's ``config`` and load its weights."""
    config = kit.meta["config"]
    generator = ContrastiveDenoising(
        config["denoising_nums"],
        config["num_classes"],
        config["label_embed_dim"],
        config["label_noise_prob"],
        config["box_noise_scale"],
    )
    load_strictly(generator, tensors_of(kit), kit)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        if "box_uniform" not in inputs:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of denoising")
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        images = sum(name.startswith("labels") for name in tensors)
        labels, boxes = ([tensors[f"{kind}{i}"] for i in range(images)] for kind in ("labels", "boxes"))
        counts = [len(label) for label in labels]
        copies = 2 * generator.num_groups(counts)
        draws = (tensors[n] for n in ("label_uniform", "label_random", "box_sign", "box_uniform"))
        noised = generator.noised(
            torch.cat(labels).repeat(copies), torch.cat(boxes).repeat(copies, 1), copies, *draws
        )
        queries = generator.queries(*noised, counts)
        found = {
            "label_queries": queries.content,
            "box_queries": box_logits(queries.boxes, eps=0.0),
            "boxes": queries.boxes,
            "attn_mask": queries.blocked(config["num_queries"]),
            "groups": torch.tensor(queries.groups),
            "slots": torch.tensor(2 * queries.slots),
        }
        return {name: found[name].numpy() for name in check["outputs"] if name in found}

    return run
