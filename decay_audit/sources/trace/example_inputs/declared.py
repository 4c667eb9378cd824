"""Read the inputs that a model declares in one of its attributes.

The table INPUT_ATTRIBUTES has a row for each such attribute, with the libraries that use it.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from torch import nn

from decay_audit.sources.trace.example_inputs.candidates import ExampleInputs, float_tensor, setting
from decay_audit.sources.trace.example_inputs.transformers import transformers_inputs


def declared_inputs(model: nn.Module) -> tuple[ExampleInputs, ...]:
    """Return the inputs that a module declares, in the order to try; () if it declares none."""
    for row in INPUT_ATTRIBUTES:
        candidates = row.read(model, getattr(model, row.attribute, None))
        if candidates is not None:
            return candidates
    return ()


def _example(_: nn.Module, value: Any) -> tuple[ExampleInputs, ...] | None:  # noqa: ANN401
    match value:
        case None:
            return None
        case dict():
            return (ExampleInputs(kwargs=value),)
        case tuple() | list():
            return (ExampleInputs(args=tuple(value)),)
        case _:
            return (ExampleInputs(args=(value,)),)


def _main_input_name(model: nn.Module, value: Any) -> tuple[ExampleInputs, ...] | None:  # noqa: ANN401
    if not isinstance(value, str | list) or not hasattr(model, "config"):
        return None
    return tuple(transformers_inputs(model, [value] if isinstance(value, str) else value))


def _input_size(_: nn.Module, value: Any) -> tuple[ExampleInputs, ...] | None:  # noqa: ANN401
    size = setting(value, "input_size")
    return (ExampleInputs(args=(float_tensor(1, *size),)),) if isinstance(size, tuple | list) else None


def _dummy_inputs(_: nn.Module, value: Any) -> tuple[ExampleInputs, ...] | None:  # noqa: ANN401
    return (ExampleInputs(kwargs=value),) if isinstance(value, dict) and value else None


class InputAttribute(Struct, frozen=True, kw_only=True):
    """An attribute by which models declare their inputs.

    Attributes:
        library: the library, or libraries, whose models have the attribute.
        attribute: the name of the module's attribute.
        read: makes candidates from the module and the attribute's value; None if the value declares nothing.
    """

    library: str
    attribute: str
    read: Callable[[nn.Module, Any], tuple[ExampleInputs, ...] | None]


INPUT_ATTRIBUTES = (
    InputAttribute(library="Lightning 2", attribute="example_input_array", read=_example),
    InputAttribute(library="transformers 5", attribute="main_input_name", read=_main_input_name),
    InputAttribute(library="timm 1", attribute="pretrained_cfg", read=_input_size),
    InputAttribute(library="timm 1", attribute="default_cfg", read=_input_size),
    InputAttribute(library="diffusers, transformers", attribute="dummy_inputs", read=_dummy_inputs),
)
"""The attributes, in the order in which they are read; the first that declares something decides."""
