"""CCNeXt: self-supervised stereo depth with windowed epipolar cross-attention (arXiv 2509.22627)."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "attention": ["EpipolarAttention", "window_reach"],
        "decoder": ["PairDecoder", "ResidualSkip"],
        "encoder": ["PairEncoder"],
        "geometry": ["scaled_inverse_depth", "warp_along_rows"],
        "losses": ["SelfSupervisedStereoLoss", "edge_aware_smoothness", "photometric_error", "ssim_distance"],
        "matching": ["MatchingLoss"],
        "model": ["CCNeXt"],
    },
)
