"""Pre-training on scenes: masked clouds and photographs, then rendered Gaussians (Liu et al., 2025)."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__, submod_attrs={"stage1": ["Gaussian2SceneStage1"], "stage2": ["Gaussian2SceneStage2"]}
)
