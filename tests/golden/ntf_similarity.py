"""Golden adapters of similarity maps and of the bilateral solver of neural transfer functions (``ntf``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dense3d.transfer_function import bilateral
from dense3d.transfer_function.features.extraction import normalised
from dense3d.transfer_function.refinement import RefinementOptions, Refiner, crop_bounds, dilated, stretched
from dense3d.transfer_function.resolving import iso_masks, metrics, resolve
from dense3d.transfer_function.similarity import (
    SimilarityOptions,
    class_map,
    modality_maps,
    offline_map,
    reduced,
    relative_coordinates,
    sample_features,
    scaled,
    similarities,
)
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, by_name, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.options import Options

Inputs = dict[str, Tensor]
_SAMPLING = ("class_index", "coordinates", "feature_volume", "volume_shape")
_MAPS = (*_SAMPLING, "proximity", "modality_weight")
_SIGMAS = ("sigma_spatial", "sigma_luma", "sigma_chroma")
_REDUCTIONS = {"mean": "mean", "avg": "mean", "max": "max"}
_SOLVER = {"lam": "lam", "A_diag_min": "diagonal_min", "cg_tol": "tolerance", "cg_maxiter": "iterations"}


def open_similarity(kit: GoldenKit) -> Run:
    """The checks of maps; the config gives constants that inputs do not."""
    adapter = _Similarity(kit)
    rules = {
        "sample": adapter.sample,
        "dot": adapter.dot,
        "reduced": adapter.reduced,
        "maps": adapter.maps,
        "iso_masks": adapter.iso_masks,
        "offline_maps": adapter.offline,
        "resolve": adapter.resolve,
        "metrics": adapter.metrics,
        "two_modalities": adapter.modalities,
        "modalities": adapter.modalities,
        "refined": adapter.refined,
    }
    return by_name(rules)


class _Similarity:
    def __init__(self, kit: GoldenKit) -> None:
        options = kit.options
        options.neutral("volume_shape", "feature_shape")  # the arrays have them
        self.kit = kit
        self.downscale = options.take("downscale", 4.0)
        self.offline_cut = options.take("offline_lower_cut", 0.25)
        self.options = SimilarityOptions(
            lower_cut=options.take("lower_cut", 0.1),
            exponent=options.take("exponent", 2.5),
            quantile=options.take("quantile", 0.9999),
            reduction=options.choose("reduction", _REDUCTIONS, "mean"),
            proximity=0.0,
            connected_component=bool(options.take("connected_component", False)),
        )
        bilateral_options = Options(options.take("bilateral", {}), kit.folder)
        self.confidence = bilateral_options.take("confidence", bilateral.CONFIDENCE)
        self.solver = bilateral.SolverOptions(
            **{
                ours: bilateral_options.take(name)
                for name, ours in _SOLVER.items()
                if name in bilateral_options
            }
        )
        bilateral_options.refuse_rest()

    def sample(self, check: dict, inputs: Inputs) -> Inputs:
        known(check, inputs, *_SAMPLING)
        features, relative = self._features(inputs), self._relative(inputs)
        modes = ("trilinear", "nearest")
        return {"relative": relative} | {mode: sample_features(features, relative, mode) for mode in modes}

    def dot(self, check: dict, inputs: Inputs) -> Inputs:
        known(check, inputs, *_SAMPLING)
        features = self._features(inputs)
        queries = sample_features(features, self._relative(inputs))
        return {"similarity": similarities(features, queries)}

    def reduced(self, check: dict, inputs: Inputs) -> Inputs:
        similarity = self.dot(check, inputs)["similarity"]
        index = inputs["class_index"]
        options = self._options(check)
        rows = [reduced(similarity[index == c], options) for c in self._classes(check, inputs)]
        return {"similarity": torch.stack(rows)}

    def maps(self, check: dict, inputs: Inputs) -> Inputs:
        known(check, inputs, *_MAPS)
        features, shape = self._features(inputs), self._shape(inputs)
        rows = [
            scaled(class_map(features, voxels, shape, options, weights), options.quantile)
            for voxels, options, weights in self._of_classes(check, inputs)
        ]
        return {"maps": truncated(check, torch.stack(rows))}

    def modalities(self, check: dict, inputs: Inputs) -> Inputs:
        return self.maps(check, inputs)

    def iso_masks(self, check: dict, inputs: Inputs) -> dict:
        known(check, inputs, "isovalue", "maps_uint8", "maps")
        maps = inputs.get("maps_uint8", inputs.get("maps"))
        isovalues = np.broadcast_to(inputs["isovalue"].numpy(), len(maps))
        return {"mask": iso_masks(maps.numpy(), isovalues).astype(np.float32)}

    def offline(self, check: dict, inputs: Inputs) -> Inputs:
        known(check, inputs, *_SAMPLING)
        features, index = self._features(inputs), inputs["class_index"]
        similarity = similarities(features, sample_features(features, self._relative(inputs)))
        options = replace(self._options(check), lower_cut=self.offline_cut)
        rows = [
            offline_map(similarity[index == c], self._shape(inputs), options)
            for c in self._classes(check, inputs)
        ]
        return {"maps": torch.stack(rows).float()}

    def resolve(self, check: dict, inputs: Inputs) -> dict:
        known(check, inputs, "maps", "thresholds")
        return {"labels": resolve(inputs["maps"].numpy(), inputs["thresholds"].tolist()).astype(np.float32)}

    def metrics(self, check: dict, inputs: Inputs) -> dict:
        known(check, inputs, "labels", "prediction")
        labels, prediction = (inputs[name].numpy().astype(np.int64) for name in ("labels", "prediction"))
        found = metrics(labels, prediction)
        names = ("precision", "recall", "f1", "iou", "accuracy", "mean_iou")
        return {name: np.float32(getattr(found, name)) for name in names}

    def refined(self, check: dict, inputs: Inputs) -> Inputs:
        known(check, inputs, *_MAPS, *_SIGMAS, "volume", "contrast", "downscale", "isovalue")
        sizes = {name: float(inputs[name]) for name in _SIGMAS if name in inputs}
        refiner = Refiner(
            inputs["volume"].numpy(),
            RefinementOptions(
                downscale=float(inputs.get("downscale", self.downscale)),
                sizes=grid_sizes(sizes, bilateral.GridSizes(5, 5, 5)),
                solver=self.solver,
                confidence=self.confidence,
                contrast=float(inputs.get("contrast", 2.0)),
            ),
        )
        features, shape = self._features(inputs), self._shape(inputs)
        classes = list(self._of_classes(check, inputs))
        channels = len(refiner.volume)  # the official loop ends with them, however many modalities there are
        isovalues = inputs.get("isovalue", torch.tensor(0.4)).expand(len(classes)).tolist()
        rows = [
            refiner(modality_maps(features, voxels, shape, options, w[:channels]), voxels, iso, w)
            for (voxels, options, w), iso in zip(classes, isovalues)
        ]
        return {"maps": truncated(check, torch.stack(rows))}

    def _features(self, inputs: Inputs) -> Tensor:
        return normalised(inputs["feature_volume"].float())

    def _shape(self, inputs: Inputs) -> list[int]:
        return inputs["volume_shape"].tolist()

    def _relative(self, inputs: Inputs) -> Tensor:
        return relative_coordinates(inputs["coordinates"], self._shape(inputs))

    def _classes(self, check: dict, inputs: Inputs) -> range:
        """Classes 0 ... C - 1; those behind the last that has annotations show in the stored rows alone."""
        rows = {len(value) for value in self.kit.outputs(check["name"]).values()}
        return range(max([int(inputs["class_index"].max()) + 1, *rows]))

    def _of_classes(
        self, check: dict, inputs: Inputs
    ) -> Iterator[tuple[Tensor, SimilarityOptions, list[float]]]:
        """Annotations, options and weights of the modalities of each class; one number serves all classes."""
        classes = self._classes(check, inputs)
        weights = inputs.get("modality_weight", torch.ones(1))
        weights = weights if weights.ndim == 2 else weights.expand(len(classes), -1)
        proximity = inputs.get("proximity", torch.zeros(())).expand(len(classes)).tolist()
        for c, strength, row in zip(classes, proximity, weights.tolist()):
            voxels = inputs["coordinates"][inputs["class_index"] == c]
            yield voxels, replace(self._options(check), proximity=strength), row

    def _options(self, check: dict) -> SimilarityOptions:
        """The config's, with the reduction that the check's name ends in."""
        named = re.search(r"_(mean|avg|max)(?![a-z])", check["name"])
        return replace(self.options, reduction=_REDUCTIONS[named[1]]) if named else self.options


def open_bilateral(kit: GoldenKit) -> Run:
    """The checks of the solver and of what goes with it; the config gives defaults of the inputs."""
    kit.options.neutral("shape")
    iterations = kit.options.take("bistochastization_iterations", 10)
    defaults = Options(kit.options.take("grid_defaults", {}), kit.folder)
    sizes = grid_sizes({name: defaults.take(name) for name in _SIGMAS if name in defaults})
    defaults.refuse_rest()
    defaults = Options(kit.options.take("solver_defaults", {}), kit.folder)
    solver = _solver({name: defaults.take(name) for name in _SOLVER if name in defaults})
    defaults.refuse_rest()

    def grid_of(inputs: Inputs) -> bilateral.BilateralGrid:
        given = {name: float(inputs[name]) for name in _SIGMAS if name in inputs}
        return bilateral.BilateralGrid(inputs["reference"].numpy(), grid_sizes(given, sizes), iterations)

    def grid(check: dict, inputs: Inputs) -> dict:
        known(check, inputs, "reference", "target", "confidence", *_SIGMAS, *_SOLVER)
        built = grid_of(inputs)
        first = np.empty(len(built.counts))
        first[built.vertex[::-1]] = np.arange(len(built.vertex))[::-1]  # the last to be written stays
        n, m = built.bistochastic
        return {
            "cell": built.slice(first),
            "n": built.slice(n),
            "m": built.slice(m),
            "filtered": built.filter(inputs["target"][0].numpy()),
            "vertex_count": np.float32(len(built.counts)),
        }

    def solve(check: dict, inputs: Inputs) -> dict:
        known(check, inputs, "reference", "target", "confidence", *_SIGMAS, *_SOLVER)
        built, target = grid_of(inputs), inputs["target"][0].numpy()
        by_gradient = "confidence" in check["outputs"] or "gradient magnitude" in check["note"]
        confidence = _constant_confidence(check)
        if "confidence" in inputs:
            confidence = inputs["confidence"].numpy()
            confidence = confidence.reshape(built.shape) if confidence.size > 1 else confidence.item()
        elif by_gradient:
            confidence = bilateral.gradient_confidence(inputs["reference"][0].numpy())
        given = {name: float(inputs[name]) for name in _SOLVER if name in inputs}
        options = replace(_solver(given, solver), official_start=True)
        return {
            "confidence": np.broadcast_to(confidence, built.shape),
            "solved": built.solve(target, confidence, options),
            "exact": built.solve(target, confidence, replace(options, exact=True)),
        }

    named = by_name({"crop": _crop, "dilate": _dilate, "contrast": _contrast})

    def run(check: dict, inputs: Arrays) -> Arrays:
        kind = re.search(r"(?:^|_)(grid|solve)(?:[._\d].*)?$", check["name"])
        if kind is None:
            return named(check, inputs)
        return wanted(check, {"grid": grid, "solve": solve}[kind[1]](check, tensors_of_inputs(inputs)))

    return run


def _crop(check: dict, inputs: Inputs) -> Inputs:
    known(check, inputs, "similarity", "threshold", "pad")
    bounds = crop_bounds(inputs["similarity"], float(inputs["threshold"]), int(inputs["pad"]))
    return {"bounds": bounds.float()}


def _dilate(check: dict, inputs: Inputs) -> Inputs:
    known(check, inputs, "similarity", "threshold", "size")
    return {"mask": dilated(inputs["similarity"] > inputs["threshold"], int(inputs["size"])).float()}


def _contrast(check: dict, inputs: Inputs) -> Inputs:
    known(check, inputs, "volume", "value", "factor")
    found = stretched(inputs["volume"], inputs["value"], inputs["factor"])
    return {"stretched": found, "quantised": (255.0 * found).to(torch.uint8).float()}


def _constant_confidence(check: dict) -> float:
    stated = re.search(r"constant confidence (\d*\.?\d+)", check["note"])
    return float(stated[1]) if stated else bilateral.CONFIDENCE


def grid_sizes(
    given: Mapping[str, float], otherwise: bilateral.GridSizes | None = None
) -> bilateral.GridSizes:
    """Cell sizes by the official names."""
    sizes = {name.removeprefix("sigma_"): float(value) for name, value in given.items()}
    return replace(otherwise or bilateral.GridSizes(), **sizes)


def _solver(
    given: Mapping[str, float], otherwise: bilateral.SolverOptions | None = None
) -> bilateral.SolverOptions:
    options = {_SOLVER[name]: value for name, value in given.items()}
    if "iterations" in options:
        options["iterations"] = int(options["iterations"])
    return replace(otherwise or bilateral.SolverOptions(), **options)


def truncated(check: dict, maps: Tensor) -> Tensor:
    """Maps as the check's name or the beginning of its note says: whole numbers, or as they are scaled."""
    whole = "uint8" in check["name"] or "after truncation" in check["note"].partition(";")[0]
    return maps.to(torch.uint8).float() if whole else maps


def known(check: dict, inputs: Mapping[str, Tensor], *names: str) -> None:
    """Nothing that a check is given may go unread.

    Raises:
        UnknownCheckError: an input is not among ``names``.
    """
    for name in inputs:
        if name not in names:
            raise UnknownCheckError(f"there is no rule for the input {name!r} of the check {check['name']!r}")
