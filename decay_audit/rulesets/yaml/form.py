"""The types of a rules file. The reader, the list of mistakes and the JSON Schema follow from them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from decay_audit.rulesets.conditions import NameForm, When

SCHEMA_VERSION = 1

Coefficient = Annotated[float, Meta(ge=0, description="A weight_decay coefficient.")]
Word = Annotated[str, Meta(min_length=1)]


class _Form(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping in the file: unknown keys are refused."""


class AmountForm(_Form, frozen=True, kw_only=True):
    """How much to decay: give exactly one of `decay` and `weight_decay`."""

    decay: Annotated[
        bool | Annotated[float, Meta(ge=0)] | None,
        Meta(description="true: the base coefficient; false: none; a number: that many times the base."),
    ] = None
    weight_decay: Annotated[Coefficient | None, Meta(description="An absolute coefficient, whatever the base is.")] = (
        None
    )
    lenient: Annotated[
        bool | None, Meta(description="true: an optimizer that does otherwise is a note, not an error.")
    ] = None


class RuleForm(AmountForm, frozen=True, kw_only=True):
    """One rule: parameters for which `when` holds, and no earlier rule's did, decay by the amount."""

    name: Annotated[Word, Meta(description="What reports call the rule; unique in the ruleset.")]
    when: Annotated[When, Meta(description="The condition; every key given must hold.")]


class ScaleForm(_Form, frozen=True, kw_only=True):
    """A factor on the learning rate; every match multiplies."""

    when: Annotated[When, Meta(description="The condition; every key given must hold.")]
    times: Annotated[float, Meta(ge=0, description="The factor.")]


class LayerForm(_Form, frozen=True, kw_only=True):
    """The number of a layer."""

    when: Annotated[When, Meta(description="The condition; every key given must hold.")]
    layer: Annotated[
        int | str,
        Meta(description="A number; `last`; or arithmetic on what `name_regex` captured, e.g. '\\1 // 3 + 1'."),
    ]


class LayerDecayForm(_Form, frozen=True, kw_only=True):
    """Learning rates that fall with depth: times rate ** (last - layer)."""

    rate: Annotated[float, Meta(ge=0, description="The factor from one layer to the one below it.")]
    layers: Annotated[
        Literal["model"] | tuple[LayerForm, ...],
        Meta(
            description="In order: the first that matches numbers the parameter; `model`: as the model groups itself."
        ),
    ]
    default: Annotated[
        int | Literal["last"] | None,
        Meta(description="The number where none matches; if not given, the learning rate is left alone."),
    ] = None
    when: Annotated[
        When | None, Meta(description="What some parameter must meet; a model without one keeps its learning rates.")
    ] = None


class RouteForm(_Form, frozen=True, kw_only=True):
    """Which optimizer takes a parameter."""

    when: Annotated[When | None, Meta(description="The condition; if not given, everything.")] = None
    use: Annotated[Word, Meta(description="What the optimizer is called, e.g. adamw.")]


class ExampleForm(AmountForm, frozen=True, kw_only=True):
    """A parameter, and what the ruleset must decide for it."""

    name: Annotated[Word, Meta(description="Dotted name of the parameter.")]
    owner: Annotated[
        str | tuple[str, ...],
        Meta(description="Qualified class name of the module that holds it; a list gives its bases after it."),
    ] = ()
    within: Annotated[
        str | tuple[str, ...],
        Meta(description="Qualified class name of each ancestor below the root, outermost first."),
    ] = ()
    shape: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(description="Its shape; [] is a scalar.")] = ()
    dtype: Annotated[str, Meta(description="Its type.")] = "float32"
    trainable: Annotated[bool, Meta(description="Whether it requires a gradient.")] = True
    tied_to: Annotated[str | tuple[str, ...], Meta(description="Its other names.")] = ()
    attributes: Annotated[str | tuple[str, ...], Meta(description="Attributes set on the tensor, and true.")] = ()
    no_weight_decay: Annotated[
        str | tuple[str, ...], Meta(description="The names that the model's no_weight_decay() returns.")
    ] = ()
    no_weight_decay_keywords: Annotated[
        str | tuple[str, ...], Meta(description="The keywords that the model's no_weight_decay_keywords() returns.")
    ] = ()
    no_weight_decay_patterns: Annotated[
        str | tuple[str, ...], Meta(description="The patterns that the model's no_weight_decay_patterns() returns.")
    ] = ()
    rule: Annotated[
        str | None, Meta(description="The rule that must decide it; `default`, `frozen` or `error` where none does.")
    ] = None
    lr_scale: Annotated[float | None, Meta(description="What its learning rate must be multiplied by.")] = None
    use: Annotated[str | None, Meta(description="The optimizer that must take it.")] = None


class FileForm(_Form, frozen=True, kw_only=True):
    """A whole rules file."""

    schema: Annotated[Literal[1], Meta(description="Version of this format.")]
    name: Annotated[Word, Meta(description="What the ruleset is called.")]
    title: Annotated[str, Meta(description="What it does, in one line.")] = ""
    source: Annotated[
        str, Meta(description="Where the policy comes from: paper, or repository, function and version.")
    ] = ""
    extends: Annotated[
        Word | None, Meta(description="A preset's name or a file: this file's rules come before that ruleset's.")
    ] = None
    weight_decay: Annotated[
        Coefficient | None, Meta(description="The base coefficient; required unless `extends` brings one.")
    ] = None
    frozen: Annotated[
        Literal["skip", "include"] | None,
        Meta(description="Whether parameters without a gradient are left out of the groups; skip if not given."),
    ] = None
    names: Annotated[
        NameForm | None,
        Meta(description="Whether conditions see names without wrapper parts, or raw; canonical if not given."),
    ] = None
    rules: Annotated[tuple[RuleForm, ...], Meta(description="In order: the first that matches decides.")] = ()
    default: Annotated[
        Literal["error"] | AmountForm | None,
        Meta(description="Where no rule matches; `error` refuses. Required unless `extends` brings one."),
    ] = None
    lr_scale: Annotated[
        tuple[ScaleForm, ...], Meta(description="Factors on the learning rate: every match multiplies.")
    ] = ()
    layer_decay: Annotated[
        LayerDecayForm | None, Meta(description="Learning rates that fall with depth; multiplies with `lr_scale`.")
    ] = None
    optimizer: Annotated[
        tuple[RouteForm, ...], Meta(description="Which optimizer takes a parameter: the first that matches.")
    ] = ()
    examples: Annotated[
        tuple[ExampleForm, ...], Meta(description="What the ruleset promises; `rules validate` runs them.")
    ] = ()
