"""Whether emitted code fits other sizes of a model: it is written for one size and run on another.

`python -m benchmarks.transfer [PAIRS]` counts the pairs of sizes for which the code gives the plan of the other size,
for which the code raises, and for which it gives another plan. It also prints the lines of the code and the seconds to
write it.
"""

import random
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from typing import Any

from torch import nn

import decay_audit
from benchmarks.zoo import models as zoo_models
from decay_audit import emit
from decay_audit.emit import DifferentGroupsError
from decay_audit.sources.module.build_devices import BUILD_DEVICES

RULES = "no-norm-no-bias"
"""The ruleset whose param groups are written."""
_SIZE = re.compile(
    r"(_|-|^)(pico|femto|atto|nano|zepto|xxtiny|xtiny|tiny|mini|small|little|medium|base|large|huge|giant|xlarge|xxlarge|"
    r"xl|xxl|x?x?[sml]|[stblhgn]|so\d+m|t_|\d+[a-z]{0,2})(?=_|-|$)|\d+"
)
"""The parts of a name that mean a size: words such as `small` and `xl`, and all numbers."""
HALF_DEPTH = "@half"
"""The end of a name that means: with half of the layers, but at least two."""
LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
"""The keys of a configuration of transformers that hold the number of layers."""


def family(name: str) -> str:
    """Replace the parts of a name that mean a size.

    >>> family("timm:vit_small_patch16_224") == family("timm:vit_large_patch14_336")
    True
    """
    library, _, architecture = name.partition(":")
    return f"{library}:{_SIZE.sub('#', architecture)}"


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Choose pairs of sizes: up to two for each family of timm and torchvision; for transformers, pairs of depths."""
    families: defaultdict[str, list[str]] = defaultdict(list)
    for name in zoo_models.names():
        families[family(name)].append(name)
    generator = random.Random(seed)
    sizes = [
        (first, second)
        for label, members in sorted(families.items())
        if len(members) > 1 and not label.startswith("transformers:")
        for first, second in [generator.sample(members, 2) for _ in range(2)]
    ]
    depths = [(name, f"{name}{HALF_DEPTH}") for name in zoo_models.names() if name.startswith("transformers:")]
    sampled = [*generator.sample(sizes, min(count * 3 // 2, len(sizes))), *generator.sample(depths, count)]
    generator.shuffle(sampled)
    return sampled


def build(name: str) -> nn.Module:
    """Build an architecture, or one with half of its layers.

    Raises:
        LookupError: its configuration has no number of layers.
        Exception: whatever its constructor raises.
    """
    if not name.endswith(HALF_DEPTH):
        return zoo_models.build(name)[0]
    model_class: Any = type(zoo_models.build(name.removesuffix(HALF_DEPTH))[0])
    config = model_class.config_class()
    keys = [key for key in LAYER_KEYS if isinstance(getattr(config, key, None), int)]
    if not keys:
        raise LookupError(f"{name} has no number of layers")
    half_depth = {key: max(2, getattr(config, key) // 2) for key in keys}
    with BUILD_DEVICES["meta"]():
        model: nn.Module = model_class(model_class.config_class(**half_depth))
    return model


def transfer(first: str, second: str) -> tuple[str, int, float]:
    """Write the code for one size and run it on the other.

    Returns:
        The outcome, the number of lines of the code, and the seconds that it took to write the code.
    """
    model = build(first)
    plan = decay_audit.plan(model, RULES, 0.05)
    start = time.perf_counter()
    code = emit.write_code(plan, target=first, optimizer="AdamW", lr=3e-4)
    seconds = time.perf_counter() - start
    emit.verify(code, plan, model)
    other = build(second)
    try:
        emit.verify(code, decay_audit.plan(other, RULES, 0.05), other)
    except DifferentGroupsError as error:
        outcome = "refused" if "no param group for" in str(error) else "different"
        print(f"{outcome}: {first} -> {second}: {error}", flush=True)
        return outcome, len(code.splitlines()), seconds
    return "equal", len(code.splitlines()), seconds


def main(count: int) -> None:
    """Measure until `count` pairs could be built, and print the totals."""
    results: list[tuple[str, int, float]] = []
    for first, second in pairs(count):
        if len(results) == count:
            break
        try:
            results.append(transfer(first, second))
        except emit.DifferentGroupsError:
            raise
        except Exception as error:  # noqa: BLE001  (a constructor may raise anything; the pair is left out)
            print(f"left out: {first} -> {second}: {type(error).__name__}", flush=True)
    outcomes = Counter(outcome for outcome, _, _ in results)
    equal, refused, different = (outcomes[word] for word in ("equal", "refused", "different"))
    print(f"{equal} of {len(results)} pairs equal, {refused} refused, {different} different")
    lines, seconds = [lines for _, lines, _ in results], [seconds for _, _, seconds in results]
    print(f"lines: median {statistics.median(lines)}, most {max(lines)}")
    print(f"seconds: median {statistics.median(seconds):.3f}, most {max(seconds):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
