"""The parameters of a checkpoint in the order of a model that is known: what positions of an optimizer are held to."""

from msgspec.structs import replace

from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Parameter
from decay_audit.sources.checkpoint import onto_model
from decay_audit.sources.checkpoint.state_dict.canonical_names import Canonical
from decay_audit.sources.checkpoint.state_dict.merge import Model


def in_order_of(model: Model, known: Inventory | None) -> Model:
    """Order what was read as the known model has it, and leave out what is no parameter there.

    A file without parameters takes all of the known model's. One that does not hold each of them in the model's shape
    is of another model: it is left as it is.
    """
    if known is None or (known.kind == "safetensors" and known.built_on is None):
        return model  # safetensors sorts its names
    if not model.parameters:
        names = Canonical(one.name for one in known.parameters)
        return replace(model, parameters=known.parameters, canonical=names, ordered=True)
    prefix = onto_model.prefix(model.parameters, known.parameters)
    saved = {name: one for one in model.parameters for name in (one.name, *one.tied_to)}
    found = {}
    for wanted in known.parameters:
        twin = _twin(wanted, saved, prefix)
        if twin is None or twin.name in found or (twin.shape != wanted.shape and not wanted.lazy):
            return model
        found[twin.name] = replace(twin, trainable=wanted.trainable)
    return replace(model, parameters=tuple(found.values()), ordered=True)


def _twin(wanted: Parameter, saved: dict[str, Parameter], prefix: str) -> Parameter | None:
    names = (f"{prefix}{name}" for name in (wanted.name, *wanted.tied_to))
    return next((saved[name] for name in names if name in saved), None)
