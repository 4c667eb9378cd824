"""Which saved optimizers are of the state dict that was read, where a file holds several: a GAN has two of each."""

from collections import Counter
from collections.abc import Iterator, Sequence

from decay_audit.sources.checkpoint.optimizer_state.groups import optimizer, read_positions
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Saved, Table
from decay_audit.sources.checkpoint.state_dict.merge import Model, merge

EXACT, WITHIN, NOT = 2, 1, 0
MAX_HELD = 32


def strangers(tables: Sequence[Table], model: Model) -> Iterator[tuple[Saved, str]]:
    """Give the saved optimizers that fit another state dict of their file better, each with the path of that one."""
    for file, table in enumerate(tables):
        held = [(saved, _fitness(saved, model, file)) for saved in table.saved[:MAX_HELD]] if table.rivals else []
        unsure = [(saved, here) for saved, here in held if here < EXACT]
        rivals = list(_rivals(table, model)) if unsure else []
        for saved, here in unsure:
            ranks = {path: _fitness(saved, rival, file) for path, rival in rivals}
            best = max(ranks, key=lambda path: ranks[path], default=None)
            if best is not None and ranks[best] > here:
                yield saved, best


def _rivals(table: Table, model: Model) -> Iterator[tuple[str, Model]]:
    """Read the other state dicts, but for those that are copies of the model or of a part of it."""
    known = {(each.name, each.shape) for each in model.parameters}
    for path, rival in table.rivals.items():
        try:
            read = merge([rival])
        except MalformedError:
            continue
        if read.parameters and not {(each.name, each.shape) for each in read.parameters} <= known:
            yield path, read


def _fitness(saved: Saved, model: Model, file: int) -> int:
    """Tell how well positions fit parameters: by their names where they have some, else by count and shapes."""
    held = read_positions(saved, model, file)
    if any(each.names for each in held):
        names = [name for group in optimizer(saved, model, file).groups for name in group.parameters]
        return EXACT if all(names) else NOT
    shapes = [shape for each in held for shape in each.shapes]
    trained = Counter(each.shape for each in model.parameters if each.trainable is not False)
    if len(shapes) > trained.total() or not Counter(shape for shape in shapes if shape is not None) <= trained:
        return NOT
    return EXACT if len(shapes) == trained.total() else WITHIN
