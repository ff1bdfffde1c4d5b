"""Question 3: a person rejected some predictions of a model; how it learns from that.

    python examples/03_rejected_predictions.py [--data FOLDER]

FOLDER holds the IDX files of Fashion-MNIST (default: ../shared/data/fashion_mnist; where it is
missing, the digits of scikit-learn). The whole run: benchmarks/questions/q3_rejected.py.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch

import eitheror as eo
from eitheror.torch import HierarchicalSoftmax, partial_cross_entropy

OPTIONS = ("negated gradient", "-log(1 - p)", "statements", "hierarchical softmax, statements")
DATA = Path(__file__).parents[2] / "shared" / "data" / "fashion_mnist"


def images(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    if not folder.is_dir():
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return torch.tensor(X / 16).float(), torch.tensor(y)
    pixels = np.frombuffer(gzip.open(folder / "t10k-images-idx3-ubyte.gz").read(), np.uint8)[16:]
    labels = np.frombuffer(gzip.open(folder / "t10k-labels-idx1-ubyte.gz").read(), np.uint8)[8:]
    small = pixels.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255
    return torch.tensor(small).float(), torch.tensor(labels.astype(int))


def loss_of(how, body, top, x, targets):
    if how in ("statements", "hierarchical softmax, statements"):
        h, tree = body(x), how.startswith("hierarchical")
        return top(h, targets).mean() if tree else partial_cross_entropy(top(h), targets)
    log_p, no = top(body(x)).log_softmax(1), targets.sum(1) > 1  # no: the rejected rows
    yes = -log_p[~no].gather(1, targets[~no].argmax(1)[:, None])
    log_q = log_p[no].gather(1, targets[no].argmin(1)[:, None])  # of what was rejected
    no = log_q if how == "negated gradient" else -torch.log(1 - log_q.exp())
    return (yes.sum() + no.sum()) / len(x)


def train(how, body, top, x, targets, steps):
    optimiser = torch.optim.Adam([*body.parameters(), *top.parameters()], lr=0.02)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        optimiser.zero_grad()
        (loss := loss_of(how, body, top, x[rows], targets[rows])).backward()
        optimiser.step()
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    X, y = images(parser.parse_args().data)
    x, x_test, y_seen, y_test = X[:1000], X[1000:], y[:1000], y[1000:]
    print(f"{'':<34}last loss  accuracy before  after")
    for how in OPTIONS:
        torch.manual_seed(0)
        body = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 64), torch.nn.ReLU())
        tree = how.startswith("hierarchical")
        top = HierarchicalSoftmax(64, np.ones(10)) if tree else torch.nn.Linear(64, 10)
        scores = getattr(top, "log_proba", top)
        train(how if tree else "statements", body, top, x[:100], torch.eye(10)[y_seen[:100]], 400)
        before = (scores(body(x_test)).argmax(1) == y_test).float().mean()
        guesses = zip(scores(body(x)).argmax(1).tolist(), y_seen.tolist(), strict=True)
        said = [t if g == t else eo.not_(g) for g, t in guesses]
        targets = torch.tensor(eo.Labels(said, classes=range(10)).to_targets()).float()
        last = train(how, body, top, x, targets, steps=200)
        after = (scores(body(x_test)).nan_to_num(-1).max(1).indices == y_test).float().mean()
        print(f"{how:<34}{last:<11.2f}{before:<17.3f}{after:.3f}")


if __name__ == "__main__":
    main()
