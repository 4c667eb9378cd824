"""The parameters of a model as plain data, with the modules that hold them. All sources make them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from math import prod
from typing import Literal, get_args

from msgspec import Struct

WRAPPER_PARTS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of names that only wrappers add. `module` is not among them: a model may have a child of that name."""

_GLOB_SIGNS = frozenset("*?[")
"""The characters that make a name a glob."""


class Declaration(Struct, frozen=True, kw_only=True, eq=False):
    """What one module declares through methods that timm calls, and through `no_weight_decay_patterns()` of OpenCLIP.

    Attributes:
        names: the result of `no_weight_decay()`: names relative to the module.
        keywords: the result of `no_weight_decay_keywords()`.
        patterns: the result of `no_weight_decay_patterns()`: globs over names relative to the module.
        layers: from `group_matcher()`: the layer of each parameter, from 0. Only the root of a model has them.
    """

    names: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    layers: Mapping[str, int] = {}


class Owner(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """The module that holds a parameter. The parameters of one module share one Owner.

    Attributes:
        name: canonical dotted name; "" for the root.
        types: qualified names of its classes in MRO order, from its own to `torch.nn.Module`. A class that `torch.nn`
            exports is called `torch.nn.X`. Empty where the source cannot know them.
        parent: the module that holds this one; None for the root.
        tensors: the shape of each of its own parameters and buffers, by leaf name, in order.
        settings: its attributes that are numbers or short strings (`groups`, `in_channels`, `num_heads`, ...).
        declaration: what it declares about weight decay and layers; None if it has no method for that.
        quantized: the names of its tensors whose dtype is one for quantized weights: an integer but int64, or a float
            of 8 or 4 bits.
        has_base_layer: whether it has a child `base_layer`, as in PEFT; its other children then adapt that layer.
    """

    name: str = ""
    types: tuple[str, ...] = ()
    parent: "Owner | None" = None
    tensors: Mapping[str, tuple[int, ...]] = {}
    settings: Mapping[str, int | float | str | bool] = {}
    declaration: Declaration | None = None
    quantized: frozenset[str] = frozenset()
    has_base_layer: bool = False

    @property
    def type_name(self) -> str:
        """Simple name of the class, e.g. `LayerNorm2d`; "" if unknown."""
        return self.types[0].rpartition(".")[2] if self.types else ""

    def lineage(self) -> "Iterator[Owner]":
        """Yield this owner, then each ancestor, up to and including the root."""
        owner: Owner | None = self
        while owner is not None:
            yield owner
            owner = owner.parent


class Use(Struct, frozen=True, kw_only=True):
    """One use of a parameter in a traced forward pass: an operator, and the argument (slot) that the parameter was.

    Attributes:
        operator: the operator's plain name, e.g. `native_layer_norm`, `convolution`, `mul`.
        slot: the name of the argument, e.g. `weight`, `mat2`, `other`. A downstream use is a use of the product of the
            parameter and data, and its slot says what is done with the product: it is divided by its own statistic
            (`before_norm`), added to other data (`residual`), added to attention scores (`scores`), taken as the
            kernel of a layer (`mixed`), or summed over a dimension of the parameter (`summed`). In `measured`, the
            difference of the parameter and data becomes a distance.
        shape: the shape of the tensor in the slot; the parameter may be only a part or a factor of that tensor.
        data_shape: the shape of the data; () if there was none.
        tags: more facts that tell roles apart: `depthwise`, `positions`, or a fact about the data (`normalized`).
        via: the operators through which the parameter went before it reached the slot.
        at_zero: the value of the tensor in the slot if the parameter is 0; None if it is not known, or for a
            downstream use.
    """

    operator: str
    slot: str
    shape: tuple[int, ...] = ()
    data_shape: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    at_zero: float | None = None


DownstreamSlot = Literal["before_norm", "residual", "scores", "mixed", "summed", "measured"]
"""What becomes of the product, sum or difference of a parameter and data; `Use` describes each."""
DOWNSTREAM_SLOTS: frozenset[str] = frozenset(get_args(DownstreamSlot))

Fed = Literal["linear", "residual", "head"]
"""What a gain feeds: a linear layer or convolution, a residual addition, or the layer that computes the output."""

ScalingEffect = Literal["scale-invariant", "inert", "sensitive", "not measured"]


class Scaling(Struct, frozen=True, kw_only=True):
    """What the output of the model does when one parameter is multiplied by 2.

    Attributes:
        effect: `scale-invariant`: the output stays as it is. `inert`: it stays as it is for every value of the
            parameter. `sensitive`: it changes. `not measured`: not known; `reason` says why.
        reason: for `not measured`, why; "" otherwise.
    """

    effect: ScalingEffect
    reason: str = ""

    @property
    def is_scale_invariant(self) -> bool | None:
        """Whether the output stays as it is; None if that is not known. For an inert parameter it does, too."""
        return None if self.effect == "not measured" else self.effect != "sensitive"

    @property
    def is_inert(self) -> bool | None:
        """Whether the output does not depend on the parameter; None if that is not known."""
        return None if self.effect == "not measured" else self.effect == "inert"


class Parameter(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One parameter of a model. A tied parameter is listed once, under its first name.

    Attributes:
        name: canonical dotted name, without wrapper parts.
        raw_name: its name in `named_parameters()` or in the checkpoint.
        shape: the global shape; () for a scalar and for a lazy parameter.
        dtype: torch's name without the prefix, e.g. `float32`.
        trainable: `requires_grad`; None if the source cannot know it.
        lazy: whether it is not initialized; it then has no shape and 0 elements.
        tied_to: its other canonical names.
        attributes: the attributes of the tensor that user code has set to a true value, e.g. `_no_weight_decay`.
        declared_no_decay: which declaration of the model says not to decay it, e.g. `no_weight_decay()`; or None.
        uses: how a traced forward pass used it; None if nothing was traced, () if the pass did not use it.
        rests_at: the value that the model uses where the parameter is 0, as a traced forward pass showed: 1 for a gain
            `1 + w`; None if it is not known.
        feeds: what the data that it scales flows into next, as a traced forward pass showed; () for a parameter that
            scales nothing; None if nothing was traced.
        scaling: what the output does when it is multiplied by 2; None if nobody asked for that.
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
    rests_at: float | None = None
    feeds: tuple[Fed, ...] | None = None
    scaling: Scaling | None = None

    @property
    def leaf(self) -> str:
        """The last part of the name: `weight` of `conv1.weight`."""
        return self.name.rpartition(".")[2]

    @property
    def numel(self) -> int:
        """The number of its elements."""
        return 0 if self.lazy else prod(self.shape)


BASE_LAYER = "base_layer"
"""The name of the child that an adapter module of PEFT adapts."""


def is_quantized(dtype: str) -> bool:
    """Whether a dtype is one for quantized weights. `dtype` is torch's name without the prefix, e.g. `int8`."""
    return dtype.startswith(("int", "uint", "qint", "quint", "float8", "float4")) and dtype != "int64"


def declared_no_decay(name: str, declaring_modules: Iterable[Owner], attributes: tuple[str, ...]) -> str | None:
    """Find the declaration that says not to decay the parameter `name`; None if there is none.

    Declared names are globs, as in timm since 1.0.21, and so are patterns; keywords are substrings. All of them apply
    to the part of the name that is below the declaring module.

    Args:
        declaring_modules: the modules above the parameter that declare something, the root last.
        attributes: the attributes that user code has set on the tensor: `Parameter.attributes`.
    """
    for module in declaring_modules:
        if module.declaration is None:
            continue
        prefix = f"{module.name}." if module.name else ""
        relative = name.removeprefix(prefix)
        if name_matcher(module.declaration)(relative):
            return f"{prefix}no_weight_decay()"
        if any(keyword in relative for keyword in module.declaration.keywords):
            return f"{prefix}no_weight_decay_keywords()"
        if any(fnmatchcase(relative, pattern) for pattern in module.declaration.patterns):
            return f"{prefix}no_weight_decay_patterns()"
    return "_no_weight_decay" if "_no_weight_decay" in attributes else None


@lru_cache(maxsize=1024)
def name_matcher(declaration: Declaration) -> Callable[[str], bool]:
    """Make a function that tells whether a relative name is declared, literally or by a glob.

    A model may declare thousands of names: those without a glob are looked up in a set.
    """
    plain = frozenset(declaration.names)
    globs = [translate(name) for name in declaration.names if not _GLOB_SIGNS.isdisjoint(name)]
    if not globs:
        return plain.__contains__
    match = re.compile("|".join(globs)).match
    return lambda name: name in plain or match(name) is not None
