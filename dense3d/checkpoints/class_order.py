"""Class rows of official panoptic checkpoints in our order: things first, each kind by its official number.

COCO's numbers are in this order already; Cityscapes' are its train ids, ADE20K's the positions in the list of
150 classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor

CITYSCAPES_STUFF = tuple(range(11))
ADE20K_STUFF = (
    *(0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61),
    *(63, 68, 77, 79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141),
    145,
)
CITYSCAPES_CLASSES, ADE20K_CLASSES = 19, 150


def things_first(rows: Tensor, stuff: Collection[int], num_classes: int) -> Tensor:
    """Reorder the first axis; rows beyond the classes (void) stay at the end.

    Args:
        rows: ``(num_classes or more, ...)``.
        stuff: official numbers of the stuff classes.
        num_classes: K.

    Example:
        >>> things_first(torch.tensor([10, 11, 12, 13]), stuff={0, 2}, num_classes=3).tolist()
        [11, 10, 12, 13]
    """
    order = sorted(range(num_classes), key=lambda i: (i in stuff, i))
    return torch.cat((rows[torch.tensor(order)], rows[num_classes:]))


def reordered(
    state: dict[str, Tensor], names: Iterable[str], stuff: Collection[int], num_classes: int
) -> dict[str, Tensor]:
    """A converted state dict with the class rows of the parameters ``names`` in our order."""
    return state | {name: things_first(state[name], stuff, num_classes) for name in names}
