"""`dense3d` whose computing is short, and halts until it may go on: run as a script by tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

SMALL = dict(embed_dim=16, depth=2, num_heads=2)  # of what is released as dino_vits16
LEARNING, FEATURES = "learning", "features"  # files that let it go on


def small_dino(path: Path) -> Path:
    """A file of a small network with random weights, in the layout of the official ones."""
    import torch

    from dense3d.backbones import VisionTransformer

    torch.manual_seed(0)
    network = VisionTransformer(dict(name="dino_vits16", pretrain_size=64, **SMALL))
    state = {
        name: value.normal_(std=0.2) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, SMALL["embed_dim"]), state["pos_embed"]], dim=1)
    torch.save(state, path)
    return path


def make_small() -> None:
    """Let the released name stand for the small network in this process."""
    from dense3d.backbones.vit_architectures import ARCHITECTURES

    ARCHITECTURES["dino_vits16"] = ARCHITECTURES["dino_vits16"] | SMALL


def halting(compute: Callable, place: int, share: float, gate: Path) -> Callable:
    """``compute`` that halts at a share done until a file is there; argument ``place`` is its progress."""

    def halted(*arguments, **options):
        tell = arguments[place]

        def progress(done: float, task: str, left: float | None) -> None:
            tell(done, task, left)
            while share <= done < 1 and not gate.exists():
                time.sleep(0.02)
                tell(done, task, left)  # which ends it where it was cancelled

        return compute(*arguments[:place], progress, *arguments[place + 1 :], **options)

    return halted


def main() -> int:
    """First argument: the folder of the files that are waited for; the rest as for ``dense3d``."""
    from dense3d.cli.dispatch import main as dense3d
    from dense3d.transfer_function import similarity_classifier
    from dense3d.transfer_function.graph import learning

    gates = Path(sys.argv.pop(1))
    make_small()
    learning.MOST_STEPS = 40
    learning.learn_features = halting(learning.learn_features, 2, 0.2, gates / LEARNING)
    similarity_classifier.compute_features = halting(
        similarity_classifier.compute_features, 3, 0.0, gates / FEATURES
    )
    return dense3d()


if __name__ == "__main__":
    sys.exit(main())
