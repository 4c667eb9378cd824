"""The page docs/optimizers.md: every class of the table, as declared and as measured.

`python -m tests.optimizers.page > docs/optimizers.md` writes it. What is not installed is listed as declared.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from decay_audit.optimizers.table.classes import CLASSES
from decay_audit.optimizers.table.forms import SEMANTICS, WORDS, Row
from tests.optimizers.survey import EXCEPTIONS, LIBRARIES, NOT_RUN, Form, agrees, is_wrapper, survey


def said(form: Form) -> str:
    """What was measured, shortly: the movements, and the rate where it is one."""
    if not form.observations:
        return f"not run: {NOT_RUN.get(f'{form.library}.{form.name}', form.failure)}"
    seen = {
        f"{one.movement} {one.measured_rate:.2g}"
        if one.movement in ("proportional", "cautious")
        else f"{one.movement}": None
        for one in form.observations
    }
    return ", ".join(sorted(seen)[:3]) + (", ..." if len(seen) > 3 else "")


def declared_cells(name: str, row: Row) -> str:
    """The first columns of a class: what the table says."""
    if row.path == "inside":
        return f"| `{name}` | | of the optimizer inside | inside | |"
    default = f"{row.default:g}"
    if not row.switch:
        return f"| `{name}` | {default} | {SEMANTICS[row.path]} | {row.path} | |"
    usual, other = (row.on, row.path) if row.assumed else (row.path, row.on)
    semantics = (
        f"{SEMANTICS[usual]}" if SEMANTICS[usual] == SEMANTICS[other] else f"{SEMANTICS[usual]} ({SEMANTICS[other]})"
    )
    return f"| `{name}` | {default} | {semantics} | {usual} ({other}) | `{row.switch}` |"


def lines(library: str, measured: Sequence[Form]) -> Iterator[str]:
    """The rows of one library; without a measurement where it is not installed."""
    for name, row in sorted(CLASSES[library].items(), key=lambda item: item[0].lower()):
        found = [form for form in measured if form.name == name]
        cells = "; ".join(dict.fromkeys(said(form) for form in found)) or "not measured"
        reasons = [EXCEPTIONS[key] for form in found if (key := (f"{library}.{name}", form.switch)) in EXCEPTIONS]
        notes = "; ".join(dict.fromkeys(filter(None, [row.note, *reasons])))
        yield f"{declared_cells(name, row)} {cells} | {notes} |".replace("  ", " ")


def document() -> str:
    """The whole page."""
    ways = "\n".join(f"| {way} | {SEMANTICS[way]} | `{words}` |" for way, words in WORDS.items() if way != "unknown")
    measured = {library: tuple(survey(library)) for library in LIBRARIES}
    sections = [_section(library, measured.get(library, ())) for library in CLASSES]
    return "".join([HEAD.format(ways=ways, count=fill(count(measured), 120)), *sections])


def _section(library: str, measured: Sequence[Form]) -> str:
    declared = "" if library in LIBRARIES else f"{DECLARED}\n\n"
    return f"\n## {library}\n\n{declared}{COLUMNS}\n" + "\n".join(lines(library, measured)) + "\n"


def count(measured: Mapping[str, Sequence[Form]]) -> str:
    """How many classes of the three large libraries were measured, and how many move otherwise than declared."""
    every = [form for library in COUNTED for form in measured[library]]
    ran = [form for form in every if form.observations]
    without = {(form.library, form.name) for form in ran if form.way == "none" and not form.row.switch}
    wrappers = {(form.library, form.name) for form in ran if is_wrapper(form.row)}
    taking = {(form.library, form.name) for form in ran} - without
    return (
        f"Measured are {len(taking)} classes of torch, timm and pytorch-optimizer that take a weight_decay "
        f"({len(wrappers)} of them hand it to an optimizer inside), in {len(ran)} forms together with "
        f"{len(without)} that do not use one. {len([form for form in ran if not agrees(form)])} forms move otherwise "
        f"than the table declares, and {len(every) - len(ran)} classes cannot step here: each row says why."
    )


COUNTED = ("torch", "timm", "pytorch_optimizer")
DECLARED = "Declared from the source, not measured."
COLUMNS = "| class | default | family | way | switch | measured | note |\n| --- | --- | --- | --- | --- | --- | --- |"
HEAD = """# What `weight_decay` means in each optimizer

`decay-audit` knows these classes by name, without importing their libraries; `--measure` finds out what any other does.
The columns family, way and switch are the table in `decay_audit/optimizers/table/`: read in the sources of each
library. A way in parentheses is what the switch changes it to. The column measured is what one step with a gradient of
zero did on a CPU, with weight_decay 0.02, as the class comes and with its switch turned: `proportional 0.02` is a
shrink of lr x 0.02, `sign` the same amount for every element, `other` neither, `none` no change. This page is made by
`python -m tests.optimizers.page > docs/optimizers.md`, and a test measures the classes that are installed again.

{count}

| way | family | update |
| --- | --- | --- |
{ways}

Three things to take from it:

- **Adam and AdamW are different optimizers** as soon as weight_decay is not 0. In Adam the coefficient goes through the
  adaptive denominator: without other gradients a step moves every element by about lr, whatever the coefficient is.
- **The default is not always 0**: AdamW, Lamb and others decay with 0.01, Muon of torch and a few more with 0.1.
- **A switch changes the meaning** without changing the number (`decoupled_weight_decay`, `weight_decouple`,
  `decoupled_decay`); some libraries ignore the coefficient in one of its positions.
"""

if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # some classes print
        page = document()
    sys.stdout.write(page)
