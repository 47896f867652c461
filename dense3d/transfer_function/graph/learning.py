"""Features learnt on the volume itself: a small convolutional network that knows neighbours again.

No labels: regions that a short random walk on the graph of supervoxels joins shall look alike to the network,
all others different (InfoNCE: van den Oord et al. 2018, equation 4, both ways as in CLIP). Like
NeuVolEx (arXiv 2604.11172) it learns on the one volume that is looked at; unlike there, the network sees
patches at four scales and not coordinates, so that what looks alike elsewhere has like features, and position
stays a matter of its own.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from dense3d.transfer_function.classifier import Progress
from dense3d.transfer_function.graph.pyramid import pyramid
from dense3d.transfer_function.graph.supervoxels import Supervoxels

SIDE = 5  # voxels of a patch along each axis, at each scale
DIMENSIONS = 24
MOST_STEPS, BATCH = 1000, 256
REGIONS_A_STEP = 8  # fewer steps for volumes of fewer than 8,000 regions
LONGEST_WALK = 4
TEMPERATURE = 0.1
RATE = 4e-3
NOISE = 0.01
PART = 2048  # patches that the trained network reads at once


def read_patches(
    intensity: np.ndarray, regions: Supervoxels, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Cubes of five voxels a side around the centre of each region at each scale.

    Returns:
        (R, L, 5, 5, 5) float32; voxels of a cube are as far apart along each axis, in millimetres.
    """
    steps = np.arange(SIDE) - SIDE // 2
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    patches = []
    for level in pyramid(intensity, spacing):
        offsets = grid * level.spacing.min() / np.asarray(spacing)
        patches.append(level.read(level.values, regions.centres[:, None, None, None] + offsets))
    return np.stack(patches, axis=1)


class PatchEncoder(nn.Module):
    """(B, L, 5, 5, 5) patches to (B, 24) features of length 1.

    Args:
        levels: scales of a patch.
        generator: of the initial weights.
    """

    def __init__(self, levels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            skip_init(nn.Conv3d, levels, 32, 3),
            nn.ReLU(),
            skip_init(nn.Conv3d, 32, 32, 3),
            nn.ReLU(),
            nn.Flatten(),
            skip_init(nn.Linear, 32, 128),
            nn.ReLU(),
            skip_init(nn.Linear, 128, DIMENSIONS),
        )
        for parameter in self.parameters():
            bound = (3 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.0
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, patches: Tensor) -> Tensor:
        return functional.normalize(self.layers(patches), dim=-1)


class GraphWalks:
    """Random walks on a weighted graph.

    Args:
        pairs: (E, 2) nodes.
        weights: (E,) positive.
        count: nodes.
    """

    def __init__(self, pairs: np.ndarray, weights: np.ndarray, count: int) -> None:
        first, second = pairs.T
        both = (np.concatenate([first, second]), np.concatenate([second, first]))
        matrix = sparse.coo_matrix((np.concatenate([weights, weights]), both), (count, count)).tocsr()
        self._targets, self._sums = matrix.indices, np.cumsum(matrix.data)
        edges = np.concatenate([[0.0], self._sums])
        self._from, self._to = edges[matrix.indptr[:-1]], edges[matrix.indptr[1:]]

    def walk(self, nodes: np.ndarray, steps: int, rng: np.random.Generator) -> np.ndarray:
        """Where walkers from ``nodes`` are after some steps; nodes without neighbours keep theirs."""
        for _ in range(steps):
            aim = self._from[nodes] + rng.random(len(nodes)) * (self._to[nodes] - self._from[nodes])
            edge = np.minimum(np.searchsorted(self._sums, aim, side="right"), len(self._sums) - 1)
            nodes = np.where(self._to[nodes] > self._from[nodes], self._targets[edge], nodes)
        return nodes


def learn_features(patches: np.ndarray, walks: GraphWalks, progress: Progress, seed: int = 0) -> np.ndarray:
    """Train the network and apply it.

    Args:
        patches: (R, L, 5, 5, 5) of :func:`read_patches`.
        walks: on the graph of the R regions.
        progress: called at each step; what it raises ends the work.
        seed: of weights, batches and noise; the same seed and number of threads give the same features.

    Returns:
        (R, 24) float32 of length 1.
    """
    steps = min(MOST_STEPS, len(patches) // REGIONS_A_STEP)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    data = torch.from_numpy(patches)
    network = PatchEncoder(patches.shape[1], generator)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(2, steps))
    # flat patches, half of a CT is air, teach little
    chances = patches.reshape(len(patches), -1).std(axis=1).astype(np.float64) + 0.02
    chances /= chances.sum()
    start = time.monotonic()
    for step in range(steps):
        anchors = rng.choice(len(patches), BATCH, p=chances)
        others = walks.walk(anchors, int(rng.integers(1, LONGEST_WALK + 1)), rng)
        flips = [axis for axis in (2, 3, 4) if rng.random() < 0.3]
        noise = torch.randn((BATCH, *data.shape[1:]), generator=generator) * NOISE
        pair = network(torch.cat([data[anchors], data[others].flip(flips) + noise]))
        likeness = pair[:BATCH] @ pair[BATCH:].T / TEMPERATURE
        own = torch.arange(BATCH)
        loss = functional.cross_entropy(likeness, own) + functional.cross_entropy(likeness.T, own)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        spent = time.monotonic() - start
        progress((step + 1) / steps, "learning features", spent / (step + 1) * (steps - step - 1))
    with torch.no_grad():
        return torch.cat([network(part) for part in data.split(PART)]).numpy()
