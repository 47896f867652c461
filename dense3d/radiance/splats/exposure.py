"""Brightness and white balance of each photograph: an affine map of the rendered colours.

As in the revision of the reference code of splatting (2024): a 3 x 4 matrix a photograph, fitted along.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FIRST_RATE, LAST_RATE = 0.01, 0.001


class Exposures(nn.Module):
    """An affine map for each of V photographs; their mean is kept at the identity.

    Without that the maps and the colours of the scene could drift together, and photographs that are held
    out, which have no map, would be rendered too bright or too dark.

    Args:
        count: V.
        steps: of the fit; the learning rate falls log-linearly from 0.01 to 0.001.
        device: of the maps.
    """

    def __init__(self, count: int, steps: int, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.eye(3, 4, device=device).repeat(count, 1, 1))  # (V, 3, 4)
        self.steps = steps
        self.adam = torch.optim.Adam([self.maps], lr=FIRST_RATE, foreach=False)

    def apply_to(self, image: Tensor, index: int) -> Tensor:
        """(H, W, 3) as photograph ``index`` shows it."""
        matrix = self.maps[index]
        return image @ matrix[:, :3].T + matrix[:, 3]

    def step(self, step: int) -> None:
        """One step of Adam, after which the mean of all maps is the identity again."""
        self.adam.param_groups[0]["lr"] = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (step / self.steps)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.maps -= self.maps.mean(0) - torch.eye(3, 4).to(self.maps)

    def state(self) -> dict:
        """What a checkpoint keeps."""
        return {"maps": self.maps.detach(), "adam": self.adam.state_dict()}

    def load_state(self, state: dict) -> None:
        """Take over what :meth:`state` gave."""
        with torch.no_grad():
            self.maps.copy_(state["maps"])
        self.adam.load_state_dict(state["adam"])
