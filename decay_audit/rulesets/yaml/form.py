"""The keys of a rules file, as types. The reader, its messages and the JSON Schema follow from these types."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from decay_audit.model.parameters import Fed
from decay_audit.rulesets.conditions import NameForm, When

SCHEMA_VERSION = 1
"""The version of the format of rules files."""

Coefficient = Annotated[float, Meta(ge=0, description="A weight_decay coefficient.")]
Word = Annotated[str, Meta(min_length=1)]


class _Form(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping in a rules file. Unknown keys are refused."""


class AmountForm(_Form, frozen=True, kw_only=True):
    """How much to decay: give exactly one of `decay` and `weight_decay`."""

    decay: Annotated[
        bool | Annotated[float, Meta(ge=0)] | None,
        Meta(description="true: by the base coefficient; false: not at all; a number: by that multiple of the base."),
    ] = None
    weight_decay: Annotated[
        Coefficient | None, Meta(description="The coefficient itself, which does not depend on the base.")
    ] = None
    lenient: Annotated[
        bool | None, Meta(description="true: if an optimizer differs, the finding is a note, not an error.")
    ] = None


class RuleForm(AmountForm, frozen=True, kw_only=True):
    """One rule. It decides the parameters for which its `when` holds and that no earlier rule decided."""

    name: Annotated[Word, Meta(description="What reports call the rule; unique in the ruleset.")]
    when: Annotated[When, Meta(description="The condition; every key given must hold.")]


class ScaleForm(_Form, frozen=True, kw_only=True):
    """A factor on the learning rate. If several entries match a parameter, their factors are multiplied."""

    when: Annotated[When, Meta(description="The condition; every key given must hold.")]
    times: Annotated[float, Meta(ge=0, description="The factor.")]


class LayerForm(_Form, frozen=True, kw_only=True):
    """The number of a layer."""

    when: Annotated[When, Meta(description="The condition; every key given must hold.")]
    layer: Annotated[
        int | str,
        Meta(description="A number, `last`, or arithmetic on the groups that `name_regex` captures: '\\1 // 3 + 1'."),
    ]


class LayerDecayForm(_Form, frozen=True, kw_only=True):
    """Learning rates that fall with depth: each is multiplied by rate ** (last - layer)."""

    rate: Annotated[float, Meta(ge=0, description="The factor from one layer to the one below it.")]
    layers: Annotated[
        Literal["model"] | tuple[LayerForm, ...],
        Meta(
            description="The first entry that matches gives a parameter its layer number. `model`: the model's "
            "group_matcher() gives it."
        ),
    ]
    default: Annotated[
        int | Literal["last"] | None,
        Meta(description="The layer number where no entry matches; without it, the learning rate does not change."),
    ] = None
    when: Annotated[
        When | None, Meta(description="Layer decay applies only to a model in which this holds for some parameter.")
    ] = None


class RouteForm(_Form, frozen=True, kw_only=True):
    """The optimizer that takes the parameters for which `when` holds."""

    when: Annotated[When | None, Meta(description="The condition; without it, the entry matches every parameter.")] = (
        None
    )
    use: Annotated[Word, Meta(description="The name of the optimizer, e.g. adamw.")]


class ExampleForm(AmountForm, frozen=True, kw_only=True):
    """A parameter, and the decision that the ruleset must make for it."""

    name: Annotated[Word, Meta(description="Dotted name of the parameter.")]
    owner: Annotated[
        str | tuple[str, ...],
        Meta(description="Qualified class name of the module that holds it; in a list, its base classes follow."),
    ] = ()
    within: Annotated[
        str | tuple[str, ...],
        Meta(description="Qualified class names of the modules around that module, outermost first, without the root."),
    ] = ()
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...], Meta(description="The shape of the parameter; [] is a scalar.")
    ] = ()
    dtype: Annotated[str, Meta(description="The dtype of the parameter, e.g. float32.")] = "float32"
    trainable: Annotated[bool, Meta(description="Whether it requires a gradient.")] = True
    scaling: Annotated[
        Literal["scale-invariant", "inert", "sensitive"] | None,
        Meta(description="What the output does when it is multiplied by 2; by default that was not measured."),
    ] = None
    rests_at: Annotated[
        float | None,
        Meta(description="The value that the model uses where the parameter is 0; by default that was not traced."),
    ] = None
    feeds: Annotated[
        Fed | tuple[Fed, ...] | None,
        Meta(description="What the data that it scales flows into; [] for nothing; by default that was not traced."),
    ] = None
    tied_to: Annotated[str | tuple[str, ...], Meta(description="Its other names, if it is tied.")] = ()
    attributes: Annotated[str | tuple[str, ...], Meta(description="Attributes of the tensor that are true.")] = ()
    no_weight_decay: Annotated[
        str | tuple[str, ...], Meta(description="The names that the model's no_weight_decay() returns.")
    ] = ()
    no_weight_decay_keywords: Annotated[
        str | tuple[str, ...], Meta(description="The keywords that the model's no_weight_decay_keywords() returns.")
    ] = ()
    no_weight_decay_patterns: Annotated[
        str | tuple[str, ...], Meta(description="The globs that the model's no_weight_decay_patterns() returns.")
    ] = ()
    rule: Annotated[
        str | None,
        Meta(description="The rule that must decide it, or `default`, `frozen` or `error` if no rule decides it."),
    ] = None
    lr_scale: Annotated[float | None, Meta(description="The factor that its learning rate must have.")] = None
    use: Annotated[str | None, Meta(description="The optimizer that must take it.")] = None


class FileForm(_Form, frozen=True, kw_only=True):
    """A whole rules file."""

    schema: Annotated[Literal[1], Meta(description="Version of this format.")]
    name: Annotated[Word, Meta(description="The name of the ruleset.")]
    title: Annotated[str, Meta(description="What it does, in one line.")] = ""
    source: Annotated[
        str, Meta(description="Where the policy comes from: paper, or repository, function and version.")
    ] = ""
    extends: Annotated[Word | None, Meta(description="A preset or a file; its rules follow those of this file.")] = None
    weight_decay: Annotated[
        Coefficient | None, Meta(description="The base coefficient; required unless `extends` is given.")
    ] = None
    compare: Annotated[
        Literal["coefficient", "product"] | None,
        Meta(
            description="What is compared with an optimizer: `coefficient` (the default), or `product`: lr x "
            "weight_decay, for recipes that scale the two against each other, such as muP."
        ),
    ] = None
    frozen: Annotated[
        Literal["skip", "include"] | None,
        Meta(description="`skip` (the default): parameters that do not require a gradient are in no group."),
    ] = None
    names: Annotated[
        NameForm | None,
        Meta(description="The names that conditions see: `canonical` (the default), without wrapper parts, or `raw`."),
    ] = None
    rules: Annotated[tuple[RuleForm, ...], Meta(description="The rules; the first that matches decides.")] = ()
    default: Annotated[
        Literal["error"] | AmountForm | None,
        Meta(
            description="The decision where no rule matches; `error` refuses the model. Required unless `extends` is "
            "given."
        ),
    ] = None
    lr_scale: Annotated[
        tuple[ScaleForm, ...],
        Meta(description="Factors on the learning rate; if several entries match, their factors are multiplied."),
    ] = ()
    layer_decay: Annotated[
        LayerDecayForm | None,
        Meta(description="Learning rates that fall with depth, in addition to the factors of `lr_scale`."),
    ] = None
    optimizer: Annotated[
        tuple[RouteForm, ...],
        Meta(description="Which optimizer takes a parameter; the first entry that matches decides."),
    ] = ()
    examples: Annotated[
        tuple[ExampleForm, ...],
        Meta(description="Parameters with the decisions that the ruleset must make; `rules validate` checks them."),
    ] = ()
