"""Statements made from true classes, as benchmarks make them: complementary, flipped, sets.

In: true classes, a seed, and how the writer behaves. Out: `Labels`. Each docstring states the
channel, P(statement | true class), and whether the statement is equally likely for each class that
it allows (coarsening at random, CAR): only then does the plain likelihood of the statement find
the class probabilities; `apply_transition` mends the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eitheror.labels import Labels, not_
from eitheror.noise._checks import Truth, as_generator, as_proba, as_share, as_transition, as_truth

__all__ = [
    "complementary_transition",
    "corrupt_complementary",
    "corrupt_flip",
    "corrupt_sets",
    "flip_transition",
]

Seed = int | np.random.Generator | None


def complementary_transition(
    n_classes: int, bias: ArrayLike | None = None, random_state: Seed = None
) -> NDArray[np.float64]:
    """Matrix of P(class e is ruled out | class y is true), 0 on its diagonal.

    Parameters
    ----------
    n_classes : int
    bias : sequence of float, optional
        None: every wrong class with probability ``1 / (n_classes - 1)``. Else shares that add to 1:
        the wrong classes of each row are dealt at random into as many groups, equally large as far
        as possible, and each group gets its share. ``(.45, .30, .25)`` and ``(.75, .24, .01)`` are
        the "weak" and the "strong" bias of the libcll benchmark.
    random_state : int, Generator or None
        What to deal with.

    Returns
    -------
    ndarray of shape (n_classes, n_classes)

    Raises
    ------
    ValueError
        For more groups than wrong classes, or shares that do not add to 1.

    Examples
    --------
    >>> complementary_transition(3)
    array([[0. , 0.5, 0.5],
           [0.5, 0. , 0.5],
           [0.5, 0.5, 0. ]])
    >>> complementary_transition(3, bias=(0.9, 0.1), random_state=0).max(axis=1)
    array([0.9, 0.9, 0.9])
    """
    if n_classes < 2:
        raise ValueError(f"n_classes={n_classes}; expected two or more")
    shares = np.ones(1) if bias is None else np.asarray(bias, dtype=np.float64)
    if shares.ndim != 1 or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"bias={bias!r}; expected shares of groups of classes that add to 1")
    if len(shares) > n_classes - 1:
        raise ValueError(f"bias has {len(shares)} groups for {n_classes - 1} wrong classes")
    groups = np.array_split(np.arange(n_classes - 1), len(shares))
    row = np.concatenate(
        [np.full(len(g), share / len(g)) for g, share in zip(groups, shares, strict=True)]
    )
    rng = as_generator(random_state)
    matrix = np.zeros((n_classes, n_classes))
    for y in range(n_classes):
        matrix[y, np.arange(n_classes) != y] = row if bias is None else rng.permutation(row)
    return matrix


def flip_transition(n_classes: int, rate: float, *, pair: bool = False) -> NDArray[np.float64]:
    """Matrix of P(class e is written | class y is true) for labels of which a share is wrong.

    Parameters
    ----------
    n_classes : int
    rate : float
        Probability that the written class is wrong.
    pair : bool, default False
        False: every wrong class equally often. True: always the next class (the first after the
        last).

    Returns
    -------
    ndarray of shape (n_classes, n_classes)

    Examples
    --------
    >>> flip_transition(3, 0.2)
    array([[0.8, 0.1, 0.1],
           [0.1, 0.8, 0.1],
           [0.1, 0.1, 0.8]])
    >>> flip_transition(3, 0.2, pair=True)
    array([[0.8, 0.2, 0. ],
           [0. , 0.8, 0.2],
           [0.2, 0. , 0.8]])
    """
    rate = as_share("rate", rate)
    same = np.eye(n_classes)
    if n_classes < 2:
        raise ValueError(f"n_classes={n_classes}; expected two or more")
    other = np.roll(same, 1, axis=1) if pair else (1 - same) / (n_classes - 1)
    return np.asarray((1 - rate) * same + rate * other)


def corrupt_complementary(
    y: ArrayLike | Labels,
    n_classes: int | None = None,
    *,
    transition: ArrayLike | None = None,
    n: int = 1,
    proba: ArrayLike | None = None,
    random_state: Seed = None,
) -> Labels:
    """Say of each row what it is not: `n` classes, drawn without replacement.

    Parameters
    ----------
    y : array of int of shape (n_samples,), or Labels
        True classes as column numbers, or labels that are all exact.
    n_classes : int, optional
        Needed where `y` is an array.
    transition : array of shape (n_classes, n_classes), optional
        P(e is ruled out | y is true); None: each wrong class equally often. A number above 0 on
        the diagonal makes some statements false.
    n : int, default 1
        Classes ruled out in each row.
    proba : array of shape (n_samples, n_classes), optional
        Instead of `transition`: how likely each class is to be ruled out in this very row; the
        true class is left out and the rest scaled to 1 (instance-dependent).
    random_state : int, Generator or None

    Returns
    -------
    Labels
        "not" statements, classes 0 to n_classes - 1, or those of `y`.

    Raises
    ------
    ValueError
        For wrong classes, or where fewer than `n` classes can be ruled out.

    See Also
    --------
    complementary_transition : biased matrices.

    Notes
    -----
    **Channel.** Uniform: P(Z | y) = 1 / C(n_classes - 1, n) for every Z without y, which is CAR.
    Any other transition is not: use `apply_transition(labels, transition, kind="not")`.

    Examples
    --------
    >>> corrupt_complementary([0, 1, 2], 3, random_state=0)
    Labels([not_(2), not_(0), not_(0)], classes=[0, 1, 2], task='multiclass')
    """
    truth = as_truth(y, n_classes)
    rows = len(truth.columns)
    if transition is not None and proba is not None:
        raise ValueError("transition and proba are two ways to say which class is ruled out")
    if proba is not None:
        chance = _wrong_only(truth, as_proba(proba, rows, truth.n_classes))
    elif transition is not None:
        matrix = _square(transition, truth.n_classes)
        chance = matrix[truth.columns]
    else:
        chance = complementary_transition(truth.n_classes)[truth.columns]
    possible = int(np.count_nonzero(chance, axis=1).min(initial=truth.n_classes))
    if isinstance(n, bool) or n != int(n) or not 1 <= n <= possible:
        raise ValueError(f"n={n!r}; expected a whole number from 1 to {possible}")
    drawn = _draw_several(chance, int(n), as_generator(random_state))
    names = truth.classes
    labels = [not_(*(names[k] for k in row)) for row in drawn.tolist()]
    return Labels(labels, classes=names, task="multiclass")


def corrupt_flip(
    y: ArrayLike | Labels,
    n_classes: int | None = None,
    *,
    rate: float | None = None,
    transition: ArrayLike | None = None,
    proba: ArrayLike | None = None,
    random_state: Seed = None,
) -> Labels:
    """Write one class a row, sometimes a wrong one (label noise).

    Parameters
    ----------
    y : array of int of shape (n_samples,), or Labels
        True classes as column numbers, or labels that are all exact.
    n_classes : int, optional
        Needed where `y` is an array.
    rate : float, optional
        Probability that the written class is wrong, every wrong class equally often.
    transition : array of shape (n_classes, n_classes), optional
        Instead of `rate`: P(e is written | y is true), see `flip_transition`.
    proba : array of shape (n_samples, n_classes), optional
        With `rate`: how likely each class is to be mistaken for the true one in this very row; the
        true class is left out and the rest scaled to 1 (instance-dependent).
    random_state : int, Generator or None

    Returns
    -------
    Labels
        Exact statements.

    Raises
    ------
    ValueError

    Notes
    -----
    **Channel.** `flip_transition(n_classes, rate)`, or the transition as given; with `proba` it is
    another one in each row. Not CAR: an exact label that can be wrong allows every class.

    Examples
    --------
    >>> corrupt_flip([0, 1, 2, 0], 3, rate=0.5, random_state=3)
    Labels([exact(0), exact(1), exact(1), exact(0)], classes=[0, 1, 2], task='multiclass')
    """
    truth = as_truth(y, n_classes)
    if (rate is None) == (transition is None) or (transition is not None and proba is not None):
        raise ValueError("say how labels go wrong: rate, rate with proba, or transition alone")
    if transition is not None:
        chance = _square(transition, truth.n_classes)[truth.columns]
    else:
        assert rate is not None
        even = np.full((len(truth.columns), truth.n_classes), 1 / truth.n_classes)
        given = even if proba is None else as_proba(proba, *even.shape)
        chance = as_share("rate", rate) * _wrong_only(truth, given)
        chance[np.arange(len(chance)), truth.columns] = 1 - rate
    drawn = _draw_several(chance, 1, as_generator(random_state))[:, 0]
    mask = drawn[:, None] == np.arange(truth.n_classes)
    return Labels.from_candidates(mask, classes=truth.classes)


def corrupt_sets(
    y: ArrayLike | Labels,
    n_classes: int | None = None,
    *,
    rate: float | None = None,
    size: int | None = None,
    partner: ArrayLike | None = None,
    proba: ArrayLike | None = None,
    miss: float = 0.0,
    random_state: Seed = None,
) -> Labels:
    """Write a set of candidates for each row: the true class among others.

    Parameters
    ----------
    y : array of int of shape (n_samples,), or Labels
        True classes as column numbers, or labels that are all exact.
    n_classes : int, optional
        Needed where `y` is an array.
    rate : float, optional
        Each wrong class joins with this probability, on its own.
    size : int, optional
        Instead: sets of exactly so many classes, all of them equally likely.
    partner : array of int of shape (n_classes,), optional
        With `rate`: only the partner of the true class can join it.
    proba : array of shape (n_samples, n_classes), optional
        With `rate`: class k joins with probability ``rate * p_k / mean(p over wrong classes)``, at
        most 1 (instance-dependent: what looks alike gets into the set).
    miss : float, default 0
        Probability that the true class is not in the set: the set is drawn around a wrong class
        without it.
    random_state : int, Generator or None

    Returns
    -------
    Labels
        "either" statements, exact ones where one class is left. A set of all classes says nothing.

    Raises
    ------
    ValueError

    Notes
    -----
    **Channel**, and whether it is CAR while `miss` is 0. Neither `rate` nor `size`: every set with
    the true class, except the set of all classes, with probability 1 / (2^(n_classes - 1) - 1): yes
    (the uniform sets of Feng et al., Provably consistent partial-label learning, 2020). `rate`,
    `size`: yes. `partner`: only if the partner of a class's partner is that class. `proba`: no.

    Examples
    --------
    >>> corrupt_sets([0, 1, 2], 4, size=2, random_state=0).format()
    ['0|3', '1|2', '2|3']
    """
    truth = as_truth(y, n_classes)
    rng = as_generator(random_state)
    if size is not None and (rate is not None or partner is not None or proba is not None):
        raise ValueError("size draws sets of one size; rate, partner and proba go without it")
    if rate is None and (partner is not None or proba is not None):
        raise ValueError("partner and proba need rate=, how often a class joins the true one")
    if partner is not None and proba is not None:
        raise ValueError("partner and proba are two ways to say which class joins; give one")
    centre = _centres(truth, as_share("miss", miss), rng)
    if size is not None:
        mask = _sized(truth, centre, size, rng)
    elif rate is not None:
        mask = rng.random((len(centre.columns), truth.n_classes)) < _join(
            centre, as_share("rate", rate), partner, proba
        )
    else:
        mask = _uniform_sets(centre, rng)
    rows = np.arange(len(mask))
    mask[rows, truth.columns] = False
    mask[rows, centre.columns] = True
    return Labels.from_candidates(mask, classes=truth.classes)


def _square(transition: ArrayLike, n_classes: int) -> Any:
    matrix = as_transition(transition, n_classes)
    if matrix.shape[1] != n_classes:
        raise ValueError(f"transition has shape {matrix.shape}; expected {n_classes} columns")
    return matrix


def _wrong_only(truth: Truth, proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distributions over the wrong classes; even where all of the mass is on the true class."""
    wrong = np.arange(truth.n_classes) != truth.columns[:, None]
    chance = np.where(wrong, proba, 0.0)
    mass = chance.sum(axis=1, keepdims=True)
    return np.where(mass > 0, chance, wrong) / np.where(mass > 0, mass, truth.n_classes - 1)


def _draw_several(
    chance: NDArray[np.float64], n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw n classes a row without replacement, as if one after the other."""
    # the n largest of log chance + Gumbel noise
    with np.errstate(divide="ignore"):
        keys = np.log(chance) + rng.gumbel(size=chance.shape)
    return np.argsort(-keys, axis=1, kind="stable")[:, :n].astype(np.int64)


def _centres(truth: Truth, miss: float, rng: np.random.Generator) -> Truth:
    """Choose the class that each set is drawn around: the true one, or by mistake another."""
    if miss == 0:
        return truth
    missed = rng.random(len(truth.columns)) < miss
    step = rng.integers(1, truth.n_classes, len(truth.columns))
    return Truth((truth.columns + missed * step) % truth.n_classes, truth.classes)


def _sized(truth: Truth, centre: Truth, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw sets of one size with the centre; without the true class where that is not it."""
    largest = truth.n_classes - (centre is not truth)
    if isinstance(size, bool) or size != int(size) or not 1 <= size <= largest:
        raise ValueError(f"size={size!r}; expected a whole number from 1 to {largest}")
    keys = rng.random((len(centre.columns), centre.n_classes))
    keys[np.arange(len(keys)), truth.columns] = 2.0
    keys[np.arange(len(keys)), centre.columns] = -1.0
    return np.argsort(np.argsort(keys, axis=1), axis=1) < size


def _uniform_sets(centre: Truth, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Every set around the centre but the full one: fair coins, thrown again if all show heads."""
    shape = len(centre.columns), centre.n_classes
    mask = rng.random(shape) < 0.5
    mask[np.arange(len(mask)), centre.columns] = True
    while (full := np.flatnonzero(mask.all(axis=1))).size:
        mask[full] = rng.random((len(full), centre.n_classes)) < 0.5
        mask[full, centre.columns[full]] = True
    return mask


def _join(
    centre: Truth, rate: float, partner: ArrayLike | None, proba: ArrayLike | None
) -> NDArray[np.float64]:
    """Probability that each class joins the centre of its row."""
    shape = len(centre.columns), centre.n_classes
    if partner is not None:
        mates = np.asarray(partner)
        expected = np.arange(centre.n_classes)
        if mates.shape != expected.shape or not np.isin(mates, expected).all():
            raise ValueError(
                f"partner={mates.tolist()}; expected the column of each class's partner, "
                f"{centre.n_classes} whole numbers below {centre.n_classes}"
            )
        return np.where(mates[centre.columns][:, None] == expected, rate, 0.0)
    if proba is not None:
        wrong = _wrong_only(centre, as_proba(proba, *shape))
        return np.minimum(1.0, rate * wrong * (centre.n_classes - 1))
    return np.full(shape, rate)
