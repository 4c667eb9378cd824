"""The index changes no answer: a look-up finds the entry that a scan of all entries finds."""

import random
from collections.abc import Sequence

import msgspec
import pytest

from decay_audit import roles
from decay_audit.model.parameters import Parameter
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import NameForm, When
from decay_audit.rulesets.matching import EntryFinder, MatchingParameters, compile_when
from decay_audit.sources.checkpoint.state_dict.owner_tree import build_owner_tree

PARTS = ["encoder", "layers", "0", "1", "10", "attn", "norm", "head", "weight", "bias", "scale"]


def classified(names: Sequence[str], prefix: str = "") -> list[Classified]:
    shapes = {name: (3, 3) if name.endswith("weight") else (3,) for name in names}
    owners = build_owner_tree(shapes, {})
    return list(
        roles.classify(
            Parameter(
                name=name,
                raw_name=prefix + name,
                shape=shape,
                dtype="float32",
                owner=owners[name.rpartition(".")[0]],
            )
            for name, shape in shapes.items()
        )
    )


def random_glob(source: random.Random) -> str:
    part = [source.choice([*PARTS, "*", "*", "1*", "*s", "[01]", "?"]) for _ in range(source.randrange(1, 5))]
    return ".".join(part)


def random_when(source: random.Random) -> When:
    """Make a condition of one or two keys."""
    values: dict[str, object] = {
        "name": source.choice([random_glob(source), (random_glob(source), random_glob(source))]),
        "leaf": source.choice(["weight", "b*", ("bias", "scale")]),
        "owner_name": random_glob(source),
        "role": source.choice(["bias", ("norm_weight", "linear_weight")]),
        "name_regex": source.choice(
            [
                r"\.1\.",
                "norm",
                r"^enc(od)+er",
                "(?i)NORM",
                "no(?:rm)?",
                "(?:norm|head)",
                r"layers\.(\d+)\.?w",
                "s(?i:C)ale",
            ]
        ),
        "owner": "torch.nn.*",
    }
    keys = source.sample(sorted(values), source.randrange(1, 3))
    return msgspec.convert({key: values[key] for key in keys}, When)


@pytest.mark.parametrize("names", ["canonical", "raw"])
@pytest.mark.parametrize("seed", range(4))
def test_the_first_entry_and_the_parameters_of_an_entry_are_those_of_a_scan(seed: int, names: NameForm) -> None:
    source = random.Random(seed)
    parameters = classified(
        sorted({".".join(source.choices(PARTS, k=source.randrange(1, 5))) for _ in range(200)}), prefix="module."
    )
    entries = [(random_when(source), index) for index in range(120)]
    finder, matching = EntryFinder(entries, names), MatchingParameters(parameters, names)
    predicates = [compile_when(when, names) for when, _ in entries]
    for parameter in parameters:
        answers = [holds(parameter) for holds in predicates]
        first = next((index for index, answer in enumerate(answers) if answer), None)
        unknown = [index for index, answer in enumerate(answers[:first]) if answer is None]
        assert finder.first_match(parameter) == (first, tuple(unknown))
    for (when, _), holds in zip(entries, predicates, strict=True):
        expected = [position for position, parameter in enumerate(parameters) if holds(parameter)]
        assert matching.positions(when) == expected


def test_a_dot_in_a_set_of_characters_is_no_end_of_a_part() -> None:
    parameters = classified(["head.weight", "head_weight", "body.weight"])
    matching = MatchingParameters(parameters, "canonical").positions(When(name="head[._]weight"))
    assert [parameters[position].parameter.name for position in matching] == ["head.weight", "head_weight"]
