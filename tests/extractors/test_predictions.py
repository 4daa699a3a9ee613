"""The likeliest classes of a film are those of the network's own classifier, by name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import make_film

from csmv.extractors import create
from csmv.extractors.cutting import windows_of
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.predictions import class_names, predictions


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("films") / "f.mp4", frames=40, rate=24)


@pytest.mark.parametrize("name", ["r2plus1d_18", "resnet50", "timm:resnet18"])
def test_the_five_likeliest_over_all_windows(film: Path, name: str) -> None:
    network = create(name, "random")
    found = predictions(network, film)
    windows = np.stack(list(windows_of(film, network.plan())))
    shares = torch.softmax(network.logits(windows).double(), 1).mean(0)
    assert [one.number for one in found] == shares.topk(5).indices.tolist()
    np.testing.assert_allclose([one.probability for one in found], shares.topk(5).values, rtol=1e-4)
    names = class_names(network, network.classes)
    assert [one.name for one in found] == [names[one.number] for one in found]


def test_names_of_kinetics_and_imagenet_are_known() -> None:
    kinetics: Any = type("Net", (), {})()
    assert (class_names(kinetics, 400)[0], len(class_names(kinetics, 400))) == ("abseiling", 400)
    assert (class_names(kinetics, 1000)[0], len(class_names(kinetics, 1000))) == ("tench", 1000)
    assert class_names(kinetics, 710) == ()


@pytest.mark.parametrize("name", ["mfcc", "clip"])
def test_without_a_classifier_there_is_nothing_to_predict(film: Path, name: str) -> None:
    with pytest.raises(ExtractorError, match="has no classifier"):
        predictions(create(name, "random"), film)


def test_the_command_shows_them_beside_the_features(film: Path, tmp_path: Path) -> None:
    arguments = ["features", str(film), "-e", "timm:resnet18", "--weights", "random", "--out", str(tmp_path / "f.npz")]
    command = [sys.executable, "-m", "csmv.flows.cli", *arguments, "--workers", "1", "--show-pred"]
    for _ in range(2):  # the second time for features that are there already
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        (line,) = (one for one in done.stderr.splitlines() if "timm:resnet18 predicts " in one)
        assert line.count("%") == 5
