"""Gaussians that come and go while Adam runs: parameters and their moments change together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dense3d.radiance.splats.gaussians import NAMES, Gaussians
from dense3d.radiance.splats.settings import FitSettings

ADAM_EPS = 1e-15
REST_FACTOR = 1 / 20  # learning rate of higher degrees, relative to degree 0
MOMENTS = ("exp_avg", "exp_avg_sq")


class GaussianOptimizer:
    """Adam over the parameters of Gaussians, a group each, whose rows can be added and removed.

    Args:
        gaussians: their parameters are replaced when rows come or go.
        settings: learning rates.
        extent: of the scene; the means' rate is relative to it.
    """

    def __init__(self, gaussians: Gaussians, settings: FitSettings, extent: float) -> None:
        self.gaussians, self.settings, self.extent = gaussians, settings, extent
        factor = settings.rate_factor
        rates = {
            "means": settings.means_lr_at(0) * extent,
            "log_scales": settings.log_scales_lr * factor,
            "quats": settings.quats_lr * factor,
            "opacity_logits": settings.opacity_logits_lr,
            "sh0": settings.sh0_lr * factor,
            "shN": settings.sh0_lr * factor * REST_FACTOR,
        }
        groups = [{"params": [getattr(gaussians, n)], "lr": rates[n], "name": n} for n in NAMES]
        self.adam = torch.optim.Adam(groups, eps=ADAM_EPS, foreach=False)

    def step(self, step: int) -> None:
        """One step of Adam with the rates of ``step``; gradients are cleared."""
        self.adam.param_groups[0]["lr"] = self.settings.means_lr_at(step) * self.extent
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    @torch.no_grad()
    def keep(self, mask: Tensor) -> None:
        """Drop the Gaussians where ``mask`` (N,) is False."""
        self._change(lambda name, value: value[mask], lambda value: value[mask])

    @torch.no_grad()
    def append(self, rows: Mapping[str, Tensor]) -> None:
        """Add Gaussians with raw parameters ``rows``; their moments are zero."""

        def moments(value: Tensor) -> Tensor:
            count = len(rows["means"])
            return torch.cat([value, value.new_zeros(count, *value.shape[1:])])

        self._change(lambda name, value: torch.cat([value, rows[name]]), moments)

    @torch.no_grad()
    def overwrite(self, name: str, value: Tensor, rows: Tensor | None = None) -> None:
        """Set one parameter, and clear its moments, of ``rows`` only if those are given.

        Args:
            name: of the parameter.
            value: of all Gaussians.
            rows: indices of the Gaussians whose moments are cleared.
        """
        parameter = getattr(self.gaussians, name)
        parameter.copy_(value)
        for key in MOMENTS:
            moment = self.adam.state.get(parameter, {}).get(key)
            if moment is not None:
                moment[slice(None) if rows is None else rows] = 0

    def _change(self, change: Callable[[str, Tensor], Tensor], moments: Callable[[Tensor], Tensor]) -> None:
        for group in self.adam.param_groups:
            old = group["params"][0]
            new = nn.Parameter(change(group["name"], old.detach()).contiguous())
            state = self.adam.state.pop(old, None)
            if state is not None:
                changed = {key: moments(state[key]) for key in MOMENTS}
                self.adam.state[new] = {**state, **changed}
            group["params"] = [new]
            setattr(self.gaussians, group["name"], new)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Moments and step counts by parameter, for checkpoints."""
        return {
            group["name"]: dict(self.adam.state.get(group["params"][0], {}))
            for group in self.adam.param_groups
        }

    def load_state(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what :meth:`state` gave."""
        for group in self.adam.param_groups:
            found = state[group["name"]]
            if found:
                parameter = group["params"][0]
                moments = {key: found[key].to(parameter.device) for key in MOMENTS}
                self.adam.state[parameter] = {**found, **moments}
