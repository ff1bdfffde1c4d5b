"""How long steps are: the rate that is chosen, and what is said of one that is too high."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eitheror as eo
from eitheror.labels import Labels, not_, tags, unknown
from eitheror.search.space import Space
from eitheror.training import TrainingDivergedError, TrainOptions, fit
from eitheror.training.options import resolve
from eitheror.training.priors import mean_tags

EMBEDDING = TrainOptions(features="embedding")


def topics(n: int, n_tags: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Texts of one to three words of one of 30 topics, and `n_tags` tags, mostly its own."""
    random = np.random.default_rng(seed)
    texts, truth = [], []
    for topic in random.integers(0, 30, n):
        words = random.integers(0, 4, random.integers(1, 4))
        texts.append(" ".join(f"w{topic}x{word}" for word in words))
        own = {f"t{topic * 20 + k}" for k in random.permutation(20)[: n_tags - 1]}
        truth.append(sorted({*own, f"t{random.integers(600)}"}))
    return texts, truth


@pytest.mark.parametrize("loss", ["ova", "pal"])
def test_a_usual_number_of_tags_leaves_the_rate_as_it_is(loss: str) -> None:
    """Up to four tags a row the rate is 0.5; with more, 0.5 * 4 / (their number), if none came."""

    def rate(n_tags: float, **given: Any) -> float | None:
        options = replace(EMBEDDING, loss=loss, **given)
        return resolve(options, "multilabel", text=True, n_tags=n_tags).lr

    assert {0.5} == {rate(n_tags) for n_tags in (0.0, 1.2, 2.3, 3.52, 4.0)}
    assert (0.25, 0.105, 0.02) == (rate(8.0), rate(19.02), rate(100.0))
    assert 0.5 == rate(100.0, lr=0.5)
    for options in ({"loss": "pol"}, {"loss": "pal-n"}, {"loss": "ova-n"}, {"features": "tfidf"}):
        given = replace(EMBEDDING, **{"loss": loss, **options})
        plans = [resolve(given, "multilabel", text=True, n_tags=n) for n in (1.0, 100.0)]
        assert plans[0] == plans[1]


@pytest.mark.parametrize("dim", [20, 100])
@pytest.mark.parametrize("loss", ["ova", "pal"])
def test_many_tags_a_row_are_learnt_without_options(loss: str, dim: int) -> None:
    """Twenty tags a row, with which the usual rate diverges, give a good model."""
    texts, truth = topics(600, 20)
    labels = Labels([tags(*row) for row in truth])
    options = replace(EMBEDDING, loss=loss, dim=dim)
    model = fit(texts, labels, options)
    assert model.options["lr"] == pytest.approx(0.1, rel=0.05)
    held_out, right = topics(200, 20, seed=1)
    top = model.predict_top(held_out, 1)[0][:, 0]
    found = np.mean([model.classes[k] in row for k, row in zip(top, right, strict=True)])
    assert found > 0.8
    with pytest.raises(TrainingDivergedError, match=r"lr=0\.5"):
        fit(texts, labels, replace(options, lr=0.5), progress=lambda event: None)


def test_tags_are_counted_in_rows_that_say_something() -> None:
    """Weights count, shares count in part, and rows without a statement or weight do not."""
    labels = Labels([tags("a", "b", "c"), not_("a"), unknown, tags("b")], task="multilabel")
    weight = np.float32([1, 3, 5, 0])
    assert 3 / 4 == mean_tags(labels.sparse(), weight)
    assert 1.0 == mean_tags(Labels(["a", "b", not_("a")]).sparse(), np.ones(3, np.float32))
    assert 0.0 == mean_tags(labels.sparse(), np.zeros(4, np.float32))


def test_a_file_and_a_search_take_the_rate_of_fit(tmp_path: Path) -> None:
    """Rows on disk and the first trial of a search have the rate of rows in memory."""
    texts, truth = topics(200, 12)
    path = tmp_path / "rows.jsonl"
    rows = [
        {"text": text, "tags": row, "weight": 1 + i % 3}
        for i, (text, row) in enumerate(zip(texts, truth, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = replace(EMBEDDING, epochs=1)
    table = eo.files.read_table(path)
    model = fit(table.inputs, table.labels, options, sample_weight=table.weight)
    assert 0.1 < model.options["lr"] < 0.2
    assert model.options["lr"] == eo.fit_files(path, options).options["lr"]
    n_tags = mean_tags(table.labels.sparse(), table.weight.astype(np.float32))
    space = Space(options, "multilabel", True, 200, ("ova",), balance=False, n_tags=n_tags)
    assert model.options["lr"] == space.resolved(options).lr


@pytest.mark.parametrize(("loss", "lr"), [("softmax", 100.0), ("hs", 100.0), ("ova", 3.0)])
def test_a_loss_far_above_that_of_a_guess_is_said_once(loss: str, lr: float) -> None:
    """Steps that are much too long are named with a shorter one; the usual ones are not."""
    texts, truth = topics(150, 2)
    names = [f"t{int(row[0][1:]) % 9}" for row in truth]
    labels = Labels([tags(name) for name in names] if loss == "ova" else names)
    options = replace(EMBEDDING, loss=loss, dim=10, epochs=3)
    notes: list[str] = []

    def listen(event: dict[str, Any]) -> None:
        notes.extend([event["message"]] if event["event"] == "choice" else [])

    fit(texts, labels, options, progress=listen)
    assert [] == notes
    far = replace(options, lr=lr)
    with pytest.warns(UserWarning, match=f"too long.*lr={lr / 4:g}, --lr") as caught:
        model = fit(texts, labels, far)
    assert 1 == len(caught)
    fit(texts, labels, far, progress=listen)
    assert [str(caught[0].message)] == notes
    assert model.options["history"][0]["loss"] > 3


@pytest.mark.filterwarnings("error")
def test_a_bad_start_that_is_made_good_is_not_said() -> None:
    """First passes over a few rows, or over rows that contradict the model, may be far off."""
    texts, truth = topics(8, 2)
    names = [row[0] for row in truth]
    model = fit(texts, Labels(names), replace(EMBEDDING, loss="softmax"))
    losses = [entry["loss"] for entry in model.options["history"]]
    assert max(losses[:3]) > 2 * np.log(len(set(names))) + 0.5
    assert losses[-1] < 0.1
    texts = [f"w{k % 30} x{k % 7}" for k in range(600)]
    old = fit(texts, Labels([f"c{k % 2}" for k in range(600)]), TrainOptions(epochs=40))
    turned = Labels([f"c{1 - k % 2}" for k in range(30)])
    model = fit(texts[:30], turned, TrainOptions(epochs=40), warm_start=old)
    assert model.options["history"][0]["loss"] > 2 * np.log(2) + 0.5
