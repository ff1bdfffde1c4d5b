"""Question 4: several tags per text, one row per (text, tag), a convolutional network in Keras.

    KERAS_BACKEND=tensorflow python examples/04_tags_keras.py [TAGS.csv]

TAGS.csv has the columns Description and Tag. Without it: GoEmotions in ../shared/data, or else the
tickets that come with the package. The whole run: benchmarks/questions/q4_tags_keras.py.
"""

import csv
import gzip
import io
import sys
import zlib
from pathlib import Path

import keras
import numpy as np

import eitheror as eo
from eitheror.keras import PartialBinaryCrossentropy

EMOTIONS = Path(__file__).parents[2] / "shared/data/goemotions/train.tsv.gz"
LENGTH, WORDS = 20, 5000
shares, tagwise = keras.losses.CategoricalCrossentropy(True), PartialBinaryCrossentropy()
# What each option makes of the tags, 1 present and 0 absent (`asked`: half of them), and its loss.
OPTIONS = {
    "KL as it stands (PAL)": (lambda tags, asked: tags, shares),
    "one row a tag": (None, shares),  # the file as it is: each row has one class
    "KL normalised (PAL-N)": (lambda tags, asked: tags / tags.sum(1, keepdims=True), shares),
    "sigmoid BCE": (lambda tags, asked: tags, tagwise),  # all are known: BinaryCrossentropy
    "half asked, rest unknown": (lambda tags, asked: np.where(asked, tags, np.nan), tagwise),
    "half asked, rest absent": (lambda tags, asked: tags * asked, tagwise),
}


def rows_at_hand() -> io.BytesIO:
    if EMOTIONS.is_file():
        cells = [line.split("\t") for line in gzip.open(EMOTIONS, "rt").readlines()[:2000]]
        rows = [(text, tag) for text, tags, _ in cells for tag in tags.split(",")]
    else:
        pairs = zip(*eo.read(Path(eo.__file__).parent / "_demo" / "tags.jsonl"), strict=True)
        rows = [(text, tag) for text, label in pairs for tag in label.to_dict().get("tags", [])]
    csv.writer(file := io.StringIO()).writerows([("Description", "Tag"), *rows])
    return io.BytesIO(file.getvalue().encode())


def network(n_tags: int) -> keras.Model:
    """Kim (2014): filters over 3, 4 and 5 words, each at its strongest place, dropout."""
    words = keras.layers.Embedding(WORDS, 32)(ids := keras.Input((LENGTH,), dtype="int32"))
    found = [keras.layers.Conv1D(16, width, activation="relu")(words) for width in (3, 4, 5)]
    found = keras.layers.Concatenate()([keras.layers.GlobalMaxPooling1D()(f) for f in found])
    return keras.Model(ids, keras.layers.Dense(n_tags)(keras.layers.Dropout(0.2)(found)))


def main() -> None:
    file, rng = sys.argv[1] if len(sys.argv) > 1 else rows_at_hand(), np.random.default_rng(0)
    texts, labels = eo.read(file, format="long", text="Description", label="Tag")
    ids = [[zlib.crc32(w.encode()) % WORDS for w in text.lower().split()] for text in texts]
    X, tags = keras.utils.pad_sequences(ids, LENGTH), labels.to_targets()  # a word is its hash
    train, tune, test = np.split(rng.permutation(len(X)), [len(X) * 6 // 10, len(X) * 8 // 10])
    asked, one_hot = rng.random(tags[train].shape) < 0.5, np.eye(tags.shape[1])
    row, tag = np.nonzero(tags[train])
    print(f"{'option':<26}micro-F1  precision at 1")
    for name, (write, loss) in OPTIONS.items():
        keras.utils.set_random_seed(0)
        model = network(len(labels.classes))
        model.compile(keras.optimizers.Adam(0.01), loss)
        rows, y = (train, write(tags[train], asked)) if write else (train[row], one_hot[tag])
        model.fit(X[rows], y, batch_size=64, epochs=5, verbose=0)
        link = keras.ops.softmax if loss is shares else keras.ops.sigmoid
        proba = keras.ops.convert_to_numpy(link(model(X)))
        rule = eo.decide.TunedThreshold("f1_micro").fit(labels[tune], proba[tune])
        score = eo.evaluate(labels[test], proba[test], decision=rule)["metrics"]
        f1, precision = score["f1_micro"]["lower"], score["precision_at_1"]["lower"]
        print(f"{name:<26}{f1:8.3f}{precision:16.3f}")


if __name__ == "__main__":
    main()
