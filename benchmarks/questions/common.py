"""What the benchmarks of the five questions share: data, records, tables and pictures.

A benchmark calls `publish`, which writes `results/<question>.json` and puts each table into the
page of the question, between the lines ``<!-- table: NAME -->`` and ``<!-- end -->``.
`tests/test_examples.py` checks that the pages show what the records hold.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results"
PAGES = ROOT / "docs" / "questions"

# Told apart without colour: every line has its own marker and dashes.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 3)), (0, (1, 2)), (0, (8, 2)))


def fashion(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images of Fashion-MNIST, 2 x 2 pixels averaged to 196 numbers in [0, 1], and classes."""
    folder = DATA / "fashion_mnist"
    images = gzip.open(folder / f"{name}-images-idx3-ubyte.gz").read()
    labels = gzip.open(folder / f"{name}-labels-idx1-ubyte.gz").read()
    pixels = np.frombuffer(images, np.uint8)[16:].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return pixels.reshape(-1, 196).astype(np.float32) / 255, np.frombuffer(labels, np.uint8)[
        8:
    ].astype(int)


def jsonl(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def cifar_images(archive: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) of a zip of `cifar10_human`, and the index of each."""
    from PIL import Image

    with zipfile.ZipFile(DATA / "cifar10_human" / archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".jpg"))
        images = [np.asarray(Image.open(io.BytesIO(files.read(name)))) for name in names]
    return np.stack(images), np.array([int(Path(name).stem) for name in names])


def patch_features(images: np.ndarray, n_filters: int = 200, seed: int = 0) -> np.ndarray:
    """Features of images without any label: distances to k-means centres of whitened 6 x 6 patches.

    Single-layer features of Coates, Ng and Lee (AISTATS 2011), summed over the four quadrants:
    (n, 4 * n_filters).
    """
    import torch
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(seed)
    pixels = torch.tensor(images).permute(0, 3, 1, 2).float()
    patches = pixels.unfold(2, 6, 1).unfold(3, 6, 1)  # (n, 3, 27, 27, 6, 6), a view
    i, r, c = rng.integers(len(images), size=30_000), *rng.integers(27, size=(2, 30_000))
    sample = patches[i, :, r, c].reshape(len(i), -1).numpy()
    sample = _normalised(sample)
    values, vectors = np.linalg.eigh(np.cov(sample.T))
    whiten = (vectors / np.sqrt(values + 0.1)) @ vectors.T
    mean = sample.mean(axis=0)
    centres = MiniBatchKMeans(n_filters, random_state=seed, n_init=1, batch_size=3000)
    centres = centres.fit((sample - mean) @ whiten).cluster_centers_.astype(np.float32)
    rows = []
    for start in range(0, len(images), 100):
        block = patches[start : start + 100].permute(0, 2, 3, 1, 4, 5).reshape(-1, 108).numpy()
        white = ((_normalised(block) - mean) @ whiten).astype(np.float32)
        far = (white**2).sum(1, keepdims=True) - 2 * white @ centres.T + (centres**2).sum(1)
        far = np.sqrt(np.maximum(far, 0))
        near = np.maximum(far.mean(1, keepdims=True) - far, 0).reshape(-1, 27, 27, n_filters)
        parts = [near[:, a, b].sum(axis=(1, 2)) for a in _HALVES for b in _HALVES]
        rows.append(np.concatenate(parts, axis=1))
    return np.concatenate(rows).astype(np.float32)


_HALVES = (slice(0, 13), slice(13, 27))


def _normalised(patches: np.ndarray) -> np.ndarray:
    centred = patches - patches.mean(axis=1, keepdims=True)
    return centred / np.sqrt(patches.var(axis=1, keepdims=True) + 10)


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Mean over the seeds ± standard deviation between them."""
    found = np.array(list(values), float)
    if len(found) == 1:
        return f"{found[0]:.{digits}f}"
    return f"{found.mean():.{digits}f} ± {found.std(ddof=1):.{digits}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def publish(question: str, record: dict[str, Any], tables: dict[str, list[str]]) -> None:
    """Write the record, and its tables into the page of the question."""
    record = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with other work",
        **record,
        "tables": tables,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{question}.json").write_text(json.dumps(record, indent=1) + "\n")
    page = PAGES / f"{question.removeprefix('q')}.md"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        for name, lines in tables.items():
            block = f"<!-- table: {name} -->\n\n" + "\n".join(lines) + "\n\n<!-- end -->"
            pattern = rf"<!-- table: {re.escape(name)} -->.*?<!-- end -->"
            text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8")
    for name, lines in tables.items():
        print(f"\n{name}", *lines, sep="\n")


def stored(question: str) -> dict[str, Any]:
    """Return the record of the last run."""
    return json.loads((RESULTS / f"{question}.json").read_text())


def style(index: int) -> dict[str, Any]:
    """Marker, dashes and colour of the line number `index` of a picture."""
    return {
        "marker": MARKERS[index % 8],
        "linestyle": DASHES[index % 8],
        "color": COLOURS[index % 8],
        "markersize": 5,
        "linewidth": 1.4,
    }


def save(figure: Any, name: str) -> None:
    """Save a picture as a small SVG of the questions' pages (text stays text)."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(PAGES / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    if folder := os.environ.get("PICTURES"):
        figure.savefig(Path(folder) / f"{name}.png", dpi=90, bbox_inches="tight")
