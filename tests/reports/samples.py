"""Reports made by hand: every state that a report can be in, on names, shapes and sizes of real models."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from decay_audit.checks.codes import finding
from decay_audit.model.inventory import ExcludedTensor, Inventory
from decay_audit.model.observations import Observation, Optimizer, ParamGroup
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.reports.report import Report
from decay_audit.roles.words import Classified, Confidence, Evidence, Layer, Role
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.rulesets.ruleset import Amount, Rule, RuleSet

HOUSE = RuleSet(
    name="house",
    title="What the house does",
    source="a meeting",
    weight_decay=0.05,
    rules=(
        Rule(name="biases", when=When(role="bias"), amount=Amount(times=0), file="house.yaml", line=7),
        Rule(
            name="norms",
            when=When(role=("norm_weight", "norm_bias")),
            amount=Amount(times=0),
            file="house.yaml",
            line=9,
        ),
        Rule(name="tables", when=When(role="embedding"), amount=Amount(weight_decay=0.001), file="house.yaml", line=11),
    ),
    default=Amount(),
    default_location="house.yaml:14",
    file="house.yaml",
)


def classified(
    name: str,
    shape: tuple[int, ...],
    role: Role,
    layer: Layer,
    confidence: Confidence = "certain",
    type: str = "torch.nn.Module",  # noqa: A002
    **more: object,
) -> Classified:
    """Make a classified parameter."""
    known: dict[str, object] = {"dtype": "float32", "raw_name": name, **more}
    owner = Owner(name=name.rpartition(".")[0], types=(type,))
    parameter = Parameter(name=name, shape=shape, owner=owner, **known)  # type: ignore[arg-type]
    evidence = Evidence(kind="owner", detail=type, role=role, layer=layer, confidence=confidence)
    return Classified(parameter=parameter, role=role, layer=layer, confidence=confidence, evidence=(evidence,))


def plan(parameters: Iterable[Classified], ruleset: RuleSet = HOUSE) -> Plan:
    """Decide by the house's rules."""
    return decide(parameters, ruleset)


def report(parameters: Iterable[Classified], ruleset: RuleSet = HOUSE) -> Report:
    """Make a bare report."""
    decided = plan(parameters, ruleset)
    inventory = Inventory(
        target="model.py:net",
        files=("model.py",),
        parameters=tuple(decision.classified.parameter for decision in decided.decisions),
    )
    return Report(inventory=inventory, plan=decided)


def llama(layers: int = 32) -> Iterator[Classified]:
    """Give the parameters of a Llama of 7 B."""
    yield classified("model.embed_tokens.weight", (32000, 4096), "embedding", "embedding")
    for layer in range(layers):
        block = f"model.layers.{layer}"
        for projection in "qkvo":
            yield classified(f"{block}.self_attn.{projection}_proj.weight", (4096, 4096), "linear_weight", "attention")
        for projection, shape in (("gate", (11008, 4096)), ("up", (11008, 4096)), ("down", (4096, 11008))):
            yield classified(f"{block}.mlp.{projection}_proj.weight", shape, "linear_weight", "linear")
        for position in ("input", "post_attention"):
            yield classified(f"{block}.{position}_layernorm.weight", (4096,), "norm_weight", "rms_norm", "likely")
    yield classified("model.norm.weight", (4096,), "norm_weight", "rms_norm", "likely")
    yield classified("lm_head.weight", (32000, 4096), "linear_weight", "linear")


def awkward() -> Report:
    """Give a report in which everything occurs that a report can hold."""
    bare = report(
        (
            classified("wte.weight", (50257, 768), "embedding", "embedding", tied_to=("lm_head.weight",)),
            classified("cls_token", (1, 1, 768), "token", "other", "likely", declared_no_decay="no_weight_decay()"),
            *(classified(f"h.{i}.ln.weight", (768,), "norm_weight", "layer_norm") for i in range(3)),
            *(classified(f"h.{i}.ln.bias", (768,), "norm_bias", "layer_norm") for i in range(3)),
            *(classified(f"h.{i}.fc.weight", (3072, 768), "linear_weight", "linear") for i in range(3)),
            classified("logit_scale", (), "scale", "other", "guess", raw_name="_orig_mod.logit_scale"),
            classified("lazy.weight", (), "linear_weight", "linear", lazy=True),
            classified("frozen.weight", (10, 768), "linear_weight", "linear", trainable=False),
            classified("a\x1b[31mb\n.weight", (4, 4), "linear_weight", "linear"),
            classified("名前.{0-2}.a|b`c`,[bold]", (4, 4), "unclassified", "other", "guess"),
            classified("=1+1.bias", (4,), "bias", "linear"),
        )
    )
    adamw = Optimizer(
        name="optimizer",
        type="AdamW",
        groups=(
            ParamGroup(weight_decay=0.05, lr=3e-4, parameters=("wte.weight", "h.0.ln.weight", "h.0.fc.weight")),
            ParamGroup(weight_decay=0.0, lr=3e-4, parameters=("h.1.ln.weight",), weight_decay_is_default=False),
        ),
        semantics="decoupled",
        notes=("one tensor could not be mapped",),
    )
    saved = Optimizer(
        name="last.ckpt", type="Adam or AdamW", groups=(ParamGroup(weight_decay=0.1),), origin="checkpoint"
    )
    scaled = {"cls_token": ("adamw", 0.1), "h.0.fc.weight": ("muon", 1.0), "h.1.fc.weight": ("muon", 1.0)}
    routed = tuple(
        replace(decision, use=scaled[decision.name][0], lr_scale=scaled[decision.name][1])
        if decision.name in scaled
        else decision
        for decision in bare.plan.decisions
    )
    return Report(
        inventory=Inventory(
            target="model.py:net",
            files=("model.py",),
            built_on="streamed",
            parameters=bare.inventory.parameters,
            excluded=(ExcludedTensor(name="h.0.attn.bias\x07", reason="a boolean mask"),),
            notes=("the constructor called .item(): the model was built in pieces",),
        ),
        plan=replace(bare.plan, decisions=routed),
        optimizers=(adamw, saved),
        observations=(
            Observation(parameter="wte.weight", optimizer="optimizer", group=0, weight_decay=0.05, lr=3e-4),
            Observation(parameter="h.0.ln.weight", optimizer="optimizer", group=0, weight_decay=0.05, lr=3e-4),
            Observation(
                parameter="h.0.fc.weight",
                optimizer="optimizer",
                group=0,
                weight_decay=0.05,
                lr=3e-4,
                measured_rate=0.05,
            ),
            Observation(
                parameter="h.1.ln.weight", optimizer="optimizer", group=1, weight_decay=0.0, lr=3e-4, movement="none"
            ),
            Observation(
                parameter="wte.weight",
                optimizer="last.ckpt",
                origin="checkpoint",
                group=0,
                weight_decay=0.1,
                measured_rate=9.0,
                movement="sign",
            ),
        ),
        findings=(
            finding(
                "DA101",
                "1 norm parameter is decayed; house spares it",
                ("h.0.ln.weight",),
                expected="0",
                found="0.05",
                where="house.yaml:9",
                fix="decay-audit emit model.py:net --optimizer AdamW",
            ),
            finding("DA101", "a second cause: 100 %, of all\r\n", ("a\x1b[31mb\n.weight",), where="group 0"),
            finding("DA304", "1 parameter could not be classified", ("名前.{0-2}.a|b`c`,[bold]",)),
            finding("DA207", "groups 2 and 3 agree"),
        ),
    )
