"""With `--until N` and `--until end`: the settings of each group in each step, for decay over the run."""

from typing import Any, Dict, List, Tuple

from . import choose, recording, settings

Settings = Tuple[Any, Any, Any, Any, bool]
"""The lr, weight_decay, momentum, dampening and nesterov of a group in a step."""
_MAX_STEPS = 2000000
"""The most steps with different settings that are kept, for all groups together. A longer schedule is left out."""


class GroupSteps:
    """The steps of one group. Steps in a row with equal settings are counted."""

    def __init__(self) -> None:
        self.settings: List[Settings] = []
        self.counts: List[int] = []

    def add(self, settings_of_step: Settings) -> bool:
        """Add a step; return whether its settings differ from those of the step before."""
        if self.settings and self.settings[-1] == settings_of_step:
            self.counts[-1] += 1
            return False
        self.settings.append(settings_of_step)
        self.counts.append(1)
        return True


_ENTRIES: Dict[int, List[Any]] = {}
"""For each optimizer that has stepped, by its id: its entry in `recording.OPTIMIZERS`, and those of its wrappers."""
_SIZE = [0, 0]
"""How many optimizers were made when `_ENTRIES` was filled, and how many different steps are kept."""


def add_step(optimizer: Any) -> None:
    """Record the settings with which an optimizer is about to step."""
    if _SIZE[1] > _MAX_STEPS:
        return
    if _SIZE[0] != len(recording.OPTIMIZERS):
        _ENTRIES.clear()
        _SIZE[0] = len(recording.OPTIMIZERS)
    entries = _ENTRIES.get(id(optimizer))
    if entries is None:
        entries = _ENTRIES[id(optimizer)] = _entries_of(optimizer)
    for entry in entries:
        for index, group in enumerate(choose.groups_of(optimizer)):
            if index == len(entry.group_steps):
                entry.group_steps.append(GroupSteps())
            _SIZE[1] += entry.group_steps[index].add(_settings(group))


def _entries_of(optimizer: Any) -> List[Any]:
    """The entry of an optimizer and of those that wrap it: a wrapper steps when its inner optimizer does."""
    references = [(entry, entry.reference()) for entry in recording.OPTIMIZERS]
    return [entry for entry, outer in references if outer is not None and choose.wrapper_chain(outer)[-1] is optimizer]


def _settings(group: Any) -> Settings:
    get, number = group.get, choose.number
    coefficient = number(get("weight_decay", get("wd")))
    return number(get("lr")), coefficient, number(get("momentum")), number(get("dampening")), bool(get("nesterov"))


def write() -> None:
    """Write the steps to a file beside the record. The optimizers need not exist any more."""
    if _SIZE[1] > _MAX_STEPS:
        recording.note("the schedule has too many different steps to be recorded")
        return
    document = {
        str(entry.position): [list(zip(steps.settings, steps.counts)) for steps in entry.group_steps]
        for entry in recording.OPTIMIZERS
        if entry.group_steps
    }
    if document:
        settings.write("schedule", document)
