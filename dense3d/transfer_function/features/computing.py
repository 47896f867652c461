"""Features of a volume from the cache, or computed with an estimate, previews, and a place to go on from."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

import torch
from torch import Tensor

from dense3d.structures.volume import Volume
from dense3d.transfer_function.classifier import Progress
from dense3d.transfer_function.features.cache import FeatureFile
from dense3d.transfer_function.features.extraction import Extraction, PartialFeatures
from dense3d.transfer_function.features.keys import KeyNetwork
from dense3d.transfer_function.features.settings import FeatureSettings

SAVE_EVERY = 30.0  # seconds between savings of what is done, or twenty times as long as one takes


def duration(seconds: float) -> str:
    """In words.

    Example:
        >>> duration(4.2), duration(200)
        ('5 s', '4 min')
    """
    return f"{int(seconds) + 1} s" if seconds < 90 else f"{int(seconds / 60) + 1} min"


def compute_features(
    volume: Volume,
    network: KeyNetwork,
    settings: FeatureSettings | None = None,
    progress: Progress | None = None,
    preview: Callable[[Tensor], None] | None = None,
    first: tuple[int, int] | None = None,
    cache: str | os.PathLike | None = None,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Features (F, W', H', D') of a volume, not normalised; from disk where they are there already.

    Whatever stops it, what is done is kept on disk and gone on with the next time. Where the disk is full, or
    the folder cannot be written to, features are computed and not kept.

    Args:
        volume: at its working resolution.
        network: gives the keys.
        settings: the paper's unless given.
        progress: told first what is to be done and how long that takes, then how far it is; raises to stop.
        preview: called with features as far as they are known, once each cell has some, and after each axis.
        first: (axis, index) of the slice that a person looks at.
        cache: folder; the user's cache folder unless given.
        device: where it is computed.

    Raises:
        DataError: the volume is constant.
    """
    settings = settings or FeatureSettings()
    extraction = Extraction(volume.values, network, settings, volume.spacing, first, device=device)
    file = FeatureFile(extraction, cache)
    progress = progress or (lambda done, words, left: None)
    kept = file.read()
    if kept is not None:
        progress(1.0, "features: found on disk", 0.0)
        return kept.to(device).float()
    resumed = file.resume()
    progress(0.0, f"features: {extraction.describe()}{', going on' if resumed else ''}", None)
    watch = _Watch(extraction, file, preview)
    try:
        features = extraction.run(_announced(progress, extraction), watch)
    except BaseException:
        with contextlib.suppress(OSError):  # what stopped it is what there is to say
            file.write_partial()
        raise
    try:
        file.write(features)
    except OSError as error:  # computed is computed, even if the next time it has to be done again
        progress(1.0, f"features: not kept for the next time ({' '.join(str(error).split())})", 0.0)
    return features


def _announced(progress: Progress, extraction: Extraction) -> Progress:
    """The first message has the estimate in words."""
    told = []

    def tell(done: float, words: str, left: float | None) -> None:
        if not told and left is not None:
            words = f"features: {extraction.describe()}, about {duration(left)} on {_where(extraction)}"
            told.append(True)
        progress(done, words, left)

    return tell


def _where(extraction: Extraction) -> str:
    if extraction.device.type != "cpu":
        return str(extraction.device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' if threads > 1 else ''}"


class _Watch:
    """What happens between batches: previews, and savings."""

    def __init__(
        self, extraction: Extraction, file: FeatureFile, preview: Callable[[Tensor], None] | None
    ) -> None:
        self.file, self.preview = file, preview
        self.shown: set[int] = set(extraction.state.done)
        self.saved, self.pause = time.perf_counter(), SAVE_EVERY

    def __call__(self, state: PartialFeatures) -> None:
        now = time.perf_counter()
        if self.preview is not None and state.pool is not None:
            axis = state.pool.axis
            if axis not in self.shown and state.pool.covered:
                self.shown.add(axis)
                self.preview(state.preview())
        if now - self.saved > self.pause:
            with contextlib.suppress(OSError):  # the end will say it
                self.file.write_partial()
            self.saved = time.perf_counter()
            self.pause = max(SAVE_EVERY, 20 * (self.saved - now))
