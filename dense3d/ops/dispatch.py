"""Which implementation of an operator runs: candidates in order of preference, and why one is rejected.

An operator's module registers its candidates when it is imported, the preferred one first::

    register_backend("nms", "torchvision", implementation=_nms_torchvision)
    register_backend("nms", "reference", implementation=nms_reference)

and its public function calls ``select_backend("nms", boxes.device.type).implementation(...)``. An operator
with one implementation registers that one, so that :func:`backends` lists every operator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from dense3d.errors import OperatorUnavailableError, did_you_mean

DEVICES = ("cpu", "cuda")
ANY = "any"

_CANDIDATES: dict[str, list[Backend]] = {}
_SELECTED: dict[tuple[str, str, str | None], Backend] = {}


@dataclass(frozen=True)
class Backend:
    """One candidate: an implementation of ``operator`` for tensors on ``device``."""

    operator: str
    name: str
    device: str  # "cpu", "cuda" or "any"
    implementation: Callable | None
    available: Callable[[], str | None]  # None when it can be used here, otherwise the reason why not


@dataclass(frozen=True)
class BackendRow:
    """One line of :func:`backends`."""

    operator: str
    device: str
    backend: str
    status: str  # "used", "available" or "rejected"
    reason: str  # why it is rejected, otherwise ""


class BackendTable(list):
    """Rows of :func:`backends`; ``print`` shows them as a table."""

    def __str__(self) -> str:
        header = BackendRow("operator", "device", "backend", "status", "reason")
        lines = [(r.operator, r.device, r.backend, r.status, r.reason) for r in [header, *self]]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), line[4]]).rstrip()
            for line in lines
        )


def register_backend(
    operator: str,
    name: str,
    *,
    device: str = ANY,
    implementation: Callable | None = None,
    available: Callable[[], str | None] | None = None,
) -> None:
    """Add a candidate for ``operator``, after those registered before it (the first that works is used).

    Args:
        operator: name of the public function in ``dense3d.ops``.
        name: short name of the implementation: ``"reference"``, ``"numba"``, ``"torchvision"`` ...
        device: ``"cpu"``, ``"cuda"`` or ``"any"``.
        implementation: what the public function calls; ``None`` for a candidate that is only listed.
        available: returns ``None`` when the candidate can be used on this machine, otherwise the reason why
            not, in a few words (``"not installed"``). Asked once, at the first use.

    Registering the same operator, name and device again replaces the candidate in its place.

    Raises:
        ValueError: ``device`` is another word.
    """
    if device not in (ANY, *DEVICES):
        raise ValueError(f"device of backend {name!r} must be one of {(ANY, *DEVICES)}, not {device!r}")
    backend = Backend(operator, name, device, implementation, functools.cache(available or (lambda: None)))
    candidates = _CANDIDATES.setdefault(operator, [])
    for index, known in enumerate(candidates):
        if (known.name, known.device) == (name, device):
            candidates[index] = backend
            break
    else:
        candidates.append(backend)
    _SELECTED.clear()


def select_backend(operator: str, device: str, name: str | None = None) -> Backend:
    """The first candidate of ``operator`` that works for tensors on ``device`` (a ``tensor.device.type``).

    Args:
        operator: name given to :func:`register_backend`.
        device: ``tensor.device.type``; types other than cpu and cuda use the candidates for any device.
        name: take this candidate and no other.

    Raises:
        OperatorUnavailableError: no candidate can be used, or the one asked for cannot; the message gives
            each candidate's reason.
    """
    _ensure_selected(operator, device, name)
    return _SELECTED[operator, device, name]


def _ensure_selected(operator: str, device: str, name: str | None) -> None:
    if (operator, device, name) not in _SELECTED:
        _SELECTED[operator, device, name] = _select(operator, device, name)


# torch.compile runs it instead of tracing it, because it cannot trace the imports by which candidates are
# tried. (The mark of torch.compiler.assume_constant_result, which would import torch's whole compiler.)
_ensure_selected._dynamo_marked_constant = True


def _select(operator: str, device: str, name: str | None) -> Backend:
    candidates = [b for b in _candidates(operator) if b.device in (device, ANY) and b.implementation]
    rejected = {b.name: b.available() for b in candidates}
    usable = [b for b in candidates if rejected[b.name] is None]
    wanted = [b for b in usable if name in (None, b.name)]
    if wanted:
        return wanted[0]
    choices = ", ".join(b.name for b in usable) or "none"
    if name is None:
        reasons = "; ".join(f"{key}: {why}" for key, why in rejected.items()) or "no candidates"
        raise OperatorUnavailableError(f"{operator} has no implementation for {device} tensors ({reasons})")
    if name in rejected:
        why = rejected[name]
    else:
        why = f"no such backend for {device} tensors" + did_you_mean(name, rejected).rstrip("?")
    raise OperatorUnavailableError(f"{operator}: backend {name!r} cannot be used, {why}; usable: {choices}")


def backends(operator: str | None = None) -> BackendTable:
    """Every operator's candidates for each device in order of preference, the one used and the rejected.

    Args:
        operator: only this operator.

    Returns:
        list of :class:`BackendRow`; ``print`` shows a table.

    Raises:
        OperatorUnavailableError: there is no such operator.

    Example:
        >>> rows = backends("multi_scale_deformable_attention")
        >>> sorted({row.device for row in rows})
        ['cpu', 'cuda']
        >>> [row.backend for row in rows if row.device == "cpu"][-1]
        'reference'
    """
    _import_operators()
    names = sorted(_CANDIDATES) if operator is None else [operator]
    return BackendTable(row for name in names for device in DEVICES for row in _rows(name, device))


def _rows(operator: str, device: str) -> list[BackendRow]:
    absent = _device_absent(device)
    rows, used = [], False
    for backend in _candidates(operator):
        if backend.device not in (device, ANY):
            continue
        reason = backend.available() or absent
        if reason is not None:
            status = "rejected"
        elif used or backend.implementation is None:
            status = "available"
        else:
            status, used = "used", True
        rows.append(BackendRow(operator, device, backend.name, status, reason or ""))
    return rows


def _device_absent(device: str) -> str | None:
    import torch

    return "this machine has no CUDA device" if device == "cuda" and not torch.cuda.is_available() else None


def _candidates(operator: str) -> list[Backend]:
    if operator not in _CANDIDATES:
        raise OperatorUnavailableError(
            f"no operator is named {operator!r}{did_you_mean(operator, _CANDIDATES)}"
        )
    return _CANDIDATES[operator]


def _import_operators() -> None:
    """Operators register their candidates when their module is imported."""
    from dense3d import ops

    for name in ops.__all__:
        getattr(ops, name)
