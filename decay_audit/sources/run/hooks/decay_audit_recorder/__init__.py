"""Record, inside the user's training script, which optimizers and models it makes. Writes plain data to a file.

    settings      what the tool asks for, from the environment
    recording     all that was seen in this process, and the file that it is written to
    construction  hooks on constructors of optimizers: what was set, what is the class's default
    asked         hooks on nn.Module: which modules were asked for their parameters
    choose        the model of an optimizer
    variables     the name of a value in the code that made it, and the place of an error in the script
    describe      the living optimizers, their models, modules and tensors as plain data
    plain         one value as plain data
    training      hooks on backward() and step(): the script is stopped where its training starts
    pretend/      stand-ins for what the script needs and the machine does not have
    watch         with --watch: the script trains on, and each change of its groups is said
    ending        hooks on the end of the process: its error, its exit code, and the last writing

It runs in the script's own environment: Python 3.8 or newer, torch 1.8 or newer, the standard library, and nothing of
the rest of decay-audit.
"""

import atexit
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, Callable, List

VERSION = 1


class _AfterImport:
    """A finder that lets a module be imported as usual, and calls a function with it when that is done."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.function = function

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        exec_module = spec.loader.exec_module

        def exec_and_call(module: ModuleType) -> None:
            exec_module(module)
            self.function(module)

        spec.loader.exec_module = exec_and_call  # type: ignore[method-assign]
        return spec


def wait_for_torch() -> None:
    """Start the recorder when this process has imported torch, and say that this process was reached."""
    from . import settings

    settings.mark_reached("python")
    atexit.register(_quote_error_without_torch)
    sys.meta_path.insert(0, _AfterImport("torch", lambda _: arm()))


def _quote_error_without_torch() -> None:
    """Write down what ended a script that fails before it has imported torch."""
    error = getattr(sys, "last_value", None)
    if "torch" not in sys.modules and error is not None:
        from . import settings, variables

        settings.write("failed", variables.describe_error(error))


def arm() -> None:
    """Set all hooks. What goes wrong is written on standard error and never stops the script."""
    try:
        from . import asked, construction, ending, settings, training

        settings.mark_reached("torch")
        asked.set_hooks()
        construction.set_hooks()
        training.set_hooks()
        ending.set_hooks()
        _pretend(settings.PRETEND)
    except Exception as error:
        sys.stderr.write(f"decay-audit: the recorder does not work with this torch: {error!r}\n")
        if os.environ.get("DECAY_AUDIT_DEBUG"):
            raise


def _pretend(what: List[str]) -> None:
    if "gpu" in what:
        from .pretend import gpu

        gpu.set_hooks()
    if "world" in what:
        from .pretend import world

        world.set_hooks()
    if "data" in what:
        from .pretend import data

        sys.meta_path.insert(0, _AfterImport("torchvision.datasets", data.after_import))
