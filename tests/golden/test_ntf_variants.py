"""Kits of neural transfer functions with other options, made here by other code than the library's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.golden import verify_kit
from tests.golden.kit import seeded_array
from tests.golden.make import write_kit

SOURCE = {"repository": "none", "commit": "", "entry": ""}


class Dino:
    """DINO's network by the names of its state dict alone."""

    def __init__(self, dim=24, depth=2, heads=2, patch=4, side=4, ratio=3, bias=True, eps=1e-5, scale=None):
        self.heads, self.patch, self.side, self.eps, self.depth = heads, patch, side, eps, depth
        self.scale = scale or (dim // heads) ** -0.5
        shapes = {
            "cls_token": (1, 1, dim),
            "pos_embed": (1, side**2 + 1, dim),
            "patch_embed.proj.weight": (dim, 3, patch, patch),
            "patch_embed.proj.bias": (dim,),
            "norm.weight": (dim,),
            "norm.bias": (dim,),
            "head.weight": (5, dim),
            "head.bias": (5,),
        }
        for i in range(depth):
            b = f"blocks.{i}."
            linear = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim)}
            linear |= {"mlp.fc1": (ratio * dim, dim), "mlp.fc2": (dim, ratio * dim)}
            for name, shape in linear.items():
                shapes[f"{b}{name}.weight"], shapes[f"{b}{name}.bias"] = shape, shape[:1]
            for name in ("norm1", "norm2"):
                shapes[f"{b}{name}.weight"] = shapes[f"{b}{name}.bias"] = (dim,)
            if not bias:
                del shapes[f"{b}attn.qkv.bias"]
        self.arrays = {name: seeded_array(name, shape) for name, shape in shapes.items()}
        self.state = {name: torch.from_numpy(value) for name, value in self.arrays.items()}

    def norm(self, x, name):
        return F.layer_norm(
            x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], self.eps
        )

    def linear(self, x, name):
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def positions(self, rows, columns):
        table = self.state["pos_embed"]
        if (rows, columns) == (self.side, self.side):
            return table
        grid = table[:, 1:].reshape(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        factor = (rows + 0.1) / self.side, (columns + 0.1) / self.side
        grid = F.interpolate(grid, scale_factor=factor, mode="bicubic")
        assert grid.shape[2:] == (rows, columns)
        return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def __call__(self, images):
        """Tokens after block 0, and the last block's qkv."""
        x = F.conv2d(
            images, self.state["patch_embed.proj.weight"], self.state["patch_embed.proj.bias"], self.patch
        )
        rows, columns = x.shape[2:]
        x = torch.cat([self.state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = x + self.positions(rows, columns)
        for i in range(self.depth):
            b = f"blocks.{i}."
            qkv = self.linear(self.norm(x, f"{b}norm1"), f"{b}attn.qkv")
            q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            attention = (q @ k.transpose(2, 3) * self.scale).softmax(-1) @ v
            x = x + self.linear(attention.transpose(1, 2).flatten(2), f"{b}attn.proj")
            x = x + self.linear(F.gelu(self.linear(self.norm(x, f"{b}norm2"), f"{b}mlp.fc1")), f"{b}mlp.fc2")
            if i == 0:
                first = x
        return first, qkv


def features_kit(folder, volume, size, order, network, config):
    """The checks that the official kit has, by the official order of work."""
    ratio = sorted(volume.shape)[1] / size
    sides = [int(network.patch * (d // ratio)) for d in volume.shape]
    cells = [side // network.patch for side in sides]
    values = torch.from_numpy(volume.astype(np.float32))
    values = (values - values.min()) / (values.max() - values.min())
    checks, pooled = [], {}
    for name in order:
        axis = "xyz".index(name)
        rest = [a for a in range(3) if a != axis]
        slices = values.permute(axis, *rest)[:, None].expand(-1, 3, -1, -1)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        slices = (slices - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        images = F.interpolate(slices, [sides[a] for a in rest], mode="nearest")
        first, qkv = network(images)
        keys = qkv.chunk(3, -1)[1][:, 1:].unflatten(1, [cells[a] for a in rest])
        pooled[f"key_{name}"] = F.adaptive_avg_pool3d(keys.permute(3, 0, 1, 2).movedim(1, axis + 1), cells)
        index = torch.tensor([0, volume.shape[axis] - 1])
        outputs = dict(image=images[:1], block0=first[:1], qkv=qkv[index])
        outputs["pos_embed"] = network.positions(*(cells[a] for a in rest))
        inputs = dict(image_size=np.array([sides[a] for a in rest]), slice_index=index.numpy(), volume=volume)
        checks.append(check(f"slices_{name}", inputs, outputs))
    inputs = dict(volume=volume, feature_output_size=np.array(size))
    checks.append(check("axes", inputs, pooled))
    total = sum(pooled.values())
    checks.append(check("merged", inputs, dict(features=total, normalised=F.normalize(total, dim=0))))
    meta = dict(system="ntf", source=SOURCE, config=config | {"slice_order": list(order)}, notes="")
    write_kit(folder, meta, network.arrays, checks)


def check(name, inputs, outputs, rtol=1e-3, atol=2e-4):
    arrays = {key: np.asarray(value) for key, value in outputs.items()}
    return dict(name=name, inputs=inputs, outputs=arrays, rtol=rtol, atol=atol, note="")


def noise(shape, kind):
    return (np.random.default_rng(0).random(shape) * 250).astype(kind)


@pytest.mark.parametrize(
    ("network", "model", "others"),
    [
        (Dino(bias=False), dict(img_size=[16]), {}),
        (Dino(eps=1e-6), dict(img_size=[16, 32], qkv_bias=True, num_classes=5), dict(layer_norm_eps=1e-6)),
        (
            Dino(dim=18, heads=3, depth=1, patch=3, side=5, scale=0.7),
            dict(img_size=15, qkv_bias=True, qk_scale=0.7, patch_size=3, embed_dim=18, num_heads=3, depth=1),
            dict(feature_output_size=5, volume_shape=[9, 12, 7]),
        ),
    ],
)
@pytest.mark.parametrize(
    ("shape", "size", "order", "kind"),
    [((9, 12, 7), 5, "xyz", "float32"), ((6, 5, 30), 4, "zy", "int16"), ((4, 4, 4), 4, "yxz", "uint8")],
)
def test_features_of_other_networks_and_volumes(tmp_path, network, model, others, shape, size, order, kind):
    base = dict(patch_size=4, embed_dim=24, depth=2, num_heads=2, mlp_ratio=3, drop_rate=0.1)
    config = {"model": base | {"drop_path_rate": 0.2} | model} | others
    features_kit(tmp_path, noise(shape, kind), size, order, network, config)
    rows = verify_kit(tmp_path)
    assert [str(row) for row in rows if not row.passed] == []
    assert len(rows) == 4 * len(order) + len(order) + 2


def test_maps_of_more_modalities_and_an_empty_class(tmp_path):
    generator = np.random.default_rng(0)
    features = generator.standard_normal((3, 6, 4, 3, 2)).astype(np.float32)
    voxels = np.array([(0, 0, 0), (11, 8, 5), (5, 4, 3), (2, 7, 5)])
    index, shape = np.array([0, 0, 2, 0]), np.array([12, 9, 6])
    weights = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.2, 0.3]], np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    maps = np.zeros((4, 4, 3, 2))  # the last class is empty, too
    for c in range(3):
        total = np.zeros((4, 3, 2))
        for m in range(3):
            rows = [np.einsum("fxyz,f->xyz", unit[m], sampled(unit[m], v, shape)) for v in voxels[index == c]]
            rows = [np.where(row >= 0.2, row, 0) ** 2 for row in rows]
            total += weights[c, m] * (np.max(rows, 0) if rows else 0)
        if total.any():
            maps[c] = np.clip(255 / np.quantile(total, 0.99) * total, 0, 255)
    inputs = dict(class_index=index, coordinates=voxels, feature_volume=features, volume_shape=shape)
    inputs["modality_weight"] = np.concatenate([weights, weights[:1]])
    config = dict(feature_shape=[6, 4, 3, 2], lower_cut=0.2, exponent=2.0, quantile=0.99, reduction="max")
    meta = dict(system="ntf", source=SOURCE, config=config, notes="")
    write_kit(tmp_path, meta, {}, [check("modalities_3", inputs, dict(maps=maps), atol=0.05)])
    assert [str(row) for row in verify_kit(tmp_path) if not row.passed] == []
    other = check("maps_other", inputs | {"colour": np.array(1)}, dict(maps=maps))
    write_kit(tmp_path, meta, {}, [other])
    (row,) = verify_kit(tmp_path)
    assert "no rule for the input 'colour'" in row.failure


def sampled(features, voxel, shape):
    """Trilinear, zeros outside."""
    place = (np.asarray(voxel) + 0.5) / shape * features.shape[1:] - 0.5
    found = np.zeros(len(features))
    for corner in np.ndindex(2, 2, 2):
        cell = np.floor(place).astype(int) + corner
        if (cell >= 0).all() and (cell < features.shape[1:]).all():
            found += np.prod(1 - np.abs(place - cell)) * features[(slice(None), *cell)]
    return found
