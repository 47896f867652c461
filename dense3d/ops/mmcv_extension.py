"""The functions of ``mmcv._ext`` in terms of :mod:`dense3d.ops`, with the signatures that mmcv.ops calls."""

from __future__ import annotations

from collections.abc import Callable

from dense3d.errors import OperatorUnavailableError

_OPERATORS: dict[str, Callable] = {}


def operator(name: str) -> Callable:
    """The function that serves ``mmcv._ext.<name>``; one that raises when dense3d has none."""
    return _OPERATORS.get(name) or _unavailable(name)


def _unavailable(name: str) -> Callable:
    def raise_unavailable(*_args, **_kwargs):
        raise OperatorUnavailableError(
            f"mmcv's operator {name!r} has no implementation in dense3d and the installed mmcv has no "
            f"compiled extension that loads; install an onedl-mmcv wheel compiled for this torch, or "
            f"choose a model without it"
        )

    raise_unavailable.__name__ = name
    return raise_unavailable
