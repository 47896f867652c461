"""The methods that turn marks into scores, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dense3d.errors import ConfigError, did_you_mean
from dense3d.structures.volume import Volume
from dense3d.transfer_function.classifier import Classifier


@dataclass(frozen=True)
class Method:
    """One of them.

    Args:
        label: what a page calls it.
        needs_checkpoint: whether it looks through an image backbone.
        make: gives the classifier of a volume at working resolution.
    """

    label: str
    needs_checkpoint: bool
    make: Callable[[Volume, str | None], Classifier]


def method_names(checkpoint: str | None = None) -> list[str]:
    """The methods that can be chosen, the default first: with a checkpoint, one that looks through it.

    Example:
        >>> method_names()
        ['graph', 'graph-quick']
    """
    return sorted(
        (name for name, one in METHODS.items() if checkpoint or not one.needs_checkpoint),
        key=lambda name: not METHODS[name].needs_checkpoint,
    )


def check_method(name: str, checkpoint: str | None = None) -> None:
    """Complain about a method that cannot be chosen.

    Raises:
        ConfigError: there is no such method, or it needs a checkpoint.
    """
    if name not in METHODS:
        known = ", ".join(METHODS)
        raise ConfigError(f"there is no method {name!r}{did_you_mean(name, METHODS) or ';'} methods: {known}")
    if METHODS[name].needs_checkpoint and checkpoint is None:
        raise ConfigError(
            f"the method {name} looks through an image backbone: name its weights by checkpoint"
        )


def make_classifier(name: str, volume: Volume, checkpoint: str | None = None) -> Classifier:
    """The classifier of a method, not prepared yet.

    Raises:
        ConfigError: there is no such method, or it needs a checkpoint.
        CheckpointError: the checkpoint cannot be read.
    """
    check_method(name, checkpoint)
    return METHODS[name].make(volume, checkpoint)


def _graph(volume: Volume, checkpoint: str | None) -> Classifier:
    from dense3d.transfer_function.graph.classifier import GraphClassifier

    return GraphClassifier(volume)


def _quick_graph(volume: Volume, checkpoint: str | None) -> Classifier:
    from dense3d.transfer_function.graph.classifier import GraphClassifier

    return GraphClassifier(volume, features=("handmade",))


def _similarity(volume: Volume, checkpoint: str | None) -> Classifier:
    from dense3d.transfer_function.similarity_classifier import SimilarityClassifier

    return SimilarityClassifier(volume, checkpoint, device=_device())


def _refined(volume: Volume, checkpoint: str | None) -> Classifier:
    from dense3d.transfer_function.refinement import RefinementOptions
    from dense3d.transfer_function.similarity_classifier import SimilarityClassifier

    return SimilarityClassifier(volume, checkpoint, refinement=RefinementOptions(), device=_device())


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


METHODS: dict[str, Method] = {
    "graph": Method("Random walker on supervoxels, with features learnt on the volume", False, _graph),
    "graph-quick": Method("Random walker on supervoxels, nothing learnt", False, _quick_graph),
    "similarity": Method("Similarity of image features", True, _similarity),
    "similarity-refined": Method("Similarity of image features, refined to edges", True, _refined),
}
