"""The recorder runs inside the user's training script, and writes its optimizers and models to a file as plain data.

    settings   the settings of the recorder, from the environment
    recording  the optimizers of this process, and the file that their record is written to
    hooks/     functions and methods that are replaced:
        construction    constructors of optimizers: which arguments the caller set, and which are defaults
        listed_modules  methods of nn.Module: which modules were asked for their parameters, the latest first
        training        backward() and step(), which stop the script where its training starts
        opened_files    the files that the process opens to write
        ending          the end of the process, which writes the record with the error or exit code
    choose     an optimizer -> the models that hold its tensors
    variables  a value -> the name of its variable; an error -> its file and line in the script
    describe   the optimizers that exist, their models, modules and tensors -> plain data
    plain      one value -> plain data
    tool       decay-audit itself, if this Python can import it: it traces models and measures steps
    schedule   with --until N and --until end: the settings of each group in each step
    watch      with --watch: print each change of the groups while the script trains
    pretend/   replacements for a GPU, a process group or a dataset that the machine does not have

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
    """A finder that imports one module as usual, and then calls a function with the module.

    Code may ask whether the module can be found, and import it later: the finder stays until it is imported.
    """

    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.function = function
        self.is_searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        if name != self.name or self.is_searching:
            return None
        self.is_searching = True  # find_spec asks this finder again
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.is_searching = False
        if spec is None or spec.loader is None:
            return None
        exec_module = spec.loader.exec_module

        def exec_and_call(module: ModuleType) -> None:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            exec_module(module)
            self.function(module)

        spec.loader.exec_module = exec_and_call  # type: ignore[method-assign]
        return spec


def wait_for_torch() -> None:
    """Mark that this process started Python, and set the hooks as soon as it has imported torch."""
    from . import settings
    from .hooks import ending, opened_files

    settings.mark_reached("python")
    ending.hook_exit()
    opened_files.set_hooks()
    atexit.register(_write_error_before_torch)
    if "data" in settings.PRETEND:  # it may be imported before torch
        from .pretend import hub_data

        sys.meta_path.insert(0, _AfterImport("datasets", hub_data.after_import))
    sys.meta_path.insert(0, _AfterImport("torch", lambda _: set_hooks()))


def _write_error_before_torch() -> None:
    """Write the error of a script that failed, or exited with a message, before it imported torch."""
    if "torch" in sys.modules:
        return
    from . import settings, variables
    from .hooks import ending

    error = getattr(sys, "last_value", None)
    if error is not None:
        settings.write("failed", variables.describe_error(error))
    elif ending.EXIT_ERROR is not None:
        settings.write("failed", ending.EXIT_ERROR)


def set_hooks() -> None:
    """Set all hooks. If that fails, the error is written to standard error, and the script goes on."""
    try:
        from . import settings
        from .hooks import construction, ending, listed_modules, training

        settings.mark_reached("torch")
        listed_modules.set_hooks()
        construction.set_hooks()
        training.set_hooks()
        ending.set_hooks()
        _pretend(settings.PRETEND)
    except Exception as error:
        sys.stderr.write(f"decay-audit: the recorder does not work with this torch: {error!r}\n")
        if os.environ.get("DECAY_AUDIT_DEBUG"):
            raise


def _pretend(resources: List[str]) -> None:
    if "gpu" in resources:
        from .pretend import gpu

        gpu.set_hooks()
    if "world" in resources:
        from .pretend import world

        world.set_hooks()
    if "data" in resources:
        from .pretend import data

        sys.meta_path.insert(0, _AfterImport("torchvision.datasets", data.after_import))
