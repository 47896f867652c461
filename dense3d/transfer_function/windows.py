"""Which values are shown from black to white: presets for CT, percentiles for everything else.

A window is usually stated by its centre ("level") and width; CT values are Hounsfield units (air -1000,
water 0). The presets are those that radiology stations offer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dense3d.structures.volume import Volume

SAMPLES = 2**20  # voxels that statistics are taken from


@dataclass(frozen=True)
class Window:
    """Values from ``low`` (black) to ``high`` (white).

    Args:
        name: for a person.
        low: at or below it is black.
        high: at or above it is white.

    Example:
        >>> Window.centred("liver", 60, 160)
        Window(name='liver', low=-20.0, high=140.0)
    """

    name: str
    low: float
    high: float

    @staticmethod
    def centred(name: str, level: float, width: float) -> Window:
        """By centre and width, as DICOM and radiologists state it."""
        return Window(name, level - width / 2, level + width / 2)

    @property
    def level(self) -> float:
        """Its centre."""
        return (self.low + self.high) / 2

    @property
    def width(self) -> float:
        """From black to white."""
        return self.high - self.low

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float32 of 0 (black) to 1 (white), same shape.

        Example:
            >>> Window("all", 0, 10).apply(np.array([-5, 5, 20])).tolist()
            [0.0, 0.5, 1.0]
        """
        scale = 1 / max(self.width, np.finfo(np.float32).tiny)
        return np.clip((values.astype(np.float32) - np.float32(self.low)) * np.float32(scale), 0, 1)


CT_PRESETS = (
    Window.centred("soft tissue", 40, 400),
    Window.centred("lung", -600, 1500),
    Window.centred("bone", 400, 1800),
    Window.centred("mediastinum", 50, 350),
    Window.centred("liver", 60, 160),
    Window.centred("angiography", 300, 600),
    Window.centred("brain", 40, 80),
    Window.centred("subdural", 75, 215),
    Window.centred("temporal bone", 600, 2800),
    Window.centred("spine", 50, 250),
)


def windows(volume: Volume) -> tuple[Window, ...]:
    """What to offer for a volume; the first is shown at the start.

    Args:
        volume: best at its working resolution.

    Returns:
        The presets of CT, then percentiles and everything, for a CT; else percentiles and everything.
    """
    others = (percentile_window(volume.values), full_window(volume.values))
    return (*CT_PRESETS, *others) if modality_of(volume)[0] == "CT" else others


def percentile_window(values: np.ndarray, low: float = 1.0, high: float = 99.0) -> Window:
    """Between two percentiles of what is not background: robust to bright vessels, metal and padding.

    Args:
        values: any shape; at most about a million of them are looked at.
        low: percent of the voxels that may be black.
        high: percent after which all are white.

    Example:
        >>> window = percentile_window(np.r_[np.zeros(5000), np.arange(100.0, 201.0), 9999.0])
        >>> round(window.low), round(window.high)
        (101, 200)
    """
    sample = thinned(values)
    smallest = sample.min()
    seen = sample[sample > smallest]  # what is as low as the lowest is air or padding
    name = f"{low:g} to {high:g} %"
    if seen.size == 0:
        return Window(name, float(smallest), float(smallest) + 1)
    ends = np.percentile(seen, (low, high))
    if ends[0] >= ends[1]:
        ends = (float(smallest), float(seen.max()))
    return Window(name, float(ends[0]), float(ends[1]))


def full_window(values: np.ndarray) -> Window:
    """From the smallest value to the largest."""
    low, high = float(values.min()), float(values.max())
    return Window("everything", low, high if high > low else low + 1)


def modality_of(volume: Volume) -> tuple[str | None, str | None]:
    """What the file says it is, else a guess from its values.

    Returns:
        ``"CT"``, ``"MR"`` ... or None, and the sentence to show where it was guessed.

    Example:
        >>> modality_of(Volume(np.zeros((2, 2, 2)), np.eye(4), modality="MR"))
        ('MR', None)
    """
    if volume.modality:
        return volume.modality, None
    if looks_like_ct(volume.values):
        return "CT", (
            "the file does not state its modality: its values look like Hounsfield units, so presets of CT "
            "are offered"
        )
    return None, "the file does not state its modality: it is shown between percentiles of its values"


def looks_like_ct(values: np.ndarray) -> bool:
    """Whether air (-1000) and soft tissue (around 0) are both there, as in Hounsfield units.

    Example:
        >>> looks_like_ct(np.array([-1000] * 50 + [20] * 50)), looks_like_ct(np.arange(256))
        (True, False)
    """
    sample = thinned(values)
    air = (sample > -1300) & (sample < -700)
    tissue = (sample > -200) & (sample < 200)
    return bool(air.mean() > 0.02 and tissue.mean() > 0.02 and sample.min() > -9000 and sample.max() < 70000)


def thinned(values: np.ndarray) -> np.ndarray:
    """(N,) about a million of the values, evenly over each axis."""
    step = max(int(np.ceil((values.size / SAMPLES) ** (1 / max(values.ndim, 1)))), 1)
    return np.asarray(values[(slice(None, None, step),) * values.ndim]).ravel()
