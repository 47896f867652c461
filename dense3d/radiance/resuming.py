"""Whether a fit that goes on is the one that was begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dense3d.errors import CheckpointError
from dense3d.radiance.views import PosedView


def require_same(views: Sequence[PosedView], settings: Any, state: dict[str, Any]) -> None:
    """See that a state is one of these photographs and settings.

    Args:
        views: photographs to fit, in order.
        settings: has ``as_dict()``.
        state: with ``settings`` and ``views``: name -> fingerprint.

    Raises:
        CheckpointError: names what differs.
    """
    now = settings.as_dict()
    then = state["settings"]
    different = [
        f"{key} was {then.get(key)!r} and is {now[key]!r}" for key in now if then.get(key) != now[key]
    ]
    prints = {view.name: view.fingerprint() for view in views}
    other = [name for name in {**state["views"], **prints} if state["views"].get(name) != prints.get(name)]
    if other:
        different.append(f"{len(other)} photographs are others or have another size or pose, as {other[0]}")
    elif list(prints) != list(state["views"]):
        different.append("the photographs come in another order")
    if different:
        raise CheckpointError(
            f"the fit cannot be resumed, since it was begun otherwise: {'; '.join(different)}; use the same "
            "options, or another folder for a new fit"
        )
