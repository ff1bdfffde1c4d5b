"""Question 1: what to train on where rows only say which classes it is not.

    python examples/01_known_not.py [--data FOLDER] [--rows 600] [--exact 0.05]

FOLDER holds the four IDX files of Fashion-MNIST (default: ../shared/data/fashion_mnist; where it is
missing, the digits of scikit-learn). The whole run: benchmarks/questions/q1_known_not.py.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

import eitheror as eo

OPTIONS = (
    *("statements", "uniform target", "multi-label recoding", "product p*q"),
    "drop the partial rows",
)
DATA = Path(__file__).parents[2] / "shared" / "data" / "fashion_mnist"


def images(folder: Path) -> list[np.ndarray]:
    """X_train, y_train, X_test, y_test."""
    if not folder.is_dir():
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        X, y = load_digits(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0)
        return [X, y, X_test, y_test]
    parts = []
    for name in ("train", "t10k"):
        bytes_ = gzip.open(folder / f"{name}-images-idx3-ubyte.gz").read()
        pixels = np.frombuffer(bytes_, np.uint8)[16:].reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4))
        labels = gzip.open(folder / f"{name}-labels-idx1-ubyte.gz").read()
        parts += [pixels.reshape(-1, 49) / 255, np.frombuffer(labels, np.uint8)[8:]]
    return parts


def statement(truth: int, exact: bool, rng: np.random.Generator) -> object:
    """Name the class itself, or some that it is not."""
    wrong = rng.permutation([k for k in range(10) if k != truth])[: rng.integers(1, 9)]
    return truth if exact else eo.not_(*wrong.tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--exact", type=float, default=0.05)
    args = parser.parse_args()
    X, y, X_test, y_test = images(args.data)
    found: dict[str, list[float]] = {name: [] for name in OPTIONS}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(X))[: args.rows]
        said = [statement(t, rng.random() < args.exact, rng) for t in y[rows].tolist()]
        labels = eo.Labels(said, classes=range(10))
        exact = labels.exact_index() >= 0  # the rows that name one class

        model = eo.LinearClassifier(l2=0.01).fit(X[rows], labels)
        uniform = eo.LinearClassifier(l2=0.01, loss="uniform").fit(X[rows], labels)
        possible = eo.LinearClassifier(l2=0.01).fit(X[rows], labels.candidates())
        only_exact = eo.LinearClassifier(l2=0.01).fit(X[rows][exact], labels[exact])
        p, q = possible.predict_proba(X_test), only_exact.predict_proba(X_test)
        scores = (model.predict_proba(X_test), uniform.predict_proba(X_test), p, p * q, q)
        for name, score in zip(OPTIONS, scores, strict=True):
            found[name].append((score.argmax(axis=1) == y_test).mean())
    print(f"test accuracy, {args.exact:.0%} of {args.rows} rows exact: mean of 3 draws ± deviation")
    for name, accuracies in found.items():
        print(f"{name:<24}{np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=1):.3f}")


if __name__ == "__main__":
    main()
