"""The parameters of a model as plain data: what a source reads and every later stage works on. Knows no torch."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from math import prod

from msgspec import Struct

WRAPPER_PARTS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Name parts that only wrappers make; `module` is ambiguous, so a reader drops it where it knows a wrapper."""


_GLOB_SIGNS = frozenset("*?[")


class Declaration(Struct, frozen=True, kw_only=True, eq=False):
    """What one module says should not decay, through timm's two hooks, and how it groups its layers.

    Names and keywords are as the module returns them: relative to that module.
    """

    names: tuple[str, ...] = ()  # no_weight_decay()
    keywords: tuple[str, ...] = ()  # no_weight_decay_keywords()
    layers: Mapping[str, int] = {}  # group_matcher(): the layer of each parameter, by canonical name, from 0


class Owner(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """The module that holds a parameter. One value per module, shared by its parameters.

    Attributes:
        name: canonical dotted name; "" for the root.
        types: qualified names of its classes, most derived first, up to and with `torch.nn.Module`; a class that
            `torch.nn` exposes is called `torch.nn.X` wherever torch defines it. Empty: the source cannot know.
        parent: the module that holds this one; None for the root.
        tensors: shape of each parameter and buffer that it holds itself, by leaf name, in order.
        settings: the plain numbers and words a module keeps about itself (`groups`, `in_channels`, `num_heads`, ...).
        declaration: its `no_weight_decay()` hooks, or None.
    """

    name: str = ""
    types: tuple[str, ...] = ()
    parent: "Owner | None" = None
    tensors: Mapping[str, tuple[int, ...]] = {}
    settings: Mapping[str, int | float | str | bool] = {}
    declaration: Declaration | None = None

    @property
    def type_name(self) -> str:
        """Simple name of the class, e.g. `LayerNorm2d`; "" if unknown."""
        return self.types[0].rpartition(".")[2] if self.types else ""

    def lineage(self) -> "Iterator[Owner]":
        """This owner, then each ancestor, up to and with the root."""
        owner: Owner | None = self
        while owner is not None:
            yield owner
            owner = owner.parent


class Use(Struct, frozen=True, kw_only=True):
    """One operator slot through which a parameter met data in a traced forward pass.

    Attributes:
        operator: the operator's plain name, e.g. `native_layer_norm`, `convolution`, `mul`.
        slot: the argument's name, e.g. `weight`, `mat2`, `other`. For a downstream use, which tells what happened to a
            product of parameter and data: `residual`, `scores`, `normalized` or `mixed` (into a kernel).
        shape: of the tensor in the slot; the parameter may be only a part or a factor of it.
        data_shape: of the data; () if there was none.
        tags: what else tells roles apart: `depthwise`, `positions`, or what is known of the data (`normalized`).
        via: the operators between the parameter and the slot.
    """

    operator: str
    slot: str
    shape: tuple[int, ...] = ()
    data_shape: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    via: tuple[str, ...] = ()


class Parameter(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One parameter of a model. Tied names make one parameter, under the first name.

    Attributes:
        name: canonical dotted name, without wrapper parts.
        raw_name: the name that the framework gives it.
        shape: the global shape; () for a scalar and for a lazy parameter.
        dtype: torch's name without the prefix, e.g. `float32`.
        trainable: `requires_grad`; None if the source cannot know.
        lazy: not initialized yet: it has no shape and counts 0 elements.
        tied_to: its other canonical names.
        attributes: names of the attributes set on the tensor, and true, e.g. `_no_weight_decay`.
        declared_no_decay: which declaration of the model asks not to decay it, e.g. `no_weight_decay()`; or None.
        uses: how a traced forward pass used it; None if nothing was traced, () if the pass did not use it.
    """

    name: str
    raw_name: str
    shape: tuple[int, ...]
    dtype: str
    owner: Owner
    trainable: bool | None = True
    lazy: bool = False
    tied_to: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    declared_no_decay: str | None = None
    uses: tuple[Use, ...] | None = None

    @property
    def leaf(self) -> str:
        """The last part of the name: `weight` of `conv1.weight`."""
        return self.name.rpartition(".")[2]

    @property
    def numel(self) -> int:
        """How many elements it holds, as `Tensor.numel()` counts."""
        return 0 if self.lazy else prod(self.shape)


def declared_no_decay(name: str, declaring: Iterable[Owner], attributes: tuple[str, ...]) -> str | None:
    """Say which declaration asks not to decay the parameter `name`, or None.

    Declared names are globs, as timm reads them since 1.0.21; keywords are substrings. Names count from the module
    that declares them.

    Args:
        declaring: the modules on the way up to the root that declare something, the root last.
    """
    for module in declaring:
        if module.declaration is None:
            continue
        relative = name.removeprefix(f"{module.name}.") if module.name else name
        place = f"{module.name}." if module.name else ""
        if declares_name(module.declaration)(relative):
            return f"{place}no_weight_decay()"
        if any(keyword in relative for keyword in module.declaration.keywords):
            return f"{place}no_weight_decay_keywords()"
    return "_no_weight_decay" if "_no_weight_decay" in attributes else None


@lru_cache(maxsize=1024)
def declares_name(declaration: Declaration) -> Callable[[str], bool]:
    """Make the test whether a name is among the declared ones, as a glob or to the letter.

    A model may declare a name for each of its parameters, so the plain ones are looked up and not tried in turn.
    """
    plain = frozenset(declaration.names)
    globs = [translate(name) for name in declaration.names if not _GLOB_SIGNS.isdisjoint(name)]
    if not globs:
        return plain.__contains__
    match = re.compile("|".join(globs)).match
    return lambda name: name in plain or match(name) is not None
