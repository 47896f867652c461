"""Fields of nerfstudio's methods, built from the plain settings of a run and the weights that it saved.

nerfstudio's ``Model`` classes fetch weights when they are built, and its occupancy grids need CUDA; fields
need neither. Each is built as its ``Model`` does, with torch's encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dense3d.errors import CheckpointError
from dense3d.optional import require
from dense3d.radiance.grids.nerfstudio_source import PURPOSE

KNOWN_VERSION = "1.1.5"
NAMED = 4  # weights that do not fit and are named
Weights = Mapping[str, Tensor]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """How the field of a ``Model`` class is built.

    Attributes:
        names: what ``ns-train`` calls the methods that have it.
        settings: of the model that the field depends on.
        build: the field, not yet with weights, from settings and weights.
        prefix: of its weights in checkpoints.
        density_kind: how its densities are stored: as logarithms where they are exponentials.
        asked: what is asked in place of the field.
    """

    names: tuple[str, ...]
    settings: tuple[str, ...]
    build: Callable[[Settings, Weights], torch.nn.Module]
    prefix: str = "_model.field."
    density_kind: str = "raw_exp"
    asked: Callable[[torch.nn.Module], torch.nn.Module] | None = None


class BoxedField(torch.nn.Module):
    """TensoRF's field, asked at single places as the others are, and empty outside of its box.

    Rays are cut at the box when it is trained; beyond, sums of planes say anything.
    """

    def __init__(self, field: torch.nn.Module) -> None:
        super().__init__()
        self.field = field

    def get_density(self, samples: Any) -> tuple[Tensor, None]:
        """(N, 1), and no features: colours do not depend on them."""
        points = samples.frustums.get_positions()  # (N, 3)
        within = (points >= self.field.aabb[0]) & (points <= self.field.aabb[1])
        return self.field.get_density(samples[:, None])[:, 0] * within.all(-1, keepdim=True), None

    def get_outputs(self, samples: Any, density_embedding: None = None) -> dict[Any, Tensor]:
        """Colours (N, 3)."""
        heads = require("nerfstudio.field_components.field_heads", PURPOSE)
        return {heads.FieldHeadNames.RGB: self.field.get_outputs(samples[:, None])[:, 0]}


# Of the field's constructor -> of the model's settings.
NERFACTO = {
    "hidden_dim": "hidden_dim",
    "num_levels": "num_levels",
    "max_res": "max_res",
    "base_res": "base_res",
    "features_per_level": "features_per_level",
    "log2_hashmap_size": "log2_hashmap_size",
    "hidden_dim_color": "hidden_dim_color",
    "hidden_dim_transient": "hidden_dim_transient",
    "use_pred_normals": "predict_normals",
    "use_average_appearance_embedding": "use_average_appearance_embedding",
    "average_init_density": "average_init_density",
}
INSTANT_NGP = {"max_res": "max_res", "log2_hashmap_size": "log2_hashmap_size"}


def _nerfacto_field(arguments: Mapping[str, str]) -> Callable[[Settings, Weights], torch.nn.Module]:
    def build(model: Settings, weights: Weights) -> torch.nn.Module:
        fields = require("nerfstudio.fields.nerfacto_field", PURPOSE)
        distortions = require("nerfstudio.field_components.spatial_distortions", PURPOSE)
        appearance = weights.get("embedding_appearance.embedding.weight")
        is_contracted = not model["disable_scene_contraction"]
        return fields.NerfactoField(
            weights["aabb"],
            num_images=1 if appearance is None else len(appearance),
            appearance_embedding_dim=0 if appearance is None else appearance.shape[1],
            spatial_distortion=distortions.SceneContraction(order=float("inf")) if is_contracted else None,
            implementation="torch",
            **{argument: model[name] for argument, name in arguments.items()},
        )

    return build


def _nerf_field(model: Settings, weights: Weights) -> torch.nn.Module:
    """The fine one, which the images of NeRF show."""
    fields = require("nerfstudio.fields.vanilla_nerf_field", PURPOSE)
    encoding = require("nerfstudio.field_components.encodings", PURPOSE).NeRFEncoding
    ends = dict(in_dim=3, min_freq_exp=0.0, include_input=True)
    return fields.NeRFField(
        position_encoding=encoding(num_frequencies=10, max_freq_exp=8.0, **ends),
        direction_encoding=encoding(num_frequencies=4, max_freq_exp=4.0, **ends),
    )


def _tensorf_field(model: Settings, weights: Weights) -> torch.nn.Module:
    """Its tensors have grown during the training: their weights say how large they are."""
    fields = require("nerfstudio.fields.tensorf_field", PURPOSE)
    encodings = require("nerfstudio.field_components.encodings", PURPOSE)
    kinds = {
        "vm": encodings.TensorVMEncoding,
        "cp": encodings.TensorCPEncoding,
        "triplane": encodings.TriplaneEncoding,
    }
    kind, components = model["tensorf_encoding"], {}
    if kind not in kinds:
        raise ValueError(f"tensorf_encoding={kind!r} is none of {', '.join(kinds)}")
    table = "plane_coef" if kind == "triplane" else "line_coef"
    for part, setting in (("density", "num_den_components"), ("color", "num_color_components")):
        name = f"{part}_encoding"
        size = weights[f"{name}.{table}"].shape[2]
        components[name] = kinds[kind](resolution=size, num_components=model[setting])
    frequencies = dict(num_frequencies=2, min_freq_exp=0, max_freq_exp=2)
    return fields.TensoRFField(
        weights["aabb"],
        feature_encoding=encodings.NeRFEncoding(in_dim=model["appearance_dim"], **frequencies),
        direction_encoding=encodings.NeRFEncoding(in_dim=3, **frequencies),
        appearance_dim=model["appearance_dim"],
        **components,
    )


_OF_NERFACTO = (*NERFACTO.values(), "disable_scene_contraction")
_OF_TENSORF = ("tensorf_encoding", "num_den_components", "num_color_components", "appearance_dim")
#: Of nerfstudio's ``Model`` classes.
METHODS = {
    "nerfacto.NerfactoModel": Method(
        ("nerfacto", "nerfacto-big", "nerfacto-huge"),
        _OF_NERFACTO,
        _nerfacto_field(NERFACTO),
    ),
    "depth_nerfacto.DepthNerfactoModel": Method(("depth-nerfacto",), _OF_NERFACTO, _nerfacto_field(NERFACTO)),
    "instant_ngp.NGPModel": Method(
        ("instant-ngp", "instant-ngp-bounded"),
        (*INSTANT_NGP.values(), "disable_scene_contraction"),
        _nerfacto_field(INSTANT_NGP),
    ),
    "vanilla_nerf.NeRFModel": Method(
        ("vanilla-nerf",), ("enable_temporal_distortion",), _nerf_field, "_model.field_fine.", "relu"
    ),
    "tensorf.TensoRFModel": Method(
        ("tensorf",), _OF_TENSORF, _tensorf_field, density_kind="relu", asked=BoxedField
    ),
}
WHY_NOT = {
    "splatfacto.SplatfactoModel": "is made of Gaussians and has no field",
    "mipnerf.MipNerfModel": "has densities of cones, which differ with the distance of the camera",
    "neus.NeuSModel": "has a field of distances to a surface, not of densities",
    "neus_facto.NeuSFactoModel": "has a field of distances to a surface, not of densities",
}


def method_of(model: Settings, name: str, path: Path) -> Method:
    """How the field of a run is built.

    Args:
        model: settings in its ``config.yml``.
        name: of its method.
        path: named in errors.

    Raises:
        CheckpointError: its field cannot be asked, or it is of another version of nerfstudio.
    """
    target = str(model.get("_target"))
    known = target.removeprefix("nerfstudio.models.")
    why = WHY_NOT.get(known, f"has the model {known}, whose field is not known")
    method = METHODS.get(known)
    if method is not None and model.get("enable_temporal_distortion"):
        method, why = None, "is of a scene that moves"
    if method is None:
        names = ", ".join(name for known in METHODS.values() for name in known.names)
        raise CheckpointError(
            f"{path}: the method {name!r} {why}: give the photographs in place of the run, and a grid is "
            f"fitted to them, or train one of {names}"
        )
    lacking = [name for name in method.settings if name not in model]
    if lacking:
        raise CheckpointError(
            f"{path} is of another version of nerfstudio than {KNOWN_VERSION}: its model has no "
            f"{lacking[0]!r}; train it anew with nerfstudio {KNOWN_VERSION}"
        )
    return method


def built_field(method: Method, model: Settings, state: Any, path: Path, checkpoint: Path) -> torch.nn.Module:
    """The field of a run with its weights, in evaluation.

    Args:
        method: how it is built.
        model: settings in ``config.yml``.
        state: content of the checkpoint.
        path: of ``config.yml``.
        checkpoint: path.

    Raises:
        CheckpointError: settings and weights do not make a field.
        MissingDependencyError: nerfstudio is not installed.
    """
    weights = state.get("pipeline") if isinstance(state, dict) else None
    prefix = method.prefix
    own = {k[len(prefix) :]: v for k, v in (weights or {}).items() if k.startswith(prefix)}
    if not own:
        raise CheckpointError(
            f"{checkpoint} has no weights {prefix}*: it is no checkpoint of {method.names[0]}"
        )
    try:
        field = method.build(model, own)
    except KeyError as error:
        raise CheckpointError(
            f"{checkpoint} has no weights {prefix}{error.args[0]}: it is no checkpoint of {method.names[0]}, "
            "or the config.yml was changed"
        ) from None
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: no field can be built from its model's settings ({reason})") from None
    field = _loaded(field, own, checkpoint)
    return field if method.asked is None else method.asked(field)


def _loaded(field: torch.nn.Module, weights: Weights, checkpoint: Path) -> torch.nn.Module:
    own = field.state_dict()
    other = sorted(
        name
        for name in {**own, **weights}
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    )
    if other:
        if any("tcnn" in name or name.endswith("params") for name in weights):
            why = (
                "it was trained with tiny-cuda-nn, whose tables nobody else reads; train with "
                "--pipeline.model.implementation torch, or, as instant-ngp has no such option, where "
                "tiny-cuda-nn is not installed"
            )
        else:
            why = (
                f"it is of another version of nerfstudio than {KNOWN_VERSION}, or its config.yml was changed"
            )
        names = ", ".join(other[:NAMED]) + (", ..." if len(other) > NAMED else "")
        raise CheckpointError(f"{checkpoint}: {len(other)} weights do not fit the field, as {names}: {why}")
    field.load_state_dict(weights)
    return field.eval()
