"""What the common ways to write "not this class" do when the model is sure that it is this class.

Four classes, the first ruled out, logits (z, 0, 0, 0): the loss and its gradient in z, for a z
that leads by more and more, by ours and by the forms found in public code. Stored, and shown in
docs/numerics.md, whose tables are written by this script.

    python benchmarks/numerics.py                 # writes benchmarks/results/numerics.json
    python benchmarks/numerics.py --write-docs    # and the tables of docs/numerics.md
"""

from __future__ import annotations

import json
import math
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from eitheror.torch import partial_cross_entropy

RESULT = Path(__file__).parent / "results" / "numerics.json"
PAGE = Path(__file__).parents[1] / "docs" / "numerics.md"
LEADS = (5.0, 12.0, 17.0, 30.0, 110.0, 1e4)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
KEPT = slice(1, None)  # the classes that are not ruled out


def ours(f: Tensor) -> Tensor:
    return partial_cross_entropy(f, torch.tensor([0.0, 1.0, 1.0, 1.0]))


def one_minus_p(f: Tensor) -> Tensor:
    return -(1 - f.softmax(-1)[0] + 1e-6).log()


def transition(f: Tensor) -> Tensor:
    uniform = ((1 - torch.eye(4)) / 3).to(f.dtype)
    return -(f.softmax(-1) @ uniform + 1e-6).log()[0]


def sum_of_p(f: Tensor) -> Tensor:
    return -f.softmax(-1)[KEPT].sum().log()


def clipped(f: Tensor) -> Tensor:
    return -f.softmax(-1)[KEPT].sum().clamp(1e-7, 1 - 1e-7).log()


def two_lse(f: Tensor) -> Tensor:
    return f.logsumexp(-1) - f[KEPT].logsumexp(-1)


def negated(f: Tensor) -> Tensor:
    return f.log_softmax(-1)[0]


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "ours": ours,
    "`-log(1 - p + 1e-6)`": one_minus_p,
    "`-log(p Q + 1e-6)`": transition,
    "`-log(sum p)`": sum_of_p,
    "`sum p` clipped at 1e-7": clipped,
    "`lse(f) - lse(f[kept])`": two_lse,
    "negated cross-entropy": negated,
}


def measure(form: Callable[[Tensor], Tensor], lead: float, dtype: torch.dtype) -> list[float]:
    """Return the loss and its gradient in the logit that leads."""
    f = torch.tensor([lead, 0.0, 0.0, 0.0], dtype=dtype, requires_grad=True)
    loss = form(f)
    loss.backward()
    return [loss.item(), f.grad[0].item()]


def exact(lead: float) -> list[float]:
    """Return loss and gradient of -log(1 - p), by arithmetic: softplus(lead - log 3)."""
    d = lead - math.log(3)
    return [d + math.log1p(math.exp(-d)), 1 / (1 + math.exp(-d))]


def rows(dtype: torch.dtype) -> dict[str, list[list[float]]]:
    """Return loss and gradient of every form at every lead, and what they are in truth."""
    # a 16-bit logit cannot lead by every number: the truth is that of the logit as it stands
    leads = [torch.tensor(lead, dtype=dtype).item() for lead in LEADS]
    found = {"truth": [exact(lead) for lead in leads]}
    return found | {
        name: [measure(form, lead, dtype) for lead in LEADS] for name, form in FORMS.items()
    }


def show(number: float) -> str:
    """Write a number with three digits."""
    if math.isnan(number) or math.isinf(number):
        return f"**{number}**"
    text = f"{number:.3g}"
    return text if "e" in text else str(float(text)).removesuffix(".0")


def table(found: dict[str, list[list[float]]]) -> str:
    """Return the Markdown table of one precision; wrong gradients are bold."""
    head = ["z leads by", *(f"{lead:g}" for lead in LEADS)]
    lines = [head, ["---"] * len(head)]
    for name, cells in found.items():
        line = [name]
        for (loss, gradient), (_, right) in zip(cells, found["truth"], strict=True):
            shown = show(gradient)
            wrong = math.isnan(gradient) or abs(gradient - right) > 0.05
            line.append(f"{show(loss)} / " + (f"**{shown.strip('*')}**" if wrong else shown))
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(page: str, found: dict[str, dict[str, list[list[float]]]]) -> str:
    """Return the page with its tables, which stand between markers, made anew."""
    for name, cells in found.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        block = f"{begin}{table(cells)}\n{end}"
        page, count = pattern.subn(lambda _, block=block: block, page)
        if count != 1:
            raise ValueError(f"{PAGE} has {count} places {begin.strip()}; it needs one")
    return page


def main() -> None:
    found = {name: rows(dtype) for name, dtype in DTYPES.items()}
    for name, cells in found.items():
        print(f"{name}: loss / gradient\n{table(cells)}\n")
    stored = {
        "command": "python benchmarks/numerics.py --write-docs",
        "machine": f"{platform.machine()}, CPU",
        "torch": torch.__version__,
        "logits": "(z, 0, 0, 0), class 0 ruled out; loss and gradient in z",
        "leads": LEADS,
        **{
            name: {form: [[str(x) for x in cell] for cell in cells] for form, cells in all_.items()}
            for name, all_ in found.items()
        },
    }
    RESULT.write_text(json.dumps(stored, indent=1) + "\n")
    if "--write-docs" in sys.argv[1:]:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
