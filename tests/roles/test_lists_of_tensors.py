"""The tensors of a list share one answer for each shape: it is the one that each gets alone, and costs little."""

from decay_audit import roles
from decay_audit.model.parameters import Parameter
from decay_audit.sources.checkpoint.state_dict.owner_tree import build_owner_tree


def parameters(shapes: dict[str, tuple[int, ...]]) -> list[Parameter]:
    owners = build_owner_tree(shapes, {})
    return [
        Parameter(name=name, raw_name=name, shape=shape, dtype="float32", owner=owners[name.rpartition(".")[0]])
        for name, shape in shapes.items()
    ]


def test_a_tensor_of_a_list_has_the_answer_that_it_gets_alone() -> None:
    shapes: dict[str, tuple[int, ...]] = {f"tables.{index}": (3,) if index % 3 else (4, 5) for index in range(12)}
    for index in range(6):
        shapes |= {f"norm.scales.{index}": (7,), f"bias.{index}": (7,), f"m.embeddings.{index}": (7, 4)}
        shapes[f"head.weights.{index}"] = (2, 2, 3, 3) if index < 3 else (1,)
    listed = parameters(shapes)
    together = roles.classify(listed)
    alone = [roles.classify([parameter])[0] for parameter in listed]
    assert [(item.role, item.layer, item.confidence, item.evidence) for item in together] == [
        (item.role, item.layer, item.confidence, item.evidence) for item in alone
    ]


def test_twenty_thousand_tensors_of_a_list_with_a_known_name_are_within_the_limit_of_work() -> None:
    answers = roles.classify(parameters({f"tables.{index}": (2,) for index in range(20_000)}))
    assert len({item.role for item in answers}) == 1
