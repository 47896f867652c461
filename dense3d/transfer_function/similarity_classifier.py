"""The paper's method as a classifier of the tool: similarity maps of transformer features, class by class."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.annotations import annotations_of, check_inside, for_class
from dense3d.transfer_function.classifier import Progress
from dense3d.transfer_function.features import (
    FeatureSettings,
    KeyNetwork,
    compute_features,
    load_key_network,
    normalised,
    official_features,
    preset,
)
from dense3d.transfer_function.prompts import Prompt
from dense3d.transfer_function.refinement import RefinementOptions, Refiner
from dense3d.transfer_function.similarity import (
    SimilarityOptions,
    emphasised,
    scaled,
    shaped,
    similarities,
    smoothed,
)
from dense3d.transfer_function.similarity_scores import ClassScores, SimilarityScores

MEMORY = 512 * 2**20  # bytes of maps that are kept of single prompts
ISOVALUE = 0.4  # the official interface's, that refined maps are cropped by


@dataclass(frozen=True, eq=False)
class PromptMap:
    """What one prompt gives: maps over its annotations, (W', H', D')."""

    total: Tensor  # sum
    peak: Tensor  # largest
    relative: Tensor  # (A, 3)

    @property
    def bytes(self) -> int:
        """Memory of the maps."""
        return (1 if self.peak is self.total else 2) * self.total.numel() * self.total.element_size()


class ClassSums:
    """The sum of the maps of a class's prompts, in float64, so that taking one off leaves no trace."""

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        self.total = torch.zeros(*shape, dtype=torch.float64, device=device)
        self.maps: dict[bytes, PromptMap] = {}

    def update(self, maps: dict[bytes, PromptMap]) -> None:
        """Make the sum that of ``maps``, by what has come and gone since the last time."""
        for key in maps.keys() - self.maps.keys():
            self.total += maps[key].total
        for key in self.maps.keys() - maps.keys():
            self.total -= self.maps[key].total
        self.maps = maps


class SimilarityClassifier:
    """Similarity to the annotated voxels in features of a self-supervised vision transformer.

    Engel, Sick and Ropinski, "Leveraging Self-Supervised Vision Transformers for Segmentation-based Transfer
    Function Design", TVCG 2024. A new prompt costs its own map only. Negative prompts and those of the
    background (ours) take the largest of their maps off the class's.

    Args:
        volume: at its working resolution, which prompts and scores are of.
        network: a checkpoint file (:func:`dense3d.transfer_function.features.load_key_network`), the network
            itself, or features that the official code saved for the volume's file (``.npy``).
        settings: of the features, or the name of a preset.
        options: of the maps.
        refinement: of the maps to the volume's edges; None leaves them as the features' cells give them.
        cache: folder of feature volumes; the user's cache folder unless given.
        features: (F, W', H', D') that are there already, not normalised; nothing is computed then.
        first: (axis, index) of the slice that a person looks at; the middle one across the last axis unless
            given.
        device: ``"cpu"``, ``"cuda"`` ...

    Raises:
        CheckpointError: the checkpoint cannot be read.
        DataError: the features cannot be read, or are of another volume.
        ConfigError: neither network nor features are given, or they do not fit.
    """

    name = "similarity"

    def __init__(
        self,
        volume: Volume,
        network: str | os.PathLike | KeyNetwork | None = None,
        settings: FeatureSettings | str = "quick",
        options: SimilarityOptions | None = None,
        refinement: RefinementOptions | None = None,
        cache: str | os.PathLike | None = None,
        features: Tensor | None = None,
        first: tuple[int, int] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.volume, self.cache = volume, cache
        self.first = first or (2, volume.shape[2] // 2)
        self.settings = preset(settings) if isinstance(settings, str) else settings
        self.options = options or SimilarityOptions()
        self.device = torch.device(device)
        if isinstance(network, (str, os.PathLike)) and str(network).endswith(".npy"):
            features, network = official_features(network, volume, self.settings.part), None
        elif isinstance(network, (str, os.PathLike)):
            network = load_key_network(network, part=self.settings.part)
        self.network = network
        self._refiner = Refiner(volume.values, refinement) if refinement is not None else None
        self._features: Tensor | None = None
        self._keys: weakref.WeakKeyDictionary[Prompt, bytes] = weakref.WeakKeyDictionary()
        self._forget()
        if network is None and features is None:
            raise ConfigError("similarity needs features: name a checkpoint, or give a network or features")
        if features is not None:
            if features.ndim != 4:
                raise ConfigError(
                    f"features of shape {tuple(features.shape)} are not (F, W', H', D') of one modality; for "
                    "several, see dense3d.transfer_function.similarity.class_map"
                )
            self._use(features)

    @property
    def ready(self) -> bool:
        """Whether each cell has features; they get better until :meth:`prepare` ends."""
        return self._features is not None

    def prepare(self, progress: Progress) -> None:
        """Compute the features, or find them on disk.

        Raises:
            DataError: the volume is constant.
        """
        if self.network is None:
            return
        features = compute_features(
            self.volume,
            self.network,
            self.settings,
            progress,
            preview=self._use,
            first=self.first,
            cache=self.cache,
            device=self.device,
        )
        self._use(features)

    def _use(self, features: Tensor) -> None:
        self._features = normalised(features.to(self.device).float())

    def _forget(self) -> None:
        self._maps: OrderedDict[bytes, PromptMap] = OrderedDict()
        self._sums: dict[int, ClassSums] = {}
        self._results: dict[int, tuple[tuple, ClassScores]] = {}
        self._of: Tensor | None = None  # the features that they are of

    def classify(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> SimilarityScores:
        """Scores of the classes after these prompts.

        Raises:
            DataError: a prompt has voxels outside of the volume.
        """
        features = self._features
        if features is None:
            raise RuntimeError("the features are not there yet: call prepare, and wait until ready")
        if features is not self._of:
            self._forget()
            self._of = features
        for gone in set(self._sums) - set(class_ids):
            self._sums.pop(gone), self._results.pop(gone, None)
        classes = [self._class_scores(prompts, class_id, features) for class_id in class_ids]
        self._trim()
        return SimilarityScores(tuple(class_ids), classes, self.volume.shape)

    def _class_scores(self, prompts: Sequence[Prompt], class_id: int, features: Tensor) -> ClassScores:
        """Those of one class; the same object while nothing of the class changes."""
        positive, negative = for_class(prompts, class_id)
        keys = tuple({self._key(p) for p in side} for side in (positive, negative))
        if class_id in self._results and self._results[class_id][0] == keys:
            return self._results[class_id][1]
        own = {self._key(p): self._prompt_map(p, features) for p in positive}
        against = {self._key(p): self._prompt_map(p, features) for p in negative}
        similarity = self._combined(class_id, own, against, features)
        refine = None
        if self._refiner is not None and own:
            voxels = torch.from_numpy(np.concatenate([p.voxels for p in positive]).astype(np.int64))
            refine = partial(self._refined, similarity, voxels)
        coarse = self._finished(scaled(similarity, self.options.quantile))
        result = ClassScores(coarse, self.volume.shape, refine)
        self._results[class_id] = keys, result
        return result

    def _refined(self, similarity: Tensor, voxels: Tensor) -> Tensor:
        return self._finished(self._refiner(similarity, voxels, ISOVALUE))

    def _finished(self, scores: Tensor) -> Tensor:
        """After the post-processing that the options ask for, which is of uint8."""
        options = self.options
        if not options.smoothing and not options.open_close:
            return scores
        whole = smoothed(scores.to(torch.uint8).cpu().numpy(), options.smoothing, options.open_close)
        return torch.from_numpy(whole).to(scores.device, torch.float32)

    def _combined(self, class_id: int, own: dict, against: dict, features: Tensor) -> Tensor:
        shape = features.shape[1:]
        if not own:
            return features.new_zeros(shape)
        sums = self._sums.setdefault(class_id, ClassSums(shape, features.device))
        sums.update(own)
        if self.options.reduction == "max":
            similarity = torch.stack([m.peak for m in own.values()]).amax(0)
        else:
            similarity = (sums.total / sum(len(m.relative) for m in own.values())).clamp(min=0).float()
        if against:
            taken = torch.stack([m.peak for m in against.values()]).amax(0)
            similarity = (similarity - taken).clamp(min=0)
        return shaped(similarity, torch.cat([m.relative for m in own.values()]), self.options)

    def _prompt_map(self, prompt: Prompt, features: Tensor) -> PromptMap:
        key = self._key(prompt)
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        relative, queries = annotations_of(prompt, features, self.volume.shape)
        maps = emphasised(similarities(features, queries), self.options.lower_cut, self.options.exponent)
        total = maps.sum(0)
        found = PromptMap(total, total if len(maps) == 1 else maps.amax(0), relative)
        self._maps[key] = found
        return found

    def _key(self, prompt: Prompt) -> bytes:
        """Hash of what the map of a prompt depends on.

        Raises:
            DataError: it has voxels outside of the volume.
        """
        if prompt not in self._keys:
            check_inside(prompt, self.volume.shape)
            digest = hashlib.blake2b(prompt.kind.encode(), digest_size=16)
            digest.update(np.ascontiguousarray(prompt.voxels, np.int64).tobytes())
            self._keys[prompt] = digest.digest()
        return self._keys[prompt]

    def _trim(self) -> None:
        """Let go of the maps that were not used for longest."""
        size = sum(m.bytes for m in self._maps.values())
        while size > MEMORY:
            size -= self._maps.popitem(last=False)[1].bytes
