"""Run the suite ``stereo``: a table a pair, and pictures of the disparity maps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.stereo import PairCase, baselines, measure
from dense3d.benchmarks.stereo_networks import Network, label_of
from dense3d.benchmarks.transfer_function import sample_folder
from dense3d.evaluation.depth import PROTOCOLS
from dense3d.evaluation.depth.result import ImageResult
from dense3d.evaluation.depth.samples import array_of
from dense3d.files import atomic_write

COLUMNS = (
    "pair",
    "method",
    "EPE",
    "EPE noc",
    "EPE occ",
    "D1",
    "bad-1",
    "bad-2",
    "bad-2 noc",
    "bad-2 occ",
    "not predicted",
)


def cells(name: str, method: str, result: ImageResult) -> list[str]:
    """One line of the table: of all pixels, of those that both images see (noc) and of the others (occ).

    Shares are in percent.
    """
    values = {region: tally.values() for region, tally in result.regions.items()}
    regions = [values.get(region, {}) for region in ("all", "nonoccluded", "occluded")]
    figures = [
        *(region.get("EPE") for region in regions),
        *(regions[0][metric] for metric in ("D1", "bad-1")),
        *(region.get("bad-2") for region in regions),
        100 * result.holes / max(1, result.regions["all"].pixels),
    ]
    return [name, method, *("-" if f is None or f != f else f"{f:.2f}" for f in figures)]


def benchmark_stereo(
    only: list[str] | None = None,
    models: Iterable[tuple[str, str, str]] = (),
    scale: float = 1.0,
    pictures: str | Path | None = None,
    json_file: str | Path | None = None,
    markdown_file: str | Path | None = None,
) -> list[list[str]]:
    """Measure semi-global matching and networks on the real pairs of the sample data; print a table.

    Args:
        only: these pairs and no others.
        models: label, config and checkpoint of each network. Where its config trains on other data than the
            pair's, the label gets "(transfer)" at its end.
        scale: factor up to 1 by which images are made smaller for the networks; errors are those of the
            images' own size.
        pictures: folder for a picture a pair: the left image, the ground truth, and each method's disparity.
        json_file: also write all figures there.
        markdown_file: also write the table there.

    Raises:
        ConfigError, CheckpointError: an unknown pair, or a model that cannot be built.
        DataError: a sample file is missing.
    """
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    view, lines, everything = Table(*COLUMNS), [], []
    cases = load_cases("stereo", only)
    networks = {label: Network(config, checkpoint, scale) for label, config, checkpoint in models}
    for case in cases:
        console.print(f"{case.name}: protocol {case.protocol}, {PROTOCOLS[case.protocol].describe()}")
        maps: dict[str, np.ndarray] = {}
        named = {label_of(label, net.cfg, case.datasets): net for label, net in networks.items()}
        for method, model in {**baselines(case), **named}.items():
            with console.status(f"{case.name}: {method}"):
                result, maps[method] = measure(case, model, sample_folder())
            lines.append(cells(case.name, method, result))
            view.add_row(*lines[-1])
            regions = {region: tally.values() for region, tally in result.regions.items()}
            everything.append(
                {"pair": case.name, "method": method, "holes": result.holes, "regions": regions}
            )
        view.add_section()
        if pictures:
            _draw(Path(pictures) / f"{case.name}.png", case, maps)
    console.print(view)
    if markdown_file:
        rows = [COLUMNS, ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2), *lines]
        with atomic_write(markdown_file, "w") as stream:
            stream.writelines(f"| {' | '.join(row)} |\n" for row in rows)
    if json_file:
        with atomic_write(json_file, "w") as stream:
            json.dump(everything, stream, indent=1)
    return lines


def _draw(path: Path, case: PairCase, maps: dict[str, np.ndarray]) -> None:
    """Panels below each other, all disparities in the colours of the ground truth's range."""
    import cv2

    packed = case.read(sample_folder())
    truth = array_of(packed["data_samples"].gt_disparity)[0]
    top = float(np.quantile(truth[np.isfinite(truth)], 0.99))
    left = np.ascontiguousarray(packed["inputs"]["left"].numpy().transpose(1, 2, 0)[..., ::-1])
    panels = [_titled(left, case.name), _titled(_coloured(truth, top), "ground truth")]
    for method, disparity in maps.items():
        if disparity.shape == truth.shape:
            panels.append(_titled(_coloured(disparity, top), method))
    done, content = cv2.imencode(".png", np.concatenate(panels))
    assert done
    with atomic_write(path) as file:
        file.write(content.tobytes())


def _coloured(disparity: np.ndarray, top: float) -> np.ndarray:
    """``(H, W, 3)`` BGR; black where nothing is known."""
    import cv2

    known = np.isfinite(disparity)
    scaled = np.clip(np.where(known, disparity, 0) / top, 0, 1)
    picture = cv2.applyColorMap((255 * scaled).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(known[..., None], picture, np.uint8(0))


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    import cv2

    picture = picture.copy()
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(picture, title, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width, cv2.LINE_AA)
    return picture
