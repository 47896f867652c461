"""A classifier by any plain ViT that learns which of its tokens it can leave out.

Pan et al., "IA-RED^2: Interpretability-Aware Redundancy Reduction for Vision Transformers", NeurIPS 2021
(arXiv 2106.12620).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.backbones.token_groups import THRESHOLD, Interpretation, TokenGroups
from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError, DataError
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.token_reduction import Interpreter
from dense3d.registry import MODELS

from .costs import ReductionCost, measure
from .curriculum import INTERPRETER, Stage
from .policy import draw, log_likelihood, policy_loss, reward

START = 0.8  # score of every token before training


@MODELS.register_module()
class TokenReducingClassifier(ImageClassifier):
    """A class for each image, by a plain ViT in front of whose groups of blocks interpreters drop patches.

    It starts from a trained network, ``backbone.init_cfg``, and is trained stage by stage, which
    ``TokenCurriculum`` enters. What it is not yet trained for it does not do: groups behind that of the stage
    keep what they get, in evaluation too.

    Args:
        backbone: config of a plain ViT, see :func:`dense3d.backbones.token_groups.reduction_faults`.
        num_classes: C, of the data.
        group_sizes: blocks of each group.
        interpreter_heads: heads of the interpreters.
        penalty: tau, what a wrong class costs; the more, the more patches stay.
        **kwargs: ``label_smoothing``, ``data_preprocessor``, ``init_cfg`` of :class:`ImageClassifier`.

    Shape:
        images ``(B, 3, H, W)`` to logits ``(B, C)``. Predictions also have ``gflops`` and ``full_gflops``,
        billions of multiply-adds with and without reduction, and ``kept_shares``, the share of the patches
        that each group keeps.

    Raises:
        ConfigError: a backbone that needs all its tokens, or whose classifier averages them; sizes that do
            not add up to its depth; a negative penalty; training without a stage.
        DataError: a label is missing or no class, or images were mixed while an interpreter is trained.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        group_sizes: Sequence[int],
        interpreter_heads: int = 6,
        penalty: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, num_classes, **kwargs)
        if penalty < 0:
            raise ConfigError(f"penalty={penalty} of a TokenReducingClassifier: 0 or more")
        self.interpreters = TokenGroups(self.backbone, group_sizes, interpreter_heads)
        for interpreter in self.interpreters:
            start_keeping(interpreter)
        head = self.head
        if not isinstance(head, TokenHead) or head.mean:
            raise ConfigError(
                "a TokenReducingClassifier reads the class token, and this head averages patches, of which "
                'some are dropped: leave model.head="official" and the backbone\'s final norm'
            )
        if self.backbone.out_indices[-1] != len(self.backbone.blocks) - 1:
            raise ConfigError("a TokenReducingClassifier needs all blocks: leave out_indices of the backbone")
        self.penalty = penalty
        # groups that drop patches; a finished network has as many as there are
        self.register_buffer("judges", torch.tensor(len(self.interpreters)))
        self.stage: Stage | None = None
        self._costs: dict[tuple[int, ...], ReductionCost] = {}

    def enter(self, stage: Stage) -> None:
        """Train one group's interpreter, or the blocks from that group on and the head; freeze the rest."""
        self.stage = stage
        self.judges.fill_(stage.group + 1)
        self.requires_grad_(False)
        if stage.part == INTERPRETER:
            self.interpreters[stage.group].requires_grad_(True)
        else:
            self._trained_blocks().requires_grad_(True)
            self.head.requires_grad_(True)
            for part in self.backbone.frozen_parts():
                part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> TokenReducingClassifier:
        """Training mode; what is frozen stays in evaluation mode, without stochastic depth."""
        super().train(mode)
        if mode and getattr(self, "stage", None) is not None:
            trained = [block for block in self._trained_blocks() if block.training]
            self.backbone.eval()
            if self.stage.part != INTERPRETER:
                for block in trained:
                    block.train()
        return self

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Losses of the stage, predictions or logits; see :class:`ImageClassifier`."""
        if mode == "loss" and self.stage is None:
            raise ConfigError(
                "a TokenReducingClassifier is trained stage by stage: give the config "
                'custom_hooks=[dict(type="TokenCurriculum", interpreter=..., blocks=...)]'
            )
        if mode == "loss" and self.stage.part == INTERPRETER:
            return self._interpreter_losses(inputs, data_samples)
        found = self.interpret(inputs)
        logits = self.head(found.tokens[-1])
        if mode == "loss":
            losses = self.loss(logits, self._targets(data_samples, logits))
            return losses | {"kept": 100 * self._patches(found.kept[-1]).float().mean()}
        return self._with_costs(inputs, logits, found, data_samples) if mode == "predict" else logits

    def interpret(self, images: Tensor) -> Interpretation:
        """Scores and kept tokens of each group that judges, and what leaves the last block."""
        return self.interpreters(self.backbone, self._embedded(images), judges=int(self.judges))

    def _interpreter_losses(self, images: Tensor, samples: list[BaseDataElement] | None) -> dict[str, Tensor]:
        """Loss by which the interpreter of the stage learns, and what its choices bring."""
        group = self.stage.group
        tokens, kept = self._before(group, images)
        with torch.autocast(images.device.type, enabled=False):
            scores = self.interpreters[group](tokens.float(), kept)  # (B, P + N)
        present = torch.ones_like(scores, dtype=torch.bool) if kept is None else kept
        drawn, chosen = draw(scores.detach()), scores.detach() > THRESHOLD
        with torch.no_grad():
            rewards, is_right = zip(*(self._reward(group, tokens, x, samples) for x in (drawn, chosen)))
        choices = (self._patches(x) for x in (scores, drawn, present))
        return {
            "loss": policy_loss(log_likelihood(*choices), *rewards),
            "reward": rewards[1].mean(),
            "accuracy": 100 * is_right[1].float().mean(),
            "kept": 100 * self._patches(chosen).float().mean(),
        }

    @torch.no_grad()
    def _before(self, group: int, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens that a group gets, and which of them are left."""
        tokens, first = self._embedded(images), self.interpreters.first_block(group)
        if group == 0:
            return tokens, None
        found = self.interpreters(self.backbone, tokens, 0, first, judges=group)
        return found.tokens[-1], found.kept[-1]

    def _reward(
        self, group: int, tokens: Tensor, kept: Tensor, samples: list[BaseDataElement] | None
    ) -> tuple[Tensor, Tensor]:
        """Rewards ``(B,)`` of keeping these tokens ``(B, P + N)`` from a group on, and where it is right."""
        kept[:, : self.backbone.num_prefix] = True
        first = self.interpreters.first_block(group)
        found = self.interpreters(self.backbone, tokens, first, kept=kept, judges=group)
        logits = self.head(found.tokens[-1])
        labels = self._targets(samples, logits)
        if labels.ndim > 1:
            raise DataError(
                "a reward needs one class an image, and images were mixed: train interpreters without "
                "data_preprocessor.batch_augment"
            )
        is_right = logits.argmax(dim=1) == labels
        return reward(self._patches(kept), is_right, self.penalty), is_right

    def _with_costs(
        self,
        images: Tensor,
        logits: Tensor,
        found: Interpretation,
        samples: list[BaseDataElement] | None,
    ) -> list[BaseDataElement]:
        size = tuple(images.shape[-2:])
        if size not in self._costs:
            self._costs[size] = measure(self.backbone, self.interpreters, self.head, images)
        cost, samples = self._costs[size], self.predictions(logits, samples)
        counts = torch.stack([kept.sum(dim=1) for kept in found.kept], dim=1).tolist()  # (B, groups)
        shares = torch.stack([self._patches(kept).float().mean(dim=1) for kept in found.kept], dim=1).tolist()
        for sample, count, share in zip(samples, counts, shares):
            sample.set_field(cost.reduced(count), "gflops")
            sample.set_field(cost.full(), "full_gflops")
            sample.set_field(share, "kept_shares")
        return samples

    def _embedded(self, images: Tensor) -> Tensor:
        self.backbone.check_images(images)
        return self.backbone.embed(self.backbone.pad(images))[0]

    def _patches(self, x: Tensor) -> Tensor:
        """What of ``(B, P + N)`` is of the patches."""
        return x[:, self.backbone.num_prefix :]

    def _trained_blocks(self) -> nn.ModuleList:
        """Blocks from the group of the stage on."""
        return self.backbone.blocks[self.interpreters.first_block(self.stage.group) :]


def start_keeping(interpreter: Interpreter) -> None:
    """Let scores begin about ``START``, so that the network starts as it was trained: it keeps everything."""
    channels = len(interpreter.qk.bias) // 3 // interpreter.num_heads
    bias = math.sqrt(math.log(START / (1 - START)) / math.sqrt(channels))
    nn.init.trunc_normal_(interpreter.qk.weight, std=0.02)
    nn.init.constant_(interpreter.qk.bias, bias)
