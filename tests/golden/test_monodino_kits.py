"""MonoDETR and MonoDINO-DETR against their official implementations: every public kit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden import open_kit, verify_check
from tests.golden.compare import compare_texts
from tests.golden.kit import GoldenKit

KITS = ("monodetr", "monodino-detr", "monodino-detr-base")
SMALL = ("losses", "losses_groups", "decode", "targets_test", "targets_train")


def failures(folder, names: tuple[str, ...]) -> list[str]:
    kit = GoldenKit(folder)
    run = open_kit(kit)
    checks = [check for check in kit.checks if check["name"] in names]
    assert len(checks) == len(names)
    rows = [row for check in checks for row in verify_check(kit, run, check)]
    assert rows
    return [str(row) for row in rows if not row.passed]


@pytest.mark.parametrize("kit", KITS)
def test_losses_decoding_and_targets(golden_dir, kit):
    assert failures(golden_dir / kit, SMALL) == []


def test_monodetr(golden_dir):
    assert failures(golden_dir / "monodetr", ("forward", "forward_train_groups")) == []


@pytest.mark.slow
@pytest.mark.parametrize("kit", ["monodino-detr", "monodino-detr-base"])
def test_monodino_detr(golden_dir, kit):
    assert failures(golden_dir / kit, ("forward",)) == []


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("Car 0.0 0 -1.23", True),
        ("Car 0.0 0 -1.24", True),  # a rounding edge
        ("Car 0.0 0 -1.25", False),
        ("Van 0.0 0 -1.23", False),
        ("Car 0.0 0", False),
    ],
)
def test_lines_of_text_are_compared_word_by_word(text, passes):
    assert compare_texts("decode", "lines", np.array([text]), np.array(["Car 0.0 0 -1.23"])).passed == passes
    assert not compare_texts("decode", "lines", np.array([text, text]), np.array([text])).passed
