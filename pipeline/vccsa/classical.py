"""The two baselines without a network: the most frequent class, and TF-IDF with logistic regression."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.vccsa.metrics import TASKS

Probabilities = dict[str, NDArray[np.float64]]


def majority(labels: dict[str, NDArray[np.int64]], count: int) -> Probabilities:
    """The train labels' shares, given to each of `count` comments alike."""
    probabilities = {}
    for task, classes in TASKS.items():
        given_labels = labels[task][labels[task] != NO_LABEL]
        shares = np.bincount(given_labels, minlength=len(classes)) / max(len(given_labels), 1)
        probabilities[task] = np.tile(shares, (count, 1))
    return probabilities


def tfidf(
    train_texts: Sequence[str], labels: dict[str, NDArray[np.int64]], texts: Sequence[str], seed: int
) -> Probabilities:
    """Words, word pairs and runs of 2 to 5 characters within words, sublinear counts, one regression a task.

    Classes weigh the fourth root of their rarity, which favours the rare ones a little; C and that root were chosen
    on the dev part of the published split.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    vectorizer = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=5, sublinear_tf=True),
    )
    train = vectorizer.fit_transform(train_texts).astype(np.float32)
    asked = vectorizer.transform(texts).astype(np.float32)
    probabilities = majority(labels, len(texts))
    for task, classes in TASKS.items():
        has_label = labels[task] != NO_LABEL
        counts = np.bincount(labels[task][has_label])
        if (counts > 0).sum() < 2:
            continue  # nothing to tell apart: the shares stay
        weights = {k: float((counts.max() / count) ** 0.25) for k, count in enumerate(counts) if count}
        model = LogisticRegression(C=2.0, max_iter=300, tol=1e-3, class_weight=weights, random_state=seed)
        model.fit(train[has_label], labels[task][has_label])
        probabilities[task] = np.zeros((len(texts), len(classes)))
        probabilities[task][:, model.classes_] = model.predict_proba(asked)
        probabilities[task] /= probabilities[task].sum(1, keepdims=True)
    return probabilities
