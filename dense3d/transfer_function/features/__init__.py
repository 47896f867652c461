"""Features of a volume from a self-supervised vision transformer: keys of slices along the three axes."""

from dense3d.transfer_function.features.cache import cache_folder
from dense3d.transfer_function.features.computing import compute_features
from dense3d.transfer_function.features.extraction import Extraction, extract_features, normalised
from dense3d.transfer_function.features.keys import KeyNetwork
from dense3d.transfer_function.features.network import load_key_network
from dense3d.transfer_function.features.official_cache import official_features, read_official_cache
from dense3d.transfer_function.features.settings import PRESETS, FeatureSettings, preset
from dense3d.transfer_function.features.sizes import feature_cells

__all__ = [
    "PRESETS",
    "Extraction",
    "FeatureSettings",
    "KeyNetwork",
    "cache_folder",
    "compute_features",
    "extract_features",
    "feature_cells",
    "load_key_network",
    "normalised",
    "official_features",
    "preset",
    "read_official_cache",
]
