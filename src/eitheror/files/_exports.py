"""Exports of annotation tools: Prodigy, Label Studio, Argilla.

In: decoded JSON records of the tool. Out: rows. Keys that say nothing about the label are left
alone: these files belong to other programs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from eitheror.files._rows import Reading, Row, RowReader, as_data_error, rows_of
from eitheror.files._statements import Found, Problem, as_json, kind_of
from eitheror.labels import DataError, Label, exact, not_, tags, unknown, votes

__all__ = ["dialect_of", "read_argilla", "read_label_studio", "read_prodigy"]

Records = Iterable[tuple[int, Any]]


def dialect_of(record: dict[str, Any]) -> str:
    """Tell whose record this is, by keys that our own format does not have.

    Examples
    --------
    >>> dialect_of({"text": "..", "label": "bug", "answer": "reject"})
    'prodigy'
    """
    if record.get("answer") in ("accept", "reject", "ignore"):
        return "prodigy"
    if isinstance(record.get("data"), dict) and (
        "annotations" in record or "predictions" in record
    ):
        return "label-studio"
    if "annotation_id" in record and "annotator" in record:
        return "label-studio"  # the short export, JSON-MIN
    if isinstance(record.get("fields"), dict) or any(key.endswith(".responses") for key in record):
        return "argilla"
    return "jsonl"


# -- Prodigy -----------------------------------------------------------------------------------


@dataclass
class _Task:
    """The answers about one input."""

    row: Row
    answers: list[tuple[int, str, list[str | int]]] = field(default_factory=list)


def read_prodigy(records: Records, file: str, reading: Reading) -> Iterator[Row]:
    """Yield the rows of a Prodigy data set; answers with one `_input_hash` combine.

    `accept` is exact (multilabel: present, the rest unknown), `reject` is `not_`, `ignore` is
    unknown. The `choice` view: the chosen options, as exact or as tags.
    """
    reader = RowReader(file, reading)
    items: dict[object, _Task] = {}
    failed = []
    for line, record in records:
        try:
            if isinstance(record, Exception):
                raise record
            key = record.get("_input_hash")
            task = items.setdefault(
                ("line", line) if key is None else key, _Task(_plain_row(reader, line, record))
            )
            if not reading.options.unlabelled:
                task.answers += _prodigy_answers(reader, line, record)
        except (ValueError, TypeError) as error:
            failed.append(Row(file, line, None, error=as_data_error(error, f"{file}:{line}")))
    multilabel = _several_true(items.values(), reading.options.task)
    for task in items.values():
        _combine(task, multilabel)
    yield from sorted([*failed, *(task.row for task in items.values())], key=lambda row: row.line)


def _plain_row(reader: RowReader, line: int, record: dict[str, Any]) -> Row:
    """Return the row without its label: text, id and meta."""
    text = reader.text(record.get(reader.options.text))
    if text is None:
        raise Problem("$", f'no "{reader.options.text}"; every row needs a text')
    row = Row(reader.file, line, text, id=record.get(reader.options.id))
    if record.get("meta") is not None:
        reader.pass_through(row, "meta", record["meta"])
    return row


def _prodigy_answers(
    reader: RowReader, line: int, record: dict[str, Any]
) -> list[tuple[int, str, list[str | int]]]:
    answer = record.get("answer", "accept")
    if answer not in ("accept", "reject", "ignore"):
        raise Problem("$.answer", f"{as_json(answer)}; Prodigy writes accept, reject or ignore")
    resolve = reader.statements.names.resolve
    if "accept" in record:
        chosen = record["accept"]
        if not isinstance(chosen, list):
            raise Problem("$.accept", f"{kind_of(chosen)}; Prodigy writes a list of option ids")
        names = [resolve(str(name), f"$.accept[{i}]") for i, name in enumerate(chosen)]
        answer = f"choose-{answer}" if answer != "ignore" else answer
    else:
        label = record.get(reader.options.label)
        if label is None:
            answer, names = "ignore", []
        elif isinstance(label, str | int) and not isinstance(label, bool):
            names = [resolve(str(label), reader.path(reader.options.label))]
        else:
            raise Problem(reader.path(reader.options.label), f"{kind_of(label)} is no class name")
    return [] if answer == "ignore" else [(line, answer, names)]


def _several_true(items: Iterable[_Task], task: str | None) -> bool:
    """Tell the task: more than one class accepted for one input means any number may be true."""
    if task is not None:
        return task == "multilabel"
    for item in items:
        true = {n for _, answer, names in item.answers if answer.endswith("accept") for n in names}
        if len(true) > 1:
            return True
    return False


def _combine(task: _Task, multilabel: bool) -> None:
    row = task.row
    found: Label = unknown
    for line, answer, names in task.answers:
        try:
            found = found & _prodigy_statement(answer, names, multilabel)
        except ValueError as error:
            lines = ", ".join(str(line) for line, _, _ in task.answers[:5])
            problem = f"the answers about this text (lines {lines}) do not fit together: {error}"
            row.input, row.error = None, DataError(f"{row.file}:{line}", problem)
            return
    row.label = found


def _prodigy_statement(answer: str, names: list[str | int], multilabel: bool) -> Label:
    if answer.endswith("reject"):
        return not_(*names) if names else unknown
    if answer == "accept":
        return tags(*names, rest="unknown") if multilabel else exact(names[0])
    if multilabel:
        return tags(*names)
    return exact(names[0]) if names else unknown


# -- Label Studio ------------------------------------------------------------------------------


def read_label_studio(records: Records, file: str, reading: Reading) -> Iterator[Row]:
    """Yield the rows of a Label Studio export, JSON or JSON-MIN.

    A single choice is exact, several are tags, a skipped or empty task is unknown, an annotation
    that a reviewer rejected is `not_`; people who disagree become votes.
    """
    reader = RowReader(file, reading)

    def build(line: int, record: dict[str, Any]) -> Row:
        data = record.get("data", record)
        if not isinstance(data, dict):
            raise Problem("$.data", f"{kind_of(data)}; Label Studio writes an object")
        text = reader.text(data.get(reader.options.text))
        if text is None:
            keys = [key for key, value in data.items() if isinstance(value, str)]
            raise Problem(
                "$.data",
                f'no "{reader.options.text}"; name the key of the text: --text {keys[:1] or "KEY"}',
            )
        row = Row(file, line, text, id=record.get(reader.options.id))
        if reading.options.unlabelled:
            return row
        if "data" in record:
            row.label = _studio_label(reader, record)
        else:
            row.label = _studio_min(reader, record)
        return row

    return rows_of(file, records, build)


def _studio_label(reader: RowReader, task: dict[str, Any]) -> Found:
    good: list[list[str | int]] = []
    ruled_out: Label = unknown
    for annotation in _objects(task.get("annotations"), "$.annotations"):
        if annotation.get("was_cancelled"):
            continue
        names = _studio_choices(reader, _objects(annotation.get("result"), "$.annotations"))
        if names is None:
            continue
        if _rejected(annotation):
            ruled_out = ruled_out & not_(*names) if names else ruled_out
        else:
            good.append(names)
    if not good:
        return ruled_out
    return _agreed(good, reader.options.task)


def _objects(value: Any, path: str) -> list[dict[str, Any]]:
    """Return a list of objects; null counts as none."""
    found = [] if value is None else value
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Problem(path, f"{kind_of(value)}; a list of objects is expected")
    return found


def _rejected(annotation: dict[str, Any]) -> bool:
    """Tell whether the last reviewer rejected the annotation."""
    reviews = _objects(annotation.get("reviews"), "$.annotations")
    if reviews:
        return reviews[-1].get("accepted") is False
    return annotation.get("last_action") == "rejected"


def _studio_choices(reader: RowReader, result: Iterable[dict[str, Any]]) -> list[str | int] | None:
    """Return the choices of one annotation; None when it says nothing about the label."""
    controls: dict[str, list[str]] = {}
    for region in result:
        value = region.get("value")
        chosen = value.get("choices") if isinstance(value, dict) else None
        if isinstance(chosen, list):
            controls.setdefault(str(region.get("from_name")), []).extend(map(str, chosen))
    if not controls:
        return None
    wanted = reader.options.label
    if wanted not in controls and len(controls) > 1:
        names = ", ".join(f'"{name}"' for name in controls)
        raise Problem(
            "$.annotations", f"choices of several controls ({names}); name one: --label NAME"
        )
    chosen = controls[wanted] if wanted in controls else next(iter(controls.values()))
    return [
        reader.statements.names.resolve(name, "$.annotations") for name in dict.fromkeys(chosen)
    ]


def _studio_min(reader: RowReader, record: dict[str, Any]) -> Found:
    value = record.get(reader.options.label)
    path = reader.path(reader.options.label)
    if isinstance(value, dict):
        value = value.get("choices")
    if value is None or value == "":
        return None
    chosen = value if isinstance(value, list) else [value]
    names = [reader.statements.names.resolve(str(name), path) for name in chosen]
    return _agreed([names], reader.options.task)


def _agreed(answers: list[list[str | int]], task: str | None) -> Found:
    """Return what several people's choices state together."""
    if all(set(names) == set(answers[0]) for names in answers):
        names = answers[0]
        return names[0] if len(names) == 1 else tags(*names)
    counts = Counter(name for names in answers for name in dict.fromkeys(names))
    # without a task another row may make it one of tags, where the number of voters counts
    return votes(counts) if task == "multiclass" else votes(counts, voters=len(answers))


# -- Argilla -----------------------------------------------------------------------------------


def read_argilla(records: Records, file: str, reading: Reading) -> Iterator[Row]:
    """Yield the rows of an Argilla export, nested or flat.

    A submitted single answer is exact, several choices are tags, a discarded or pending record is
    unknown; people who disagree become votes. Suggestions of models are not answers.
    """
    reader = RowReader(file, reading)

    def build(line: int, record: dict[str, Any]) -> Row:
        fields = record.get("fields") if isinstance(record.get("fields"), dict) else record
        text = reader.text((fields or {}).get(reader.options.text))
        if text is None:
            raise Problem(
                "$.fields", f'no "{reader.options.text}"; name the field of the text: --text NAME'
            )
        row = Row(file, line, text, id=record.get(reader.options.id))
        if not reading.options.unlabelled:
            answers = _argilla_answers(reader, record)
            row.label = _agreed(answers, reading.options.task) if answers else None
        return row

    return rows_of(file, records, build)


def _argilla_answers(reader: RowReader, record: dict[str, Any]) -> list[list[str | int]]:
    """Return the choices of everybody who submitted an answer."""
    question = reader.options.label
    nested = record.get("responses")
    found = []
    if isinstance(nested, list):
        nested = _by_question(nested)
    elif nested is not None and not isinstance(nested, dict):
        raise Problem("$.responses", f"{kind_of(nested)}; Argilla writes an object or a list")
    if isinstance(nested, dict):
        _check_question(question, nested)
        for response in _objects(nested.get(question), f"$.responses.{question}"):
            if response.get("status", "submitted") == "submitted":
                found.append(response.get("value"))
        if record.get("status") == "discarded":
            found = []
    else:
        values = record.get(f"{question}.responses") or []
        if not isinstance(values, list):
            raise Problem(f"$.{question}.responses", f"{kind_of(values)}; a list is expected")
        questions = [k.removesuffix(".responses") for k in record if k.endswith(".responses")]
        _check_question(question, dict.fromkeys(questions))
        states = record.get(f"{question}.responses.status") or ["submitted"] * len(values)
        pairs = zip(values, states, strict=True)
        found = [value for value, state in pairs if state in (None, "submitted")]
    resolve, path = reader.statements.names.resolve, f"$.responses.{question}"
    chosen = [value if isinstance(value, list) else [value] for value in found if value is not None]
    return [[resolve(str(name), path) for name in names] for names in chosen]


def _by_question(responses: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """Return responses by person, {"values": {question: {"value": ..}}, "status": ..}, by question.

    A response without values is a discarded or an empty one.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for i, response in enumerate(_objects(responses, "$.responses")):
        path = f"$.responses[{i}]"
        values = response.get("values")
        if values is None and "values" in response:
            values = {}
        if not isinstance(values, dict):
            raise Problem(path, 'no object "values"; Argilla writes {"values": .., "status": ..}')
        for question, answer in values.items():
            if not isinstance(answer, dict) or "value" not in answer:
                raise Problem(f"{path}.values.{question}", 'no "value"; Argilla writes one there')
            status = response.get("status", "submitted")
            found.setdefault(question, []).append({"value": answer["value"], "status": status})
    return found


def _check_question(question: str, questions: dict[str, Any]) -> None:
    if questions and question not in questions:
        names = ", ".join(f'"{name}"' for name in questions)
        raise Problem("$.responses", f'no question "{question}"; name one of {names}: --label NAME')
