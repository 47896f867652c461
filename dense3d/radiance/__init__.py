"""Scenes as radiance fields: Gaussian splats and voxel grids fitted to photographs.

What both share is here: photographs (:mod:`.views`), a fit that can be killed (:mod:`.session`), scores of
photographs that were held out beside baselines (:mod:`.evaluation`), pictures and videos.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "losses": ["masked_photometric_loss", "psnr"],
        "views": ["PosedView", "load_views"],
    },
)
