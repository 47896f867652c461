"""Token matching: a small ViDT learns the tokens of a large one.

Song et al., ViDT (arXiv 2110.03921), section 3.4. A larger body gives its decoder as many tokens of the same
width as a smaller one: those can be compared one by one, with no further layer between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dense3d.detection2d.vidt.decoder import Decoded, Memory
from dense3d.errors import ConfigError

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

    from dense3d.detection2d.vidt.detector import ViDT


class Teacher:
    """A trained ViDT, which stays as it is and is no part of the student's checkpoints.

    Args:
        config: file or name of its config.
        checkpoint: file with its weights. Both are read when the first batch comes.
        weight: of the loss.
    """

    def __init__(self, config: str, checkpoint: str, weight: float = 4.0) -> None:
        self.config, self.checkpoint, self.weight = config, checkpoint, weight
        self.model: ViDT | None = None

    def loss(
        self, decoded: Decoded, memory: Memory, inputs: Tensor, data_samples: list[DetDataSample]
    ) -> Tensor:
        """``weight`` times the mean distances of the levels' tokens and of the last layer's [DET] tokens.

        Args:
            decoded: of the student.
            memory: of the student.
            inputs: images ``(B, 3, H, W)`` that the student saw.
            data_samples: their data samples.

        Raises:
            ConfigError: the teacher has tokens of another number or width.
            CheckpointError: its file cannot be read or belongs to another model.
        """
        if self.model is None:
            self.model = self._load(inputs.device)
        with torch.no_grad():
            states, taught = self.model.decode(inputs, data_samples)
        pairs = ((memory.tokens, taught.tokens), (decoded.states[-1], states.states[-1]))
        for student, teacher in pairs:
            if student.shape != teacher.shape or memory.shapes != taught.shapes:
                raise ConfigError(
                    f"the student has tokens of shape {tuple(student.shape)} on levels {memory.shapes}, the "
                    f"teacher {tuple(teacher.shape)} on {taught.shapes}: embed_dims, num_det_tokens, pos_dim "
                    "and pyramid_fusion must be the same"
                )
        return self.weight * sum(token_distance(*pair) for pair in pairs)

    def _load(self, device: torch.device) -> ViDT:
        from dense3d.apis import build_model

        model = build_model(self.config, self.checkpoint, device)
        if not hasattr(model, "decode"):
            raise ConfigError(f"model.teacher.config={self.config!r} describes no ViDT with a decoder")
        return model.eval().requires_grad_(False)


def token_distance(tokens: Tensor, others: Tensor) -> Tensor:
    """Mean Euclidean distance of tokens ``(B, n, C)``; its gradient is zero where both are the same.

    Example:
        >>> token_distance(torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])).item()
        2.5
    """
    return torch.linalg.vector_norm(tokens.float() - others.float(), dim=-1).mean()
