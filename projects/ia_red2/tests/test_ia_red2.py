"""IA-RED^2: rewards, gradients of choices, stages, costs as counted, training that goes on where it was."""

from __future__ import annotations

import itertools
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from torch import nn

from dense3d import build_model
from dense3d.apis import train
from dense3d.classification import ImageClassifier
from dense3d.config import load_config
from dense3d.early_exit.cost import count_gflops
from dense3d.engine.checkpoint import load_checkpoint, save_checkpoint
from dense3d.errors import ConfigError, DataError
from dense3d.registry import HOOKS, METRICS

FOLDER = Path(__file__).parent.parent
VIT = dict(
    type="VisionTransformer",
    arch=dict(embed_dim=32, depth=4, num_heads=2, patch_size=8, pretrain_size=32),
    drop_path_rate=0.3,
)
SIZES = (1, 2, 1)


def config(**model):
    """The published config, small, from random weights."""
    cfg = load_config(FOLDER / "ia-red2-tiny_synthetic.py")
    settings = dict(backbone=VIT, num_classes=4, group_sizes=SIZES, interpreter_heads=2) | model
    for name, value in settings.items():
        cfg.model[name] = value  # in place of the config's, not merged into it
    return cfg


def build(**model) -> nn.Module:
    """With interpreters that are sure of what they want."""
    torch.manual_seed(0)
    network = build_model(config(**model))
    for interpreter in network.interpreters:
        nn.init.normal_(interpreter.qk.weight, std=0.5)
        nn.init.normal_(interpreter.qk.bias, std=0.5)
    return network.eval()


def part(name: str):
    """A module of the project, which its config has made known."""
    config()
    return import_module(f"projects.ia_red2.{name}")


def labelled(*labels: int) -> list[BaseDataElement]:
    samples = [BaseDataElement() for _ in labels]
    for sample, label in zip(samples, labels):
        sample.set_field(torch.tensor(label), "gt_label")
    return samples


def test_the_expected_gradient_is_that_of_the_expected_reward():
    """Over all choices of three patches, one of which is gone, with any baseline."""
    policy = part("policy")
    scores = torch.tensor([[0.3, 0.6, 0.0]], dtype=torch.float64, requires_grad=True)
    present = torch.tensor([[True, True, False]])
    expected, surrogate = 0.0, 0.0
    for choice in itertools.product((True, False), repeat=2):
        kept = torch.tensor([[*choice, False]])
        likelihood = policy.log_likelihood(scores, kept, present)
        drawn = policy.reward(kept, torch.tensor([choice[0]]), penalty=0.5).double()  # needs the first patch
        probability = likelihood.exp()
        expected = expected + probability * drawn
        loss = policy.policy_loss(likelihood, drawn, torch.tensor([0.4], dtype=torch.float64))
        surrogate = surrogate + probability.detach() * loss
    by_hand = 0.3 * 0.6 * (1 - 4 / 9) + 0.3 * 0.4 * (1 - 1 / 9) - 0.7 * 0.5
    assert expected.item() == pytest.approx(by_hand)
    (right,) = torch.autograd.grad(expected.sum(), scores, retain_graph=True)
    (found,) = torch.autograd.grad(surrogate, scores)
    torch.testing.assert_close(found, -right)
    assert right[0, 0] > 0 and right[0, 1] < 0


def test_a_better_choice_than_the_thresholds_becomes_more_probable():
    policy = part("policy")
    kept, present = torch.tensor([[True, False]] * 3), torch.ones(3, 2, dtype=torch.bool)
    scores = torch.full((3, 2), 0.5, requires_grad=True)
    likelihood = policy.log_likelihood(scores, kept, present)
    policy.policy_loss(likelihood, torch.tensor([0.9, 0.1, 0.5]), torch.full((3,), 0.5)).backward()
    assert (-scores.grad.sign()).tolist() == [[1, -1], [-1, 1], [0, 0]]
    assert not policy.draw(torch.zeros(1, 9)).any() and policy.draw(torch.ones(1, 9)).all()
    surely = policy.log_likelihood(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), present[:1, :1])
    assert surely.isfinite()


def test_stages_train_their_parts_alone():
    network, images = build(), torch.randn(4, 3, 32, 32)
    stage = part("curriculum").Stage
    first = {0: 0, 1: 1, 2: 3}
    for group, kind in itertools.product(range(3), ("interpreter", "blocks")):
        network.enter(stage(group, kind))
        network.train()
        parts = {
            ".".join(n.split(".")[: 1 if n.startswith("head") else 3 if n.startswith("backbone") else 2])
            for n, p in network.named_parameters()
            if p.requires_grad
        }
        blocks = {f"backbone.blocks.{i}" for i in range(first[group], 4)}
        assert parts == ({f"interpreters.{group}"} if kind == "interpreter" else blocks | {"head"})
        training = {i for i, block in enumerate(network.backbone.blocks) if block.training}
        assert training == (set() if kind == "interpreter" else set(range(first[group], 4)))
        assert len(network.interpret(images).kept) == group + 1
        network.zero_grad()
        losses = network(images, labelled(0, 1, 2, 3), mode="loss")
        assert losses["loss"].isfinite() and 0 <= losses["kept"] <= 100
        losses["loss"].backward()
        assert all((p.grad is not None) == p.requires_grad for p in network.parameters())


def test_frozen_stages_of_the_backbone_stay_frozen():
    network = build(backbone=dict(VIT, frozen_stages=2))
    network.enter(part("curriculum").Stage(0, "blocks"))
    network.train()
    moving = {n.split(".")[1] for n, p in network.backbone.named_parameters() if p.requires_grad}
    assert moving == {"2", "3"}
    assert [block.training for block in network.backbone.blocks] == [False, False, True, True]


def test_logits_are_those_of_the_kept_tokens_by_themselves():
    network = build()
    with torch.no_grad():
        for image in torch.randn(3, 1, 3, 32, 40):
            x, gone = network.backbone.embed(image)[0], 0
            for interpreter, first, size in zip(network.interpreters, (0, 1, 3), SIZES):
                keep = (interpreter(x) > 0.5)[0]
                keep[0] = True
                gone += int((~keep).sum())
                x = x[:, keep]
                for block in network.backbone.blocks[first : first + size]:
                    x = block(x)
            assert gone
            torch.testing.assert_close(network(image), network.head(x), rtol=1e-4, atol=1e-5)


def test_predictions_tell_what_was_computed_and_batches_change_nothing():
    network, images = build(), torch.randn(3, 3, 32, 40)
    plain = ImageClassifier(VIT, 4).eval()
    with torch.no_grad():
        together = network(images, labelled(0, 1, 2), mode="predict")
        for image, sample in zip(images, together):
            (alone,) = network(image[None], mode="predict")
            torch.testing.assert_close(alone.pred_scores, sample.pred_scores, rtol=1e-4, atol=1e-5)
            assert alone.kept_shares == sample.kept_shares
            counted = count_gflops(lambda image=image: network(image[None]))
            assert sample.gflops == pytest.approx(counted, rel=1e-9)
            assert sample.full_gflops == pytest.approx(count_gflops(lambda: plain(images[:1])), rel=1e-9)
            assert sample.gflops < sample.full_gflops
    metric = METRICS.build(dict(type="TokenCost"))
    metric.process(None, [sample.to_dict() for sample in together])
    found = metric.evaluate(3)
    mean = sum(sample.gflops for sample in together) / 3
    assert found["tokens/MFLOPs"] == pytest.approx(1e3 * mean)
    assert found["tokens/cost"] == pytest.approx(100 * mean / together[0].full_gflops)
    assert found["tokens/kept_1"] >= found["tokens/kept_2"] >= found["tokens/kept_3"]


def test_half_precision_and_distilled_networks():
    network = build(backbone=dict(VIT, arch=dict(VIT["arch"], num_registers=1, distilled=True)))
    images = torch.randn(2, 3, 32, 32)
    for kind in ("interpreter", "blocks"):
        network.enter(part("curriculum").Stage(1, kind))
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            assert network(images, labelled(0, 1), mode="loss")["loss"].isfinite()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two images of each of four classes, for training and validation."""
    root, random = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for split, name in itertools.product(("train", "val"), "abcd"):
        (root / split / name).mkdir(parents=True)
        for number in range(2):
            image = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(root / split / name / f"{number}.png"), image)
    return root


def short(pictures: Path, **model):
    cfg = config(**model)
    for split in ("train", "val", "test"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.data_root, dataset.classes = str(pictures / ("train" if split == "train" else "val")), None
    cfg.train_dataloader.batch_size = 4
    cfg.train_cfg.update(max_iters=6, val_interval=6)
    cfg.custom_hooks = [dict(type="TokenCurriculum", interpreter=1, blocks=1)]
    cfg.default_hooks.checkpoint.interval = 3
    cfg.synthetic_data = None
    return cfg


def test_training_from_a_classifier_goes_on_where_it_was(pictures, tmp_path):
    torch.manual_seed(0)
    plain = ImageClassifier(VIT, 4)
    save_checkpoint({"state_dict": plain.state_dict(), "meta": {}}, tmp_path / "vit.pth")
    start = dict(VIT, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "vit.pth")))
    network = build_model(short(pictures, backbone=start))
    network.judges.fill_(0)
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(network.eval()(image), plain.eval()(image))
    whole = train(short(pictures, backbone=start), work_dir=tmp_path / "whole")
    assert {"image/top1", "tokens/MFLOPs", "tokens/full_MFLOPs", "tokens/kept_3"} <= set(whole.metrics)
    again = train(short(pictures, backbone=start), tmp_path / "cut", resume=tmp_path / "whole" / "iter_3.pth")
    states = [load_checkpoint(run.checkpoint)["state_dict"] for run in (whole, again)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert int(states[0]["judges"]) == 3
    middle = load_checkpoint(tmp_path / "whole" / "iter_3.pth")["state_dict"]  # of the second interpreter
    assert int(middle["judges"]) == 2
    changed = {name for name in middle if not torch.equal(middle[name], states[0][name])}
    assert "interpreters.2.qk.weight" in changed and "interpreters.0.qk.weight" not in changed
    assert "backbone.blocks.0.attn.qkv.weight" not in changed


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dict(penalty=-1.0), "penalty=-1.0"),
        (dict(head="linear"), "averages patches"),
        (dict(backbone=dict(VIT, out_indices=(1,))), "needs all blocks"),
        (dict(backbone=dict(VIT, final_norm=False)), "averages patches"),
        (dict(group_sizes=(1, 1)), r"group_sizes=\(1, 1\) of a ViT with 4 blocks"),
    ],
)
def test_what_does_not_fit_is_explained(model, message):
    with pytest.raises(ConfigError, match=message):
        build(**model)


def test_training_that_does_not_fit_is_explained(pictures, tmp_path):
    network, images, samples = build(), torch.randn(2, 3, 32, 32), labelled(0, 1)
    with pytest.raises(ConfigError, match="stage by stage: give the config custom_hooks"):
        network(images, samples, mode="loss")
    network.enter(part("curriculum").Stage(0, "interpreter"))
    for sample in samples:
        sample.gt_score = torch.full((4,), 0.25)
    with pytest.raises(DataError, match="images were mixed"):
        network(images, samples, mode="loss")
    cfg = short(pictures)
    cfg.train_cfg.max_iters = 7
    with pytest.raises(ConfigError, match=r"3 groups of 1 \+ 1 last 6, but train_cfg.max_iters is 7"):
        train(cfg, work_dir=tmp_path / "long")
    with pytest.raises(ConfigError, match="each lasts 1 or more"):
        HOOKS.build(dict(type="TokenCurriculum", interpreter=0, blocks=1))
    with pytest.raises(ConfigError, match="of a TokenReducingClassifier"):
        METRICS.build(dict(type="TokenCost")).process(None, [dict(pred_label=0)])


def test_a_network_starts_with_all_its_tokens():
    torch.manual_seed(0)
    network = build_model(config()).eval()
    found = network.interpret(torch.randn(4, 3, 32, 32))
    assert all(kept.all() for kept in found.kept)
    torch.testing.assert_close(torch.cat(found.scores).mean(), torch.tensor(0.8), atol=0.03, rtol=0)


def test_needles_are_the_same_everywhere_and_lie_where_they_say():
    make = part("needles").Needles
    first, later = make(3), make(1, first=2)
    assert len(first) == 3 and np.array_equal(first[2]["img"], later[0]["img"])
    for number in range(3):
        needle = first[number]
        y, x = needle["spot"]
        inside = np.zeros((48, 48), bool)
        inside[y : y + 12, x : x + 12] = True
        colour, grey = (needle["img"][mask].mean(axis=0) for mask in (inside, ~inside))
        assert 0 <= needle["gt_label"] < 10 and np.ptp(colour) > 60 and np.ptp(grey) < 3


def test_the_published_config_builds():
    cfg = load_config(FOLDER / "ia-red2-deit-s_8xb128-90e_imagenet.py")
    cfg.model.backbone.init_cfg = None
    with torch.device("meta"):
        network = build_model(cfg.model)
    assert network.interpreters.group_sizes == (4, 4, 4)
    assert cfg.train_cfg.max_epochs == 3 * (cfg.interpreter + cfg.blocks)
    assert network.data_preprocessor.mix is None


def test_pictures_show_dropped_patches_dark():
    kept = [torch.tensor([True, False, False, True])]
    picture = part("draw_kept").draw(np.full((16, 16, 3), 200, np.uint8), kept, 8)
    panel = picture[-192:, -192:, 0]
    assert panel[10, 10] == 200 and panel[10, -10] == 40 and panel[-10, 10] == 40 and panel[-10, -10] == 200
