"""Question 2: what to write as the label of a few pictures that lie between two classes.

    python examples/02_in_between.py [--data FOLDER] [--between 60]

FOLDER holds the IDX files of Fashion-MNIST (default: ../shared/data/fashion_mnist, else the digits
of scikit-learn). The whole run: benchmarks/questions/q2_in_between.py.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

import eitheror as eo
from eitheror.torch import TorchClassifier

SHARED = Path(__file__).parents[2] / "shared" / "data"
A, B, BOTH, CLEAR = 7, 9, 10, 1200  # sneaker, ankle boot
# What each option writes into the label of an in-between row, and the loss it trains with.
OPTIONS = {
    "new joint classes": (lambda pick: BOTH, "softmax"),
    "soft targets": (lambda pick: eo.either(A, B), "uniform"),
    "sigmoid": (lambda pick: eo.tags(A, B), "ova"),
    "random label, once": (lambda pick: pick, "softmax"),
    "random label, each epoch": (lambda pick: eo.either(A, B), "random-pick"),
    "row doubled": (lambda pick: A, "softmax"),  # and the same rows again with B
    "either": (lambda pick: eo.either(A, B), "softmax"),
    "soft": (lambda pick: eo.soft({A: 0.5, B: 0.5}), "softmax"),
    "dropped": (lambda pick: None, "softmax"),  # nothing known
}


def images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    if not folder.is_dir():
        pixels, y = load_digits().images, load_digits().target
    else:
        raw = [gzip.open(next(folder.glob(f"t10k-{k}*"))).read() for k in ("images", "labels")]
        pixels = np.frombuffer(raw[0], np.uint8)[16:].reshape(-1, 14, 2, 14, 2).mean((2, 4))
        y = np.frombuffer(raw[1], np.uint8)[8:].astype(int)
    return ((pixels - pixels.mean()) / pixels.std())[:, None].astype(np.float32), y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "fashion_mnist")
    parser.add_argument("--between", type=int, default=60)
    args = parser.parse_args()
    (X, X_test), (y, y_test) = (np.split(part[:2200], [CLEAR]) for part in images(args.data))
    rng = np.random.default_rng(0)

    def blends(X: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
        return sum(X[rng.choice(np.flatnonzero(y == k), n)] for k in (A, B)) / 2

    def net(_: int, outputs: int) -> nn.Module:
        layers = [nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(16 * (X.shape[-1] // 2) ** 2, outputs))

    between, between_test = blends(X, y, args.between), blends(X_test, y_test, 200)
    print(f"{'option':<26}accuracy  log loss, in-between rows  told as A&B")
    for name, (write, loss) in OPTIONS.items():
        said = [write(pick) for pick in rng.choice([A, B], args.between).tolist()]
        more = [B] * args.between if name == "row doubled" else []
        labels = eo.Labels([*y.tolist(), *said, *more], classes=range(11 if BOTH in said else 10))
        model = TorchClassifier(net, loss=loss, lr=0.01, epochs=6, batch_size=48, mean_penalty=0)
        model.fit(np.concatenate([X, between, between[: len(more)]]), labels)
        p, q = model.predict_proba(X_test), model.predict_proba(between_test)
        both = 3 * np.minimum(q[:, A], q[:, B]) > np.maximum(q[:, A], q[:, B])  # a quarter or more
        if BOTH in said:  # half of the joint class counts for either
            both = q[:, BOTH] > np.maximum(q[:, A], q[:, B])
            p, q = (x[:, :10] + x[:, 10:] / 2 * np.isin(range(10), (A, B)) for x in (p, q))
        cost = -np.log(q / q.sum(axis=1, keepdims=True))[:, [A, B]].mean()  # sigmoids made shares
        print(f"{name:<26}{(p.argmax(1) == y_test).mean():8.3f}{cost:27.3f}{both.mean():13.2f}")


if __name__ == "__main__":
    main()
