"""The parameters of a model as plain data: what a source reads and every later stage works on. Knows no torch."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from math import prod

from msgspec import Struct

WRAPPER_PARTS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Name parts that only wrappers make; `module` is ambiguous, so a reader drops it where it knows a wrapper."""


class Declaration(Struct, frozen=True, kw_only=True, eq=False):
    """What one module says should not decay, through timm's two hooks.

    Names and keywords are as the module returns them: relative to that module.
    """

    names: tuple[str, ...] = ()  # no_weight_decay()
    keywords: tuple[str, ...] = ()  # no_weight_decay_keywords()


class Owner(Struct, frozen=True, kw_only=True, eq=False):
    """The module that holds a parameter. One value per module, shared by its parameters.

    Attributes:
        name: canonical dotted name; "" for the root.
        types: qualified names of its classes, most derived first, up to but without `torch.nn.Module`; a class that
            `torch.nn` exposes is called `torch.nn.X` wherever torch defines it. Empty: the source cannot know.
        parent: the module that holds this one; None for the root.
        tensors: shape of each parameter and buffer that it holds itself, by leaf name, in order.
        settings: the plain numbers and words a module keeps about itself (`groups`, `in_channels`, `num_heads`, ...).
        declares: its `no_weight_decay()` hooks, or None.
    """

    name: str = ""
    types: tuple[str, ...] = ()
    parent: "Owner | None" = None
    tensors: Mapping[str, tuple[int, ...]] = {}
    settings: Mapping[str, int | float | str | bool] = {}
    declares: Declaration | None = None

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
        slot: the argument's name, e.g. `weight`, `mat2`, `other`.
        detail: what else tells roles apart, e.g. `groups=64` or `via exp, neg`.
    """

    operator: str
    slot: str
    detail: str = ""


class Parameter(Struct, frozen=True, kw_only=True, eq=False):
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
        uses: how a traced forward pass used it; None if nothing was traced, () if the pass never touched it.
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


def declared_no_decay(name: str, owner: Owner, attributes: tuple[str, ...]) -> str | None:
    """Say which declaration asks not to decay the parameter `name`, or None.

    Declared names are globs, as timm reads them since 1.0.21; keywords are substrings. Every module on the way up to
    the root is asked, the root last; names count from the module that declares them.
    """
    for module in owner.lineage():
        if module.declares is None:
            continue
        relative = name.removeprefix(f"{module.name}.") if module.name else name
        place = f"{module.name}." if module.name else ""
        if any(relative == pattern or fnmatchcase(relative, pattern) for pattern in module.declares.names):
            return f"{place}no_weight_decay()"
        if any(keyword in relative for keyword in module.declares.keywords):
            return f"{place}no_weight_decay_keywords()"
    return "_no_weight_decay" if "_no_weight_decay" in attributes else None
