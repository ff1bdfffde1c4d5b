"""`tune_hyperparameters`: its space, its parts, honest scores, the very model, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest

import eitheror as eo
from eitheror.cli import main
from eitheror.cli._autotune import flags_of
from eitheror.comparison.data import Data
from eitheror.decide import Argmax, TunedThreshold, score_decision
from eitheror.labels import Labels, either, not_, tags
from eitheror.search.parts import FEWEST, deal_parts, deal_rungs, informative, split_valid
from eitheror.search.run import Dealt, Limits, _Ended, _Search, _study
from eitheror.search.score import Chosen, Judge, score_of
from eitheror.search.space import Space, losses_for
from eitheror.training import TrainOptions, fit
from eitheror.training.options import resolve

optuna = pytest.importorskip("optuna", reason="optuna is not installed")

WORDS = {
    "fruit": ["apple", "pear", "plum", "cherry"],
    "sky": ["blue", "cloud", "rain", "sun"],
    "tool": ["saw", "hammer", "nail", "drill"],
}
NOISE = [f"word{i}" for i in range(30)]


def stories(n=240, seed=0):
    """Texts with one or two subjects, and the subjects as tags."""
    rng = np.random.default_rng(seed)
    texts, rows = [], []
    for _ in range(n):
        subjects = rng.permutation(list(WORDS))[: rng.integers(1, 3)].tolist()
        words = [str(rng.choice(WORDS[subject])) for subject in subjects]
        texts.append(" ".join([*words, *rng.choice(NOISE, 5).tolist()]))
        rows.append(tags(*subjects))
    return texts, Labels(rows, classes=list(WORDS))


def points(n=300, seed=0):
    """Points around three corners, with exact, set, negative and unknown statements."""
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c"]
    y = rng.integers(0, 3, n)
    rows = []
    for k in y:
        kinds = [names[k], either(names[k], names[k - 1]), not_(names[k - 2]), None]
        rows.append(kinds[rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])])
    X = 2.0 * np.eye(3)[y] + rng.normal(0, 1, (n, 3))
    return X, Labels(rows, classes=names, task="multiclass")


def keys_for(n):
    """Keys of n different rows."""
    return np.arange(n, dtype=np.uint64)


def search_of(inputs, labels, given):
    """A search that has not begun, with its study."""
    n, text = len(labels), isinstance(inputs, list)
    data = Data(inputs, labels)
    parts = deal_parts(labels, keys_for(n), 0.3, np.random.default_rng(0))
    train, selection, check = (
        data.take(rows) for rows in (parts.train, parts.selection, parts.check)
    )
    dealt = Dealt(train, selection, check, [np.arange(len(parts.train))], parts)
    losses = losses_for(labels, text=text)
    space = Space(given, labels.task, text, len(parts.train), losses, balance=False)
    metric = "accuracy" if labels.task == "multiclass" else "f1_micro"
    judge = Judge(metric, selection.labels, np.arange(len(parts.selection)) % 3, 0)
    study = _study(optuna, 0, space)
    return study, _Search(dealt, space, judge, Limits(None, None), 1, None, study)


def told(result):
    """Everything that must repeat: all but seconds."""
    return [replace(trial, seconds=0.0) for trial in result.trials]


# --- the space ------------------------------------------------------------------------------

SPACES = [
    ("multilabel", True, ("ova", "pal", "pol")),
    ("multiclass", True, ("softmax", "uniform")),
    ("multilabel", False, ("ova", "pal")),
    ("multiclass", False, ("softmax", "gce")),
]


@pytest.mark.parametrize(("task", "text", "losses"), SPACES)
def test_the_first_trial_is_the_defaults(task, text, losses):
    """What is enqueued first gives the options that training without any would take."""
    space = Space(TrainOptions(), task, text, 5000, losses, balance=True)
    first = space.suggest(optuna.trial.FixedTrial(space.starts()[0]))
    assert resolve(TrainOptions(), task, text=text, n_samples=5000) == first


@pytest.mark.parametrize(("task", "text", "losses"), SPACES)
def test_every_loss_and_feature_starts_at_its_defaults(task, text, losses):
    """After the defaults come those of each other loss, and of the other features."""
    space = Space(TrainOptions(), task, text, 800, losses, balance=False)
    found = [space.suggest(optuna.trial.FixedTrial(start)) for start in space.starts()]
    expected = [TrainOptions(loss=loss) for loss in losses]
    expected += [TrainOptions(features="embedding")] * text
    assert [resolve(each, task, text=text, n_samples=800) for each in expected] == found


@pytest.mark.parametrize(
    "given",
    [
        TrainOptions(features="embedding", dim=10, word_ngrams=2),
        TrainOptions(features="tfidf", l2=1e-5, epochs=3),
        TrainOptions(loss="pal", char_ngrams=(2, 3), lr=0.7, min_count=2, ngram_min_count=5),
        TrainOptions(l2=1e-7, class_weight="balanced", patience=2, label_smoothing=0.1),
    ],
)
def test_options_that_are_given_stay(given):
    """No trial changes what a person fixed."""
    space = Space(given, "multilabel", True, 4000, ("ova", "pal"), balance=True)
    fixed = {
        name: value for name, value in vars(given).items() if value != getattr(TrainOptions(), name)
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        found = space.suggest(study.ask())
        assert fixed == {name: getattr(found, name) for name in fixed}


def test_losses_are_those_that_can_read_the_statements():
    """Joint statements leave "ova" alone; partial rows add the uniform target."""
    joint = Labels([tags("a"), either("a", "b"), tags("b")], task="multilabel")
    assert ("ova",) == losses_for(joint, text=True)
    plain = Labels([tags("a"), tags("b")], task="multilabel")
    assert ("ova", "pal", "pal-n", "pol") == losses_for(plain, text=True)
    assert "gce" in losses_for(Labels(["a", either("a", "b")]), text=False)


def test_a_part_of_the_rows_gets_more_passes_as_the_defaults_do():
    """Few rows are passed over more often, by the factor of the defaults; given passes stay."""
    space = Space(TrainOptions(), "multilabel", True, 9000, ("ova",), balance=False)
    options = space.suggest(optuna.trial.FixedTrial(space.starts()[0]))
    for n in (1000, 3000, 9000):
        expected = resolve(TrainOptions(), "multilabel", text=True, n_samples=n).epochs
        assert expected == space.at(options, n).epochs
    fixed = replace(space, given=TrainOptions(epochs=7))
    assert 7 == fixed.at(replace(options, epochs=7), 1000).epochs


# --- the parts ------------------------------------------------------------------------------


def test_parts_share_no_row_and_no_content():
    """Each row is in one part, and rows with the same content are in the same one."""
    _, labels = stories(300)
    keys = keys_for(300) // 3
    parts = deal_parts(labels, keys, 0.3, np.random.default_rng(0))
    rows = [parts.train, parts.selection, parts.check]
    assert list(range(300)) == sorted(np.concatenate(rows).tolist())
    contents = [set(keys[part].tolist()) for part in rows]
    assert not contents[0] & contents[1]
    assert not contents[0] & contents[2]
    assert not contents[1] & contents[2]


def test_rows_that_say_nothing_are_for_training_only():
    """Held-out parts hold informative rows alone."""
    _, labels = points(400)
    parts = deal_parts(labels, keys_for(400), 0.2, np.random.default_rng(0))
    assert informative(labels)[parts.selection].all()
    assert informative(labels)[parts.check].all()
    open_tags = Labels([tags("a"), either("a", "b"), None], task="multilabel")
    assert not informative(open_tags)[2]


def test_a_fifth_of_the_rows_is_held_out_two_thirds_of_it_to_choose():
    """Sizes are what the documentation says."""
    _, labels = stories(300)
    parts = deal_parts(labels, keys_for(300), 0.2, np.random.default_rng(0))
    sizes = [len(parts.train), len(parts.selection), len(parts.check)]
    assert [240, 40, 20] == pytest.approx(sizes, abs=4)
    split = split_valid(300, labels, keys_for(300), np.random.default_rng(0))
    sizes = [len(split.train), len(split.selection), len(split.check)]
    assert [300, 200, 100] == pytest.approx(sizes, abs=4)


def test_rungs_grow_by_three_and_hold_each_other():
    """Each rung is a part of the next, and the last is every row."""
    labels = Labels(["a", "b"] * 10_000)
    rungs = deal_rungs(labels, keys_for(20_000), np.random.default_rng(0))
    assert [2222, 6667, 20_000] == pytest.approx([len(rung) for rung in rungs], abs=2)
    assert set(rungs[0]) < set(rungs[1]) < set(rungs[2])
    small = deal_rungs(labels[:500], keys_for(500), np.random.default_rng(0))
    assert [list(range(500))] == [rung.tolist() for rung in small]


# --- the search -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tagged():
    """A search over texts with tags, and its data."""
    texts, labels = stories()
    return texts, labels, eo.tune_hyperparameters(texts, labels, n_trials=8)


@pytest.fixture(scope="module")
def classed():
    """A search over numbers with one true class, and its data."""
    X, labels = points()
    return X, labels, eo.tune_hyperparameters(X, labels, n_trials=6)


def test_the_model_is_the_very_one_that_was_measured(tagged, tmp_path):
    """The check score is reproduced bit by bit from the model, before and after saving."""
    texts, labels, found = tagged
    rows = found.rows["check"]
    checked = [texts[i] for i in rows]
    found.model.save(tmp_path / "model")
    for model in (found.model, eo.load(tmp_path / "model")):
        decided = model.rule().predict(model.predict_proba(checked))
        assert score_decision("f1_micro", labels[rows], decided) == found.score


def test_the_model_of_classes_is_the_very_one_too(classed):
    """The estimated accuracy on the check rows is reproduced from the model."""
    X, labels, found = classed
    rows = found.rows["check"]
    again = score_of("accuracy", labels[rows], found.model.predict_proba(X[rows]), Argmax(), 0)
    assert (again.score, again.interval) == (found.score, found.interval)


def test_the_best_finished_trial_is_chosen_or_the_defaults(tagged, classed):
    """It has the highest selection score, or is the defaults, which are never beaten by it."""
    for _, _, found in (tagged, classed):
        finished = [trial.score for trial in found.trials if trial.state == "finished"]
        assert "finished" == found.trials[0].state
        assert max(finished) == found.ranked()[0].score
        assert found.chosen.score == found.selection_score >= found.trials[0].score
        assert found.best in (0, found.ranked()[0].number)


@pytest.mark.parametrize(("flips", "expected"), [(1, 0), (12, 1)])
def test_the_defaults_are_kept_unless_beaten_by_a_standard_error(flips, expected):
    """One row won of 40 leaves the defaults, twelve replace them."""
    X, labels = points(200)
    _, search = search_of(X, labels, TrainOptions())
    truth = Labels(["a", "b"] * 20)
    wrong = truth.exact_index().copy()
    wrong[:12] = 1 - wrong[:12]
    better = truth.exact_index().copy()
    better[flips:12] = 1 - better[flips:12]
    ended = [
        _Ended("finished", 9, chosen=Chosen(
            score_of("accuracy", truth, np.eye(2)[decided], Argmax(), 0), Argmax(), None
        ))
        for decided in (wrong, better)
    ]  # fmt: skip
    search.first, search.best = ended[0], (1, ended[1])
    assert expected == search._choice()[0]


def test_defaults_that_rule_out_what_is_stated_are_replaced():
    """An infinite log loss has no standard error, and any finite one is better."""
    X, labels = points(200)
    _, search = search_of(X, labels, TrainOptions())
    truth = Labels(["a", "b"] * 20)
    ended = [
        _Ended("finished", 9, chosen=Chosen(
            score_of("log_loss", truth, proba, Argmax(), 0), Argmax(), None
        ))
        for proba in (np.tile([1.0, 0.0], (40, 1)), np.full((40, 2), 0.5))
    ]  # fmt: skip
    search.first, search.best = ended[0], (1, ended[1])
    assert 1 == search._choice()[0]


def test_the_gain_is_the_difference_to_the_defaults(tagged):
    """score = default_score + gain, on the same check rows."""
    found = tagged[2]
    assert found.score == pytest.approx(found.default_score + found.gain)
    assert found.optimism == found.selection_score - found.score


def test_the_same_seed_gives_the_same_trials_and_bytes(tagged, tmp_path):
    """Twice the same search: the same trials, scores and model files."""
    texts, labels, found = tagged
    again = eo.tune_hyperparameters(texts, labels, n_trials=8, n_jobs=2)
    assert told(found) == told(again)
    for name, result in (("one", found), ("two", again)):
        result.model.save(tmp_path / name)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_budget_only_says_how_many_trials_are_begun(classed):
    """The defaults end whatever the budget; what a budget began, n_trials repeats."""
    X, labels, found = classed
    short = eo.tune_hyperparameters(X, labels, budget=1e-9)
    assert (1, 0) == (short.n_trials, short.best)
    assert told(found)[:1] == told(short)
    timed = eo.tune_hyperparameters(X, labels, budget=1.0)
    again = eo.tune_hyperparameters(X, labels, n_trials=timed.n_trials)
    assert told(timed)[: timed.n_trials] == told(again)
    assert (timed.score, timed.best) == (again.score, again.best)


def test_a_trial_that_the_budget_ends_is_not_counted():
    """It is listed, it is not chosen, and the search ends with it."""
    X, labels = points(200)
    study, search = search_of(X, labels, TrainOptions())

    def one():
        asked = study.ask()
        return search._one(asked, search.space.suggest(asked))

    assert one()
    search.limits = Limits(1e-9, None)
    assert not one()
    result = search.result()
    assert ["finished", "out of time"] == [trial.state for trial in result.trials]
    assert (0, 1) == (result.best, result.n_trials)


def test_candidates_that_fall_behind_are_stopped_on_a_part_of_the_rows():
    """With many rows a trial first sees a third; stopped ones never saw more."""
    texts, labels = stories(7700)
    options = TrainOptions(features="tfidf", loss="ova", char_ngrams=(0, 0), epochs=1)
    found = eo.tune_hyperparameters(texts, labels, n_trials=8, options=options)
    states = {trial.state for trial in found.trials}
    assert {"finished", "stopped"} == states
    whole = len(found.rows["train"])
    for trial in found.trials:
        expected = whole if trial.state == "finished" else whole / 3
        assert expected == pytest.approx(trial.rows, rel=0.02)


def test_log_loss_is_searched_downwards():
    """The first of the ranking has the smallest loss."""
    X, labels = points()
    options = TrainOptions(loss="softmax")
    found = eo.tune_hyperparameters(X, labels, metric="log_loss", n_trials=5, options=options)
    assert min(t.score for t in found.trials if t.score is not None) == found.ranked()[0].score
    assert found.optimism == found.score - found.selection_score


def test_validation_rows_of_your_own():
    """All inputs are trained on; choice and check are made on the rows given."""
    texts, labels = stories(150)
    held_out = stories(90, seed=5)
    found = eo.tune_hyperparameters(texts, labels, valid=held_out, n_trials=2)
    assert list(range(150)) == found.rows["train"].tolist()
    assert 90 == len(found.rows["selection"]) + len(found.rows["check"])


def test_weights_reach_training():
    """Rows of weight 0 teach nothing: the model is the one of the other rows' weights."""
    X, labels = points(240)
    weight = np.where(np.arange(240) < 100, 0.0, 2.0)
    options = TrainOptions(l2=0.01, loss="softmax")
    found = eo.tune_hyperparameters(X, labels, n_trials=1, options=options, sample_weight=weight)
    rows = found.rows["train"]
    plain = fit(X[rows], labels[rows], options, sample_weight=weight[rows])
    np.testing.assert_array_equal(plain.parameters.weight, found.model.parameters.weight)


def test_a_candidate_that_cannot_be_trained_fails_alone():
    """It is listed with the reason and the search goes on; defaults that cannot are an error."""
    texts, labels = stories(150)
    study, search = search_of(texts, labels, TrainOptions(loss="ova"))
    for options in (TrainOptions(loss="ova"), TrainOptions(loss="ova", lr=1e30)):
        assert search._one(study.ask(), search.space.resolved(options))
    assert ["finished", "failed"] == [trial.state for trial in search.trials]
    assert "diverged" in search.trials[1].note
    with pytest.raises(ValueError, match="diverged"):
        eo.tune_hyperparameters(texts, labels, n_trials=2, options=TrainOptions(lr=1e30))


def test_nothing_to_choose_ends_the_search():
    """With every option given there is one candidate, and repeats cost no training."""
    X, labels = points()
    fits = []

    def note(event):
        if event["event"] == "fit":
            fits.append(event["trial"])

    options = TrainOptions(loss="softmax", l2=0.01)
    found = eo.tune_hyperparameters(X, labels, options=options, n_trials=100, progress=note)
    assert [0] == fits
    assert 0 == found.best
    assert found.n_trials < 100


def test_progress_tells_each_fit_and_each_trial():
    """A fit event begins and a trial event ends each trial; the rest of the time comes along."""
    X, labels = points()
    events = []
    eo.tune_hyperparameters(X, labels, n_trials=2, progress=events.append)
    assert ["fit", "trial", "fit", "trial"] == [event["event"] for event in events]
    assert [0, 0, 1, 1] == [event["trial"] for event in events]
    assert 0 == events[-1]["seconds_left"]


def test_results_are_words_and_json(tagged):
    """The table says both scores; to_dict holds only what JSON can hold."""
    found = tagged[2]
    text = str(found)
    assert f"{found.score:.3f}" in text
    assert "rows that no trial saw" in text
    assert "defaults: features=tfidf" in text
    again = json.loads(json.dumps(found.to_dict()))
    assert (found.score, found.n_trials) == (again["score"], again["n_trials"])
    assert 8 == len(again["trials"])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"metric": "f1"}, "unknown metric 'f1' for multilabel; write f1_micro"),
        ({"budget": 0}, "budget=0; expected seconds above 0"),
        ({"n_trials": 0}, "n_trials=0; expected a whole number from 1 up"),
        ({"validation": 0.9}, "expected a share above 0 and up to 0.5"),
        ({"options": TrainOptions(hogwild=True)}, "hogwild gives another model each time"),
        ({"options": TrainOptions(dim=5)}, "use it with features='embedding'"),
        ({"valid": (np.zeros((9, 2)), [None] * 9)}, "texts and numbers"),
    ],
)
def test_what_cannot_be_searched_is_refused(keywords, message):
    """Mistakes are named before anything is trained."""
    texts, labels = stories(150)
    with pytest.raises(ValueError, match=message):
        eo.tune_hyperparameters(texts, labels, **keywords)


def test_too_few_rows_are_refused():
    """Where a part would have fewer rows than can tell anything, the error says so."""
    texts, labels = stories(40)
    with pytest.raises(ValueError, match=f"expected {FEWEST} or more"):
        eo.tune_hyperparameters(texts, labels)
    with pytest.raises(ValueError, match=f"expected {FEWEST} or more"):
        eo.tune_hyperparameters(*stories(300), validation=1e-6)
    texts, labels = stories(200)
    with pytest.raises(ValueError, match="1 different inputs among 200 rows"):
        eo.tune_hyperparameters(["same"] * 200, labels)


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def rows_file(tmp_path):
    """A file of texts with tags."""
    texts, labels = stories(200)
    path = tmp_path / "rows.jsonl"
    eo.write(path, texts, labels)
    return path


def test_the_command_writes_the_model_and_says_what_it_is_worth(rows_file, tmp_path, capsys):
    """Search by number of trials; the printed flags train with the same options."""
    model = tmp_path / "model"
    assert 0 == main(["train", str(rows_file), "-o", str(model), "--autotune-trials", "3"])
    out = capsys.readouterr().out
    assert "rows that no trial saw" in out
    assert "the same search: --autotune-trials 3" in out
    flags = next(line for line in out.splitlines() if line.startswith("the same options: "))
    plain = tmp_path / "plain"
    words = flags.removeprefix("the same options: ").split()
    assert 0 == main(["train", str(rows_file), "-o", str(plain), *words])
    searched, trained = (eo.load(path).options for path in (model, plain))
    assert searched.keys() == trained.keys()
    same = [name for name in searched if name not in ("history", "rows")]  # it held rows out
    assert {n: searched[n] for n in same} == {n: trained[n] for n in same}
    assert isinstance(eo.load(model).rule(), TunedThreshold)


def test_the_command_in_json_with_validation_rows_and_fixed_options(rows_file, tmp_path, capsys):
    """--valid is chosen by, training flags are kept, --json holds the whole search."""
    valid = tmp_path / "valid.jsonl"
    eo.write(valid, *stories(90, seed=3))
    words = ["--valid", str(valid), "--autotune-trials", "2", "--loss", "ova", "--epoch", "3"]
    words += ["--metric", "jaccard_samples", "--json"]
    assert 0 == main(["train", str(rows_file), "-o", str(tmp_path / "model"), *words])
    found = json.loads(capsys.readouterr().out)
    assert "jaccard_samples" == found["search"]["metric"]
    rows = found["search"]["rows"]
    assert (200, 90) == (rows["train"], rows["selection"] + rows["check"])
    assert {("ova", 3)} == {
        (trial["options"]["loss"], trial["options"]["epochs"])
        for trial in found["search"]["trials"]
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--autotune", "5m", "--resume"], "--resume and --checkpoint-every are about one"),
        (["--autotune", "5m", "--checkpoint-every", "2"], "leave these out"),
        (["--autotune", "5m", "--pretrained-vectors", "a.vec"], "--pretrained-vectors fixes"),
        (["--metric", "f1_micro"], "the score that --autotune searches for"),
        (["--autotune", "soon"], "--autotune soon: expected a time such as 60s, 5m or 1h"),
        (["--autotune", "5m", "--metric", "f1"], "unknown metric 'f1'"),
        (["--autotune", "5m", "--hogwild"], "hogwild gives another model each time"),
    ],
)
def test_the_command_refuses_what_does_not_go_together(words, message, rows_file, tmp_path, capsys):
    """One line says what to leave out, and no model is written."""
    assert main(["train", str(rows_file), "-o", str(tmp_path / "model"), *words])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "options",
    [
        TrainOptions(features="embedding", char_ngrams=(0, 0), dim=20, lr=0.05),
        TrainOptions(features="tfidf", l2=3e-06, lowercase=False, class_weight="balanced"),
        TrainOptions(features="numeric", loss="gce", l2=0.5, seed=4),
    ],
)
def test_flags_stand_for_their_options(options):
    """The words of the command line, read again, are the same options."""
    from cyclopts import App

    from eitheror.cli._train import TrainFlags

    app = App(result_action="return_value")

    @app.default
    def read(flags: TrainFlags = TrainFlags()) -> TrainOptions:  # noqa: B008  # frozen
        return flags.options()

    assert options == app(flags_of(options), exit_on_error=False)
