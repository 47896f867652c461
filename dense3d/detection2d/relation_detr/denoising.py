"""Contrastive denoising: noised targets as further queries, to be restored or, beyond, to be rejected.

Zhang et al., "DINO", section 3.3 (arXiv 2203.03605). Everything is computed for all targets at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_convert

from dense3d.detection2d.relation_detr.queries import inverse_sigmoid


@dataclass
class DenoisingQueries:
    """Queries of ``groups`` groups of ``2 * slots``: positives, then negatives, one slot a target."""

    content: Tensor  # (B, D, C)
    boxes: Tensor  # (B, D, 4) cxcywh
    groups: int
    slots: int

    def attn_mask(self, num_queries: int) -> Tensor:
        """True where a query must not see another, ``(D + Q, D + Q)``, for Q matching queries after these.

        Matching queries see no denoising query, a group sees itself and the matching queries.
        """
        group = torch.arange(self.content.shape[1], device=self.content.device) // max(1, 2 * self.slots)
        group = F.pad(group, (0, num_queries), value=-1)
        return (group[None] >= 0) & (group[:, None] != group[None])

    def positive_slots(self, target: Tensor) -> Tensor:
        """Queries ``(groups, T)`` that must restore the targets ``target`` (number in its image)."""
        first = torch.arange(self.groups, device=target.device) * (2 * self.slots)
        return first[:, None] + target


class ContrastiveDenoising(nn.Module):
    """Generator of denoising queries.

    Args:
        num_queries: number of positive queries that the groups are filled up to.
        num_classes: classes.
        embed_dims: channels of the queries.
        label_noise: half of this share of the labels is replaced by a random class.
        box_noise: edges of positives move by up to this times half the box, those of negatives by up to twice
            that.
    """

    def __init__(
        self,
        num_queries: int,
        num_classes: int,
        embed_dims: int,
        label_noise: float = 0.5,
        box_noise: float = 1.0,
    ):
        super().__init__()
        self.num_queries, self.num_classes = num_queries, num_classes
        self.label_noise, self.box_noise = label_noise, box_noise
        self.label_encoder = nn.Embedding(num_classes, embed_dims)

    @torch.compiler.disable  # numbers of targets change with every batch, and each would be compiled anew
    def forward(self, labels: list[Tensor], boxes: list[Tensor]) -> DenoisingQueries:
        """Queries for a batch.

        Args:
            labels: ``(n,)`` of each image.
            boxes: ``(n, 4)`` of each image, cxcywh in [0, 1].
        """
        counts = [len(label) for label in labels]
        copies = 2 * self.num_groups(counts)
        all_labels, all_boxes = torch.cat(labels).repeat(copies), torch.cat(boxes).repeat(copies, 1)
        draws = self.draw(len(all_labels), all_boxes)
        return self.queries(*self.noised(all_labels, all_boxes, copies, *draws), counts)

    def num_groups(self, counts: list[int]) -> int:
        """Groups for images with that many targets; one without slots where there is no target."""
        slots = max(counts)
        return max(1, self.num_queries // slots) if slots else 1

    def draw(self, number: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random numbers of ``number`` noised targets: two for the label, sign and size for each edge."""
        uniform = torch.rand(number, device=like.device)
        random_labels = torch.randint(self.num_classes, (number,), device=like.device)
        sign = torch.randint(2, (number, 4), device=like.device).to(like.dtype) * 2 - 1
        return uniform, random_labels, sign, torch.rand(number, 4, device=like.device, dtype=like.dtype)

    def noised(
        self,
        labels: Tensor,
        boxes: Tensor,
        copies: int,
        label_uniform: Tensor,
        label_random: Tensor,
        box_sign: Tensor,
        box_uniform: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Apply noise to ``copies`` copies of all targets, positive and negative ones in turns.

        Args:
            labels: ``(copies * T,)``.
            boxes: ``(copies * T, 4)`` cxcywh.
            copies: how often the T targets are repeated.
            label_uniform: the label is replaced where this is small, ``(copies * T,)``.
            label_random: by this, ``(copies * T,)``.
            box_sign: direction of each edge, -1 or 1, ``(copies * T, 4)``.
            box_uniform: length of each edge's move in [0, 1), ``(copies * T, 4)``.

        Returns:
            labels and cxcywh boxes.
        """
        labels = torch.where(label_uniform < self.label_noise * 0.5, label_random, labels)
        negative = (
            torch.arange(copies, device=boxes.device).remainder(2).repeat_interleave(len(boxes) // copies)
        )
        half_size = boxes[:, 2:].repeat(1, 2) / 2
        moves = box_sign * (box_uniform + negative[:, None]) * half_size * self.box_noise
        corners = box_convert(boxes, "cxcywh", "xyxy") + moves
        return labels, box_convert(corners.clamp(0, 1), "xyxy", "cxcywh")

    def queries(self, labels: Tensor, boxes: Tensor, counts: list[int]) -> DenoisingQueries:
        """Put noised targets, in the order of :meth:`noised`, into their slots.

        Slots without a target have zero content and the box (0.5, 0.5, 0.5, 0.5).
        """
        groups, slots = self.num_groups(counts), max(counts)
        image, target = target_numbers(counts, boxes.device)  # (T,)
        copy = torch.arange(2 * groups, device=boxes.device)[:, None]  # (2 * groups, 1)
        place = (image * (2 * groups * slots) + copy * slots + target).flatten()
        batch, number = len(counts), 2 * groups * slots
        content = self.label_encoder(labels)
        # The first term keeps the embedding in the graph where there are no targets.
        empty = content.new_zeros(batch * number, content.shape[1]) + 0 * self.label_encoder.weight.sum()
        content = empty.index_put((place,), content).view(batch, number, content.shape[1])
        logits = boxes.new_zeros(batch * number, 4).index_put((place,), inverse_sigmoid(boxes))
        return DenoisingQueries(content, logits.sigmoid().view(batch, number, 4), groups, slots)


def target_numbers(counts: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Image, and number within the image, of each of ``sum(counts)`` targets.

    Example:
        >>> target_numbers([2, 0, 1], torch.device("cpu"))
        (tensor([0, 0, 2]), tensor([0, 1, 0]))
    """
    # From Python numbers: a GPU would have to tell how many there are.
    pairs = [(image, number) for image, count in enumerate(counts) for number in range(count)]
    image, number = torch.tensor(pairs, dtype=torch.long, device=device).view(-1, 2).unbind(1)
    return image, number
