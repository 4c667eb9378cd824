"""The page docs/optimizers.md: every class of the table, as declared and as measured.

`python -m tests.optimizers.page > docs/optimizers.md` writes it. What is not installed is listed as declared.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from decay_audit.optimizers.table.classes import CLASSES
from decay_audit.optimizers.table.decay_forms import SEMANTICS, UPDATES, ClassFacts
from tests.optimizers.survey import EXCEPTIONS, LIBRARIES, NOT_RUN, Measurement, agrees, is_wrapper, survey


def measured_cell(measurement: Measurement) -> str:
    """What was measured, in short: the movements, with the rate where there is one."""
    if not measurement.observations:
        return f"not run: {NOT_RUN.get(f'{measurement.library}.{measurement.name}', measurement.failure)}"
    movements = {
        f"{observation.movement} {observation.measured_rate:.2g}"
        if observation.movement in ("proportional", "cautious")
        else f"{observation.movement}": None
        for observation in measurement.observations
    }
    return ", ".join(sorted(movements)[:3]) + (", ..." if len(movements) > 3 else "")


def declared_cells(name: str, facts: ClassFacts) -> str:
    """The first columns of a class: what the table says."""
    if facts.form == "delegated":
        return f"| `{name}` | | of the wrapped optimizer | delegated | |"
    default = f"{facts.default:g}"
    if not facts.switch:
        return f"| `{name}` | {default} | {SEMANTICS[facts.form]} | {facts.form} | |"
    usual, other = (facts.form_if_on, facts.form) if facts.on_by_default else (facts.form, facts.form_if_on)
    semantics = (
        f"{SEMANTICS[usual]}" if SEMANTICS[usual] == SEMANTICS[other] else f"{SEMANTICS[usual]} ({SEMANTICS[other]})"
    )
    return f"| `{name}` | {default} | {semantics} | {usual} ({other}) | `{facts.switch}` |"


def lines(library: str, measured: Sequence[Measurement]) -> Iterator[str]:
    """The rows of one library; without a measurement where it is not installed."""
    for name, facts in sorted(CLASSES[library].items(), key=lambda item: item[0].lower()):
        measurements = [measurement for measurement in measured if measurement.name == name]
        cells = "; ".join(dict.fromkeys(measured_cell(measurement) for measurement in measurements)) or "not measured"
        reasons = [
            EXCEPTIONS[key]
            for measurement in measurements
            if (key := (f"{library}.{name}", measurement.switch)) in EXCEPTIONS
        ]
        notes = "; ".join(dict.fromkeys(filter(None, [facts.note, *reasons])))
        yield f"{declared_cells(name, facts)} {cells} | {notes} |".replace("  ", " ")


def document() -> str:
    """The whole page."""
    forms = "\n".join(f"| {form} | `{update}` |" for form, update in UPDATES.items() if form != "unknown")
    measured = {library: tuple(survey(library)) for library in LIBRARIES}
    sections = [_section(library, measured.get(library, ())) for library in CLASSES]
    return "".join([HEAD.format(forms=forms, count=fill(count(measured), 120)), *sections])


def _section(library: str, measured: Sequence[Measurement]) -> str:
    declared = "" if library in LIBRARIES else f"{DECLARED}\n\n"
    return f"\n## {library}\n\n{declared}{COLUMNS}\n" + "\n".join(lines(library, measured)) + "\n"


def count(measured: Mapping[str, Sequence[Measurement]]) -> str:
    """How many classes of the three large libraries were measured, and how many move otherwise than declared."""
    every = [measurement for library in COUNTED for measurement in measured[library]]
    ran = [measurement for measurement in every if measurement.observations]
    without = {
        (measurement.library, measurement.name)
        for measurement in ran
        if measurement.form == "none" and not measurement.facts.switch
    }
    wrappers = {(measurement.library, measurement.name) for measurement in ran if is_wrapper(measurement.facts)}
    taking = {(measurement.library, measurement.name) for measurement in ran} - without
    differing = len([measurement for measurement in ran if not agrees(measurement)])
    return (
        f"The measured classes are {len(taking)} of torch, timm and pytorch-optimizer that take a weight_decay "
        f"({len(wrappers)} of them pass it to an optimizer that they wrap), and {len(without)} that do not use one: "
        f"{len(ran)} measurements, as each switch is measured on and off. In {differing} "
        f"of them the weights move in another way than the table declares, and "
        f"{len(every) - len(ran)} classes cannot step here: each row says why."
    )


COUNTED = ("torch", "timm", "pytorch_optimizer")
DECLARED = "Declared from the source, not measured."
COLUMNS = (
    "| class | default | semantics | form | switch | measured | note |\n| --- | --- | --- | --- | --- | --- | --- |"
)
HEAD = """# What `weight_decay` means in each optimizer

`decay-audit` knows these classes by name, without importing their libraries. Any other class is measured.
The columns semantics, form and switch come from the table in `decay_audit/optimizers/table/`, taken from the sources of
each library; in parentheses are the semantics and the form for the other value of the switch. The column measured
shows what one step with a gradient of zero did on a CPU, with weight_decay 0.02 and the switch at both values:
`proportional 0.02` means that the weight shrank by lr x 0.02 of itself, `sign` that the amounts hardly depend on the
coefficient, `normalized` that a norm or the gradient sets them, `other` none of these, `none` no change. `python -m
tests.optimizers.page > docs/optimizers.md` makes this page, and a test measures the installed classes again.

{count}

`python -m benchmarks.optimizer_survey MODULE...` compares the measured laws with the classes themselves: instances that
step on real parameters, new and trained, and differ in the coefficient alone. In 10 packages that were looked at while
measuring was built (torch, timm, pytorch-optimizer, heavyball, bitsandbytes, optimi, schedulefree, prodigyopt, muon,
grokadamw), 252 of 289 classes were measured, and 1 law is wrong: SaRA decays a bias of zeros, and its probe tensor is
not small enough for that. In 5 other packages (torchium, torch-optimizer, nadir, adv-optm, dadaptation), 119 of 126
were measured, and 1 is wrong: torchium's Yogi, whose own weights become NaN. No value of an optimizer or of a
parameter was changed, and nothing crashed. The other classes are base classes, need arguments of their own, or raise.

| form | update |
| --- | --- |
{forms}

Three things to learn from it:

- **Adam and AdamW are different optimizers** as soon as weight_decay is not 0. In Adam the coefficient goes through the
  adaptive denominator: with a gradient of zero, a step moves every element by about lr, whatever the coefficient is.
- **The default is not always 0**: AdamW, Lamb and others decay with 0.01, torch's Muon and a few more with 0.1.
- **A switch changes the meaning** and not the number (`decoupled_weight_decay`, `weight_decouple`, `decoupled_decay`);
  some libraries ignore the coefficient at one of its values.
"""

if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # some classes print
        page = document()
    sys.stdout.write(page)
