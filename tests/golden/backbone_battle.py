"""Golden adapter of "Battle of the Backbones" (system ``backbone-battle``): retrieval and linear probes."""

from __future__ import annotations

import numpy as np
import torch

from dense3d.evaluation.classification import LARS, ProbeHead, probe_step, retrieval_score
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, wanted
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_strictly, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """A runner; the head starts from the kit's weights in each check."""
    options = kit.options
    official = {name.removeprefix("head."): value for name, value in tensors_of(kit).items()}
    dim, classes = (options.agree(n, v) for n, v in zip(("dim", "classes"), official["1.weight"].shape[::-1]))
    batch, steps = options.take("batch", 32), options.take("steps", 6)
    rate, decay = options.take("lr", 0.1), options.take("weight_decay", 0.0)
    options.neutral("values", "queries", "ks")  # the inputs have them

    def linear_probe(inputs: Arrays) -> Arrays:
        head = load_strictly(ProbeHead(dim, classes), official, kit).train()
        optimizer = LARS(head.parameters(), lr=rate, weight_decay=decay)
        features = torch.from_numpy(inputs["features"]).view(steps, -1, dim)
        labels = torch.from_numpy(inputs["labels"]).long().view(steps, -1)
        if features.shape[1] != batch:
            raise UnknownCheckError(f"{features.shape[1]} features a step, but the config says {batch}")
        losses = [probe_step(head, optimizer, *pair) for pair in zip(features, labels)]
        with torch.no_grad():
            logits = head.eval()(features[0])
        state = {name.removeprefix("0.").removeprefix("1."): v for name, v in head.state_dict().items()}
        found = {**state, "losses": torch.stack(losses), "logits": logits}
        return {name: value.detach().numpy() for name, value in found.items()}

    def run(check: dict, inputs: Arrays) -> Arrays:
        if "features" in inputs:
            return wanted(check, linear_probe(inputs))
        if "queries" not in inputs:
            raise UnknownCheckError(f"backbone-battle has no rule for the check {check['name']!r}")
        features = (torch.from_numpy(inputs[name]) for name in ("queries", "values"))
        score = retrieval_score(*features, inputs["positive"], inputs.get("junk"), inputs["ks"].tolist())
        found = {"map": score.mean_average_precision, "mrr": score.reciprocal_rank}
        found |= {"precision": score.precision, "recall": score.recall}
        return wanted(check, {name: np.asarray(value) for name, value in found.items()})

    return run
