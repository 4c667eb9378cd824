"""The Answers of all architectures become docs/zoo.md: how far roles agree, what is unclassified, what presets do."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from benchmarks.zoo.answers import Answers, Case
from benchmarks.zoo.reasons import HEADER_REASONS, UNCLASSIFIED_REASON, obstacle, reason
from decay_audit.roles.words import CONFIDENCES, ROLES, Role

LIBRARIES = ("timm", "torchvision", "transformers")
MAX_ROWS = 60
"""The most rows of a list of differences."""
UNSET_ARGUMENTS = "its constructor needs arguments that the default configuration does not set"


class CaseGroup(Struct, frozen=True, kw_only=True):
    """Equal cases of several parameters and architectures."""

    example: Case
    architecture: str
    parameters: int
    architectures: int


def document(answers: Sequence[Answers], listed: int) -> str:
    """Write the whole document. It does not depend on the order of the answers.

    Args:
        listed: how many architectures there are. If there are fewer answers, the document says so.
    """
    answers = sorted(answers, key=lambda model: model.name)
    parts = (
        _head(answers, listed),
        _agreement(answers),
        _disagreements(answers),
        _state_dict(answers),
        _confidence(answers),
        _unclassified(answers),
    )
    return "\n\n".join((*parts, _conventions(answers), _by_library(answers), _left_out(answers))) + "\n"


def _of_library(library: str, answers: Iterable[Answers]) -> list[Answers]:
    return [model for model in answers if model.name.startswith(f"{library}:")]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _percent(part: int, whole: int, digits: int = 2) -> str:
    """Write a share in percent. Only the whole is written as 100 %."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{share if part == whole else min(share, 100 - 10**-digits):.{digits}f} %"


def _count(answers: Iterable[Answers], pick: Callable[[Answers], int]) -> int:
    return sum(map(pick, answers))


def _differing(cases: Iterable[Case]) -> int:
    return sum(case.count for case in cases)


def _head(answers: Sequence[Answers], listed: int) -> str:
    some = "" if len(answers) == listed else f" This run covers {len(answers):,} of {listed:,}."
    built = [model for model in answers if model.failure is None]
    return (
        "# Roles of every architecture of timm, torchvision and transformers\n\n"
        "Written by `python -m benchmarks.zoo --cache FOLDER --write docs/zoo.md`. Every architecture of timm,\n"
        "torchvision and transformers that can be built from its default configuration was built without its weights\n"
        "and traced. Each parameter was classified three times: from structure (classes, names, shapes), from use\n"
        "(the operators that it enters), and from the state dict alone, as a checkpoint is read.\n\n"
        f"{len(built):,} architectures, {_count(built, lambda model: model.parameters):,} parameters.{some}"
    )


def _agreement(answers: Sequence[Answers]) -> str:
    rows = []
    for library in (*LIBRARIES, ""):
        part = _of_library(library, answers) if library else list(answers)
        if not part:
            continue
        answered = _count(part, lambda model: model.answered)
        differ = _count(part, lambda model: _differing(model.disagreements))
        rows.append(
            (
                library or "all",
                len(part),
                sum(model.failure is None for model in part),
                sum(model.traced for model in part),
                f"{_count(part, lambda model: model.parameters):,}",
                f"{_count(part, lambda model: model.used):,}",
                f"{answered:,}",
                f"{_count(part, lambda model: model.unclassified_by_structure):,}",
                f"{differ:,}",
                _percent(answered - differ, answered, 3),
            )
        )
    head = (
        "", "architectures", "built", "traced to the end", "parameters", "used by the pass", "role from use",
        "no role from structure", "differ", "agree",
    )  # fmt: skip
    return (
        "## Structure and use\n\n"
        "A role from use counts if the trace is more certain than a guess. Two roles agree if one is a finer role of\n"
        "the same kind: structure can name a position table where the operator only shows a table, and use can show\n"
        "that a scale is the layer scale of a residual branch.\n\n" + _table(head, rows)
    )


def _groups(answers: Iterable[Answers], pick: Callable[[Answers], tuple[Case, ...]]) -> list[CaseGroup]:
    counts: Counter[tuple[str, ...]] = Counter()
    architectures: dict[tuple[str, ...], set[str]] = {}
    first: dict[tuple[str, ...], Case] = {}
    for model in answers:
        for case in pick(model):
            place = ".".join(case.name.replace(".#", "").split(".")[-2:])
            key = (case.owner, place, case.structure, case.other, case.detail)
            counts[key] += case.count
            architectures.setdefault(key, set()).add(model.name)
            first.setdefault(key, case)
    return [
        CaseGroup(
            example=first[key],
            architecture=min(architectures[key]),
            parameters=count,
            architectures=len(architectures[key]),
        )
        for key, count in counts.most_common()
    ]


def _listed(groups: Sequence[CaseGroup], explain: Callable[[Case], str], columns: tuple[str, str, str]) -> str:
    head = ("parameter", "module class", "example", "parameters", "architectures", *columns)
    rows = [
        (
            f"`{group.example.name}` {'x'.join(map(str, group.example.shape))}",
            group.example.owner or "-",
            group.architecture,
            group.parameters,
            group.architectures,
            group.example.structure,
            f"{group.example.other} ({group.example.detail})" if group.example.other else group.example.detail,
            explain(group.example),
        )
        for group in groups[:MAX_ROWS]
    ]
    more = f"\n\nand {len(groups) - MAX_ROWS} kinds more." if len(groups) > MAX_ROWS else ""
    return _table(head, rows) + more


def _disagreements(answers: Sequence[Answers]) -> str:
    groups = _groups(answers, lambda model: model.disagreements)
    if not groups:
        return "No difference."
    return "Differences:\n\n" + _listed(groups, reason, ("structure", "use", "why"))


def _state_dict(answers: Sequence[Answers]) -> str:
    rows = []
    for library in (*LIBRARIES, ""):
        total, wrong = _tally(
            _of_library(library, answers) if library else answers, lambda model: model.header, CONFIDENCES
        )
        rows.append((library or "all", f"{total:,}", f"{wrong:,}", _percent(total - wrong, total, 3)))
    table = _table(("", "parameters", "another family", "same family"), rows)
    groups = _groups(answers, lambda model: model.header_cases)
    text = (
        "## Structure and the state dict alone\n\n"
        "Compared by family: matrices; embeddings; biases; norm weights and biases; and the rest (tokens, positions,\n"
        "scales).\n\n" + table
    )
    return text + (
        "\n\n" + _listed(groups, lambda case: reason(case, HEADER_REASONS), ("structure", "state dict", "why"))
        if groups
        else ""
    )


def _tally(
    answers: Iterable[Answers], pick: Callable[[Answers], Mapping[str, tuple[int, int]]], confidences: Iterable[str]
) -> tuple[int, int]:
    """Count the answers of these confidences, and the wrong answers among them."""
    pairs = [pick(model).get(confidence, (0, 0)) for model in answers for confidence in confidences]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


GOALS = {"certain": "0.01 %", "likely": "0.5 %", "guess": "-"}
"""For each confidence, how often it may be wrong."""


def _confidence(answers: Sequence[Answers]) -> str:
    comparisons: tuple[tuple[str, Callable[[Answers], Mapping[str, tuple[int, int]]]], ...] = (
        ("structure, judged by use", lambda model: model.structure),
        ("the state dict alone, judged by structure", lambda model: model.header),
    )
    rows = []
    for title, pick in comparisons:
        for confidence, goal in GOALS.items():
            total, wrong = _tally(answers, pick, (confidence,))
            rows.append((title, confidence, f"{total:,}", f"{wrong:,}", _percent(wrong, total, 4), goal))
    return (
        "## How often each confidence is wrong\n\n"
        "A state dict gives no certain answer: only a class of torch.nn and a traced use do.\n\n"
        + _table(("", "confidence", "parameters", "wrong", "error rate", "at most"), rows)
    )


def _unclassified(answers: Sequence[Answers]) -> str:
    groups = _groups(answers, lambda model: model.unclassified)
    total = _count(answers, lambda model: model.parameters)
    left = sum(group.parameters for group in groups)
    text = f"## Unclassified\n\n{left} of {total:,} parameters ({_percent(left, total, 4)})."
    return text + (
        "\n\n" + _listed(groups, lambda _: UNCLASSIFIED_REASON, ("role", "evidence", "why")) if groups else ""
    )


def _conventions(answers: Sequence[Answers]) -> str:
    roles = [role for role in ROLES if any(role in model.roles for model in answers)]
    tensors = {role: _count(answers, lambda model, role=role: model.roles.get(role, (0, 0))[0]) for role in roles}  # type: ignore[misc]
    rows: list[tuple[str, ...]] = [("*parameters*", *(f"*{tensors[role]:,}*" for role in roles))]
    for preset in sorted({name for model in answers for name in model.decayed}):
        cells = []
        for role in roles:
            deciding = [model for model in answers if model.decayed.get(preset)]
            whole = _count(deciding, lambda model, role=role: model.roles.get(role, (0, 0))[0])  # type: ignore[misc]
            part = _count(deciding, lambda model, p=preset, r=role: model.decayed[p].get(r, 0))  # type: ignore[misc]
            cells.append(_share(part, whole))
        rows.append((preset, *cells))
    return (
        "## What each preset decays, by role\n\n"
        "Percent of the parameters of a role that a preset decays, over all of these models; a dot is 0.\n\n"
        + _table(("preset", *(role.replace("_", " ") for role in roles)), rows)
    )


def _share(part: int, whole: int) -> str:
    if not part:
        return "." if whole else "-"
    return "100" if part == whole else f"{min(max(100 * part / whole, 0.1), 99.9):.1f}"


SHARES_BY_LIBRARY: tuple[tuple[str, Role], ...] = (
    ("hf-trainer", "norm_weight"),
    ("hf-trainer", "relative_position_bias"),
    ("hf-trainer", "token"),
    ("nanogpt", "token"),
    ("nanogpt", "position_embedding"),
    ("nanogpt", "relative_position_bias"),
    ("nanogpt", "norm_weight"),
    ("nanogpt", "scale"),
    ("torchvision", "norm_weight"),
    ("timm", "token"),
    ("timm", "position_embedding"),
    ("dinov2", "norm_weight"),
    ("detectron2", "norm_weight"),
    ("torch-default", "bias"),
)
"""The presets and roles whose numbers are shown for each library, because they surprise most."""


def _by_library(answers: Sequence[Answers]) -> str:
    rows = []
    for preset, role in SHARES_BY_LIBRARY:
        cells = []
        for library in LIBRARIES:
            deciding = [model for model in _of_library(library, answers) if model.decayed.get(preset)]
            part = _count(deciding, lambda model, p=preset, r=role: model.decayed[p].get(r, 0))  # type: ignore[misc]
            whole = _count(deciding, lambda model, r=role: model.roles.get(r, (0, 0))[0])  # type: ignore[misc]
            cells.append(f"{part:,} of {whole:,}" if deciding else "-")
        rows.append((preset, role.replace("_", " "), *cells))
    head = ("preset", "decays", *(f"in {library}" for library in LIBRARIES))
    return "Some of these, as numbers of parameters:\n\n" + _table(head, rows)


def _left_out(answers: Sequence[Answers]) -> str:
    failed = [model for model in answers if model.failure is not None]
    partly = [model for model in answers if model.failure is None and not model.traced]
    unbuilt = _by_reason(
        (
            obstacle(model.failure or "", UNSET_ARGUMENTS),
            model.name,
        )
        for model in failed
    )
    untraced = _by_reason(
        (
            obstacle(model.stopped, "no example input was found for the whole forward pass"),
            f"{model.name} ({model.used:,} of {model.parameters:,})",
        )
        for model in partly
    )
    return (
        f"## Not built, or not traced to the end\n\n{len(failed)} could not be built:\n\n{unbuilt}\n\n"
        f"{len(partly)} were not traced to the end (parameters that the trace had reached):\n\n{untraced}"
    )


def _by_reason(pairs: Iterable[tuple[str, str]]) -> str:
    names_by_reason: dict[str, list[str]] = {}
    for why, name in pairs:
        names_by_reason.setdefault(why, []).append(name)
    ordered = sorted(names_by_reason.items(), key=lambda row: -len(row[1]))
    rows = [(why, len(names), ", ".join(names)) for why, names in ordered]
    return _table(("why", "architectures", ""), rows) if rows else "none."
