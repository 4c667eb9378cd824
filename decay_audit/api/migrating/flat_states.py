"""Turn the flat states in which torch.distributed saves optimizers into `state` and `param_groups`, and back.

`get_optimizer_state_dict` makes them with `flatten_optimizer_state_dict`: `param_groups.NAME.lr` is a setting of the
group of one parameter, `state.NAME.exp_avg` one of its states.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from decay_audit.sources.checkpoint.state_dict.flattened_optimizer import unflatten


def nest(content: object) -> tuple[Any, tuple[str, ...]]:
    """Copy a checkpoint with its flat states nested; return the dotted paths of these states, too."""
    from decay_audit.optimizers import migrate

    flat = dict(_find(content, ""))
    for path, state in flat.items():
        content = migrate.replace_state(content, path, state)
    return content, tuple(flat)


def _find(node: object, path: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    if not isinstance(node, Mapping):
        return
    if state := unflatten(node):
        yield path, state
        return
    for key, child in node.items():
        yield from _find(child, f"{path}.{key}" if path else str(key))


def flatten(content: object, paths: Iterable[str]) -> Any:  # noqa: ANN401 - whatever was saved
    """Copy a checkpoint with the states at these paths flat again."""
    from decay_audit.optimizers import migrate

    for path in paths:
        content = migrate.replace_state(content, path, _flatten(migrate.find_state(content, path)))
    return content


def _flatten(state: Mapping[str, Any]) -> dict[str, object]:
    settings = {
        f"param_groups.{name}.{key}": value
        for group in state["param_groups"]
        for name in group["params"]
        for key, value in group.items()
        if key != "params"
    }
    states = {f"state.{name}.{key}": value for name, slots in state["state"].items() for key, value in slots.items()}
    return {**states, **settings}
