"""The condition of a rule (`when:`): its keys and their types. `matching` compares it with parameters."""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from decay_audit.model.parameters import Fed
from decay_audit.roles.words import Layer, Role

NameForm = Literal["canonical", "raw"]
"""Which of the two names of a parameter a condition sees."""
COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)? *[0-9]{1,18}")
"""A whole number, or a comparison with one: `>=2`."""
# In this type, the pattern is for the JSON Schema only; the validators of a rules file check the text. (msgspec 0.22
# crashes when it frees a type in which one `Meta(pattern=...)` occurs twice.)
Comparison = Annotated[
    int | Annotated[str, Meta(extra_json_schema={"pattern": f"^{COMPARISON.pattern}$"})],
    Meta(title="a whole number or a comparison such as `>=2`"),
]
DeclaredForm = Literal["exact", "glob", "substring", "keywords", "keyword_suffixes", "patterns", "submodules", "any"]
"""How the declarations of a model are read; `declared_no_decay` describes each form."""
Size = int | None
"""The size of a dimension; None is any size."""
Words = str | tuple[str, ...] | None
Numbers = Comparison | tuple[Comparison, ...] | None


def _doc(description: str) -> Meta:
    """Describe a key for the JSON Schema."""
    return Meta(description=description)


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The condition of a rule: every key that is given must hold; of a list, one entry is enough."""

    role: Annotated[Role | tuple[Role, ...] | None, _doc("The role of the parameter: what it does in the model.")] = (
        None
    )
    layer: Annotated[Layer | tuple[Layer, ...] | None, _doc("The kind of layer that holds the parameter.")] = None
    name: Annotated[Words, _doc("A glob over the dotted name; `*` spans dots.")] = None
    leaf: Annotated[Words, _doc("A glob over the last part of the name.")] = None
    owner_name: Annotated[Words, _doc("A glob over the dotted name of the module that holds it.")] = None
    name_regex: Annotated[
        Words, _doc("A regular expression, searched for in the dotted name; `(?i)` ignores case.")
    ] = None
    leaf_regex: Annotated[Words, _doc("A regular expression, searched for in the last part of the name.")] = None
    owner: Annotated[Words, _doc("A glob over the qualified names of the module's class and its base classes.")] = None
    owner_exact: Annotated[Words, _doc("A glob over the qualified name of the module's own class.")] = None
    owner_class: Annotated[
        Words, _doc("A regular expression, searched for in the simple name of the module's own class.")
    ] = None
    within: Annotated[
        Words, _doc("Like `owner`, for the module or any module around it, but not the model itself.")
    ] = None
    ndim: Annotated[Numbers, _doc("How many dimensions it has: a number or a comparison.")] = None
    effective_ndim: Annotated[Numbers, _doc("How many of its dimensions are larger than 1.")] = None
    numel: Annotated[Numbers, _doc("How many elements it has.")] = None
    shape: Annotated[
        tuple[Size | tuple[Size, ...], ...] | None, _doc("Its shape, or a list of shapes; null is any size.")
    ] = None
    dtype: Annotated[Words, _doc("Its dtype, e.g. float32.")] = None
    trainable: Annotated[bool | None, _doc("Whether it requires a gradient.")] = None
    scale_invariant: Annotated[
        bool | None, _doc("Whether the output stays as it is if it is multiplied by 2; only --invariance knows it.")
    ] = None
    inert: Annotated[bool | None, _doc("Whether the output does not depend on it; only --invariance knows it.")] = None
    rests_at: Annotated[
        Literal[0, 1] | None,
        _doc("The value that the model uses where the parameter is 0: 1 for gains `1 + w`; only --trace knows it."),
    ] = None
    feeds: Annotated[
        Fed | tuple[Fed, ...] | None,
        _doc(
            "What the data that it scales flows into next: a linear layer or convolution, a residual addition, or the "
            "layer that computes the output; only --trace knows it."
        ),
    ] = None
    tied: Annotated[bool | None, _doc("Whether it has more than one name.")] = None
    attribute: Annotated[Words, _doc("An attribute that is set on the tensor and true.")] = None
    declared_no_decay: Annotated[
        DeclaredForm | tuple[DeclaredForm, ...] | None,
        _doc(
            "The model declares that the parameter does not decay. `exact`, `glob` and `substring` read "
            "no_weight_decay(), `keywords` and `keyword_suffixes` read no_weight_decay_keywords(), `patterns` reads "
            "no_weight_decay_patterns(); `submodules` asks every module above the parameter, not the root alone; "
            "`any` holds for any declaration that `explain` shows. A checkpoint declares nothing."
        ),
    ] = None
    any_: Annotated["tuple[When, ...] | None", _doc("At least one of these holds.")] = field(default=None, name="any")
    all_: Annotated["tuple[When, ...] | None", _doc("Each of these holds.")] = field(default=None, name="all")
    not_: Annotated["When | None", _doc("This does not hold.")] = field(default=None, name="not")

    @property
    def shapes(self) -> tuple[tuple[Size, ...], ...]:
        """The shapes of which one must fit; `shape` is one of them, or a list. Empty without the condition.

        >>> When(shape=(10, None)).shapes, When(shape=((10,), (3, 4))).shapes, When(shape=()).shapes, When().shapes
        (((10, None),), ((10,), (3, 4)), ((),), ())
        """
        if self.shape is None:
            return ()
        listed = tuple(shape for shape in self.shape if isinstance(shape, tuple))
        return listed or (tuple(size for size in self.shape if not isinstance(size, tuple)),)

    def keys(self) -> frozenset[str]:
        """The keys that are given, as a rules file spells them, including those of nested conditions."""
        given = {key for key in self.__struct_fields__ if getattr(self, key) is not None}
        nested = (*(self.any_ or ()), *(self.all_ or ()), *((self.not_,) if self.not_ else ()))
        return frozenset(key.rstrip("_") for key in given).union(*(inner.keys() for inner in nested))
