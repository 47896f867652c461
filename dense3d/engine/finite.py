"""Whether numbers of a model are finite: gradients by one norm, weights by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from dense3d.errors import CheckpointError

SHOWN = 3
# Buffers in which an infinity is as wrong as NaN; elsewhere it may be a mask.
_STATISTICS = ("running_mean", "running_var")


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no value is NaN or infinite; one pass over them and one answer from the device.

    The 2-norm is what torch computes fastest. It may overflow although every value is finite, so only values
    that fail it are looked at one by one.

    Example:
        >>> all_finite([torch.ones(2), torch.full((2,), 1e30)])
        True
        >>> all_finite([torch.tensor([1.0, float("nan")])])
        False
    """
    values = [_dense(tensor) for tensor in tensors]
    values = [v for v in values if (v.is_floating_point() and v.element_size() > 1) or v.is_complex()]
    if not values or bool(torch.isfinite(torch.nn.utils.get_total_norm(values))):
        return True
    return all(bool(torch.isfinite(tensor).all()) for tensor in values)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """The stored values of a tensor of any layout."""
    tensor = tensor.detach()
    return tensor if tensor.layout == torch.strided else tensor.coalesce().values()


def non_finite_weights(model: nn.Module | None, state: Mapping[str, object] | None = None) -> list[str]:
    """Names of the weights that are not finite.

    Args:
        model: tells what is trained from buffers and frozen tables. These may hold a mask with ``-inf``, so
            that only NaN counts in them, and infinities in the running statistics of norms.
            Without a model, all names are taken for such.
        state: named tensors to look at in place of the model's own.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> non_finite_weights(layer)
        []
        >>> with torch.no_grad():
        ...     _ = layer.bias.fill_(float("inf"))
        >>> non_finite_weights(layer)
        ['bias']
    """
    values = state if model is None or state is not None else model.state_dict()
    tensors = {n: v for n, v in values.items() if isinstance(v, torch.Tensor) and not v.is_meta}
    if all_finite(tensors.values()):
        return []
    parameters = () if model is None else model.named_parameters()
    trained = {name for name, parameter in parameters if parameter.requires_grad}
    return [name for name, value in tensors.items() if _is_bad(name, value, name not in trained)]


def _is_bad(name: str, value: torch.Tensor, is_fixed: bool) -> bool:
    if is_fixed and not name.endswith(_STATISTICS):
        return bool(torch.isnan(_dense(value)).any())
    return not all_finite([value])


def refuse_non_finite(
    model: nn.Module | None, source: object, state: Mapping[str, object] | None = None
) -> None:
    """See that weights are numbers.

    Args:
        model: has just loaded them, unless there is ``state``.
        source: file that they come from.
        state: named tensors to look at instead, see :func:`non_finite_weights`.

    Raises:
        CheckpointError: some are NaN or infinite; names them.
    """
    bad = non_finite_weights(model, state)
    if bad:
        raise CheckpointError(
            f"{source} holds weights that are not finite ({few(bad)}), so its training had failed and it "
            "predicts nothing: use an earlier checkpoint"
        )


def few(names: list[str]) -> str:
    """The first names, and how many more there are.

    Example:
        >>> few(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
