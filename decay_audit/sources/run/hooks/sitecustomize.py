"""Python imports this file when it starts, because its folder is first on PYTHONPATH.

It makes the recorder wait for torch, removes the folder from `sys.path`, and runs the user's own sitecustomize, which
it hides.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _start_recorder() -> None:
    try:
        from decay_audit_recorder import wait_for_torch  # type: ignore[import-not-found, unused-ignore]

        wait_for_torch()
    except Exception as error:
        sys.stderr.write(f"decay-audit: the recorder does not start here: {error!r}\n")


def _run_hidden_sitecustomize() -> None:
    """Run the user's own sitecustomize; what it raises is raised, and Python reports it as it always does."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", list(sys.path))
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if os.environ.get("DECAY_AUDIT_RUN"):
    _start_recorder()
sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != _HERE]
_run_hidden_sitecustomize()
