"""Evidence from the uses of a Parameter in a traced forward pass. This module does not import torch.

Use is stronger evidence than class and name, because it shows what the parameter does. In the following cases use does
not decide alone; the confidence of the evidence and `classification.FINER` express that:

- A slot that takes only one kind of tensor (a convolution's kernel, a norm's gain, a lookup table) is certain evidence.
  A pointwise operator is likely evidence at most, because parameters of many roles are added or multiplied.
- A factor of a matrix product may still be a table: a product with zeros and ones selects its rows, one with
  coordinates computes positions, and one over all rows of a torch.nn.Embedding is a soft lookup. There, name and class
  decide. A product that also adds a bias (addmm) is a linear layer.
- A lookup cannot tell words from positions or learned queries, and a product cannot tell an adapter from a linear
  layer: the name picks the finer kind.
- A gain or a shift on data that was not just normalized may be a residual scale, a skip weight or a gate: that is a
  guess, and class and name decide.
- A learned tensor that goes through a layer like an input (a query, a prompt) is a token only if nothing calls it a
  table.

`use_shapes.py` has tests on the shapes and steps of a use, `meanings.py` reads one use, and this file weighs all uses.
"""

from collections.abc import Sequence
from math import prod

from msgspec.structs import replace

from decay_audit.model.parameters import Parameter, Use
from decay_audit.roles.by_usage.meanings import meaning_of
from decay_audit.roles.by_usage.use_shapes import (
    CURVES,
    MATRIX_PRODUCTS,
    POSITIVE,
    WITH_PARAMETER,
    count_wide_dimensions,
    is_own_length,
)
from decay_audit.roles.words import CONFIDENCES, ROLES, Confidence, Evidence, Role

_JOINS = frozenset({"cat", "stack"})
"""Operators that join several tensors into one."""
MATRICES: frozenset[Role] = frozenset({"conv_weight", "linear_weight", "recurrent_weight", "embedding"})
"""Roles of tensors that are used as matrices."""


def evidence(parameter: Parameter) -> tuple[Evidence, ...]:
    """Return the evidence from the uses in a traced forward pass, strongest first; () if there are none."""
    uses = parameter.uses or ()
    strongest: dict[Role, Evidence] = {}
    doubtful = _doubtful_roles(uses)
    for use in uses:
        meaning = None if _is_of_generated_weight(use, uses) else meaning_of(use, parameter)
        if meaning is None:
            continue
        role, layer, confidence = meaning
        confidence = _lower_if_derived(confidence, use, parameter)
        # A matrix product that also adds a bias is a linear layer, however the result is used.
        if role in doubtful and not (role == "linear_weight" and use.operator == "addmm"):
            confidence = "guess"
        previous = strongest.get(role)
        if previous is None or CONFIDENCES.index(confidence) < CONFIDENCES.index(previous.confidence):
            strongest[role] = Evidence(kind="usage", detail=_detail(use), role=role, layer=layer, confidence=confidence)
    strongest = _lower_if_contradicted(strongest)
    return tuple(sorted(strongest.values(), key=_strength))


def _strength(evidence: Evidence) -> tuple[int, int]:
    return CONFIDENCES.index(evidence.confidence), _ROLE_ORDER.get(evidence.role, len(ROLES))


def _lower_if_derived(confidence: Confidence, use: Use, parameter: Parameter) -> Confidence:
    """Lower `certain` if the tensor in the slot is a slice of the parameter, or is computed from it."""
    if confidence != "certain":
        return confidence
    steps = {*use.via}
    if "exp" in steps and steps & (POSITIVE | WITH_PARAMETER):  # exponents: positive factors
        return "guess"
    size, used_size = prod(parameter.shape), prod(use.shape)
    repeated = used_size % max(size, 1) == 0 and steps <= {"repeat", "repeat_interleave"}
    if size == used_size or repeated:
        return "likely" if steps & (POSITIVE | WITH_PARAMETER) else "certain"  # possibly the weights of an average
    picked = bool({"index", "index_select", "gather"} & steps)  # some matrices of a stack, or one several times
    multiplied = bool(MATRIX_PRODUCTS & steps) and count_wide_dimensions(parameter.shape) > 1
    joined = bool(_JOINS & steps) and not CURVES & steps
    return "likely" if used_size < size or picked or multiplied or "outer" in steps or joined else "guess"


def _lower_if_contradicted(strongest: dict[Role, Evidence]) -> dict[Role, Evidence]:
    """Lower the confidence of certain roles that contradict each other. MATRICES agree: a table may be a tied head."""
    certain = {role for role, item in strongest.items() if item.confidence == "certain"}
    if len(certain - MATRICES) + bool(certain & MATRICES) < 2:
        return strongest
    return {role: replace(item, confidence=_below_certain(item.confidence)) for role, item in strongest.items()}


def _below_certain(confidence: Confidence) -> Confidence:
    return "likely" if confidence == "certain" else confidence


def _is_of_generated_weight(use: Use, uses: Sequence[Use]) -> bool:
    """Whether the tensor in the slot is a weight or bias that layers computed from the parameter (a hypernetwork).

    The factors of one matrix are only multiplied: no bias is added to their product.
    """
    learned_input = any("learned input" in other.tags for other in uses)
    return learned_input and "learned input" not in use.tags and bool({"addmm", "add of a bias"} & {*use.via})


def _doubtful_roles(uses: Sequence[Use]) -> frozenset[Role]:
    """Return the roles that become guesses because of other uses of the parameter."""
    joins_scores = any(use.slot == "scores" for use in uses)
    makes_kernel = any(use.slot == "mixed" for use in uses)
    learned_input = any("learned input" in use.tags for use in uses)
    indexed = any("indexed by data" in use.tags and not use.via for use in uses)
    is_factor = any(MATRIX_PRODUCTS & {*use.via} and "learned input" not in use.tags for use in uses)
    is_compared = any(is_own_length(use) and use.operator in {"add", "sub", "rsub", "addmm"} for use in uses)
    is_memory = any("softmax" in use.tags and not use.via for use in uses)
    doubts: dict[Role, bool] = {
        # The factor may be a table of score offsets, a stack of kernels, entries whose distance is measured, or a
        # memory: attention first compares data with its rows, then averages them.
        "linear_weight": joins_scores or makes_kernel or indexed or is_memory or is_compared,
        # A learned input is also added to what layers compute from it: a residual.
        "position_embedding": learned_input,
        # Two factors of one matrix look like a learned input and its weight until their product meets data.
        "token": joins_scores or is_factor,
    }
    return frozenset(role for role, doubtful in doubts.items() if doubtful)


_ROLE_ORDER: dict[Role, int] = {
    "embedding": 0,
    "conv_weight": 0,
    "recurrent_weight": 0,
    "position_embedding": 1,
    "relative_position_bias": 1,
    "linear_weight": 8,
}
"""The order of equally strong roles: a table that is also used as a matrix (a tied head) is a table.

Roles without a number here come last.
"""


def _detail(use: Use) -> str:
    """Format a use as `operator.slot (tags) via operators`."""
    tags = f" ({', '.join(use.tags)})" if use.tags else ""
    via = f" via {', '.join(use.via)}" if use.via else ""
    return f"{use.operator}.{use.slot}{tags}{via}"
