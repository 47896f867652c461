"""The recipe on a model: training of the parent and of the gate, results at the depth that it chooses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dense3d.early_exit.cost import CostTable
from dense3d.early_exit.encoder import EarlyExitEncoder
from dense3d.early_exit.gate import Gate, gate_loss
from dense3d.early_exit.targets import ExitTargets
from dense3d.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

EXIT_TRAINING = ("random", "all")


class EarlyExit:
    """What early exit adds to a model with a deformable encoder; stands before it in the list of bases.

    Training is that of the parent as long as there are no ``gate_targets`` (step A): the model's losses at an
    exit drawn for the batch, or at all exits, weighted by depth over mean depth, so that the full depth
    counts most. With ``gate_targets`` everything but the gate is frozen and the gate learns the target depths
    (step C).

    Args:
        min_depth: of the first exit; the last is behind the last layer.
        depth: results from this depth for all images; None leaves it to the gate.
        exit_training: ``"random"``, one exit a batch, or ``"all"``.
        gate_targets: file of target depths, see :class:`ExitTargets`.
        count_cost: put the multiply-adds of each image into its result, for ``ExitCostMetric``.

    The other arguments are those of the model. It has to have ``extract_feat(inputs)``, everything before the
    encoder, ``losses_of(features, inputs, data_samples)`` and ``results_of(features, inputs, data_samples,
    rescale)``, and the subclass says what raises ``NotImplementedError`` here.

    Raises:
        ConfigError: no encoder layer lies between the exits, or a value is none of those named.
    """

    def __init__(
        self,
        *args: Any,
        min_depth: int = 2,
        depth: int | None = None,
        exit_training: str = "random",
        gate_targets: str | None = None,
        count_cost: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.install_exits()
        layers = len(self.exit_encoder.layers)
        if not 1 <= min_depth < layers:
            raise ConfigError(
                f"model.min_depth={min_depth} leaves no choice in an encoder of {layers} layers: "
                f"it must be in 1 .. {layers - 1}"
            )
        self.exits = tuple(range(min_depth, layers + 1))
        if depth is not None and depth not in self.exits:
            raise ConfigError(f"model.depth={depth} is none of the exits {self.exits}, nor None for the gate")
        if exit_training not in EXIT_TRAINING:
            raise ConfigError(f"model.exit_training={exit_training!r} is none of {EXIT_TRAINING}")
        self.depth, self.exit_training, self.gate_targets = depth, exit_training, gate_targets
        self.gate = Gate(self.exit_encoder.embed_dims, self.exits)
        self.costs = CostTable(self._run_at) if count_cost else None
        self._targets: ExitTargets | None = None
        if gate_targets is not None:
            self.requires_grad_(False)
            self.gate.requires_grad_(True)

    def install_exits(self) -> None:
        """Put an :class:`EarlyExitEncoder` into the place of the encoder."""
        raise NotImplementedError

    @property
    def exit_encoder(self) -> EarlyExitEncoder:
        """The encoder with exits."""
        raise NotImplementedError

    def coarsest_map(self, features: Sequence[Tensor]) -> Tensor:
        """Projected map of the largest stride, ``(B, C, h, w)``, from the features."""
        raise NotImplementedError

    def run_network(self, features: Sequence[Tensor], inputs: Tensor) -> object:
        """The encoder and what follows it in the network, from the features of ``inputs``."""
        raise NotImplementedError

    def train(self, mode: bool = True):
        """Training mode; while the gate is trained, the frozen parent stays in evaluation mode."""
        super().train(mode and self.gate_targets is None)
        self.training = mode
        return self

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of the parent, or of the gate.

        Raises:
            DataError: the file of target depths is unusable, belongs to a model with other exits, or lacks
                one of the images.
        """
        if self.gate_targets is not None:
            return self._gate_losses(inputs, data_samples)
        features = self.extract_feat(inputs)
        if self.exit_training == "all":
            return self._losses_of_all_exits(features, inputs, data_samples)
        depth = self.exits[int(torch.randint(len(self.exits), ()))]
        with self.exit_encoder.leaving_at(depth):
            losses = self.losses_of(features, inputs, data_samples)
        return _weighted(losses, depth * len(self.exits) / sum(self.exits))

    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """The model's results, with ``exit_depth`` and, if it is counted, ``gflops`` of each image."""
        with torch.no_grad():
            features = self.extract_feat(inputs)
            with self.leaving_by_gate(features) as depths:
                found = self.results_of(features, inputs, data_samples, rescale)
        for sample, depth in zip(found, depths):
            sample.set_field(depth, "exit_depth", dtype=int)
            if self.costs is not None:
                sample.set_field(self.costs.gflops(tuple(inputs.shape[-2:]), depth), "gflops", dtype=float)
        return found

    @contextlib.contextmanager
    def leaving_by_gate(self, features: Sequence[Tensor]) -> Iterator[list[int]]:
        """A context in which images leave where the gate, or ``depth``, says; gives their depths."""
        depths = [self.depth] * len(features[-1])
        if self.depth is None:
            depths = self.gate.depths(self.gate(self.coarsest_map(features)))
        with self.exit_encoder.leaving_at(depths):
            yield depths

    @torch.no_grad()
    def predict_exits(
        self, inputs: Tensor, data_samples: list[DetDataSample]
    ) -> Iterator[tuple[int, list[DetDataSample]]]:
        """Results at every exit in turn; backbone and encoder layers run once.

        Each turn writes into the same data samples: use them before the next.
        """
        features = self.extract_feat(inputs)
        for depth in self.exit_encoder.walk(self.exits):
            yield depth, self.results_of(features, inputs, data_samples, rescale=True)

    def _losses_of_all_exits(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for depth in self.exit_encoder.walk(self.exits):
            losses = _weighted(self.losses_of(features, inputs, data_samples), depth / sum(self.exits))
            total = {name: value + total[name] if total else value for name, value in losses.items()}
        return total

    def _gate_losses(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        targets = self._read_targets()
        wanted = [targets.class_of(sample.img_id, self.gate_targets) for sample in data_samples]
        wanted = torch.tensor(wanted, device=inputs.device)
        with torch.no_grad():
            coarsest = self.coarsest_map(self.extract_feat(inputs))
        logits = self.gate(coarsest)
        found = {"loss_gate": gate_loss(logits, wanted)}
        known = wanted >= 0
        if known.any():  # there is no accuracy without a target
            found["gate_accuracy"] = (logits.argmax(1) == wanted)[known].float().mean()
        return found

    def _read_targets(self) -> ExitTargets:
        if self._targets is None:
            targets = ExitTargets.read(self.gate_targets)
            self.check_exits(targets, self.gate_targets)
            self._targets = targets
        return self._targets

    def check_exits(self, targets: ExitTargets, source: str) -> None:
        """Refuse a file whose exits are not the model's.

        Raises:
            DataError: they differ.
        """
        if targets.exits != self.exits:
            raise DataError(
                f"{source} was derived from a model with exits at {targets.exits}, but this one has "
                f"{self.exits}: derive it again from this model's parent"
            )

    def _run_at(self, size: tuple[int, int], depth: int) -> None:
        inputs = torch.zeros(1, 3, *size, device=self.gate.head.weight.device)
        features = self.extract_feat(inputs)
        if self.depth is None:
            self.gate(self.coarsest_map(features))
        with self.exit_encoder.leaving_at(depth):
            self.run_network(features, inputs)


def _weighted(losses: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
    return {name: value * weight for name, value in losses.items()}
