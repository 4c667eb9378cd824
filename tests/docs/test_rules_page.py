"""docs/rules.md is made from the types that read a rules file; every example on it is decided by the rules."""

import re

import pytest

from decay_audit import rulesets
from decay_audit.roles.words import FAMILIES, LAYERS, MEANINGS, ROLES
from decay_audit.rulesets.yaml import examples
from tests.docs.pages import DOCS, assert_page_is, table

HEAD = r"""# The language of rules

A ruleset says which parameters decay. It is one YAML file (YAML 1.2: `5e-4` is a number, `no` is a word). This page
is made from the types that read the file, and its examples are run. `decay-audit rules validate FILE` reports every
mistake at once, with its line and the nearest accepted spelling; `decay-audit rules schema` prints the JSON Schema
for your editor. The presets are listed [with their sources](../rules/README.md).

## A whole file

```yaml
schema: 1
name: ours
extends: no-norm-no-bias     # this file's rules come before that ruleset's; a preset, or a file beside this one
weight_decay: 0.05           # the base coefficient; --weight-decay replaces it
compare: coefficient         # or product: lr x weight_decay is compared, as muP needs it
frozen: skip                 # or include: whether parameters that require no gradient are in no group
names: canonical             # or raw: names with the parts that wrappers add, such as `module.`
rules:                       # the first whose condition holds decides
  - name: positions
    when: {role: [position_embedding, token]}
    decay: false             # true: the base; false: none; a number: that many times the base
  - name: tables
    when: {role: embedding, not: {name: "lm_head.*"}}
    weight_decay: 0.01       # an absolute coefficient
    lenient: true            # if an optimizer differs here, that is a note, not an error
default: {decay: true}       # or `error`: a parameter that no rule matches is refused
lr_scale:                    # every match multiplies the learning rate
  - {when: {name_regex: patch_embed}, times: 0.2}
layer_decay:                 # the learning rate falls by `rate` from layer to layer: rate ** (last - layer)
  rate: 0.75
  when: {name: "blocks.*"}   # if given: a model without such a parameter keeps its learning rates
  layers:                    # the first that matches numbers the layer; `layers: model` takes timm's group_matcher()
    - {when: {name_regex: '^(cls_token|pos_embed|patch_embed)'}, layer: 0}
    - {when: {name_regex: '^blocks\.(\d+)'}, layer: '\1 + 1'}    # + - * // on what the pattern captured
  default: last              # one more than the highest number
optimizer:                   # which optimizer takes it; the first that matches
  - {when: {role: linear_weight}, use: muon}
  - {use: adamw}
examples:                    # `decay-audit rules validate` decides them
  - {name: blocks.0.norm1.weight, owner: torch.nn.LayerNorm, shape: [64], decay: false, rule: norms}
```

`lenient: true` is for parameters on which published practice differs. The rule decides what `emit` and `param_groups`
do, as any rule does; an optimizer that does otherwise is shown as a note (DA101, DA102, DA103, DA305), and the exit
code stays 0. The default may be lenient, too: `default: {decay: true, lenient: true}`. In `no-norm-no-bias` biases,
norms, and conv, linear, recurrent and adapter weights are strict, and all else is lenient.
"""
UNKNOWN = """
A regular expression that backtracks for seconds is an error.

A state dict does not have the classes of modules, and no checkpoint has what the model declares, or attributes of
tensors. A rule that needs them is not applied then, and `check` reports it (DA306).

### An example of each

The parameters are written as entries of `examples`.

"""
DECLARED = """
### The forms of `declared_no_decay`

A declaration is what a method of the model, or of a module in it, returns. It is compared with the part of the name
below that module. A list of forms holds if one of them holds.

| form | reads | holds if |
| --- | --- | --- |
| `exact` | `no_weight_decay()` | a name in it is the whole name of the parameter |
| `glob` | `no_weight_decay()` | a name in it, read as a glob, matches the whole name |
| `substring` | `no_weight_decay()` | a name in it is a part of the name |
| `keywords` | `no_weight_decay_keywords()` | a keyword is a part of the name |
| `keyword_suffixes` | `no_weight_decay_keywords()` | the name ends with a keyword, which may be a glob |
| `patterns` | `no_weight_decay_patterns()` | a pattern, read as a glob, matches the whole name |
| `submodules` | | nothing by itself: with it, the other forms also read the declarations of submodules |
| `any` | all methods, and the tensor's attribute `_no_weight_decay` | `glob`, `keywords` or `patterns` holds, for the \
model or a submodule, or the attribute is true |
"""
PARTS = {
    "File": "The file",
    "Rule": "An entry of `rules`",
    "Amount": "`default`",
    "Scale": "An entry of `lr_scale`",
    "LayerDecay": "`layer_decay`",
    "Layer": "An entry of `layer_decay: layers`",
    "Route": "An entry of `optimizer`",
    "Example": "An entry of `examples`",
}
CONV = "{name: stem.weight, owner: torch.nn.Conv2d, shape: [64, 3, 7, 7]}"
NORM = "{name: norm.weight, owner: torch.nn.LayerNorm, shape: [64]}"
HEAD_WEIGHT = "{name: head.weight, owner: torch.nn.Linear, shape: [10, 64]}"
CONDITIONS = {  # of each key: a condition, a parameter for which it holds, and one for which it does not
    "role": ("{role: [norm_weight, bias]}", NORM, CONV),
    "layer": ("{layer: layer_norm}", NORM, "{name: bn.weight, owner: torch.nn.BatchNorm2d, shape: [64]}"),
    "name": ('{name: "blocks.*.bias"}', "{name: blocks.3.fc.bias, shape: [64]}", "{name: head.bias, shape: [10]}"),
    "leaf": ("{leaf: gamma}", "{name: blocks.3.gamma, shape: [64]}", "{name: gamma_net.weight, shape: [64, 64]}"),
    "owner_name": ("{owner_name: head}", HEAD_WEIGHT, "{name: head.fc.weight, shape: [10, 64]}"),
    "name_regex": (
        "{name_regex: '(?i)norm|ln_'}",
        "{name: h.0.ln_1.weight, shape: [64]}",
        "{name: h.0.mlp.weight, shape: [64, 64]}",
    ),
    "leaf_regex": (
        "{leaf_regex: '_bias$'}",
        "{name: attn.in_proj_bias, shape: [192]}",
        "{name: attn.bias, shape: [64]}",
    ),
    "owner": (
        '{owner: "*.LayerNorm"}',
        "{name: ln.weight, owner: [ours.Norm, torch.nn.LayerNorm], shape: [64]}",
        "{name: ln.weight, owner: ours.Norm, shape: [64]}",
    ),
    "owner_exact": (
        "{owner_exact: torch.nn.LayerNorm}",
        NORM,
        "{name: ln.weight, owner: [ours.Norm, torch.nn.LayerNorm], shape: [64]}",
    ),
    "owner_class": (
        "{owner_class: RMSNorm$}",
        "{name: n.weight, owner: ours.LlamaRMSNorm, shape: [64]}",
        NORM,
    ),
    "within": (
        '{within: "*.Head"}',
        "{name: head.fc.weight, owner: torch.nn.Linear, within: [ours.Head], shape: [10, 64]}",
        HEAD_WEIGHT,
    ),
    "ndim": ('{ndim: "<=1"}', NORM, CONV),
    "effective_ndim": (
        '{effective_ndim: "<=1"}',
        "{name: norm.g, shape: [1, 64, 1, 1]}",
        CONV,
    ),
    "numel": ('{numel: "<100"}', NORM, CONV),
    "shape": ("{shape: [10, null]}", HEAD_WEIGHT, CONV),
    "dtype": ("{dtype: float32}", NORM, "{name: norm.weight, dtype: bfloat16, shape: [64]}"),
    "trainable": ("{trainable: true}", NORM, "{name: norm.weight, trainable: false, shape: [64]}"),
    "scale_invariant": (
        "{scale_invariant: true}",
        "{name: conv.weight, shape: [8, 3, 3, 3], scaling: scale-invariant}",
        "{name: head.weight, shape: [10, 8], scaling: sensitive}",
    ),
    "inert": (
        "{inert: true}",
        "{name: conv.bias, shape: [8], scaling: inert}",
        "{name: head.bias, shape: [10], scaling: sensitive}",
    ),
    "rests_at": (
        "{rests_at: 1}",
        "{name: norm.weight, shape: [64], rests_at: 1}",
        "{name: norm.weight, shape: [64], rests_at: 0}",
    ),
    "feeds": (
        "{feeds: residual}",
        "{name: bn2.weight, shape: [64], feeds: residual}",
        "{name: norm.weight, shape: [64], feeds: [linear, head]}",
    ),
    "tied": ("{tied: true}", "{name: embed.weight, tied_to: head.weight, shape: [99, 64]}", HEAD_WEIGHT),
    "attribute": (
        "{attribute: _no_weight_decay}",
        "{name: A_log, attributes: _no_weight_decay, shape: [64, 16]}",
        "{name: A_log, shape: [64, 16]}",
    ),
    "declared_no_decay": (
        "{declared_no_decay: exact}",
        "{name: pos_embed, no_weight_decay: pos_embed, shape: [1, 197, 64]}",
        "{name: pos_embed, shape: [1, 197, 64]}",
    ),
    "any": ("{any: [{leaf: bias}, {ndim: 1}]}", NORM, CONV),
    "all": ('{all: [{ndim: ">=2"}, {not: {leaf: "*bias"}}]}', CONV, NORM),
    "not": ("{not: {role: bias}}", NORM, "{name: fc.bias, owner: torch.nn.Linear, shape: [10]}"),
}


def page() -> str:
    schema = rulesets.schema()
    parts = {"File": schema, **schema["$defs"]}
    text = HEAD
    for name, title in PARTS.items():
        required = parts[name].get("required", ())
        rows = [
            (f"`{key}`", value["description"], "yes" if key in required else "")
            for key, value in parts[name]["properties"].items()
        ]
        text += f"\n## {title}\n\n{parts[name]['description']}\n\n{table(['key', 'what it says', 'required'], rows)}"
    return text + conditions(schema["$defs"]["When"]["properties"])


def conditions(keys: dict[str, dict[str, str]]) -> str:
    rows = [(f"`{key}`", value["description"]) for key, value in keys.items()]
    shown = [tuple(f"`{cell}`" for cell in CONDITIONS[key]) for key in keys]
    return (
        "\n## Conditions\n\nEvery key of a condition must hold. A list holds if one of its members holds, with two "
        "exceptions: under `all` every member must hold, and under `shape` a list of sizes is one shape.\n\n"
        + table(["`when`", "holds where"], rows)
        + UNKNOWN
        + table(["`when`", "holds for", "does not hold for"], shown)
        + DECLARED
        + "\n### Roles\n\n"
        + table(["role", "what the parameter does"], [(f"`{role}`", MEANINGS[role]) for role in ROLES])
        + "\nFamilies of roles, for `--role` on the command line:\n\n"
        + table(["family", "roles"], [(f"`{family}`", words(roles)) for family, roles in FAMILIES.items()])
        + f"\n### Layers\n\n{words(LAYERS)}.\n"
    )


def words(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_the_page_of_rules_is_what_the_types_say() -> None:
    assert_page_is("rules.md", page())


def test_the_whole_file_on_the_page_is_a_ruleset_whose_examples_hold() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / "rules.md").read_text(), re.M | re.S)
    ruleset = rulesets.from_text(example, "example.yaml")
    assert (len(ruleset.lr_scale), len(ruleset.routes), ruleset.layer_decay is not None) == (1, 2, True)
    assert list(examples.failures(ruleset)) == []


def test_every_key_of_a_condition_has_an_example() -> None:
    assert set(CONDITIONS) == set(rulesets.schema()["$defs"]["When"]["properties"])


@pytest.mark.parametrize("key", CONDITIONS)
def test_a_condition_holds_for_the_one_parameter_and_not_for_the_other(key: str) -> None:
    condition, inside, outside = CONDITIONS[key]
    ruleset = rulesets.from_text(
        "{schema: 1, name: example, weight_decay: 0.1, frozen: include, default: {decay: true}, rules: "
        f"[{{name: held, when: {condition}, decay: false}}], examples: "
        f"[{inside[:-1]}, rule: held}}, {outside[:-1]}, rule: default}}]}}",
        "example.yaml",
    )
    assert len(ruleset.examples) == 2
    assert list(examples.failures(ruleset)) == []
