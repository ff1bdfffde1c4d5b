"""One sigmoid is a softmax over two classes, in Keras: same loss, same gradient, same training.

The comparison goes through Keras' own losses and ours, on whatever backend Keras uses. A layer
without bias on the rows of the identity matrix has its kernel as its logits, so one step of plain
gradient descent with rate 1 subtracts the gradient with respect to the logits.
"""

import os
from importlib.util import find_spec

import numpy as np
import pytest

if find_spec("torch"):
    os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip(
    "keras", reason="Keras is not installed: pip install 'eitheror[keras]'", exc_type=ImportError
)
LOGITS = np.array([-30, -4, -0.3, 0, 0.3, 4, 30] * 2, np.float32)
PRESENT = np.repeat([0, 1], 7).astype(np.float32)
TWO_LOGITS = np.stack([np.zeros_like(LOGITS), LOGITS], axis=1)
TWO_CLASSES = np.stack([1 - PRESENT, PRESENT], axis=1)


def after_steps(loss, logits, targets, rate=1.0, steps=1):
    """Logits after steps of gradient descent."""
    n_rows, n_outputs = logits.shape
    model = keras.Sequential(
        [keras.Input((n_rows,)), keras.layers.Dense(n_outputs, use_bias=False)]
    )
    model.set_weights([logits])
    model.compile(keras.optimizers.SGD(rate), loss)
    for _ in range(steps):
        model.train_on_batch(np.eye(n_rows, dtype=np.float32), targets)
    return model.get_weights()[0]


def losses(ours):
    """Binary and categorical cross-entropy from logits, summed over rows."""
    if not ours:
        return (
            keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum"),
            keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum"),
        )
    from eitheror.keras import PartialBinaryCrossentropy, PartialCategoricalCrossentropy

    return PartialBinaryCrossentropy(reduction="sum"), PartialCategoricalCrossentropy(
        reduction="sum"
    )


@pytest.mark.parametrize("ours", [False, True], ids=["keras", "eitheror"])
class TestOneSigmoidIsATwoClassSoftmax:
    """With the logits (0, z), class 1 has the probability sigmoid(z)."""

    def test_values(self, ours):
        """The loss of each row is the same."""
        binary, categorical = losses(ours)
        for i in range(len(LOGITS)):
            expected = float(binary(PRESENT[i : i + 1, None], LOGITS[i : i + 1, None]))
            actual = float(categorical(TWO_CLASSES[i : i + 1], TWO_LOGITS[i : i + 1]))
            # Keras subtracts float32 numbers near 4 to get one near 0.02.
            assert expected == pytest.approx(actual, rel=1e-6, abs=1e-12 if ours else 5e-7)

    def test_gradients(self, ours):
        """The gradient of class 1 is the sigmoid's, and that of class 0 its negative."""
        binary, categorical = losses(ours)
        one = LOGITS - after_steps(binary, LOGITS[:, None], PRESENT[:, None])[:, 0]
        two = TWO_LOGITS - after_steps(categorical, TWO_LOGITS, TWO_CLASSES)
        assert two == pytest.approx(np.stack([-one, one], axis=1), rel=1e-5, abs=4e-6)

    def test_training(self, ours):
        """A softmax trained at half the rate gives the sigmoid's logit at every step."""
        binary, categorical = losses(ours)
        one = after_steps(binary, LOGITS[:, None], PRESENT[:, None], 1.0, 5)[:, 0]
        two = after_steps(categorical, TWO_LOGITS, TWO_CLASSES, 0.5, 5)
        assert two[:, 1] - two[:, 0] == pytest.approx(one, rel=1e-5, abs=1e-5)
