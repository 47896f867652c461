"""Rewards of what an interpreter keeps, and the gradient that they give it (REINFORCE).

Pan et al., IA-RED^2, NeurIPS 2021 (arXiv 2106.12620); Williams, "Simple statistical gradient-following
algorithms for connectionist reinforcement learning", 1992; the baseline is that of Rennie et al.,
"Self-critical sequence training", CVPR 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-6  # probability of a choice, whose logarithm stays finite


def reward(kept: Tensor, is_right: Tensor, penalty: float) -> Tensor:
    """``1 - (kept / N) ** 2`` where the class is right, ``-penalty`` where it is wrong, ``(B,)``.

    Args:
        kept: ``(B, N)``, true for patches that are left, of all patches of the image.
        is_right: ``(B,)``.
        penalty: tau.

    Example:
        >>> kept = torch.tensor([[True, False], [True, True], [False, False]])
        >>> reward(kept, torch.tensor([True, True, False]), penalty=0.5).tolist()
        [0.75, 0.0, -0.5]
    """
    share = kept.float().mean(dim=1)
    return torch.where(is_right, 1 - share.square(), -penalty)


def draw(scores: Tensor) -> Tensor:
    """Patches that are kept if each is by the probability of its score; a score of 0 never is."""
    return torch.rand_like(scores) < scores


def log_likelihood(scores: Tensor, kept: Tensor, present: Tensor) -> Tensor:
    """Logarithm of the probability of what was drawn, ``(B,)``.

    Args:
        scores: ``(B, N)``, probabilities to keep each patch.
        kept: ``(B, N)``, what was drawn.
        present: ``(B, N)``, patches that earlier groups have left, of which alone there is a choice.

    Example:
        >>> scores, everything = torch.tensor([[0.5, 0.25]]), torch.ones(1, 2, dtype=torch.bool)
        >>> log_likelihood(scores, torch.tensor([[True, False]]), everything).exp().item()
        0.375
    """
    chosen = torch.where(kept, scores, 1 - scores).clamp(min=LEAST)
    return (chosen.log() * present).sum(dim=1)


def policy_loss(likelihood: Tensor, drawn: Tensor, baseline: Tensor) -> Tensor:
    """Mean of ``-(drawn - baseline) * likelihood``: its gradient makes better choices more probable.

    Args:
        likelihood: logarithms ``(B,)`` of the probabilities of what was drawn.
        drawn: its rewards ``(B,)``.
        baseline: rewards ``(B,)`` of the patches whose scores are above the threshold.
    """
    return -((drawn - baseline).detach() * likelihood).mean()
