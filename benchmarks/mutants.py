"""Whether tests fail when code is wrong: mutants of the modules that decide, and the tests that should fail on each.

    pip install -e ".[test,mutation]"
    python -m benchmarks.mutants                    # 40 mutants, eight a module, chosen by a fixed seed
    python -m benchmarks.mutants --count 200 --seed 7 --jobs 8

The mutants are cosmic-ray's: a comparison, a constant, an `and`, a `not` or a loop is changed in one place. Each is
written into a copy of the checkout, never into the checkout itself. Mutants that no test notices are printed as diffs,
and the exit status is then 1.
"""

import argparse
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TIMEOUT = 600
"""Seconds for the tests of one mutant: a loop that never ends is noticed, too."""

TESTS = {
    "decay_audit/rulesets/plan.py": ("tests/rulesets/test_plan.py", "tests/rulesets", "tests/checks"),
    "decay_audit/rulesets/matching/predicates.py": ("tests/rulesets/test_conditions.py", "tests/rulesets"),
    "decay_audit/model/parameters.py": (
        "tests/rulesets/test_conditions.py",
        "tests/sources/test_walk.py",
        "tests/reports",
    ),
    "decay_audit/checks/optimizers/effective_decay.py": ("tests/checks", "tests/cases"),
    "decay_audit/sources/checkpoint/onto_model.py": (
        "tests/checkpoint/test_onto_model.py",
        "tests/checkpoint/test_model_order.py",
        "tests/checkpoint/optimizer_state",
    ),
}
"""The modules that are mutated, each with the tests that should fail."""

OPERATORS = (
    "core/AddNot",
    "core/NumberReplacer",
    "core/ReplaceAndWithOr",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Gt_GtE",
    "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ZeroIterationForLoop",
)


class Mutant(NamedTuple):
    """A module with one change."""

    module: str
    code: str
    diff: str


def mutants(module: str) -> Iterator[Mutant]:
    """Make every mutant of a module, each once."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / module).read_text()
    seen = {source}
    for name in OPERATORS:
        operator, occurrences = get_operator(name)(), count()
        while (code := mutate_code(source, operator, next(occurrences))) is not None:
            if code not in seen:
                seen.add(code)
                yield Mutant(module, code, _diff(module, source, code))


def _diff(module: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), module, module, lineterm="", n=1)
    return "\n".join(lines)


def sample(number: int, seed: int) -> list[Mutant]:
    """Choose mutants at random, the same number for each module."""
    generator = random.Random(seed)
    selection = []
    for module in TESTS:
        candidates = sorted(mutants(module))
        selection += generator.sample(candidates, min(len(candidates), number // len(TESTS)))
    return selection


@contextmanager
def checkouts(jobs: int) -> Iterator[SimpleQueue[Path]]:
    """Copy the checkout, once for each job."""
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy = Path(folder) / str(number)
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__"))
            copies.put(copy)
        yield copies


def survives(mutant: Mutant, copies: SimpleQueue[Path]) -> bool:
    """Run the tests of a mutant's module; it survives if all of them pass."""
    copy = copies.get()
    file, original = copy / mutant.module, (ROOT / mutant.module).read_text()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS[mutant.module]]
    try:
        file.write_text(mutant.code)
        process = subprocess.run(
            command, cwd=copy, capture_output=True, timeout=TIMEOUT, check=False, env=_environment(copy)
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        file.write_text(original)
        copies.put(copy)
    if process.returncode not in (0, 1, 2):
        raise RuntimeError(process.stdout.decode()[-2000:] + process.stderr.decode()[-2000:])
    return process.returncode == 0


def _environment(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Print the mutants that survive as diffs, and their number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    selection = sample(options.count, options.seed)
    survivors = 0
    with checkouts(options.jobs) as copies, ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda mutant: survives(mutant, copies), selection)
        for number, (mutant, survived) in enumerate(zip(selection, results, strict=True), 1):
            print(f"{number}/{len(selection)}", end="\r", file=sys.stderr, flush=True)
            if survived:
                survivors += 1
                print(mutant.diff, end="\n\n", flush=True)
    print(f"{survivors} of {len(selection)} mutants survive")
    return survivors > 0


if __name__ == "__main__":
    sys.exit(main())
