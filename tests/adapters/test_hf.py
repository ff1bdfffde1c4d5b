"""The loss for Hugging Face's Trainer: the mean over what is known, however an update is split."""

import importlib

import numpy as np
import pytest

import eitheror as eo

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'eitheror[hf]'")
hf = importlib.import_module("eitheror.hf")

CLASSES = ["a", "b", "c"]
REFERENCE = {
    "multiclass": eo.losses.partial_softmax_cross_entropy,
    "multilabel": eo.losses.partial_sigmoid_binary_cross_entropy,
}
every_task = pytest.mark.parametrize("task", REFERENCE)


def statements(task, n_samples=8):
    """Labels of every kind, some unknown, in uneven places."""
    if task == "multiclass":
        kinds = ["a", None, eo.not_("c"), eo.either("a", "c"), None, None, "b", eo.soft({"a": 1})]
    else:
        some = eo.tags("a", absent=["b"], rest="unknown")
        kinds = [eo.tags("a"), eo.unknown, some, eo.not_("b"), eo.unknown, eo.tags(), some, some]
    return eo.Labels((kinds * n_samples)[:n_samples], classes=CLASSES, task=task)


def known(labels):
    """How many rows (one class true) or entries (tags) are known."""
    targets = labels.to_targets()
    if labels.task == "multiclass":
        return (targets != 1).any(axis=1).sum()
    return (~np.isnan(targets)).sum()


@every_task
def test_loss_is_the_mean_of_the_reference_over_the_known(task):
    """With and without Trainer's count, and the gradient too."""
    labels = statements(task)
    logits = np.random.default_rng(0).standard_normal((8, 3))
    f = torch.tensor(logits, requires_grad=True)
    matrix = torch.from_numpy(hf.label_matrix(labels))
    counted = matrix.ne(-100).sum()
    expected = REFERENCE[task](logits, labels.to_targets()).sum() / known(labels)
    slope = getattr(eo.losses, REFERENCE[task].__name__ + "_gradient")
    for count in (None, counted, int(counted)):
        cost = hf.loss(task)({"logits": f}, matrix, num_items_in_batch=count)
        assert expected == pytest.approx(cost.item(), rel=1e-6)
        (actual,) = torch.autograd.grad(cost, f)
        wanted = slope(logits, labels.to_targets()) / known(labels)
        np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-9)


@every_task
def test_parts_of_an_update_add_to_the_whole(task):
    """With the count of the whole update, the losses of its parts add to its loss."""
    labels = statements(task)
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    matrix = torch.from_numpy(hf.label_matrix(labels))
    counted = matrix.ne(-100).sum()
    expected = hf.loss(task)({"logits": logits}, matrix, counted)
    parts = [
        hf.loss(task)({"logits": logits[i : i + 2]}, matrix[i : i + 2], counted) for i in (0, 2)
    ]
    parts.append(hf.loss(task)({"logits": logits[4:]}, matrix[4:], counted))
    torch.testing.assert_close(sum(parts), expected)


def test_class_numbers_are_exact_labels():
    """Integer labels with -100 cost what torch's cross-entropy says, with or without a count."""
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, -100, 1, 1])
    expected = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)
    for count in (None, torch.tensor(4)):
        torch.testing.assert_close(hf.loss("multiclass")((logits,), labels, count), expected)


def test_fully_known_tags_cost_the_stock_loss():
    """Tags without unknown ones: torch's binary cross-entropy, as the models compute it."""
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    tags = torch.randint(0, 2, (5, 3)).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, tags)
    torch.testing.assert_close(hf.loss("multilabel")({"logits": logits}, tags), expected)


@every_task
def test_an_update_that_says_nothing_costs_nothing(task):
    """All unknown: 0, not nan."""
    matrix = torch.full((2, 3), -100.0)
    assert 0.0 == hf.loss(task)({"logits": torch.ones(2, 3)}, matrix, 0).item()


@every_task
def test_smoothing_is_passed_on(task):
    """`label_smoothing` is the reference's."""
    labels = statements(task)
    logits = np.random.default_rng(1).standard_normal((8, 3))
    expected = REFERENCE[task](logits, labels.to_targets(), label_smoothing=0.2).sum()
    matrix = torch.from_numpy(hf.label_matrix(labels))
    cost = hf.loss(task, label_smoothing=0.2)({"logits": torch.tensor(logits)}, matrix)
    assert expected / known(labels) == pytest.approx(cost.item(), rel=1e-6)


def test_rows_partly_ignored_are_refused():
    """-100 in some cells is how tags say unknown: Trainer would show the loss, nan, as 0."""
    matrix = torch.tensor([[-100.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match=r'some cells are -100: .* write loss\("multilabel"\)'):
        hf.loss("multiclass")({"logits": torch.zeros(1, 3)}, matrix)


@pytest.mark.parametrize(("task", "silent"), [("multiclass", 1.0), ("multilabel", float("nan"))])
def test_unknown_that_trainer_counts_is_refused(task, silent):
    """Ones and nan are counted by Trainer, so the mean would be wrong: write -100."""
    matrix = torch.tensor([[0.0, 1.0, 0.0], [silent] * 3])
    with pytest.raises(ValueError, match=r"write them as -100, as eitheror.hf.label_matrix"):
        hf.loss(task)({"logits": torch.zeros(2, 3)}, matrix, num_items_in_batch=6)
    assert torch.isfinite(hf.loss(task)({"logits": torch.zeros(2, 3)}, matrix))


def test_wrong_arguments_are_named():
    """The task, the labels, their shape and the model's outputs are checked."""
    logits = {"logits": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match="task is 'single'; it is one of 'multiclass', 'multil"):
        hf.loss("single")
    with pytest.raises(ValueError, match="task is 'single'; it is one of 'multiclass', 'multil"):
        hf.TrainerLoss("single")
    with pytest.raises(ValueError, match="label_smoothing is 3"):
        hf.loss("multiclass", label_smoothing=3)
    with pytest.raises(ValueError, match="Trainer passed no labels"):
        hf.loss("multiclass")(logits, None)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) and the logits \(2, 3\); both need"):
        hf.loss("multiclass")(logits, torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"class numbers of shape \(2,\); several tags need a"):
        hf.loss("multilabel")(logits, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="the model returned loss, hidden_states and no logits"):
        hf.loss("multiclass")({"loss": 0, "hidden_states": 1}, torch.zeros(2, 3))


def test_the_configuration_names_the_classes():
    """Numbers and names of the classes, and how a pipeline reads the logits."""
    config = hf.config_for(eo.Labels([eo.either(2, 10), 7]))
    assert {0: "2", 1: "7", 2: "10"} == config["id2label"]
    assert {"2": 0, "7": 1, "10": 2} == config["label2id"]
    assert 3 == config["num_labels"]
    assert "single_label_classification" == config["problem_type"]
    assert "multi_label_classification" == hf.config_for(statements("multilabel"))["problem_type"]


def tiny_model(labels):
    """A BERT of one small layer, from its configuration, without dropout."""
    transformers = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **hf.config_for(labels),
    )
    return transformers.BertForSequenceClassification(config)


def trained(tmp_path, labels, texts, optimizer=None, **arguments):
    """Train the tiny model with Trainer and return it with its log."""
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install 'eitheror[hf]'"
    )
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")
    model = tiny_model(labels)
    rows = [
        {"input_ids": list(map(int, text)), "labels": row.tolist()}
        for text, row in zip(texts, hf.label_matrix(labels), strict=True)
    ]
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            seed=0,
            disable_tqdm=True,
            max_grad_norm=0.0,
            **arguments,
        ),
        train_dataset=rows,
        compute_loss_func=hf.loss(labels.task),
        optimizers=(None if optimizer is None else optimizer(model.parameters()), None),
    )
    trainer.train()
    return trainer


@every_task
def test_accumulated_batches_make_the_same_step(task, tmp_path):
    """One batch of 8, two of 4 and four of 2 change the weights alike, unknown rows and all."""
    labels = statements(task)
    texts = np.random.default_rng(0).integers(1, 20, (8, 5))
    weights = {}
    for size in (8, 4, 2):
        trainer = trained(
            tmp_path,
            labels,
            texts,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=8 // size,
            max_steps=1,
            lr_scheduler_type="constant",
        )
        weights[size] = torch.nn.utils.parameters_to_vector(trainer.model.parameters())
    start = torch.nn.utils.parameters_to_vector(tiny_model(labels).parameters())
    assert (weights[8] - start).abs().max() > 1e-3
    for size in (4, 2):
        torch.testing.assert_close(weights[size], weights[8], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_trainer_learns_from_complements(tmp_path):
    """The first word decides the class, each row says one class it is not: the loss falls."""
    rng = np.random.default_rng(1)
    texts = rng.integers(4, 20, (64, 5))
    texts[:, 0] = rng.integers(1, 4, 64)
    truth = texts[:, 0] - 1
    wrong = (truth + rng.integers(1, 3, 64)) % 3
    labels = eo.Labels([eo.not_(CLASSES[k]) for k in wrong], classes=CLASSES)
    trainer = trained(
        tmp_path,
        labels,
        texts,
        per_device_train_batch_size=16,
        num_train_epochs=12,
        learning_rate=3e-2,
        logging_steps=10,
    )
    history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert history[-1] < 0.5 * history[0]
    evaluated = trainer.evaluate(trainer.train_dataset)["eval_loss"]
    logits = trainer.predict(trainer.train_dataset).predictions
    expected = REFERENCE["multiclass"](logits, labels.to_targets()).mean()
    assert expected == pytest.approx(evaluated, rel=1e-4)
    assert (logits.argmax(axis=1) == truth).mean() > 0.9


def test_the_loss_is_a_value():
    """Two losses of the same options are equal and print what they are."""
    assert hf.TrainerLoss("multiclass", 0.1) == hf.loss("multiclass", label_smoothing=0.1)
    assert "TrainerLoss(task='multilabel', label_smoothing=0.0)" == repr(hf.loss("multilabel"))
