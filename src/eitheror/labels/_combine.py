"""`&` between labels, and what a label comes down to once the task is known.

In: two labels, or one label and a task. Out: a label in canonical form. What both tasks read alike
is merged at once; the rest stays as parts side by side until `reduce` knows the task. A
contradiction raises `ValueError` and names both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NoReturn

from eitheror.labels._label import ClassName, Label, Part, _ordered, _sort_key, sort_names

_ORDER = ("exact", "either", "not", "tags", "soft", "votes", "evidence")


def combine(left: Label, right: Label) -> Label:
    """Return `left & right`; what only one true class would contradict waits for the task."""
    if not right.parts or (left == right and _is_hard(left)):
        return left
    if not left.parts:
        return right

    def contradict(why: str) -> NoReturn:
        raise ValueError(f"{left!r} and {right!r} contradict each other: {why}")

    parts = [*left.parts, *right.parts]
    _refuse_pairs(left, right)
    parts = _multiply_evidence(parts, contradict)
    parts = _merge_votes(parts)
    if any(part.kind == "tags" for part in parts):
        parts = _merge_tags(parts, contradict)
    else:
        parts = _merge_exclusive(parts, contradict)
    return Label(tuple(sorted(parts, key=lambda p: (_ORDER.index(p.kind), _key(p)))))


def _is_hard(label: Label) -> bool:
    return all(p.kind in ("exact", "either", "not", "tags") and p.number == 1 for p in label.parts)


def _key(part: Part) -> list[tuple[bool, object]]:
    return [_sort_key(name) for name in part.names]


def _refuse_pairs(left: Label, right: Label) -> None:
    kinds = ({p.kind for p in left.parts}, {p.kind for p in right.parts})
    if "soft" in kinds[0] & kinds[1]:
        raise ValueError(
            f"{left!r} & {right!r}: two soft() statements about one item have no agreed product; "
            "write one soft(), or votes(), which add, or evidence(), whose weights multiply"
        )
    both = kinds[0] | kinds[1]
    if {"soft", "votes"} <= both:
        raise ValueError(f"{left!r} & {right!r}: give the shares once, as soft() or as votes()")
    if "tags" in both and ({"votes", "evidence"} & both or _trusted(left) or _trusted(right)):
        raise ValueError(
            f"{left!r} & {right!r}: tags() combines with exact(), either(), not_(), soft(); "
            'for an uncertain tag write soft({"name": probability})'
        )


def _trusted(label: Label) -> bool:
    return any(p.kind in ("exact", "either", "not") and p.number < 1 for p in label.parts)


def _weights(part: Part) -> tuple[dict[ClassName, float], float]:
    """Return a part as evidence: the weight of each named class and the weight of the rest."""
    if part.kind == "evidence":
        return dict(part.items), part.number
    if part.kind == "not":
        return {name: 1.0 - part.number for name in part.names}, 1.0
    return {name: 1.0 for name in part.names}, 1.0 - part.number


def _product(parts: Iterable[Part]) -> Part | None:
    """Multiply weights class by class and divide by the maximum; None when all are 0."""
    named: dict[ClassName, float] = {}
    rest = 1.0
    for part in parts:
        weights, other = _weights(part)
        for name in named.keys() | weights.keys():
            named[name] = named.get(name, rest) * weights.get(name, other)
        rest *= other
    largest = max([rest, *named.values()])
    if largest <= 0:
        return None
    return Part("evidence", _ordered({n: w / largest for n, w in named.items()}), rest / largest)


def _multiply_evidence(parts: list[Part], contradict: Callable[[str], NoReturn]) -> list[Part]:
    """Join the weighted parts into one evidence part."""
    weighted = [p for p in parts if p.kind == "evidence" or (_can_trust(p) and p.number < 1)]
    if not weighted:
        return parts
    product = _product(weighted)
    if product is None:
        contradict("no class is left")
    return [*(p for p in parts if p not in weighted), product]


def _can_trust(part: Part) -> bool:
    return part.kind in ("exact", "either", "not")


def _merge_votes(parts: list[Part]) -> list[Part]:
    counted = [p for p in parts if p.kind == "votes"]
    if len(counted) < 2:
        return parts
    total: dict[ClassName, float] = {}
    for part in counted:
        for name, count in part.items:
            total[name] = total.get(name, 0.0) + count
    voters = sum(p.number for p in counted) if all(p.number for p in counted) else 0.0
    return [*(p for p in parts if p.kind != "votes"), Part("votes", _ordered(total), voters)]


def _names_part(kind: str, names: Iterable[ClassName]) -> Part:
    return Part(kind, tuple((n, 1.0) for n in sort_names(set(names))))


def _smallest_sets(sets: Iterable[frozenset[ClassName]]) -> list[frozenset[ClassName]]:
    """Drop a set that contains another one: "a or b" already says "a or b or c"."""
    unique = set(sets)
    return [s for s in unique if not any(other < s for other in unique)]


def _allowed(parts: Iterable[Part]) -> tuple[frozenset[ClassName] | None, frozenset[ClassName]]:
    """Return (classes left over when some are listed, classes ruled out), one class true."""
    inside: frozenset[ClassName] | None = None
    outside: frozenset[ClassName] = frozenset()
    for part in parts:
        if part.kind in ("exact", "either") and part.number == 1:
            names = frozenset(part.names)
            inside = names if inside is None else inside & names
        elif part.kind == "not" and part.number == 1:
            outside |= frozenset(part.names)
    return (None if inside is None else inside - outside), outside


def _merge_exclusive(parts: list[Part], contradict: Callable[[str], NoReturn]) -> list[Part]:
    """Merge parts without tags; what contradicts itself under both tasks raises.

    "a or b" beside "c or d" is fine for tags, so that one is left to `reduce`.
    """
    closed_parts = [p for p in parts if p.kind == "exact" and not p.open]
    sure, outside = _allowed([*closed_parts, *(p for p in parts if p.kind == "not")])
    for part in parts:
        names = set(part.names)
        left = names - outside if sure is None else names & sure
        if part.kind in ("exact", "either") and not left:
            contradict("no class is left")
        if part.kind == "soft" and _mass_left(part, sure, outside) <= 0:
            contradict("no class is left")
        if part.kind in ("votes", "evidence") and _mass_left(part, *_allowed(parts)) <= 0:
            contradict("no class is left")
    other = [p for p in parts if p.kind in ("soft", "votes", "evidence")]
    exacts = [p for p in parts if p.kind == "exact"]
    closed = [p for p in exacts if not p.open]
    if closed:  # it says everything about every class, under both tasks
        return [closed[0], *(p for p in other if p.kind != "evidence")]
    sets = [frozenset(p.names) - outside for p in parts if p.kind == "either"]
    present = {p.names[0] for p in exacts} | {n for s in sets if len(s) == 1 for n in s}
    sets = [s for s in _smallest_sets(sets) if len(s) > 1 and not s & present]
    merged = [Part("exact", ((name, 1.0),), open=True) for name in present]
    merged += [_names_part("either", s) for s in sets]
    merged += [_names_part("not", outside)] if outside else []
    return merged + other


def _mass_left(
    part: Part, inside: frozenset[ClassName] | None, outside: frozenset[ClassName]
) -> float:
    """Return the largest weight that `part` leaves to a class allowed by the hard statements."""
    rest = part.number if part.kind == "evidence" else 0.0
    weights = dict(part.items)
    if inside is not None:
        return max((weights.get(name, rest) for name in inside), default=0.0)
    return max([rest, *(w for name, w in weights.items() if name not in outside)])


def _merge_tags(parts: list[Part], contradict: Callable[[str], NoReturn]) -> list[Part]:
    """Merge all into one tags part, plus the `either` parts it does not settle, plus soft."""
    value: dict[ClassName, float] = {}
    is_open = True
    for part in parts:
        if part.kind in ("soft", "either"):
            continue
        truth = 0.0 if part.kind == "not" else 1.0
        for name, listed in part.items:
            said = listed if part.kind == "tags" else truth
            if value.setdefault(name, said) != said:
                contradict(f"{name!r} is both present and absent")
        is_open &= part.kind == "not" or part.open
    closed = [p for p in parts if p.kind in ("exact", "tags") and not p.open]
    present = {name for name, v in value.items() if v == 1}
    for part in closed:
        extra = present - {name for name, v in part.items if v == 1}
        if extra:
            contradict(f"{min(extra, key=_sort_key)!r} is both present and absent")
    sets = []
    for part in (p for p in parts if p.kind == "either"):
        left = frozenset(n for n in part.names if value.get(n, 1.0 if is_open else 0.0) == 1)
        if not left:
            contradict(f"none of {', '.join(map(repr, part.names))} can be present")
        if len(left) == 1:
            value[next(iter(left))] = 1.0
        sets.append(left)
    present = {name for name, v in value.items() if v == 1}
    sets = [s for s in _smallest_sets(sets) if not s & present]
    softs = [p for p in parts if p.kind == "soft"]
    for name, share in (item for p in softs for item in p.items):
        if value.get(name, share if is_open else 0.0) != share:
            contradict(f"soft() gives {name!r} the probability {share:g}, the tags say otherwise")
    kept = {name: v for name, v in value.items() if v == 1 or is_open}  # closed: absent anyway
    merged = [Part("tags", _ordered(kept), open=is_open)]
    return merged + [_names_part("either", s) for s in sets] + softs


def reduce_multiclass(label: Label) -> Label:
    """Return the simplest label with the same meaning when exactly one class is true."""
    if len(label.parts) == 1 and label.parts[0].kind not in ("soft", "tags"):
        return _reduced_alone(label, label.parts[0])
    if any(p.kind == "tags" for p in label.parts):
        raise ValueError(
            f"{label!r} names several true classes but task='multiclass' allows one; "
            "use either(), or task='multilabel'"
        )
    if not label.parts:
        return label
    inside, outside = _allowed(label.parts)
    scored = [p for p in label.parts if p.kind in ("soft", "votes", "evidence")]
    if inside == frozenset() or any(_mass_left(p, inside, outside) <= 0 for p in scored):
        raise ValueError(f"{label!r} contradict each other: no class is left")
    shares = next((p for p in label.parts if p.kind in ("soft", "votes")), None)
    weighted = next((p for p in label.parts if p.kind == "evidence"), None)
    if shares is not None:
        return _restricted_shares(shares, weighted, inside, outside)
    if weighted is None:
        return Label((_one_or_some(inside) if inside else _names_part("not", outside),))
    weights, rest = _weights(weighted)
    if inside is not None:
        weights, rest = {n: weights.get(n, rest) for n in inside}, 0.0
    else:
        weights |= dict.fromkeys(outside, 0.0)
    product = _product([Part("evidence", _ordered(weights), rest)])
    return Label((product,) if product else ())


def _reduced_alone(label: Label, part: Part) -> Label:
    if part.kind == "votes" and math.fsum(count for _, count in part.items) <= 0:
        raise ValueError(f"{label!r} holds no vote at all; write unknown")
    return Label((part._replace(open=False),)) if part.open else label


def _one_or_some(inside: frozenset[ClassName]) -> Part:
    return _names_part("exact" if len(inside) == 1 else "either", inside)


def _restricted_shares(
    shares: Part,
    weighted: Part | None,
    inside: frozenset[ClassName] | None,
    outside: frozenset[ClassName],
) -> Label:
    """Renormalise shares (or counts) over the classes that the other statements leave."""
    total = math.fsum(v for _, v in shares.items)
    if shares.kind == "soft" and abs(total - 1.0) > 1e-6:
        hint = "; for counts use votes()" if total > 1 else ""
        raise ValueError(f"soft() shares must add to 1, got {total:g}{hint}")
    weights, rest = _weights(weighted) if weighted else ({}, 1.0)
    left = {
        name: share * weights.get(name, rest)
        for name, share in shares.items
        if name not in outside and (inside is None or name in inside)
    }
    if shares.kind == "votes" and weighted is None:
        return Label((Part("votes", _ordered(left), 0.0),))
    total = math.fsum(left.values())
    if len(left) < len(shares.items) or weighted:
        left = {name: share / total for name, share in left.items()}
    return Label((Part("soft", _ordered(left)),))


def reduce_multilabel(label: Label) -> Label:
    """Return the simplest label with the same meaning when any number of classes may be true."""
    for part in label.parts:
        if part.kind == "evidence" or (_can_trust(part) and part.number < 1):
            raise ValueError(
                f"{label!r} weighs classes against each other, which needs exactly one true class; "
                'for an uncertain tag write soft({"name": probability})'
            )
        if part.kind == "votes":
            return _reduced_votes(label, part)
    if len(label.parts) < 2:
        return label

    def contradict(why: str) -> NoReturn:
        raise ValueError(f"{label!r} contradicts itself: {why}")

    hard = [p for p in label.parts if p.kind in ("exact", "tags", "not")]
    if len(hard) == 1 and all(p.kind in ("either", "not") for p in label.parts):
        return label  # a plain not_() beside either(): nothing to merge
    parts = _merge_tags(list(label.parts), contradict) if hard else list(label.parts)
    if parts[0].kind == "tags" and not parts[0].items and parts[0].open and len(parts) > 1:
        parts = parts[1:]
    return Label(tuple(sorted(parts, key=lambda p: (_ORDER.index(p.kind), _key(p)))))


def _reduced_votes(label: Label, counted: Part) -> Label:
    if not counted.number:
        raise ValueError(
            f"{label!r}: with several true classes a share needs the number of voters; "
            "write votes({...}, voters=5)"
        )
    if len(label.parts) > 1:
        raise ValueError(f"{label!r}: votes() stands alone when any number of classes may be true")
    return label


def without_eithers(label: Label) -> Label:
    """Return a joint multilabel row without its `either` parts, as one part."""
    parts = [p for p in label.parts if p.kind != "either"]
    if any(p.kind in ("exact", "tags") and not p.open for p in parts):
        return Label(tuple(p for p in parts if p.kind in ("exact", "tags") and not p.open))
    values: dict[ClassName, float] = {}
    for part in parts:
        values |= dict.fromkeys(part.names, 0.0) if part.kind == "not" else dict(part.items)
    items = _ordered(values)
    return Label(
        (parts[0]._replace(kind="soft", items=items, number=1.0, open=False),) if items else ()
    )
