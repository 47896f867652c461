"""Optimiser settings and schedules of a resumed run: exactly as saved, or as a changed config says."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict

from dense3d.errors import CheckpointError

# What moves while a scheduler runs; all else is its settings.
_MOVING = ("optimizer", "last_step", "_global_step", "_last_value", "verbose")

Settings = dict[str, list[dict[str, Any]]]


def optimizer_settings(wrapper: OptimWrapper | OptimWrapperDict) -> Settings:
    """Learning rate, weight decay and the like of each parameter group, by name of the optimiser."""
    return {
        name: [{k: v for k, v in group.items() if k != "params"} for group in part.param_groups]
        for name, part in _named(wrapper)
    }


def _named(wrapper: OptimWrapper | OptimWrapperDict) -> list[tuple[str, OptimWrapper]]:
    return list(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else [("", wrapper)]


def load_optimizer(wrapper: OptimWrapper | OptimWrapperDict, state: dict, path: object) -> None:
    """Load an optimiser's (and loss scaler's) state.

    Raises:
        CheckpointError: the parameter groups or the kinds of optimiser differ.
    """
    try:
        wrapper.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"the optimizer state in {path} does not fit this config ({error}); resume with the config of "
            "that run, or start from its weights with load_from"
        ) from error
    for _, part in _named(wrapper):
        unknown = [
            key
            for group in part.optimizer.param_groups
            for key in part.optimizer.defaults
            if key not in group
        ]
        if unknown:
            raise CheckpointError(
                f"the optimizer state in {path} is of another optimizer than {type(part.optimizer).__name__} "
                f"(it has no {unknown[0]}); resume with the config of that run, or start from its weights "
                "with load_from"
            )


def use_settings(
    wrapper: OptimWrapper | OptimWrapperDict, settings: Settings, scheduled: Iterable[str]
) -> None:
    """Give loaded parameter groups the settings of the config, but for what schedules decide."""
    kept = {name for parameter in scheduled for name in (parameter, f"initial_{parameter}")}
    for name, part in _named(wrapper):
        for group, fresh in zip(part.param_groups, settings[name]):
            group.update({key: value for key, value in fresh.items() if key not in kept})


def by_optimizer(schedulers: list | dict | None) -> dict[str, list]:
    """Schedulers, or their states, by name of their optimiser."""
    return dict(schedulers) if isinstance(schedulers, dict) else {"": list(schedulers or [])}


def names_of_scheduled(schedulers: list | dict | None) -> set[str]:
    """What schedules decide: ``{"lr"}``, perhaps ``"momentum"``."""
    return {s.param_name for part in by_optimizer(schedulers).values() for s in part}


def is_same_schedule(schedulers: list | dict | None, states: list | dict | None) -> bool:
    """Whether freshly built schedulers have the settings that the saved ones had."""
    ours, theirs = by_optimizer(schedulers), by_optimizer(states)
    return ours.keys() == theirs.keys() and all(
        len(ours[name]) == len(theirs[name]) and all(map(_is_same, ours[name], theirs[name])) for name in ours
    )


def _is_same(scheduler: Any, state: dict) -> bool:
    if getattr(scheduler, "need_val_args", False):
        return True  # driven by metrics, which are in its state alone
    settings = {k: v for k, v in vars(scheduler).items() if k not in _MOVING}
    return all(key in state and _plain(state[key]) == _plain(value) for key, value in settings.items())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def load_schedulers(schedulers: list | dict, states: list | dict) -> None:
    """Put schedulers to where the saved ones were."""
    theirs = by_optimizer(states)
    for name, part in by_optimizer(schedulers).items():
        for scheduler, state in zip(part, theirs[name]):
            scheduler.load_state_dict(state)


def restart_schedules(
    wrapper: OptimWrapper | OptimWrapperDict, schedulers: list | dict | None, settings: Settings, place: dict
) -> None:
    """Put freshly built schedulers to where they would be, had they driven the run from its start.

    Args:
        wrapper: with the saved state, whose scheduled values are replaced.
        schedulers: as built, at iteration 0.
        settings: of the optimiser as they were when the schedulers had been built.
        place: ``iter``, ``epoch`` and ``epoch_length`` of the run; the last is 0 where epochs do not count.
    """
    scheduled = names_of_scheduled(schedulers)
    for name, part in _named(wrapper):
        for group, fresh in zip(part.param_groups, settings[name]):
            for parameter in scheduled & fresh.keys():
                group[parameter] = fresh[parameter]
                group[f"initial_{parameter}"] = fresh.get(f"initial_{parameter}", fresh[parameter])
    every = [s for part in by_optimizer(schedulers).values() for s in part]
    every = [s for s in every if not getattr(s, "need_val_args", False)]
    steps = {kind: [s for s in every if s.by_epoch is kind] for kind in (False, True)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no optimiser step came between
        for iteration in range(1, place["iter"] + 1):
            for scheduler in steps[False]:
                scheduler.step()
            length = place["epoch_length"]
            if length and iteration % length == 0 and iteration // length <= place["epoch"]:
                for scheduler in steps[True]:
                    scheduler.step()
