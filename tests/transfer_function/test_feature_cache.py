"""Feature volumes on disk: found again, gone on with, and read from what the official code wrote."""

from __future__ import annotations

import collections
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from dense3d.backbones import VisionTransformer
from dense3d.errors import CheckpointError, DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.features import (
    FeatureSettings,
    KeyNetwork,
    compute_features,
    extract_features,
    official_features,
    read_official_cache,
)
from dense3d.transfer_function.features.computing import duration
from dense3d.transfer_function.similarity_classifier import SimilarityClassifier

ARCH = dict(name="dino_vits16", embed_dim=16, depth=2, num_heads=2, patch_size=4, pretrain_size=16)
SETTINGS = FeatureSettings(size=4)


@pytest.fixture
def network() -> KeyNetwork:
    torch.manual_seed(0)
    return KeyNetwork(VisionTransformer(ARCH))


@pytest.fixture
def volume() -> Volume:
    return Volume(np.random.default_rng(0).random((8, 12, 10)).astype(np.float32), np.eye(4), "noise")


def ran(network: KeyNetwork, *arguments, **options) -> tuple[torch.Tensor, int]:
    """Features and how many batches passed through the network."""
    batches = []
    handle = network.network.patch_embed.register_forward_hook(lambda *_: batches.append(1))
    try:
        return compute_features(arguments[0], network, *arguments[1:], **options), len(batches)
    finally:
        handle.remove()


def test_the_second_time_nothing_is_computed(network, volume, tmp_path):
    first, batches = ran(network, volume, SETTINGS, cache=tmp_path)
    again, none = ran(network, volume, SETTINGS, cache=tmp_path)
    assert batches > 0 and none == 0
    torch.testing.assert_close(first, again, rtol=1e-3, atol=1e-3)
    assert torch.equal(first.half().float(), again)
    assert [file.suffix for file in tmp_path.iterdir()] == [".npz"]


@pytest.mark.parametrize("what", ["voxel", "weight", "settings", "part"])
def test_what_decides_the_numbers_decides_the_name(network, volume, tmp_path, what):
    compute_features(volume, network, SETTINGS, cache=tmp_path)
    settings = SETTINGS
    if what == "voxel":
        values = volume.values.copy()
        values[3, 3, 3] += 1e-6
        volume = replace(volume, values=values)
    elif what == "weight":
        network.network.blocks[0].attn.proj.bias.data[3] += 1e-6
    elif what == "settings":
        settings = replace(SETTINGS, window=(0.0, 99.0))
    else:
        network = KeyNetwork(network.network, "v")
    assert ran(network, volume, settings, cache=tmp_path)[1] > 0
    assert len(list(tmp_path.iterdir())) == 2


class Stop(Exception):
    pass


def stopping(after: int):
    calls = []

    def progress(done, words, left):
        calls.append(words)
        if len(calls) > after:
            raise Stop

    return progress, calls


@pytest.mark.parametrize("after", [1, 4, 7, 10])
def test_a_run_that_is_stopped_goes_on(network, volume, tmp_path, monkeypatch, after):
    monkeypatch.setattr("dense3d.transfer_function.features.extraction.TOKENS", 40)  # small batches
    whole, all_batches = ran(network, volume, SETTINGS, cache=tmp_path / "whole")
    progress, calls = stopping(after)
    with pytest.raises(Stop):
        compute_features(volume, network, SETTINGS, progress, cache=tmp_path, first=(1, 3))
    assert len(list(tmp_path.glob("*.part.npz"))) == 1
    features, batches = ran(network, volume, SETTINGS, cache=tmp_path)
    assert 0 < batches == all_batches - after
    torch.testing.assert_close(features, whole)
    assert not list(tmp_path.glob("*.part.npz"))
    assert "slices" in calls[0]
    assert after < 2 or ("about" in calls[2] and "CPU thread" in calls[2])


def test_damaged_files_are_computed_anew(network, volume, tmp_path):
    whole = compute_features(volume, network, SETTINGS, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    for content in (b"", b"no zip", file.read_bytes()[:200]):
        file.write_bytes(content)
        file.with_suffix(".part.npz").write_bytes(content)
        torch.testing.assert_close(compute_features(volume, network, SETTINGS, cache=tmp_path), whole)
    with file.open("wb") as stream:
        np.savez(stream, features=np.zeros((2, 2), np.float16))
    torch.testing.assert_close(compute_features(volume, network, SETTINGS, cache=tmp_path), whole)


def test_without_a_place_to_keep_them_features_are_there_all_the_same(network, volume, tmp_path):
    whole = compute_features(volume, network, SETTINGS, cache=tmp_path / "cache")
    (tmp_path / "file").write_text("no folder")
    words = []
    progress = lambda done, text, left: words.append(text)  # noqa: E731
    found = compute_features(volume, network, SETTINGS, progress, cache=tmp_path / "file")
    torch.testing.assert_close(found, whole)
    assert "not kept for the next time" in words[-1] and "file" in words[-1]
    progress, _ = stopping(2)
    with pytest.raises(Stop):
        compute_features(volume, network, SETTINGS, progress, cache=tmp_path / "file")


def test_previews_have_all_cells_and_end_as_the_result(network, volume, tmp_path, monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.features.extraction.TOKENS", 1)
    previews = []
    features = compute_features(volume, network, SETTINGS, preview=previews.append, cache=tmp_path)
    assert len(previews) == 3
    assert all((p.abs().sum(0) > 0).all() for p in previews)
    errors = [(1 - torch.cosine_similarity(p, features, dim=0)).mean() for p in previews]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("kind", ["dict.npy", "array.npy", "dict.pt", "array.pt"])
def test_official_caches(network, volume, tmp_path, kind):
    features = extract_features(volume.values, network, SETTINGS).half()
    path = tmp_path / kind
    official = collections.defaultdict(float)
    official["k"] = features
    if kind == "dict.npy":
        np.save(path, {"k": features.numpy()})
    elif kind == "array.npy":
        np.save(path, features.numpy())
    else:
        torch.save(official if kind == "dict.pt" else features, path)
    assert torch.equal(read_official_cache(path), features.float())
    if kind.startswith("dict"):
        with pytest.raises(DataError, match="has no 'v' but 'k'"):
            read_official_cache(path, "v")


def test_official_caches_are_turned_with_the_volume(tmp_path):
    """The cache has the file's axes; the tool's are the nearest to right, front, head."""
    cells = np.random.default_rng(0).random((3, 4, 6, 5)).astype(np.float32)  # of a file of 8 x 12 x 10
    np.save(tmp_path / "cache.npy", {"k": cells})
    affine = np.array([[0, -1, 0, 0], [0, 0, 2.0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    volume = Volume(np.arange(960).reshape(8, 12, 10), affine).canonical()
    found = official_features(tmp_path / "cache.npy", volume)
    assert found.shape == (3, 6, 5, 4) and volume.shape == (12, 10, 8)
    np.testing.assert_array_equal(found.numpy(), cells.transpose(0, 2, 3, 1)[:, ::-1])
    reduced = Volume(np.zeros((16, 24, 20)), affine).reduced(12)
    assert official_features(tmp_path / "cache.npy", reduced).shape == (3, 6, 5, 4)
    with pytest.raises(DataError, match="has 4 x 6 x 5 cells, which do not fit a volume of 8 x 12 x 30"):
        official_features(tmp_path / "cache.npy", Volume(np.zeros((8, 12, 30)), np.eye(4)))
    np.save(tmp_path / "two.npy", {"k": np.stack([cells, cells])})
    with pytest.raises(DataError, match="features of 2 modalities"):
        official_features(tmp_path / "two.npy", volume)
    np.save(tmp_path / "one.npy", {"k": cells[None]})
    assert torch.equal(official_features(tmp_path / "one.npy", volume), found)
    assert SimilarityClassifier(volume, tmp_path / "one.npy").ready


class Evil:
    def __reduce__(self):
        return print, ("this must not be printed",)


def test_caches_that_would_run_code_are_refused(tmp_path, capsys):
    path = tmp_path / "evil.npy"
    array = np.array(None, dtype=object)
    array[()] = {"k": Evil()}
    np.save(path, array)
    with pytest.raises(DataError, match=r"evil\.npy was refused: it names builtins\.print"):
        read_official_cache(path)
    torch.save({"k": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        read_official_cache(tmp_path / "evil.pt")
    assert "must not" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x07\x00abc", pickle.dumps({"k": 1})]
)
def test_damaged_official_caches(tmp_path, content):
    path = tmp_path / "damaged.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.npy is damaged"):
        read_official_cache(path)
    with pytest.raises(DataError, match="does not exist"):
        read_official_cache(tmp_path / "absent.npy")
    np.save(path, {"k": np.zeros(3)})
    with pytest.raises(DataError, match="no array of features"):
        read_official_cache(path)


def test_times_in_words():
    assert [duration(s) for s in (0.1, 89, 90, 3000)] == ["1 s", "90 s", "2 min", "51 min"]
