"""`eitheror info`: what a model folder holds."""

from __future__ import annotations

from eitheror.cli._options import Json, ModelPath, count, print_json, spelt
from eitheror.cli._shrink import kept_line, score_lines

__all__ = ["info"]


def info(model: ModelPath, /, *, as_json: Json = False) -> int:
    """Show what a model was trained for and how.

    Parameters
    ----------
    model
        Folder that `eitheror train` wrote.
    """
    import eitheror as eo

    fitted = eo.load(model)
    rule = fitted.rule()
    size = sum(array.size for array in fitted.parameters.tensors().values())
    options = {key: value for key, value in fitted.options.items() if key != "history"}
    report = {
        "model": model,
        "task": fitted.task,
        "classes": fitted.classes,
        "loss": fitted.loss,
        "proba": fitted.proba_meaning,
        "decision": rule.describe(),
        "options": options,
        "parameters": size,
    }
    if as_json:
        print_json(report)
        return 0
    shown = [str(name) for name in fitted.classes[:20]]
    more = f" ... {len(fitted.classes) - 20:,} more" if len(fitted.classes) > 20 else ""
    truth = "one is true" if fitted.task == "multiclass" else "any number is true"
    print(f"{count(len(fitted.classes), 'class', 'classes')}, {truth}: {', '.join(shown)}{more}")
    print(f"numbers: {fitted.proba_meaning}; decision: {rule.describe()}")
    shrunk = options.pop("shrunk", None)
    print(f"{size:,} {'parameters' if shrunk is None else 'numbers and codes'}")
    print(spelt(options))
    if shrunk is not None:
        scores = shrunk.pop("valid", None)
        print(kept_line(shrunk))
        print(*score_lines(scores), sep="\n")
    return 0
