"""The search: costs, the official form, budgets, and a command that goes on where it was stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dense3d.backbones import ViTResNAS
from dense3d.backbones.vit_resnas import ARCHITECTURES
from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError, DataError
from projects.vit_resnas import export, search
from projects.vit_resnas.cost import multiply_adds
from projects.vit_resnas.evolution import Evolution, Settings
from projects.vit_resnas.network_def import from_network_def, parse, read_network_def, to_network_def
from projects.vit_resnas.scoring import ScoreFile
from projects.vit_resnas.space import SPACES, as_space
from projects.vit_resnas.tests.tiny import SPACE, supernet

PROJECT = Path(__file__).resolve().parent.parent
SMALL = as_space(SPACE)


def small_cost(network) -> int:
    return multiply_adds(SMALL.arch(network), 56, 5)


@pytest.mark.parametrize("arch", [SMALL.arch(SMALL.smallest), {**ARCHITECTURES["reference-tiny"]}])
def test_multiply_adds_are_what_pytorch_counts(arch):
    with torch.device("meta"):
        model = ImageClassifier(dict(type="ViTResNAS", arch=arch, pretrain_size=112, pyramid=False), 5).eval()
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model(torch.zeros(1, 3, 112, 112))
    assert counter.get_total_flops() == 2 * multiply_adds(arch, 112, 5)


@pytest.mark.parametrize("name, space", [("tiny", "tiny"), ("small", "small"), ("medium", "small")])
def test_released_networks_are_in_their_spaces(name, space):
    found = SPACES[space]
    for dim, blocks, stage in zip(ARCHITECTURES[name]["dims"], ARCHITECTURES[name]["blocks"], found.stages):
        assert dim in stage.dims and sum(not r for r in stage.removable) <= len(blocks) <= len(
            stage.removable
        )
        for heads, head_dim, hidden in blocks:
            assert heads in stage.heads and hidden in stage.hidden and head_dim == stage.head_dim


def test_official_form_and_back():
    for network in (SMALL.smallest, SMALL.largest):
        definition = to_network_def(SMALL, network, 5)
        assert definition[0] == [5, network[0], 4] and definition[-1][0] == 2
        assert from_network_def(SMALL, json.loads(json.dumps(definition))) == network
        assert parse(definition).arch == SMALL.arch(network)
    assert sum(entry[-1] == 0 for entry in to_network_def(SMALL, SMALL.smallest, 5) if entry[0] == 1) == 3
    with pytest.raises(ConfigError, match="must be a list"):
        parse([[4, 8], [7, 8]])
    with pytest.raises(ConfigError, match="of another space"):
        from_network_def(SPACES["tiny"], definition)
    with pytest.raises(ConfigError, match=r"dim of stage 1 is 14, but the search space has \(16, 12, 8\)"):
        SMALL.check((14, *SMALL.largest[1:]))


def toy_score(_iteration: int, networks) -> list[float]:
    """Widths are worth more than anything else."""
    return [float(100 * n[0] + 100 * n[10] + sum(n)) for n in networks]


def test_search_keeps_the_budget_improves_and_is_the_same_again():
    low, high = small_cost(SMALL.smallest), small_cost(SMALL.largest)
    settings = Settings((low + high) / 2, 0.8, iterations=5, population=10, parents=5, children=5, seed=3)
    first, again = (Evolution(SMALL, small_cost, settings).run(toy_score) for _ in range(2))
    assert first == again and len({one.network for one in first}) == len(first) > 30
    for one in first:
        assert 0.8 * settings.macs <= one.macs <= settings.macs
        assert SMALL.check(one.network) == one.network
    assert first == sorted(first, key=lambda one: -one.accuracy)
    start = Evolution(SMALL, small_cost, settings)._population()
    assert first[0].accuracy > max(toy_score(0, start))
    assert first[0].network[0] == 16 and first[0].network[10] == 24
    other = Evolution(SMALL, small_cost, Settings(settings.macs, 0.8, 5, 10, 5, 5, seed=4)).run(toy_score)
    assert other != first


def test_impossible_budgets_are_refused():
    with pytest.raises(ConfigError, match=r"set --macs in that range"):
        Evolution(SMALL, small_cost, Settings(10.0))
    with pytest.raises(ConfigError, match=r"none of 2000 random networks"):
        low = small_cost(SMALL.smallest)
        Evolution(SMALL, small_cost, Settings(low + 1, 0.999999999)).run(toy_score)
    with pytest.raises(ConfigError, match="parents=1"):
        Settings(1.0, parents=1)


def test_scores_survive_a_stop_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    scores = ScoreFile(path, {"checkpoint": "a"})
    assert scores.get((1, 2), lambda network: 50.0) == 50.0
    path.write_text(path.read_text() + '{"network": [1, 3], "acc')
    again = ScoreFile(path, {"checkpoint": "a"})
    assert again.scores == {(1, 2): 50.0}
    assert again.get((1, 2), None) == 50.0 and again.get((1, 3), lambda network: 60.0) == 60.0
    assert ScoreFile(path, {"checkpoint": "a"}).scores == {(1, 2): 50.0, (1, 3): 60.0}
    with pytest.raises(ConfigError, match="another checkpoint"):
        ScoreFile(path, {"checkpoint": "b"})
    path.write_text("no scores\n")
    with pytest.raises(DataError, match="holds no scores"):
        ScoreFile(path, {"checkpoint": "a"})


@pytest.fixture
def folder(tmp_path) -> Path:
    """A config of the small space, its checkpoint, and coloured images of five classes."""
    from PIL import Image

    for label in range(5):
        (tmp_path / f"data/{label}").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (56, 56), (50 * label, 10 * number, 0)).save(
                tmp_path / f"data/{label}/{number}.png"
            )
    (tmp_path / "config.py").write_text(f"""
_base_ = r"{PROJECT / "vit-resnas-super_synthetic.py"}"
model = dict(num_classes=5, backbone=dict(space=dict(_delete_=True, **{SPACE!r})))
val_dataloader = dict(dataset=dict(held_out=2, data_root=r"{tmp_path / "data"}", classes=None))
projects = [r"{PROJECT}"]
""")
    torch.save({"state_dict": supernet().state_dict(), "meta": {}}, tmp_path / "super.pth")
    return tmp_path


def test_commands_search_go_on_and_export(folder, monkeypatch, capsys):
    budget, out = (small_cost(SMALL.smallest) + small_cost(SMALL.largest)) // 2, folder / "found.json"
    options = ("--macs", budget, "--least", 0.7, "--population", 4, "--parents", 3, "--children", 2)
    line = [
        "search.py",
        folder / "config.py",
        folder / "super.pth",
        "--out",
        out,
        *options,
        "--iterations",
        2,
    ]
    script = [sys.executable, PROJECT / "search.py", *line[1:], "--device", "cpu"]
    first = subprocess.run([str(word) for word in script], capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "iteration 1 of 2: 4 networks" in first.stdout and "multiply-adds" in first.stdout
    found, scores = json.loads(out.read_text()), folder / "found.scores.jsonl"
    text = scores.read_text()
    assert found["macs"] <= budget and len(text.splitlines()) > 1 + 4

    scores.write_text("".join(text.splitlines(keepends=True)[:4]))  # stopped after three networks
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    assert search.main() == 0 and "3 networks are scored" in capsys.readouterr().out
    assert json.loads(out.read_text()) == found and scores.read_text() == text

    line = ["export.py", folder / "config.py", folder / "super.pth", out, "--out", folder / "sub.pth"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    assert export.main() == 0 and "backbone=dict(type='ViTResNAS'" in capsys.readouterr().out
    arch = parse(read_network_def(out)).arch
    model = ImageClassifier(dict(type="ViTResNAS", arch=arch, pretrain_size=56, pyramid=False), 5)
    model.load_state_dict(torch.load(folder / "sub.pth", weights_only=True)["state_dict"])
    start = dict(type="Pretrained", checkpoint=str(folder / "sub.pth"))
    backbone = ViTResNAS(arch, pretrain_size=56, init_cfg=start)
    backbone.init_weights()
    torch.testing.assert_close(backbone.pos_embed, model.backbone.pos_embed)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_network_def(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(ConfigError, match="has no network_def"):
        read_network_def(tmp_path / "other.json")
