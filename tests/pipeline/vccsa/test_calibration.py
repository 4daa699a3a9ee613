"""Calibration against planted truths: probabilities that are right as often as they say, distorted and put right."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from csmv.pipeline.vccsa.calibration import at_temperature, calibration, fitted_temperature


def calibrated(n: int = 8000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N) drawn from their own probabilities (N, K)."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (n, classes))
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = (random.random((n, 1)) > probability.cumsum(1)).sum(1)
    return label, probability


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_estimated_and_undone(planted: float) -> None:
    label, probability = calibrated()
    distorted = at_temperature(probability, 1 / planted)

    temperature = fitted_temperature(label, distorted)

    assert temperature == pytest.approx(planted, rel=0.05)
    after = calibration(label, at_temperature(distorted, temperature))
    assert after["ece"] < 0.02
    before = calibration(label, distorted)
    for measure in ("nll", "brier", "ece"):
        assert after[measure] <= before[measure] + 1e-3


def test_no_other_temperature_is_likelier() -> None:
    label, probability = calibrated(500)
    best = fitted_temperature(label, probability)
    least = calibration(label, at_temperature(probability, best))["nll"]
    for other in np.geomspace(0.02, 50, 60):
        assert calibration(label, at_temperature(probability, other))["nll"] >= least - 1e-12


def test_measures_are_those_of_scikit_learn_and_of_the_definition() -> None:
    label, probability = calibrated(300)
    measured = calibration(label, probability)
    assert measured["nll"] == pytest.approx(log_loss(label, probability))
    by_hand = [
        sum((p - (k == one)) ** 2 for k, p in enumerate(row)) for one, row in zip(label, probability, strict=True)
    ]
    assert measured["brier"] == pytest.approx(np.mean(by_hand))


def test_a_temperature_changes_no_answer_and_zeros_stay_finite() -> None:
    label, probability = np.array([0, 1]), np.array([[0.0, 1.0, 0.0], [0.2, 0.5, 0.3]])
    for temperature in (0.01, 1.0, 100.0):
        scaled = at_temperature(probability, temperature)
        assert (scaled.argmax(1) == probability.argmax(1)).all()
        assert np.isfinite(scaled).all()
    assert np.isfinite(fitted_temperature(label, probability))
    assert fitted_temperature(label[:0], probability[:0]) is None
