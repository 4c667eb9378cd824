"""Words that no reader of names knows count as one word: the answers are those of each parameter by itself."""

import ast
import random
from pathlib import Path

import pytest

from decay_audit import roles
from decay_audit.model.parameters import Parameter
from decay_audit.roles.known_words import is_known
from decay_audit.roles.words import Classified
from decay_audit.sources.checkpoint.state_dict.owner_tree import build_owner_tree

READERS = Path(roles.__file__).parent
CONVENTIONS = [line.split()[1] for line in Path(__file__).with_name("conventions.txt").read_text().splitlines()]
PARTS = [word for name in CONVENTIONS for word in name.split(".") if word]
NOT_NAMES = frozenset(
    {
        *("ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"),  # classes
        *("groups", "in_channels", "orig", "nearest", "tensors"),  # settings, the end of a name, and attributes
        *("class", "conv", "depthwise_conv", "guess", "header", "likely", "linear", "module", "other", "pattern"),
        "state_space",  # these are words of answers
    }
)
"""Words in the code of the readers that are compared with no name."""
SHAPES = [(), (1,), (4,), (4, 4), (4, 1), (2, 3, 4), (1, 4, 1, 1)]


def words_of_readers() -> list[str]:
    """List the words that the code of the readers compares names with."""
    words = []
    for name in ("by_header", "by_name", "layers", "pairs", "tensor_context"):
        tree = ast.parse((READERS / f"{name}.py").read_text())
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        words += [text for text in texts if isinstance(text, str) and text.isidentifier()]
    return words


def random_name(source: random.Random) -> str:
    """Make a name of known and of unknown words, and of numbers."""
    unknown = ["".join(source.choices("qzjxkvhu", k=6)) for _ in range(3)]
    modules = [source.choice([*unknown, source.choice(PARTS), str(source.randrange(9))]) for _ in range(3)]
    leaf = source.choice([*unknown, source.choice(PARTS), source.choice(["weight", "bias"])])
    suffix = source.choice(["", "", "", "_b", "_w", "_g", "_v", "_orig", "_bias"])
    return ".".join([*modules[: source.randrange(4)], leaf + suffix])


def answer(item: Classified) -> tuple[object, ...]:
    return item.role, item.layer, item.confidence, item.evidence


@pytest.mark.parametrize("seed", range(3))
def test_the_answer_for_a_parameter_does_not_depend_on_the_others(seed: int) -> None:
    source = random.Random(seed)
    shapes = {random_name(source): source.choice(SHAPES) for _ in range(1500)}
    pairs = {f"{name}_b": (4,) for name, shape in shapes.items() if shape == (4, 4) and source.random() < 0.3}
    owners = build_owner_tree(shapes | pairs, {})
    parameters = [
        Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owners[name.rpartition(".")[0]])
        for name, shape in (shapes | pairs).items()
    ]
    together = {item.parameter.name: answer(item) for item in roles.classify(parameters)}
    alone = {parameter.name: answer(roles.classify([parameter])[0]) for parameter in parameters}
    assert {name: (together[name], alone[name]) for name in alone if together[name] != alone[name]} == {}


def test_every_name_of_a_convention_and_every_word_of_a_reader_is_known() -> None:
    assert {word for word in (*PARTS, *words_of_readers()) if not is_known(word)} <= NOT_NAMES


def test_ordinary_words_are_unknown() -> None:
    source = random.Random(0)
    words = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=10)) for _ in range(1000)]
    assert sum(map(is_known, words)) < 10
