"""Read models from Python: build the model that a target names, or take a live one, and walk it into an Inventory.

    build            a FileTarget or ModuleTarget -> a BuiltModel, by the steps below
      user_code/     import the module, evaluate expressions in it, report the user's exceptions
      find_model     a module -> the name of the only model in it, if the target names none
      find_factories   a module -> its functions that return a model, judged by their syntax
      example_calls  a class or function that needs arguments -> an example target, for messages
      build_devices  the devices on which a constructor runs: meta, streamed, or the CPU
      to_module      the value of an expression -> the `nn.Module` that it is or makes
      walk/          an `nn.Module` -> an Inventory
    make_optimizer   an expression and a BuiltModel -> an optimizer, or a value that holds optimizers
    other_models     further models whose parameters the optimizer holds -> one Inventory with those of the model

Nothing here uses roles or rules.
"""

from decay_audit.sources.module.build import BuiltModel, build, read_again
from decay_audit.sources.module.make_optimizer import evaluate_expression, evaluate_optimizer
from decay_audit.sources.module.other_models import find_other, names_of_all, with_others
from decay_audit.sources.module.to_module import modules_in, require_module
from decay_audit.sources.module.user_code.evaluate import evaluate
from decay_audit.sources.module.user_code.import_context import activate, context_of_namespace
from decay_audit.sources.module.walk import names_by_tensor, read, tensors_by_name

__all__ = [
    "BuiltModel",
    "activate",
    "build",
    "context_of_namespace",
    "evaluate",
    "evaluate_expression",
    "evaluate_optimizer",
    "find_other",
    "modules_in",
    "names_by_tensor",
    "names_of_all",
    "read",
    "read_again",
    "require_module",
    "tensors_by_name",
    "with_others",
]
