"""Write the methods that call the emitted functions: of a LightningModule, and of transformers' Trainer."""

from decay_audit.emit.frameworks.request import FrameworkCode, FrameworkRequest
from decay_audit.emit.frameworks.settings import settings_by_name
from decay_audit.errors import DecayAuditError

LIGHTNING = '''

def configure_optimizers(self: nn.Module) -> {result}:
    """Make the optimizer. Move this method into the class of your LightningModule."""
    return {value}
'''
"""The method of a LightningModule."""

DECAY_NAMES = '''

class DecayTrainer(Trainer):
    """A Trainer with these groups. `TrainingArguments(weight_decay=...)` sets the coefficient."""

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """List the names of the parameters that decay."""
        names = {p: name for name, p in model.named_parameters()}
        groups = param_groups(model)
        return [names[p] for group in groups if group["weight_decay"] for p in group["params"]]
'''
"""The Trainer of transformers for a plan with one coefficient, which its arguments set."""

CREATE_OPTIMIZER = '''

class DecayTrainer(Trainer):
    """A Trainer with these groups."""

    def create_optimizer(self, model: nn.Module | None = None) -> optim.Optimizer:
        """Make the optimizer once."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.model if model is None else model)
        return self.optimizer
'''
"""The Trainer for every other plan."""


def lightning(request: FrameworkRequest) -> FrameworkCode:
    """Write `configure_optimizers`."""
    _require_optimizer(request, "lightning")
    several = any(planned.use is not None for planned in settings_by_name(request.plan).values())
    module = "self" if request.is_lightning else "self.model"
    call = f"make_optimizer({module})"
    notes = [] if request.is_lightning else ["the code expects the model as `self.model` of the LightningModule"]
    notes += ["Lightning trains several optimizers with `automatic_optimization = False` only"] if several else []
    method = LIGHTNING.format(
        result="list[optim.Optimizer]" if several else "optim.Optimizer",
        value=f"[*{call}.values()]" if several else call,
    )
    return FrameworkCode(text=request.code + method, notes=tuple(notes), defines_groups=True)


def trainer(request: FrameworkRequest) -> FrameworkCode:
    """Write an override of `get_decay_parameter_names` where that suffices, otherwise of `create_optimizer`."""
    settings = settings_by_name(request.plan).values()
    if any(planned.use is not None for planned in settings):
        raise DecayAuditError("a Trainer has one optimizer, and the ruleset uses several", "--for torch writes them")
    coefficients = {planned.weight_decay for planned in settings} - {0.0}
    code_with_import = _with_import(request.code, "from transformers import Trainer")
    if len(coefficients) > 1 or any(planned.lr_scale != 1.0 for planned in settings) or request.has_optimizer:
        _require_optimizer(request, "trainer")
        return FrameworkCode(text=code_with_import + CREATE_OPTIMIZER, defines_groups=True)
    coefficient = max(coefficients, default=0.0)
    return FrameworkCode(
        text=code_with_import + DECAY_NAMES,
        notes=(f"give the Trainer its coefficient: TrainingArguments(weight_decay={coefficient:g})",),
        defines_groups=True,
    )


def _with_import(code: str, line: str) -> str:
    """Add an import to the imports of installed packages, where `isort` puts it."""
    lines = code.splitlines(keepends=True)
    torch_line = next(index for index, text in enumerate(lines) if text.startswith("from torch import "))
    index = torch_line
    while index < len(lines) and (lines[index].strip() or lines[index].startswith(" ")):
        is_import = lines[index].startswith("from ")
        if is_import and lines[index].split()[1] > line.split()[1]:
            break
        index += 1
    return "".join([*lines[:index], f"{line}\n", *lines[index:]])


def _require_optimizer(request: FrameworkRequest, framework: str) -> None:
    if not request.has_optimizer:
        raise DecayAuditError(
            f"--for {framework} writes a method that makes the optimizer",
            "name its class, as in --optimizer AdamW --lr 3e-4, or an optimizer that exists: --like EXPR",
        )
