"""What classifies a volume from clicks, each as ``prompts -> labels``: ours and well-known baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from dense3d.optional import require
from dense3d.structures.volume import Volume
from dense3d.transfer_function.classifier import Classifier
from dense3d.transfer_function.graph.intensity import normalised
from dense3d.transfer_function.prompts import Prompt
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.windows import windows

THRESHOLD = 0.5
SCALES = (1, 2, 4)  # voxels of the shortest spacing, of the forest's filters
BETA = 15_000.0  # of scikit-image's walker: of 130 (its default), 1,500 and 15,000 the best on ct_body

Contender = Callable[[Sequence[Prompt]], np.ndarray]


def of_classifier(classifier: Classifier, classes: int) -> Contender:
    """A method of the tool at its default thresholds."""
    classifier.prepare(lambda done, task, left: None)
    ids = tuple(range(1, classes + 1))

    def classify(prompts: Sequence[Prompt]) -> np.ndarray:
        return resolve(classifier.classify(prompts, ids).volume(), [THRESHOLD] * classes, ids)

    return classify


def _clicks(prompts: Sequence[Prompt]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    voxels = np.concatenate([prompt.voxels for prompt in prompts])
    return tuple(voxels.T), np.repeat([p.class_id for p in prompts], [len(p.voxels) for p in prompts])


def threshold(volume: Volume, classes: int) -> Contender:
    """Each voxel to the class whose clicks' mean intensity is nearest: one interval of intensity a class.

    Until the background is clicked, intensities farther from every mean than a tenth of the range are its.
    """
    values = normalised(np.asarray(volume.values))

    def classify(prompts: Sequence[Prompt]) -> np.ndarray:
        places, owners = _clicks(prompts)
        present = np.unique(owners)
        means = np.array([values[places][owners == owner].mean() for owner in present])
        labels, nearest = np.zeros(values.shape, np.uint8), np.full(values.shape, np.inf, np.float32)
        if 0 not in present:
            nearest[:] = 0.1
        for owner, mean in zip(present, means):
            distance = np.abs(values - np.float32(mean))
            closer = distance < nearest
            labels[closer], nearest[closer] = owner, distance[closer]
        return labels

    return classify


def forest(volume: Volume, classes: int) -> Contender:
    """scikit-learn's random forest: 100 trees on intensity, filters at three scales and position."""
    ensemble = require("sklearn.ensemble", "the random forest of the benchmark")
    values = normalised(np.asarray(volume.values))
    scale = min(volume.spacing) / np.array(volume.spacing)
    columns = [values]
    for sigma in SCALES:
        columns.append(ndimage.gaussian_filter(values, sigma * scale))
        columns.append(ndimage.gaussian_gradient_magnitude(values, sigma * scale))
    columns += np.meshgrid(*[np.linspace(0, 1, n) for n in values.shape], indexing="ij")
    features = np.stack([column.astype(np.float32) for column in columns], axis=-1)

    def classify(prompts: Sequence[Prompt]) -> np.ndarray:
        places, owners = _clicks(prompts)
        trees = ensemble.RandomForestClassifier(100, random_state=0)
        trees.fit(features[places], owners)
        slabs = [trees.predict(slab.reshape(-1, features.shape[-1])) for slab in features]
        return np.concatenate(slabs).reshape(values.shape).astype(np.uint8)

    return classify


def voxel_walker(volume: Volume, classes: int) -> Contender:
    """scikit-image's random walker on voxels, by conjugate gradients with the diagonal as preconditioner.

    It sees the volume through the window that a page opens with, which served it better than the whole range.
    """
    segmentation = require("skimage.segmentation", "the random walker of the benchmark")
    values = windows(volume)[0].apply(np.asarray(volume.values))

    def classify(prompts: Sequence[Prompt]) -> np.ndarray:
        places, owners = _clicks(prompts)
        seeds = np.zeros(values.shape, np.int32)
        seeds[places] = owners + 1
        present = np.unique(seeds[seeds > 0])
        compact = np.searchsorted(np.concatenate([[0], present]), seeds)  # it wants labels without gaps
        if len(present) < 2:
            return np.full(values.shape, present[0] - 1, np.uint8)
        result = segmentation.random_walker(
            values, compact, beta=BETA, mode="cg_j", tol=1e-3, spacing=volume.spacing
        )
        return (np.concatenate([[1], present])[result] - 1).astype(np.uint8)

    return classify
