"""Golden adapter of MonoDETR and MonoDINO-DETR (systems ``monodetr``, ``monodino-detr``).

The first word of a check's name decides: ``forward`` runs the model, ``losses`` the criterion, ``decode`` and
``targets`` what surrounds it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.golden import UnknownCheckError
from tests.golden.kit import GoldenKit
from tests.golden.monodino_detr_criterion import run_losses
from tests.golden.monodino_detr_data import run_decode, run_targets
from tests.golden.monodino_detr_model import ModelChecks

Arrays = dict[str, np.ndarray]


def open_kit(kit: GoldenKit) -> Callable[[dict, Arrays], Arrays]:
    """A runner of the kit's checks; the model is built for the first check that needs it."""
    models: list[ModelChecks] = []

    def forward(tensors: dict[str, torch.Tensor], check: dict) -> Arrays:
        if not models:
            models.append(ModelChecks(kit))
        return models[0].run(tensors, training="train" in check["name"])

    def run(check: dict, inputs: Arrays) -> Arrays:
        kind = check["name"].replace(".", "_").split("_")[0]
        if kind == "targets":
            found = run_targets(inputs)
        else:
            tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
            if kind == "forward":
                found = forward(tensors, check)
            elif kind == "losses":
                found = run_losses(kit.meta["config"], tensors, check)
            elif kind == "decode":
                found = run_decode(tensors)
            else:
                raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of MonoDETR")
        return {name: found[name] for name in check["outputs"] if name in found}

    return run
