"""Converters that rename: rules for names, with every name of the official file accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from dense3d.errors import CheckpointError

_SHOWN = 10


@dataclass(frozen=True)
class Renaming:
    """Rules that turn official names into ours.

    Attributes:
        system: named in messages.
        rules: ``(pattern, replacement)``; the first pattern that matches a whole name renames it.
        dropped: patterns of names that have no place in our model, such as a classifier's.
        required: whether each rule must match at least one name.

    Example:
        >>> renaming = Renaming("toy", rules=((r"conv\\.(weight|bias)", r"stem.\\1"),), dropped=(r"fc\\..*",))
        >>> list(renaming({"conv.weight": torch.ones(1), "fc.bias": torch.ones(1)}))
        ['stem.weight']
    """

    system: str
    rules: Sequence[tuple[str, str]]
    dropped: Sequence[str] = ()
    required: bool = True

    def __call__(self, official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Convert a state dict.

        Raises:
            CheckpointError: a name matches no rule, two names become one, or a rule matches nothing.
        """
        converted: dict[str, torch.Tensor] = {}
        used: set[str] = set()
        unexpected: list[str] = []
        for name, tensor in official.items():
            if any(re.fullmatch(pattern, name) for pattern in self.dropped):
                continue
            pattern, ours = self._rename(name)
            if pattern is None:
                unexpected.append(name)
            elif ours in converted:
                raise CheckpointError(
                    f"two names of the {self.system} checkpoint become {ours!r}: {name!r} is one"
                )
            else:
                used.add(pattern)
                converted[ours] = tensor
        missing = [pattern for pattern, _ in self.rules if pattern not in used] if self.required else []
        self._complain(unexpected, missing)
        return converted

    def _rename(self, name: str) -> tuple[str | None, str]:
        for pattern, replacement in self.rules:
            match = re.fullmatch(pattern, name)
            if match:
                return pattern, match.expand(replacement)
        return None, name

    def _complain(self, unexpected: list[str], missing: list[str]) -> None:
        parts = []
        if unexpected:
            parts.append(f"{len(unexpected)} unexpected names: {_listed(unexpected)}")
        if missing:
            parts.append(f"no name like {_listed(missing)}")
        if parts:
            raise CheckpointError(f"this is no official {self.system} checkpoint: {'; '.join(parts)}")


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
