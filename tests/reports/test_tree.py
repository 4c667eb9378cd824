"""The tree: modules in the model's order, with marks where an optimizer differs; and where it replaces the table."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

import decay_audit
from decay_audit import reports
from decay_audit.reports import Format, Options
from decay_audit.reports.module_tree import ModuleNode, module_tree
from decay_audit.reports.report import Report
from tests.reports import samples


class Stages(nn.Module):
    """Four stages, the first and the last of which are alike."""

    def __init__(self, sizes: Iterable[int] = (1, 2, 3, 1)) -> None:
        super().__init__()
        for number, size in enumerate(sizes, 1):
            blocks = [nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(size)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))


def children(node: ModuleNode) -> list[str]:
    return ["|".join(child.names) for child in node.children]


def test_a_few_stages_keep_the_order_of_the_model_even_if_two_of_them_are_alike() -> None:
    tree = module_tree(decay_audit.audit(Stages(), no_trace=True))
    assert children(tree) == ["layer1", "layer2", "layer3", "layer4"]


def test_layers_that_alternate_many_times_are_one_node_for_each_kind() -> None:
    tree = module_tree(decay_audit.audit(Stages([1, 2] * 6), no_trace=True))
    assert children(tree) == [
        "|".join(f"layer{number}" for number in range(1, 13, 2)),
        "|".join(f"layer{number}" for number in range(2, 13, 2)),
    ]


def test_the_counts_of_a_node_are_those_of_its_parameters() -> None:
    model = Stages()
    names = [name for name, _ in model.named_parameters()]
    tree = module_tree(decay_audit.audit(model, no_trace=True))
    assert tree.parameters == len(names)
    for child in tree.children:
        own = [name for name in names if name.startswith(f"{child.names[0]}.")]
        matrices = [name for name in own if name.endswith(".0.weight")]
        assert (child.parameters, child.decayed_parameters, child.differing) == (len(own), len(matrices), 0)


def test_a_parameter_that_the_optimizer_treats_differently_marks_its_row_and_those_above_and_no_other() -> None:
    model = Stages()
    spared = [model.get_parameter("layer2.1.0.weight"), *(p for p in model.parameters() if p.ndim == 1)]
    decayed = [p for p in model.parameters() if all(p is not other for other in spared)]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    report = decay_audit.audit(model, torch.optim.AdamW(groups, weight_decay=0.1), weight_decay=0.1, no_trace=True)
    lines = reports.render(report, Format.TREE).splitlines()
    assert [line.split()[0] for line in lines if " 1 !" in line] == ["(model)", "layer2", "1", "0"]
    assert any("! differs from what the ruleset decides" in line for line in lines)

    matrices, others = [p for p in model.parameters() if p.ndim > 1], spared[1:]
    repaired: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    report = decay_audit.audit(model, torch.optim.AdamW(repaired, weight_decay=0.1), weight_decay=0.1, no_trace=True)
    assert "!" not in reports.render(report, Format.TREE)


def _mixture() -> Report:
    """A language model whose table has more lines than its tree."""
    return samples.report(
        samples.classified(f"layers.{layer}.attn.w{size}.weight", (8, size), "linear_weight", "linear")
        for layer in range(12)
        for size in range(1, 30)
    )


def test_a_table_that_is_longer_than_the_terminal_is_shown_as_a_tree_and_a_pipe_always_has_the_table() -> None:
    report = _mixture()
    table, tree = (reports.render(report, form) for form in (Format.TEXT, Format.TREE))
    lines = table.count("\n")
    assert reports.render(report, Format.TEXT, Options(height=lines + 1)) == table
    low = reports.render(report, Format.TEXT, Options(height=lines))
    assert low == f"{tree}\nshown as a tree, because the table has {lines} lines: --format table shows the table\n"
    assert reports.render(report, Format.TABLE, Options(height=lines)) == table
    assert reports.render(report, Format.TEXT, Options(height=lines, full=True)) == reports.render(
        report, Format.TEXT, Options(full=True)
    )


def test_a_tree_that_is_as_long_as_the_table_does_not_replace_it() -> None:
    report = decay_audit.audit(Stages(), no_trace=True)
    table, tree = (reports.render(report, form) for form in (Format.TEXT, Format.TREE))
    assert tree.count("\n") >= table.count("\n")
    assert reports.render(report, Format.TEXT, Options(height=5)) == table
