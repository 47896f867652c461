"""Plain transformers, ViT-CoMer and the masked autoencoder on their kits."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from dense3d.errors import CheckpointError, DataError
from tests.golden import UnknownCheckError, open_kit, verify_kit
from tests.golden.kit import GoldenKit


@pytest.mark.parametrize(
    "name", ["dinov2-reg", "dinov3-swiglu", "mae-vit", "beit", "vit-baseline", "vit-comer"]
)
def test_unknown_arguments_and_checks_are_failures(edited, name):
    kit = edited(name, lambda meta: meta["config"].update(colour="blue"))
    with pytest.raises(DataError, match="does not know the config argument 'colour'"):
        open_kit(kit)


def test_unknown_checks_are_failures(golden_dir):
    kit = GoldenKit(golden_dir / "dinov2-reg")
    run = open_kit(kit)
    with pytest.raises(UnknownCheckError, match=r"'attention_maps'; known are features"):
        run({"name": "attention_maps", "outputs": ["map"]}, {})
    check = dict(kit.checks[0], outputs=["cls", "colour"])
    with pytest.raises(UnknownCheckError, match="for 'colour'"):
        run(check, kit.inputs(check["name"]))


def test_a_kit_of_other_weights_fails(edited):
    """The weights follow from their names: seeded with another scale they are others, and it shows."""
    kit = edited("dinov2-reg", lambda meta: meta["scale"].append(["blocks.1.attn.proj.weight", 1.01]))
    assert any(not row.passed for row in verify_kit(kit.folder))


def test_a_kit_with_a_parameter_that_nothing_takes_fails(edited):
    kit = edited("dinov2-reg", lambda meta: meta["params"].append(["blocks.0.attn.scale", [3], "float32"]))
    with pytest.raises(CheckpointError, match=r"1 unexpected names: blocks\.0\.attn\.scale"):
        open_kit(kit)


def test_other_names_of_known_checks_run(golden_dir):
    kit = GoldenKit(golden_dir / "dinov3-swiglu")
    run = open_kit(kit)
    check = dict(next(c for c in kit.checks if c["name"] == "features"), name="features_other_size")
    image = np.random.default_rng(0).standard_normal((1, 3, 48, 64)).astype("float32")
    assert run(check, {"image": image})["patch"].shape == (1, 12, 192)


def comer(golden_dir, name: str):
    kit = GoldenKit(golden_dir / name)
    run = open_kit(kit)
    from tests.golden.vit_comer import _build
    from tests.golden.weights import load_kit

    generator = torch.Generator().manual_seed(0)
    dim = kit.meta["config"]["embed_dim"]
    x, c = torch.randn(1, 32, dim, generator=generator), torch.randn(1, 168, dim, generator=generator)
    return kit, run, load_kit(_build(kit), kit, "vit-comer"), x, c


@pytest.mark.parametrize(
    ("note", "number"),
    [
        ("block_window: blocks.1(x), windowed; block_global: blocks.2(x)", 1),
        ("blocks.3(x) and blocks.5(x) on the tokens", 3),
        ("single modules", 0),
    ],
)
@pytest.mark.parametrize("order", [(4, 8), (8, 4)])
def test_vit_comers_modules_are_those_of_the_notes(golden_dir, note, number, order):
    """The block by its number, on a grid that only another check's note states."""
    kit, run, model, x, c = comer(golden_dir, "vit-comer")
    rows, columns = order
    other = {
        "name": "modules",
        "note": f"on the same tokens x (grid {rows}x{columns}); {note}",
        "outputs": [],
    }
    kit.meta["checks"] = [*kit.checks, other]
    check = {"name": "small_inputs", "note": "as modules, on small inputs", "outputs": ["block_window"]}
    produced = run(check, {"x": x.numpy(), "c": c.numpy()})["block_window"]
    with torch.no_grad():
        wanted = model.vit.run_blocks(x, order, number, number + 1)
        others = [model.vit.run_blocks(x, order, i, i + 1) for i in (0, 1, 3) if i != number]
    np.testing.assert_allclose(produced, wanted.numpy(), rtol=1e-5, atol=1e-6)
    assert all(np.abs(produced - other.numpy()).max() > 1e-3 for other in others)


@pytest.mark.parametrize("name", ["vit-comer", "vit-comer-beit"])
def test_vit_comers_exchanges_are_those_of_the_notes(golden_dir, name):
    _, run, model, x, c = comer(golden_dir, name)
    names = ["mrfp0", "cti_tov0", "cti_toc2", "extra_cti1", "msda1"]
    if name == "vit-comer-beit":
        names = ["multiconv0", "injector0", "extractor2", "extra_extractor1", "msda1"]
    pyramid, inward, outward, extra, attention = names
    theirs = dict(zip(names, ("mrfp", "cti_tov", "cti_toc", "extra_CTIs", "msda")))
    note = f"on a 4x8 grid: interactions.2.{theirs[pyramid]}(c), .{theirs[inward]}(x, c); {extra}: "
    note += f"interactions.3.{theirs[extra]}.3(c, x)"
    check = {"name": "modules", "note": note, "outputs": names}
    if name == "vit-comer-beit":
        check["note"] = (
            note.replace(".mrfp(", ".multiconv(")
            .replace(".cti_tov(", ".injector(")
            .replace("extra_CTIs", "extra_extractors")
        )
    found = run(check, {"x": x.numpy(), "c": c.numpy()})
    stages, grid = model.interactions, (4, 8)
    with torch.no_grad():
        wanted = {
            pyramid: stages[2].mrfp(c, grid),
            inward: stages[2].to_vit(x, c, grid),
            outward: stages[2].to_cnn[0](c, x, grid),
            extra: stages[-1].to_cnn[4](c, x, grid),  # behind the ordinary one
            attention: stages[2].to_vit.attn(c, c, grid),
        }
    for output, value in wanted.items():
        np.testing.assert_allclose(found[output], value.numpy(), rtol=1e-4, atol=1e-5, err_msg=output)
    with pytest.raises(UnknownCheckError, match="'neck0'"):
        run(dict(check, outputs=["neck0"]), {"x": x.numpy(), "c": c.numpy()})
    with pytest.raises(DataError, match="module 7 of 4"):
        run(dict(check, note="a 4x8 grid", outputs=["mrfp7"]), {"x": x.numpy(), "c": c.numpy()})


def test_vit_comers_outputs_with_numbers_are_of_these(golden_dir):
    """Where the note has no clause for each, those that it names together."""
    _, run, model, x, c = comer(golden_dir, "vit-comer")
    names = ["mrfp1", "mrfp3", "block2", "block7"]
    note = "a 4x8 grid: interactions.1.mrfp(c), interactions.3.mrfp(c), blocks.2(x), blocks.7(x)"
    check = {"name": "modules", "note": note, "outputs": names}
    found = run(check, {"x": x.numpy(), "c": c.numpy()})
    with torch.no_grad():
        for name, number in zip(names, (1, 3, 2, 7)):
            wanted = (
                model.interactions[number].mrfp(c, (4, 8))
                if "mrfp" in name
                else model.vit.run_blocks(x, (4, 8), number, number + 1)
            )
            np.testing.assert_allclose(found[name], wanted.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["dinov2-reg", "beit", "mae-vit"])
def test_single_blocks_are_those_of_the_notes(golden_dir, name):
    kit = GoldenKit(golden_dir / name)
    run = open_kit(kit)
    check = next(c for c in kit.checks if c["name"] in ("block0", "small_inputs"))
    inputs = kit.inputs(check["name"])
    first = run(check, inputs)
    second = run(check | {"note": check["note"].replace("blocks.0", "blocks.1")}, inputs)
    for output, value in first.items():
        assert np.abs(second[output] - value).max() > 1e-4 * np.abs(value).max(), output


EXTRA = r"interactions\.3\.extra_CTIs\."
SWITCHES = [
    ("vit-comer", dict(use_CTI_toV=[True, False, True, True]), r"interactions\.1\.(cti_tov|mrfp)\."),
    ("vit-comer", dict(use_CTI_toV=False), r"interactions\.\d\.(cti_tov|mrfp)\."),
    ("vit-comer-seg", dict(use_CTI_toV=[True, False, True, True]), r"interactions\.1\.cti_tov\."),
    ("vit-comer", dict(use_CTI_toC=[True, True, True, False]), r"interactions\.3\.cti_toc\."),
    ("vit-comer", dict(with_cffn=False), r".*\.(cfinter\.ffn(_norm)?|extra_CTIs\.\d\.ffn(_norm)?)\."),
    (
        "vit-comer",
        dict(cnn_feature_interaction=[True, True, False, True]),
        r"interactions\.2\.cti_toc\.cfinter",
    ),
    ("vit-comer", dict(cnn_feature_interaction=False), r".*\.cfinter\."),
    ("vit-comer", dict(extra_num=1), EXTRA + "[123]"),
    ("vit-comer", dict(use_extra_CTI=False), EXTRA),
    ("vit-comer", dict(add_vit_feature=False, with_cp=True, drop_rate=0.1, attn_drop_rate=0.1), "nothing"),
    ("vit-comer", dict(interaction_indexes=[[0, 1, 2], [3, 4, 5], [6, 8], [9, 10, 11]]), "nothing"),
    ("vit-comer", dict(layer_scale=False), r"blocks\.\d+\.gamma[12]"),
    ("vit-comer", dict(qkv_bias=False), r"blocks\.\d+\.attn\.qkv\.bias"),
    ("vit-comer-beit", dict(use_extra_extractor=False), r".*\.extra_extractors\."),
    (
        "vit-comer-beit",
        dict(use_injector=[True, True, False, True]),
        r"interactions\.2\.(injector|multiconv)\.",
    ),
    ("vit-comer-beit", dict(init_values=None), r"blocks\.\d+\.gamma_[12]"),
    ("vit-comer-beit", dict(qkv_bias=False), r"blocks\.\d+\.attn\.[qv]_bias"),
    ("vit-comer-beit", dict(use_rel_pos_bias=False), r".*relative_position"),
    ("vit-comer-beit", dict(version="old", qk_scale=0.2), "nothing"),
    ("vit-baseline", dict(out_indices=[11]), "nothing"),
    (
        "vit-baseline",
        dict(window_attn=False, window_size=14, qkv_bias=False),
        r"blocks\.\d+\.attn\.qkv\.bias",
    ),
    ("dinov2-reg", dict(init_values=None), r"blocks\.\d+\.ls[12]\."),
    ("dinov2-reg", dict(init_values=0), r"blocks\.\d+\.ls[12]\."),
    ("dinov2-reg", dict(num_register_tokens=0), "register_tokens"),
    ("dinov2-reg", dict(ffn_bias=False, proj_bias=False), r"blocks\.\d+\.(mlp\.w\d+|attn\.proj)\.bias"),
    ("dinov2-reg", dict(qkv_bias=False, interpolate_offset=0.1), r"blocks\.\d+\.attn\.qkv\.bias"),
    ("beit", dict(init_values=None, qkv_bias=False), r"blocks\.\d+\.(gamma_[12]|attn\.[qv]_bias)"),
    ("beit", dict(use_rel_pos_bias=False, out_indices=[2, 4], qk_scale=0.3), r".*relative_position"),
    ("beit", dict(out_indices=[5], drop_rate=0.1, use_checkpoint=True), "nothing"),
]


@pytest.mark.parametrize(("name", "change", "absent"), SWITCHES)
def test_arguments_that_no_public_kit_has_build_what_the_official_code_builds(edited, name, change, absent):
    """The official network lacks the parameters; ours takes all that are left, and runs."""

    def edit(meta: dict) -> None:
        meta["config"] |= change
        before = len(meta["params"])
        meta["params"] = [row for row in meta["params"] if not re.match(absent, row[0])]
        assert (len(meta["params"]) < before) == (absent != "nothing")

    kit = edited(name, edit)
    check = next(c for c in kit.checks if c["name"] in ("backbone", "features"))
    outputs = [o for o in check["outputs"] if o not in ("registers", "storage")]
    if name == "beit":
        outputs = [f"f{i}" for i in range(len(kit.meta["config"]["out_indices"]))]
    found = open_kit(kit)(dict(check, outputs=outputs), kit.inputs(check["name"]))
    assert all(np.isfinite(value).all() for value in found.values())


def test_beits_tables_shared_and_absolute(edited):
    def edit(meta: dict) -> None:
        meta["config"] |= dict(use_rel_pos_bias=False, use_shared_rel_pos_bias=True, use_abs_pos_emb=True)
        tables = [row for row in meta["params"] if row[0].endswith("relative_position_bias_table")]
        shared = ["rel_pos_bias.relative_position_bias_table", *tables[0][1:]]
        positions = ["pos_embed", [1, 37, meta["config"]["embed_dim"]], "float32"]
        rest = [row for row in meta["params"] if "relative_position" not in row[0]]
        meta["params"] = [*rest, shared, positions]

    kit = edited("beit", edit)
    check = next(c for c in kit.checks if c["name"] == "backbone")
    found = open_kit(kit)(check, kit.inputs("backbone"))
    assert all(np.isfinite(value).all() for value in found.values())
