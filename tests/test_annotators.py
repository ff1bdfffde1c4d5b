"""Annotator models: laws of the EM, statements of every form, annotators of every kind."""

import json
from pathlib import Path

import numpy as np
import pytest

import eitheror as eo
from crowds import accuracy_of, crowd, said
from eitheror.annotators import AnnotatorModel, CrowdClassifier
from eitheror.annotators._em import Options, climb, held_out, posterior
from eitheror.annotators._votes import encode_multiclass, read_table
from eitheror.labels import RowError, either, exact, not_, soft, tags, unknown, votes

FACTS = Path(__file__).parents[2] / "shared" / "design" / "facts.json"


# --- laws of the EM ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["exact", "either", "not"])
@pytest.mark.parametrize("confusion", ["full", "symmetric"])
def test_objective_never_falls(form, confusion):
    """Each EM step raises the log likelihood plus the log prior, whatever the statements."""
    rng = np.random.default_rng(0)
    _, items, annotators, seen = crowd(rng)
    statements = said(rng, seen, 3, form)
    model = AnnotatorModel(confusion, tol=0).fit(items, annotators, statements, classes=range(3))
    steps = np.diff(model.objective_)
    assert len(steps) > 5
    assert (steps >= -1e-9 * abs(model.objective_[0])).all()


def test_likelihood_is_that_of_the_formula():
    """The log likelihood is sum_i log sum_y pi_y prod_a sum_v s_v C_a[y, v]."""
    rng = np.random.default_rng(1)
    _, items, annotators, seen = crowd(rng, n_items=20)
    statements = [
        (v, either(v, (v + 1) % 3), not_((v + 1) % 3), exact(v, trust=0.7))[k % 4]
        for k, v in enumerate(seen)
    ]
    model = AnnotatorModel().fit(items, annotators, statements, classes=range(3))
    targets = eo.Labels(statements, classes=range(3)).to_targets()
    total = 0.0
    for i in model.items_:
        joint = model.class_prior_.copy()
        for item, who, s in zip(items, annotators, targets, strict=True):
            if item == i:
                joint = joint * (model.confusion_[model.annotators_.index(who)] @ s)
        np.testing.assert_allclose(
            model.proba_[model.items_.index(i)], joint / joint.sum(), atol=1e-9
        )
        total += np.log(joint.sum())
    assert model.loglikelihood_ == pytest.approx(total, rel=1e-7)  # statements are float32


def test_classes_and_annotators_have_no_order():
    """Renaming classes, annotators and items, and shuffling rows, renames the answer."""
    rng = np.random.default_rng(2)
    _, items, annotators, seen = crowd(rng)
    model = AnnotatorModel().fit(items, annotators, seen, classes=range(3))
    order = rng.permutation(len(items))
    new = [2, 0, 1]
    other = AnnotatorModel().fit(
        [f"item {items[r]}" for r in order],
        [f"who {annotators[r]}" for r in order],
        [new[seen[r]] for r in order],
        classes=range(3),
    )
    at = [other.items_.index(f"item {i}") for i in model.items_]
    who = [other.annotators_.index(f"who {a}") for a in model.annotators_]
    np.testing.assert_allclose(other.proba_[at][:, new], model.proba_, atol=1e-6)
    permuted = other.confusion_[who][:, new][:, :, new]
    np.testing.assert_allclose(permuted, model.confusion_, atol=1e-6)


def test_either_of_one_class_is_the_exact_vote():
    """A set or a rejection that leaves one class, and evidence for it alone, are exact votes."""
    rng = np.random.default_rng(3)
    _, items, annotators, seen = crowd(rng, n_items=60)
    rest = [[c for c in range(3) if c != v] for v in seen]
    forms = [
        seen,
        [not_(*names) for names in rest],
        [either(v, names[0]) & not_(names[0]) for v, names in zip(seen, rest, strict=True)],
        [eo.evidence({v: 1.0}) for v in seen],
        [soft({v: 1.0}) for v in seen],
    ]
    fits = [AnnotatorModel().fit(items, annotators, form, classes=range(3)) for form in forms]
    for other in fits[1:]:
        np.testing.assert_allclose(other.proba_, fits[0].proba_, atol=1e-8)


def test_unknown_votes_change_nothing():
    """`unknown`, and a set of all classes, say nothing; an item with no more gets the prior."""
    rng = np.random.default_rng(4)
    _, items, annotators, seen = crowd(rng, n_items=40)
    model = AnnotatorModel().fit(items, annotators, seen, classes=range(3))
    more = AnnotatorModel().fit(
        [*items, 0, 1, 999],
        [*annotators, 1, 2, 3],
        [*seen, unknown, either(0, 1, 2), None],
        classes=range(3),
    )
    np.testing.assert_allclose(more.confusion_, model.confusion_, atol=1e-3)
    np.testing.assert_allclose(more.proba_[-1], more.class_prior_, atol=1e-12)
    assert unknown == more.labels_[len(more.items_) - 1]


def test_same_data_same_model():
    """Two fits are equal to the last bit, also where held-out votes are dealt by a seed."""
    rng = np.random.default_rng(5)
    _, items, annotators, seen = crowd(rng, n_items=30)
    one, two = (
        AnnotatorModel("auto", prior_strength="auto", random_state=3).fit(items, annotators, seen)
        for _ in range(2)
    )
    assert one.chosen_ == two.chosen_
    assert one.proba_.tobytes() == two.proba_.tobytes()


# --- what it gets right ---------------------------------------------------------------------


@pytest.mark.parametrize("form", ["exact", "either", "not"])
def test_confusions_are_recovered(form):
    """With many votes the estimated accuracies are the true ones, whatever form the votes have."""
    rng = np.random.default_rng(6)
    right = (0.95, 0.85, 0.7, 0.6, 0.75, 0.8, 0.9)
    truth, items, annotators, seen = crowd(rng, n_items=2000, accuracy=right, share=1.0)
    model = AnnotatorModel().fit(items, annotators, said(rng, seen, 3, form), classes=range(3))
    found = np.einsum("ayy,y->a", model.confusion_, model.class_prior_)
    np.testing.assert_allclose(found, right, atol=0.03 if form == "exact" else 0.08)
    assert accuracy_of(model, truth) > (0.95 if form == "exact" else 0.8)


def test_perfect_annotators_are_believed():
    """Where all agree, the posterior is nearly certain and every annotator nearly perfect."""
    truth = np.arange(60) % 3
    items, annotators = np.repeat(np.arange(60), 3), np.tile(["a", "b", "c"], 60)
    model = AnnotatorModel().fit(items, annotators, np.repeat(truth, 3).tolist())
    assert accuracy_of(model, truth) == 1.0
    assert model.proba_.max(axis=1).min() > 0.999
    assert min(line.accuracy for line in model.report().lines) > 0.95


def test_rejections_alone_find_the_truth():
    """Votes that only say what an item is not settle what it is."""
    rng = np.random.default_rng(7)
    truth, items, annotators, seen = crowd(rng, n_items=300, accuracy=(0.95,) * 8, share=1.0)
    model = AnnotatorModel().fit(items, annotators, said(rng, seen, 3, "not"), classes=range(3))
    assert accuracy_of(model, truth) > 0.93


def test_sets_beat_dropping_them():
    """Half of the votes name two classes: using them is better than leaving them out."""
    gains = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth, items, annotators, seen = crowd(rng, 600, accuracy=(0.8, 0.7, 0.6, 0.7), share=1.0)
        unsure = rng.random(len(seen)) < 0.5
        pairs = said(rng, seen, 3, "either")
        mixed = [p if u else v for v, p, u in zip(seen, pairs, unsure, strict=True)]
        exact_only = [None if u else v for v, u in zip(seen, unsure, strict=True)]
        whole, part = (
            AnnotatorModel().fit(items, annotators, form, classes=range(3))
            for form in (mixed, exact_only)
        )
        gains.append(accuracy_of(whole, truth) - accuracy_of(part, truth))
    assert np.mean(gains) > 0.01


def test_weak_annotators_count_less():
    """One good annotator against two poor ones: the model beats the majority of the three."""
    rng = np.random.default_rng(8)
    truth, items, annotators, seen = crowd(
        rng, n_items=800, n_classes=2, accuracy=(0.95, 0.95, 0.55, 0.55, 0.55), share=1.0
    )
    counts = np.zeros((800, 2))
    np.add.at(counts, (items, seen), 1)
    majority = float((counts.argmax(axis=1) == truth).mean())
    assert accuracy_of(AnnotatorModel().fit(items, annotators, seen), truth) > majority + 0.02


def test_adversary_is_turned_round_and_named():
    """Somebody who is nearly always wrong tells two classes apart as well as somebody right."""
    rng = np.random.default_rng(9)
    truth, items, annotators, seen = crowd(
        rng, n_items=300, n_classes=2, accuracy=(0.85, 0.8, 0.8, 0.05), share=1.0
    )
    model = AnnotatorModel().fit(items, annotators, seen)
    without = AnnotatorModel().fit(*zip(*[r for r in zip(items, annotators, seen) if r[1] < 3]))  # noqa: B905
    notes = [line.note for line in model.report().lines]
    assert ["", "", "", "worse than chance"] == notes
    assert accuracy_of(model, truth) > accuracy_of(without, truth)


def test_blind_annotator_is_named():
    """Somebody who always says the same has kappa near 0 and a note."""
    rng = np.random.default_rng(10)
    _, items, annotators, seen = crowd(rng, n_items=300, n_classes=2, accuracy=(0.9,) * 4)
    seen = [0 if a == 3 else v for v, a in zip(seen, annotators, strict=True)]
    lines = {
        line.annotator: line
        for line in AnnotatorModel().fit(items, annotators, seen).report().lines
    }
    assert "hardly depends on the truth" == lines[3].note
    assert abs(lines[3].kappa) < 0.1


def test_single_votes_are_believed_and_annotators_not_judged():
    """With one vote per item the answer is the vote, and the report says nothing was measured."""
    names = ["a", "b", "c"] * 10
    model = AnnotatorModel().fit(range(30), ["ann", "bob"] * 15, names)
    assert names == model.predict().tolist()
    assert {line.note for line in model.report().lines} == {
        "not measured: no item shared with others"
    }


def test_known_items_settle_the_order_of_the_classes():
    """Where most annotators swap two classes, a few checked items turn the answer round."""
    rng = np.random.default_rng(11)
    truth, items, annotators, seen = crowd(
        rng, n_items=300, n_classes=2, accuracy=(0.2, 0.15, 0.25), share=1.0
    )
    assert accuracy_of(AnnotatorModel().fit(items, annotators, seen), truth) < 0.3
    known = {i: int(truth[i]) for i in range(60)}
    model = AnnotatorModel().fit(items, annotators, seen, known=known)
    assert accuracy_of(model, truth) > 0.8
    weights = model.labels_.to_targets()
    np.testing.assert_array_equal(weights[:60], np.eye(2)[truth[:60]])


# --- evidence -------------------------------------------------------------------------------


def fixed_channel(right, counts):
    """Return the evidence that votes of annotators of known accuracy make, by the library's EM."""
    names = [k for k, n in enumerate(counts) for _ in range(n)]
    table = read_table([0] * len(names), range(len(names)), names, [0, 1], None)
    encoded = encode_multiclass(table)
    confusion = np.tile([[right, 1 - right], [1 - right, right]], (len(names), 1, 1))
    return posterior(encoded.log_evidence(encoded.likelihood(confusion)))[0][0]


@pytest.mark.parametrize(("counts", "expected"), [((2, 1), 0.8), ((4, 1), 64 / 65)])
def test_fact_m08_votes_are_evidence(counts, expected):
    """Votes of annotators who are right in 80 % of cases: 2 to 1 means .8, 4 to 1 means 64/65."""
    assert expected == pytest.approx(fixed_channel(0.8, counts)[0], rel=1e-12)


def test_fact_m09_soft_votes_estimate_the_channel():
    """A target of vote shares tends to C'eta (.62 for eta = .7), not to eta."""
    channel, eta = np.array([[0.8, 0.2], [0.2, 0.8]]), np.array([0.7, 0.3])
    assert (channel.T @ eta)[0] == pytest.approx(0.62, rel=1e-12)
    majority = np.array([0.8**3 + 3 * 0.8**2 * 0.2, 3 * 0.8 * 0.2**2 + 0.2**3])
    assert majority @ eta == pytest.approx(0.6584, rel=1e-12)
    rng = np.random.default_rng(12)
    truth = (rng.random(4000) < 0.3).astype(int)
    seen = np.where(rng.random((4000, 3)) < 0.8, truth[:, None], 1 - truth[:, None])
    items, annotators = np.divmod(np.arange(12000), 3)
    model = AnnotatorModel("symmetric").fit(items, annotators, seen.ravel().tolist())
    shares = encode_multiclass(
        read_table(items, annotators, seen.ravel().tolist(), None, None)
    ).shares()
    assert shares[:, 0].mean() == pytest.approx(0.62, abs=0.02)
    assert model.class_prior_[0] == pytest.approx(0.7, abs=0.04)


@pytest.mark.skipif(not FACTS.exists(), reason="the design folder is not beside the checkout")
def test_facts_are_those_of_the_theory():
    """The numbers of M08 and M09 stand in the design folder."""
    stored = {fact["id"]: fact["expected"] for fact in json.loads(FACTS.read_text())["facts"]}
    assert [0.8, 64 / 65] == pytest.approx([float(x) for x in stored["M08"]])
    assert [0.62, 0.6584] == pytest.approx([float(x) for x in stored["M09"]])


def test_labels_leave_the_class_frequencies_out():
    """`labels_` times the class frequencies is the posterior; the largest weight is 1."""
    rng = np.random.default_rng(13)
    _, items, annotators, seen = crowd(rng, n_items=50)
    model = AnnotatorModel().fit(items, annotators, seen, classes=range(3))
    weights = model.labels_.to_targets()
    joint = weights * model.class_prior_
    np.testing.assert_allclose(joint / joint.sum(axis=1, keepdims=True), model.proba_, atol=1e-6)
    np.testing.assert_array_equal(weights.max(axis=1), 1)
    assert model.classes_ == model.labels_.classes


def test_no_class_is_ruled_out_by_votes():
    """A hundred agreeing votes leave every class a positive weight: annotators can err."""
    items, annotators = np.divmod(np.arange(600), 100)
    model = AnnotatorModel().fit(items, annotators, [int(i % 2) for i in items])
    assert model.labels_.to_targets().min() > 0


def test_held_out_votes_tell_the_channels_apart():
    """Where mistakes are lopsided, held-out votes prefer matrices over one accuracy each."""
    rng = np.random.default_rng(14)
    truth = rng.integers(2, size=400)
    items, annotators = np.divmod(np.arange(2000), 5)
    lopsided = np.array([[0.95, 0.05], [0.4, 0.6]])
    seen = (rng.random(2000) < lopsided[truth[items], 1]).astype(int).tolist()
    model = AnnotatorModel("auto").fit(items, annotators, seen)
    assert "full" == model.chosen_["confusion"]
    scores = model.chosen_["held_out"]
    assert scores[("full", 1.0)] > scores[("symmetric", 1.0)]


def test_held_out_likelihood_is_of_unseen_votes():
    """The score of held-out votes is a mean log probability: below 0, near that of the truth."""
    rng = np.random.default_rng(15)
    _, items, annotators, seen = crowd(rng, n_items=500, accuracy=(0.9,) * 5)
    encoded = encode_multiclass(read_table(items, annotators, seen, None, None))
    score = held_out(encoded, Options(False, 1.0, 500, 1e-7), len(items), 5, 0)
    entropy = 0.9 * np.log(0.9) + 0.1 * np.log(0.05)
    assert entropy - 0.15 < score < entropy + 0.02


def test_start_does_not_matter_much_with_many_votes():
    """From the truth and from the vote shares, EM arrives at the same optimum."""
    rng = np.random.default_rng(16)
    truth, items, annotators, seen = crowd(rng, n_items=400)
    encoded = encode_multiclass(read_table(items, annotators, seen, None, None))
    options, alpha = Options(False, 1.0, 2000, 1e-12), np.full((3, 3), 0.1) + np.eye(3)
    order = np.array(list(dict.fromkeys(items)))
    ends = [
        climb(encoded, alpha, options, start=start).objective[-1]
        for start in (encoded.shares(), np.eye(3)[truth[order]])
    ]
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)


# --- tags -----------------------------------------------------------------------------------


def test_tags_are_taken_one_by_one():
    """Each tag is a vote of two classes; tags that nobody mentions stay unknown."""
    rng = np.random.default_rng(17)
    truth = rng.random((200, 3)) < 0.4
    items, annotators, statements = [], [], []
    for i in range(200):
        for a in range(5):
            seen = truth[i] ^ (rng.random(3) < 0.15)
            names = [c for c, here in zip("xyz", seen, strict=True) if here]
            items.append(i)
            annotators.append(a)
            statements.append(tags(*names) if a else tags(*names, rest="unknown"))
    model = AnnotatorModel().fit(items, annotators, statements)
    assert (3, 5, 2, 2) == model.confusion_.shape
    assert (model.predict() == truth).mean() > 0.93
    assert "multilabel" == model.labels_.task
    np.testing.assert_allclose(model.labels_.to_targets(), model.proba_, atol=1e-6)
    one = AnnotatorModel().fit(
        items[:],
        annotators,
        [
            1 if "x" in s.named else (0 if a else None)
            for s, a in zip(statements, annotators, strict=True)
        ],
    )
    np.testing.assert_allclose(model.proba_[:, 0], one.proba_[:, 1], atol=1e-6)


def test_a_tag_that_nobody_mentions_is_open():
    """A tag of the class list without a vote gets probability one half, and no error."""
    model = AnnotatorModel().fit(
        [0, 0, 1, 1], ["a", "b"] * 2, [tags("x", rest="unknown")] * 4, classes=["x", "y"]
    )
    np.testing.assert_allclose(model.proba_[:, 1], 0.5)


def test_known_tags_are_kept():
    """What is known of an item's tags overrules the votes on them."""
    items, annotators = [0, 0, 0, 1, 1, 1], ["a", "b", "c"] * 2
    statements = [tags("x")] * 3 + [tags("y")] * 3
    model = AnnotatorModel().fit(items, annotators, statements, known={0: tags("y")})
    np.testing.assert_allclose(model.proba_[0], [0, 1], atol=1e-12)


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([0, 0], ["a"], [0, 1]), {}, ValueError, "2 items, 1 annotators and 2 votes"),
        (([0], ["a"], [votes({"x": 2, "y": 1})]), {}, RowError, "one row for each vote"),
        (([0, 1], ["a", None], ["x", "y"]), {}, RowError, "row 1: annotators holds None"),
        (([0, float("nan")], ["a", "b"], ["x", "y"]), {}, RowError, "row 1: items holds nan"),
        (("xy", ["a", "b"], ["x", "y"]), {}, TypeError, "got the string 'xy'"),
        (([[0], [1]], ["a", "b"], ["x", "y"]), {}, TypeError, "items must be names"),
        (([0, 1], ["a", "b"], [None, None]), {"classes": ["x", "y"]}, ValueError, "says anything"),
        (
            ([0, 1], ["a", "b"], [None, None]),
            {"classes": "xy", "task": "multilabel"},
            TypeError,
            "string",
        ),
        (
            ([0, 1], ["a", "b"], [not_("x", "y")] * 2),
            {"task": "multiclass"},
            ValueError,
            "no class",
        ),
        (([0, 1], ["a", "b"], ["x", "x"]), {}, ValueError, "name 1 class"),
        (([0, 1], ["a", "b"], ["x", "y"]), {"known": {7: "x"}}, ValueError, "no vote: \\[7\\]"),
        (
            ([0, 1], ["a", "b"], ["x", "y"]),
            {"known": {0: soft({"x": 0.5, "y": 0.5})}},
            ValueError,
            "shares are a target",
        ),
        (([0, 1], ["a", "b"], ["x", {"y"}]), {}, RowError, "read two ways"),
    ],
)
def test_bad_votes_are_refused(arguments, options, error, message):
    """A vote table that cannot be meant is refused, with the place and what to write."""
    with pytest.raises(error, match=message):
        AnnotatorModel().fit(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confusion": "ful"}, 'did you mean "full"'),
        ({"prior_strength": 0}, "a finite number above 0"),
        ({"prior_strength": "a lot"}, "expected 'auto'"),
    ],
)
def test_bad_options_are_refused(options, message):
    """Options that cannot work are refused when the model is fitted."""
    with pytest.raises(ValueError, match=message):
        AnnotatorModel(**options).fit([0, 1], ["a", "b"], ["x", "y"])


def test_a_model_that_is_not_fitted_says_so():
    """Asking before fitting names the call that is missing."""
    with pytest.raises(ValueError, match="not fitted; call fit"):
        AnnotatorModel().predict()
    with pytest.raises(ValueError, match="not fitted; call fit"):
        CrowdClassifier().predict_proba(np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("items", "options", "error", "message"),
    [
        (["a", "b"], {}, TypeError, "row numbers of X"),
        ([0, 2], {}, ValueError, "vote 1 is about row 2, and X has 2 rows"),
        ([0, 1], {"cv": 3}, ValueError, "cv=3 with 2 different rows"),
        ([0, 1], {"targets": "soft"}, ValueError, "targets='soft'"),
        ([0, 1], {"estimator": object()}, TypeError, "has no fit"),
    ],
)
def test_bad_input_of_the_classifier_is_refused(items, options, error, message):
    """CrowdClassifier says which vote, option or estimator does not fit."""
    X = np.array([[0.0], [1.0]])
    with pytest.raises(error, match=message):
        CrowdClassifier(**options).fit(X, items, ["a", "b"], ["x", "y"])


def test_tags_are_refused_by_the_classifier():
    """Tags have no evidence form; the error names the way to go."""
    with pytest.raises(ValueError, match="these votes are tags"):
        CrowdClassifier().fit(np.zeros((2, 1)), [0, 1], ["a", "b"], [tags("x"), tags("y")])
