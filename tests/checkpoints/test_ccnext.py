"""Official CCNeXt checkpoints in two files, decoders of one image or both, against the decoder's facts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.apis import convert_checkpoint
from dense3d.checkpoints import convert
from dense3d.engine import load_checkpoint, load_into
from dense3d.errors import CheckpointError
from dense3d.stereo.ccnext import CCNeXt

FEATURES, WIDTHS = (16, 16, 24, 32, 48), (6, 8, 10, 12, 14)
BACKBONE = dict(
    type="TimmBackbone", model_name="convnext_atto", model_kwargs=dict(dims=FEATURES[1:], depths=(1, 1, 1, 1))
)


def official_decoder(dual: bool, scales=(0, 1, 2, 3)) -> dict[str, torch.Tensor]:
    """Names and shapes of the official decoder, random values."""
    torch.manual_seed(0)
    branches, state = 1 + dual, {}
    for level, channels in enumerate(FEATURES):
        for branch in range(branches):
            name = f"middle.{branches * level + branch}.weight"
            state[name] = 0.1 * torch.randn(channels, 2 * channels, 3, 3)
    for index, level in enumerate((4, 3, 2)):
        c = WIDTHS[level]
        for part in "gW":
            prefix = f"decoder.{index}.{part}"
            state |= {f"{prefix}.0.weight": torch.randn(c, c, 1, 1), f"{prefix}.0.bias": torch.randn(c)}
            state |= {f"{prefix}.1.{name}": torch.randn(c) for name in ("weight", "bias", "running_mean")}
            state[f"{prefix}.1.running_var"] = torch.rand(c) + 0.5
            state[f"{prefix}.1.num_batches_tracked"] = torch.tensor(3)
    shapes = []
    for _ in range(branches):
        for level in (4, 3, 2, 1, 0):
            below = FEATURES[4] if level == 4 else WIDTHS[level + 1]
            joined = WIDTHS[level] + (FEATURES[level] if level < 4 else 0)
            shapes += [(WIDTHS[level], below), (WIDTHS[level], joined)]
    for index, (out, into) in enumerate(shapes, start=3):
        state[f"decoder.{index}.conv.conv.weight"] = 0.2 * torch.randn(out, into, 3, 3)
        state[f"decoder.{index}.conv.conv.bias"] = torch.randn(out)
    heads = [WIDTHS[scale] for scale in scales for _ in range(branches)]
    for index, channels in enumerate(heads, start=3 + len(shapes)):
        state[f"decoder.{index}.conv.weight"] = torch.randn(1, channels, 3, 3)
        state[f"decoder.{index}.conv.bias"] = torch.randn(1)
    return state


def by_the_facts(state: dict, left: list, right: list, branch: int, dual: bool, scales=(0, 1, 2, 3)) -> dict:
    """The official decoder, written from its description alone."""
    branches, found = 1 + dual, {}

    def reflect(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        x = F.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"])
        mean, var = state[f"{name}.1.running_mean"], state[f"{name}.1.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.1.weight"], state[f"{name}.1.bias"])

    mixed = [
        F.conv2d(torch.cat([a, b], 1), state[f"middle.{branches * i + branch}.weight"], padding=1).relu()
        for i, (a, b) in enumerate(zip(left, right))
    ]
    x, index = mixed[4], 3 + 10 * branch
    for level in (4, 3, 2, 1, 0):
        x = F.elu(reflect(x, f"decoder.{index}.conv.conv"))
        x = x if level == 4 else torch.cat([x, mixed[level]], 1)
        x = F.elu(reflect(x, f"decoder.{index + 1}.conv.conv"))
        if level >= 2:
            x = x + norm(norm(x, f"decoder.{4 - level}.g"), f"decoder.{4 - level}.W")
        x, index = x.repeat_interleave(2, 2).repeat_interleave(2, 3), index + 2
        if level in scales:
            head = 3 + 10 * branches + branches * list(scales).index(level) + branch
            found[level] = reflect(x, f"decoder.{head}.conv").sigmoid()
    return found


def official_encoder(model: CCNeXt) -> dict[str, torch.Tensor]:
    """Ours by the official names."""
    letters = dict(query="Q", key="K", value="V", output="W")
    state = {}
    for name, value in model.encoder.state_dict().items():
        parts = name.split(".")
        if parts[0] == "stem":
            name = f"encoder.stem_0.{name.removeprefix('stem.')}"
        elif parts[0] == "attentions":
            name = ".".join([f"ca_{int(parts[1]) + 1}", letters[parts[2]], *parts[3:]])
        else:
            name = name.replace("backbone.body.", "encoder.")
        state[name] = value
    return state


def model_of(dual: bool, scales=(0, 1, 2, 3)) -> CCNeXt:
    torch.manual_seed(1)
    decoder = dict(dual=dual, channels=WIDTHS, scales=scales)
    return CCNeXt(BACKBONE, decoder=decoder, normalised_focal=0.58).eval()


@pytest.mark.parametrize(
    ("dual", "scales"), [(True, (0, 1, 2, 3)), (False, (0, 1, 2, 3)), (True, (3, 0)), (False, (0,))]
)
def test_decoders_of_every_kind(dual, scales):
    model = model_of(dual, scales)
    official = official_decoder(dual, scales)
    load_into(model, convert("ccnext", official_encoder(model) | official), "the official checkpoint")
    sides = [[torch.randn(1, c, 32 >> i, 64 >> i) for i, c in enumerate(FEATURES)] for _ in range(2)]
    with torch.no_grad():
        for branch, maps in enumerate(model.decoder(*sides)):
            expected = by_the_facts(official, *sides, branch, dual, scales)
            assert sorted(maps) == sorted(expected)
            for scale, x in expected.items():
                torch.testing.assert_close(maps[scale], x, rtol=1e-4, atol=1e-5)


def test_the_left_branch_alone():
    single, dual = model_of(False), model_of(True)
    official = official_encoder(dual) | official_decoder(True)
    load_into(dual, convert("ccnext", official), "both")
    load_into(single, convert("ccnext-single", official), "left")
    images = torch.rand(2, 1, 3, 64, 96)
    assert torch.equal(single.inverse_depth(*images), dual.inverse_depth(*images))


def test_two_files(tmp_path, capsys):
    from dense3d.cli.dispatch import main

    model, decoder = model_of(True), official_decoder(True)
    files = [str(tmp_path / name) for name in ("encoder.pth", "decoder.pth", "ccnext.pth")]
    torch.save(official_encoder(model), files[0])
    torch.save(decoder, files[1])
    assert main(["convert", "ccnext", *files]) in (0, None)
    assert f"{len(model.state_dict())} tensors written to" in capsys.readouterr().out
    load_into(model, load_checkpoint(files[2])["state_dict"], files[2])
    assert convert_checkpoint("ccnext", files[:2], files[2]) == len(model.state_dict())


def test_what_does_not_fit_is_named(tmp_path):
    model, decoder = model_of(True), official_decoder(True)
    encoder = official_encoder(model)
    with pytest.raises(CheckpointError, match=r"the decoder's weights are absent: .* give both"):
        convert("ccnext", encoder)
    with pytest.raises(CheckpointError, match="the encoder's weights are absent"):
        convert("ccnext", decoder)
    with pytest.raises(CheckpointError, match=r"no official CCNeXt checkpoint: it has fc.weight"):
        convert("ccnext", encoder | decoder | {"fc.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="not 9"):
        convert("ccnext", encoder | {n: v for n, v in decoder.items() if n != "middle.9.weight"})
    with pytest.raises(CheckpointError, match=r"decoder\\.0\\.g"):
        convert("ccnext", encoder | {n: v for n, v in decoder.items() if not n.startswith("decoder.0.g")})
    with pytest.raises(CheckpointError, match=r"ca_4.Q.weight"):
        convert("ccnext", encoder | decoder | {"ca_4.Q.weight": torch.zeros(1)})
    file = tmp_path / "encoder.pth"
    torch.save(encoder, file)
    with pytest.raises(CheckpointError, match="which a file before it has: give each part once"):
        convert_checkpoint("ccnext", [file, file], tmp_path / "out.pth")
    with pytest.raises(CheckpointError, match="is the official checkpoint itself"):
        convert_checkpoint("ccnext", [file, tmp_path / "decoder.pth"], file)
