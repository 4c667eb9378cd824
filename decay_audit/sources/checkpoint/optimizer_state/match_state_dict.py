"""Find the saved optimizers that belong to another state dict of their file.

The file of a GAN, for example, has two state dicts and two optimizers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

from decay_audit.sources.checkpoint.contents import FileContents, MalformedError, SavedOptimizer
from decay_audit.sources.checkpoint.optimizer_state.groups import read_optimizer
from decay_audit.sources.checkpoint.optimizer_state.position_names import read_positions
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel, merge

_MAX_OPTIMIZERS: Final = 32
"""How many optimizers of a file are compared with its state dicts."""


class Fit(IntEnum):
    """How well the positions of an optimizer fit the parameters of a state dict."""

    NO = 0
    SUBSET = 1
    EXACT = 2


def optimizers_of_other_state_dicts(
    files: Sequence[FileContents], model: MergedModel
) -> Iterator[tuple[SavedOptimizer, str]]:
    """List the optimizers that fit another state dict of their file better than `model`, each with that dict's path."""
    for index, file in enumerate(files):
        if not file.other_state_dicts:
            continue
        fits = [(optimizer, _fit(optimizer, model, index)) for optimizer in file.optimizers[:_MAX_OPTIMIZERS]]
        doubtful = [(optimizer, fit) for optimizer, fit in fits if fit < Fit.EXACT]
        others = list(_other_models(file, model)) if doubtful else []
        for optimizer, fit in doubtful:
            other_fits = {path: _fit(optimizer, other, index) for path, other in others}
            best = max(other_fits, key=lambda path: other_fits[path], default=None)
            if best is not None and other_fits[best] > fit:
                yield optimizer, best


def _other_models(file: FileContents, model: MergedModel) -> Iterator[tuple[str, MergedModel]]:
    """Read the other state dicts, except copies of the model or of a part of it."""
    model_parameters = {(parameter.name, parameter.shape) for parameter in model.parameters}
    for path, state_dict in file.other_state_dicts.items():
        try:
            other = merge([state_dict])
        except MalformedError:
            continue
        parameters = {(parameter.name, parameter.shape) for parameter in other.parameters}
        if parameters and not parameters <= model_parameters:
            yield path, other


def _fit(optimizer: SavedOptimizer, model: MergedModel, file: int) -> Fit:
    """Compare positions with parameters: by name if positions have names, else by count and shapes."""
    groups = read_positions(optimizer, model, file)
    if any(group.names for group in groups):
        names = [name for group in read_optimizer(optimizer, model, file).groups for name in group.parameters]
        return Fit.EXACT if all(names) else Fit.NO
    shapes = [shape for group in groups for shape in group.shapes]
    trained = Counter(parameter.shape for parameter in model.parameters if parameter.trainable is not False)
    if len(shapes) > trained.total() or not Counter(shape for shape in shapes if shape is not None) <= trained:
        return Fit.NO
    return Fit.EXACT if len(shapes) == trained.total() else Fit.SUBSET
