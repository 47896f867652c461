"""Classes of voxels: NeRF-MAE's network with a head of K channels (zubair-irshad/NeRF-MAE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.radiance.data_preprocessor import grids_of, padded
from dense3d.radiance.voxels.network import VoxelNetwork, samples_with
from dense3d.registry import MODELS
from dense3d.structures.grid_sample import GridDataSample

VOID = 0


@MODELS.register_module()
class VoxelSegmenter(VoxelNetwork):
    """A class for every voxel of a radiance grid; class 0 is void and not learnt.

    Args:
        encoder, pretrained, data_preprocessor, init_cfg: see :class:`VoxelNetwork`.
        num_classes: K, void included: 19 of Front3D, 21 of HM3D.
        class_weights: of the K classes, or none for 1 each; :func:`class_weights_of` gives the paper's from
            counts. That of void has no influence.

    Shape:
        grids ``(B, 4, X, Y, Z)`` with sides of whole patches -> logits ``(B, K, X, Y, Z)``.

    Raises:
        ConfigError: fewer than two classes, or weights that are not K numbers of 0 or more.

    Example:
        >>> model = VoxelSegmenter(dict(arch=dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2))), 5)
        >>> model(torch.rand(1, 4, 16, 8, 8)).shape
        torch.Size([1, 5, 16, 8, 8])
    """

    def __init__(
        self,
        encoder: dict,
        num_classes: int,
        class_weights: Sequence[float] | None = None,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(encoder, pretrained, data_preprocessor, init_cfg)
        if num_classes < 2:
            raise ConfigError(f"num_classes={num_classes}: void and one class are the fewest")
        weights = (
            [1.0] * num_classes if class_weights is None else [float(weight) for weight in class_weights]
        )
        if len(weights) != num_classes or not all(0 <= weight < float("inf") for weight in weights):
            raise ConfigError(
                f"class_weights: give {num_classes} numbers of 0 or more, not {class_weights!r}"
            )
        self.num_classes = num_classes
        self.register_buffer("class_weights", torch.tensor(weights))
        self.predict = nn.Conv3d(self.add_decoder(), num_classes, 1)

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: list[GridDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[GridDataSample] | Tensor:
        """Losses, samples with ``pred_voxel_labels``, or logits.

        Args:
            inputs: grids.
            data_samples: with ``gt_voxel_labels`` for ``"loss"``.
            mode: ``"loss"``, the cross entropy and the soft IoU to watch; ``"predict"``; or ``"tensor"``.
        """
        grids, shapes = grids_of(inputs)
        logits = self.predict(self.features(grids))
        if mode == "tensor":
            return logits
        if mode == "predict":
            samples = data_samples or [GridDataSample() for _ in grids]
            labels = logits.argmax(dim=1)
            for index, (sample, shape) in enumerate(zip(samples, shapes.tolist())):
                x, y, z = (slice(side) for side in shape)
                sample.set_data({"pred_voxel_labels": labels[index, x, y, z]})
                sample.set_data({"grid": grids[index, :, x, y, z].float()})
            return samples
        labels = self.targets(data_samples, grids, shapes)
        return {
            "loss_voxels": voxel_cross_entropy(logits, labels, self.class_weights),
            "soft_iou": soft_iou(logits.detach(), labels),
        }

    def targets(self, data_samples: list[GridDataSample] | None, grids: Tensor, shapes: Tensor) -> Tensor:
        """``(B, X, Y, Z)`` int64 labels, void where a grid is padded.

        Raises:
            DataError: a sample has none, of another shape, or of unknown classes.
        """
        found = samples_with(data_samples, "gt_voxel_labels", "voxel segmentation")
        for sample, labels, shape in zip(data_samples, found, shapes.tolist()):
            if list(labels.shape) != shape:
                raise DataError(
                    f"{sample.get('sample_id')}: there are {'x'.join(map(str, labels.shape))} voxel labels "
                    f"for a grid of {'x'.join(map(str, shape))} voxels"
                )
            if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
                raise DataError(
                    f"{sample.get('sample_id')}: voxel labels reach from {int(labels.min())} to "
                    f"{int(labels.max())}, but the model has the classes 0 (void) to {self.num_classes - 1}"
                )
        return torch.stack([padded(labels.long(), tuple(grids.shape[2:])) for labels in found])


def voxel_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """Weighted mean of the cross entropy over voxels that have a class.

    The official code sets logits and label of void voxels to 0 and gives class 0 no weight, which is the
    same.

    Args:
        logits: ``(B, K, X, Y, Z)``.
        labels: ``(B, X, Y, Z)`` int64, 0 for void.
        class_weights: ``(K,)``.

    Returns:
        a scalar; 0 where all is void. The weights are summed over all processes.
    """
    known = labels != VOID
    weights = class_weights.float()[labels] * known
    errors = F.cross_entropy(logits.float(), labels, reduction="none") * weights
    total = weights.sum().detach()
    all_reduce(total, op="mean")
    return errors.sum() / total.clamp(min=1e-12)


def soft_iou(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over grids and classes of the IoU of probabilities with the truth, on voxels that have a class.

    Classes that a grid does not have count as well, which keeps it small; it is there to be watched.
    """
    known = (labels != VOID)[:, None]
    chance = logits.float().softmax(1)[:, 1:] * known
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:] * known
    both = (chance * truth).flatten(2).sum(2)
    either = (chance + truth).flatten(2).sum(2) - both
    return (both / (either + 1e-8)).mean()


def class_weights_of(counts: Sequence[float], smoothing: float = 1.02) -> list[float]:
    """``1 / log(1.02 + frequency)`` of each class among the voxels that have one; 0 for void.

    Args:
        counts: voxels of each class in the training set, void first.
        smoothing: the number above.

    Example:
        >>> [round(weight, 3) for weight in class_weights_of([100, 3, 1])]
        [0.0, 1.751, 4.184]
    """
    counts = torch.tensor(counts, dtype=torch.float64)
    counts[VOID] = 0
    weights = 1 / torch.log(smoothing + counts / counts.sum().clamp(min=1))
    weights[VOID] = 0
    return weights.tolist()
