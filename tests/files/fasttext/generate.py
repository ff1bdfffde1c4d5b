"""Write the fastText models of tests/test_fasttext_model.py and what fastText predicts with them.

    python tests/files/fasttext/generate.py

needs `pip install fasttext-wheel`. The files are kept, so the tests need no fastText.
"""

import json
import random
from pathlib import Path

import fasttext

HERE = Path(__file__).parent
WORDS = (
    "oven pan heat bread yeast flour water salt sugar butter crème brûlée naïve façade 水 火 面包 "
    "don't can't U+1F600 😀 😀😀 rise bake boil knead dough über straße a b c"
).split()
TOPICS = ("baking", "boiling", "café", "水", "a|b", "rare", "c++")
TEXTS = [
    "heat the oven and bake bread",
    "crème brûlée needs sugar , sugar and heat",
    "",
    "   \t ",
    "unheard unknown-words only",
    "水 火 面包 😀",
    "水火面包😀",
    "tab\tseparated\vwords\fand\rmore",
    "nul\0between bread\0water",
    "thin\u2009space and\u00a0no-break space",
    "before __label__baking after __label__nobody knows",
    "bread </s> water",
    "</s>",
    "Bread BREAD bread",
    "a b c a b c a b c a b c a b c a b c a b c a b c",
    "x",
    "straße über façade",
    " ".join(WORDS),
    "bread" * 12,
]
PLAIN = {"dim": 4, "epoch": 30, "lr": 0.8, "minCount": 1, "thread": 1, "seed": 1, "verbose": 0}
MANY = {"wordNgrams": 3, "minn": 2, "maxn": 4, "bucket": 300}
MODELS = {
    "softmax.bin": {"loss": "softmax"},
    "ngrams.bin": {"loss": "softmax", **MANY},
    "ova.bin": {"loss": "ova", "wordNgrams": 2, "bucket": 50},
    "ns.bin": {"loss": "ns"},
    "hs.bin": {"loss": "hs", "minn": 1, "maxn": 2, "bucket": 40},
    "norms.ftz": {"loss": "softmax", **MANY, "quantize": {"qnorm": True, "dsub": 3}},
    "pruned.ftz": {"loss": "ova", **MANY, "quantize": {"cutoff": 258, "qnorm": True, "dsub": 2}},
    "output.ftz": {"loss": "hs", **MANY, "quantize": {"qout": True}, "labels": 260},
}


def training_lines(n_labels: int) -> list[str]:
    """Return lines whose labels depend on their words, some with two labels."""
    draw = random.Random(0)
    names = TOPICS if n_labels == len(TOPICS) else [f"n{i}" for i in range(n_labels)]
    lines = []
    for row in range(max(250, n_labels)):
        topic = row % n_labels if n_labels > len(names) // 2 and row < n_labels else None
        if topic is None:
            topic = min(int(draw.expovariate(0.4)), n_labels - 1)
        words = [WORDS[(topic * 5 + draw.randrange(9)) % len(WORDS)] for _ in range(6)]
        second = f"__label__{names[(topic + 1) % n_labels]} " * (row % 5 == 0)
        lines.append(f"__label__{names[topic]} {second}{' '.join(words)}")
    return lines


def main() -> None:
    """Train, save and predict."""
    expected: dict[str, object] = {"texts": TEXTS}
    text = HERE / "train.txt"
    for name, options in MODELS.items():
        options = {**PLAIN, **options}
        quantize = options.pop("quantize", None)
        text.write_text("\n".join(training_lines(options.pop("labels", len(TOPICS)))) + "\n")
        model = fasttext.train_supervised(input=str(text), **options)
        if quantize is not None:
            model.quantize(input=str(text), **quantize)
        model.save_model(str(HERE / name))
        expected[name] = predicted(fasttext.load_model(str(HERE / name)))
    vectors = fasttext.train_unsupervised(
        input=str(text), model="skipgram", dim=4, minCount=1, bucket=10, thread=1, verbose=0
    )
    vectors.save_model(str(HERE / "skipgram.bin"))
    text.unlink()
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=0) + "\n")


def predicted(model: object) -> list[dict[str, float]]:
    """Return fastText's 20 most probable labels of each text; {} where it says nothing."""
    # Not model.predict: on NumPy 2 it fails for one text, and for a list every label of a text has
    # the probability of the first.
    found = [model.f.predict(text + "\n", 20, 0.0, "strict") for text in TEXTS]
    return [{label.removeprefix("__label__"): round(p, 8) for p, label in row} for row in found]


if __name__ == "__main__":
    main()
