"""Find the role and layer of each parameter: collect the evidence and weigh it.

The blocks of a model repeat, so the work is done once for each kind of owner, and once for each kind of tensor in it.
All names that no reader knows count as one name. Readers are functions that find evidence, e.g. `by_name.evidence`.
"""

from collections.abc import Callable, Iterable, Mapping

from decay_audit import work
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles import by_header, by_name, by_owner, by_usage
from decay_audit.roles.conventions.convention import NO_DIGITS
from decay_audit.roles.known_words import is_known
from decay_audit.roles.pairs import BIASES
from decay_audit.roles.tensor_context import sibling_finder, tensor_context
from decay_audit.roles.words import CONFIDENCES, EVIDENCE_KINDS, Classified, Confidence, Evidence, Layer, Role

Shape = tuple[int, ...]
Tensors = tuple[tuple[str, Shape], ...]
_DIGITS = "0123456789"
_UNKNOWN = "?"
"""Stands for every word that no reader knows."""
Answer = tuple[Role, Layer, Confidence, tuple[Evidence, ...]]
"""The fields of a Classified, without its parameter."""

FINER: Mapping[Role, frozenset[Role]] = {
    "embedding": frozenset({"position_embedding", "relative_position_bias", "token", "adapter_weight"}),
    "position_embedding": frozenset({"token", "bias", "relative_position_bias"}),
    "linear_weight": frozenset({"adapter_weight", "state_space"}),
    "conv_weight": frozenset({"adapter_weight"}),
    "norm_weight": frozenset({"adapter_weight"}),
    "token": frozenset({"position_embedding", "adapter_weight", "bias", "state_space"}),
    "scale": frozenset({"activation", "state_space", "norm_weight", "adapter_weight"}),
    "layer_scale": frozenset({"state_space", "activation", "adapter_weight"}),
    "bias": frozenset({"activation", "state_space", "token", "position_embedding", "relative_position_bias"}),
}
"""The finer kinds of a role. If a class or an operator gives the role, a name may choose a finer kind."""

_LONG_PART = 200
"""Parts of names with more characters cost work: each is searched for every word that a reader knows."""

_IN_LIST = "#"
"""Stands for the number of a tensor in a list."""

SAME_ACTION: tuple[frozenset[Role], ...] = (
    frozenset({"conv_weight", "linear_weight", "recurrent_weight", "embedding", "adapter_weight"}),
    frozenset({"embedding", "position_embedding", "relative_position_bias", "token"}),
    frozenset({"bias", "norm_bias", "position_embedding", "relative_position_bias", "token", "state_space"}),
    frozenset({"scale", "layer_scale", "norm_weight", "activation", "state_space", "adapter_weight"}),
)
"""Sets of roles that act alike on data: as a factor of a product, as a table, as a summand, as a gain."""

_KEPT_ROLES: frozenset[Role] = frozenset(
    {"token", "position_embedding", "relative_position_bias", "adapter_weight", "state_space"}
)
"""If a name gives one of these roles, it stays, even where uses contradict it: see `_use_instead_of_name`."""
_NORM_ROLES: frozenset[Role] = frozenset({"norm_weight", "norm_bias"})
_GAINS_AND_SUMMANDS: frozenset[Role] = _NORM_ROLES | {"bias", "scale", "layer_scale"}


def classify(parameters: Iterable[Parameter]) -> tuple[Classified, ...]:
    """Give every parameter its role and layer, in the order given.

    The role is that of the strongest evidence, or a finer kind that a class or a name tells. Evidence that
    disagrees is kept. The answer depends on the parameter and its owner, and not on the other parameters given.
    """
    parameters = tuple(parameters)
    budget = work.budget_for_roles(len(parameters))
    kind_id, has_plain_names, find_siblings = _kind_ids(), _plain_names(), sibling_finder()
    answers: dict[object, Answer] = {}
    classified = []
    last_owner: Owner | None = None
    kind = -1
    for parameter in parameters:
        owner, uses, shape = parameter.owner, parameter.uses, parameter.shape
        leaf = parameter.name.rpartition(".")[2]
        if len(parameter.name) > _LONG_PART and (longest := max(map(len, parameter.name.split(".")))) > _LONG_PART:
            budget.spend(longest // work.CHARACTERS_PER_UNIT)
        # Owners of the same kind have tensors of the same form; exact sizes matter only where there are uses.
        own_key = None if uses is None and owner.tensors.get(leaf) == shape else (shape, uses)
        key: object
        if uses is None and not owner.types and _is_unknown_leaf(leaf, owner) and has_plain_names(owner):
            key = (parameter.dtype, parameter.lazy, _size_form(shape, {}))
        else:
            if owner is not last_owner:
                last_owner, kind = owner, kind_id(owner)
            if leaf.isdecimal():  # the tensors of a list differ in nothing but their shapes
                leaf, own_key = _IN_LIST, (shape, uses)
            key = (kind, leaf, parameter.dtype, parameter.lazy, own_key)
        answer = answers.get(key)
        if answer is None:
            if not owner.types:
                budget.spend(work.UNITS_PER_KIND)
            answer = answers[key] = _weigh(_collect(parameter, find_siblings), shape)
        role, layer, confidence, evidence = answer
        classified.append(
            Classified(parameter=parameter, role=role, layer=layer, confidence=confidence, evidence=evidence)
        )
    return tuple(classified)


def _is_unknown_leaf(leaf: str, owner: Owner) -> bool:
    """Tell whether no reader knows the name of a tensor, by itself or as half of a pair."""
    return not is_known(leaf) and not any(f"{leaf}_{bias}" in owner.tensors for bias in BIASES)


def _plain_names() -> Callable[[Owner], bool]:
    """Make a function that tells whether no reader knows the names and classes of an owner and of those above it."""
    answers: dict[Owner, bool] = {}

    def has_plain_names(owner: Owner) -> bool:
        answer = answers.get(owner)
        if answer is not None:
            return answer
        without_answer = [owner]
        while (parent := without_answer[-1].parent) is not None and parent not in answers:
            without_answer.append(parent)
        answer = parent is None or answers[parent]
        for module in reversed(without_answer):
            answer = answers[module] = answer and _has_plain_name(module)
        return answer

    return has_plain_names


def _has_plain_name(module: Owner) -> bool:
    if module.types or module.has_base_layer or module.quantized:
        return False
    if module.parent is None and not module.name:
        return True
    word = module.name.rpartition(".")[2]
    return word.isdecimal() or not is_known(word)


def _kind_ids() -> Callable[[Owner], int]:
    """Make a function that numbers kinds of owners: two owners are of one kind if all evidence of both is the same.

    The function does not recurse: names may be deeper than Python's stack.
    """
    numbers: dict[Owner, int] = {}
    kinds: dict[object, int] = {}
    form_of, has_plain_names = _form_numbering(), _plain_names()

    def number_of(owner: Owner) -> int:
        number = numbers.get(owner)
        if number is not None:
            return number
        without_number = [owner]
        while (parent := without_number[-1].parent) is not None and parent not in numbers:
            without_number.append(parent)
        number = -1 if parent is None else numbers[parent]
        for module in reversed(without_number):
            # The name counts only from the parent on, without the digits at its end.
            above, types = module.parent, module.types
            name = module.name.translate(NO_DIGITS) if above is None else module.name[len(above.name) :].rstrip(_DIGITS)
            if not types and name.strip(".") and has_plain_names(module):
                name = _UNKNOWN
            form = form_of(module.tensors) if module.tensors else -1
            grouping = _grouping(module) if "groups" in module.settings else None
            kind = (number, name, types, form, grouping, module.quantized, module.has_base_layer)
            number = numbers[module] = kinds.setdefault(kind, len(kinds))
        return number

    return number_of


def _form_numbering() -> Callable[[Mapping[str, Shape]], int]:
    """Make a function that numbers the tensors of owners: tensors of the same form get the same number."""
    numbers: dict[Tensors, int] = {}
    forms: dict[object, int] = {}

    def number_of(shapes: Mapping[str, Shape]) -> int:
        tensors = tuple(shapes.items())
        number = numbers.get(tensors)
        if number is None:
            number = numbers[tensors] = forms.setdefault(_form(tensors), len(forms))
        return number

    return number_of


def _grouping(module: Owner) -> object:
    """Return whether a convolution has a group for each input channel, and whether it has one group."""
    groups = module.settings["groups"]
    return groups == module.settings.get("in_channels"), groups == 1


def _form(tensors: Tensors) -> object:
    """Reduce shapes to what readers of evidence use: which sizes are 0, 1 or more, and which sizes are equal."""
    first: dict[int, int] = {}
    return tuple((name, _size_form(shape, first)) for name, shape in tensors)


def _size_form(shape: Shape, first: dict[int, int]) -> Shape:
    """Replace each size above 1 by a number, the same for equal sizes; `first` maps sizes to numbers."""
    return tuple(size if size < 2 else first.setdefault(size, len(first) + 2) for size in shape)


def _collect(parameter: Parameter, find_siblings: Callable[[Owner, str], Mapping[str, Shape]]) -> tuple[Evidence, ...]:
    """Collect the evidence. Evidence from a name is left out if it gives the same role as the class."""
    tensor = tensor_context(parameter, find_siblings)
    of_class = by_owner.evidence(tensor)
    class_roles = {evidence.role for evidence in of_class}
    of_name = tuple(evidence for evidence in by_name.evidence(tensor) if evidence.role not in class_roles)
    explained = tensor.types and (of_class or of_name)
    of_shape = () if explained else by_header.evidence(tensor)
    return (*by_usage.evidence(parameter), *of_class, *of_name, *of_shape)


def _weigh(evidence: tuple[Evidence, ...], shape: Shape) -> Answer:
    """Let the strongest evidence decide: by confidence, and of equal confidence by kind."""
    if not evidence:
        return "unclassified", "other", "guess", ()
    ordered = tuple(sorted(evidence, key=_strength))
    strongest = ordered[0]
    finer = _finer_roles(strongest, shape)
    refining = (item for item in ordered if item.role in finer and item.kind != "usage")
    decisive = next(refining, strongest)
    confidence: Confidence = "likely" if _is_disputed(decisive, ordered) else decisive.confidence
    if confidence == "likely" and _contradicts_use(decisive, ordered):
        confidence = "guess"
        decisive = strongest = _use_instead_of_name(decisive, ordered, shape) or decisive
    return decisive.role, _layer(strongest, ordered), confidence, ordered


def _use_instead_of_name(name: Evidence, ordered: tuple[Evidence, ...], shape: Shape) -> Evidence | None:
    """Return the use as a gain or a summand that contradicts a name; None if the name may still be right.

    A name that says token or table of positions stays: a pass may show such a tensor only as a factor. A name that says
    matrix stays, unless the tensor is a vector, or is used as the gain or the shift of a norm.
    """
    if name.role in _KEPT_ROLES:
        return None
    is_matrix = name.role in by_usage.MATRICES - {"embedding"} and sum(size > 1 for size in shape) > 1
    roles = _NORM_ROLES if is_matrix else _GAINS_AND_SUMMANDS
    return next((item for item in ordered if item.kind == "usage" and item.role in roles), None)


def _finer_roles(strongest: Evidence, shape: Shape) -> frozenset[Role]:
    """Return the roles that other evidence may choose instead of the role of the strongest evidence."""
    if strongest.kind not in {"usage", "owner"}:
        return frozenset()
    finer = FINER.get(strongest.role, frozenset())
    if strongest.role == "relative_position_bias" and strongest.confidence == "guess":
        return finer | {"embedding"}  # such as a table of segments: its product with data was added to attention scores
    if strongest.role == "scale" and strongest.layer in {"linear", "conv"}:  # it scales a matrix, and not data
        return finer - {"norm_weight"}
    if strongest.role == "linear_weight" and sum(size > 1 for size in shape) == 1:  # a vector of weights, or a query
        return finer | {"token"}
    return finer


def _is_disputed(decisive: Evidence, ordered: tuple[Evidence, ...]) -> bool:
    """Whether the decisive evidence is certain, and other evidence is certain of another role.

    The roles in `by_usage.MATRICES` count as one role.
    """
    certain = {item.role for item in ordered if item.confidence == decisive.confidence == "certain"}
    return len(certain - by_usage.MATRICES) + bool(certain & by_usage.MATRICES) > 1


def _contradicts_use(decisive: Evidence, ordered: tuple[Evidence, ...]) -> bool:
    """Whether a name decides, and every use of the parameter shows that it acts on data in another way."""
    uses = {item.role for item in ordered if item.kind == "usage"}
    if decisive.kind in {"usage", "owner"} or not uses:
        return False
    return not any(decisive.role in roles and uses & roles for roles in SAME_ACTION)


def _strength(evidence: Evidence) -> tuple[int, int]:
    return CONFIDENCES.index(evidence.confidence), EVIDENCE_KINDS.index(evidence.kind)


def _layer(strongest: Evidence, ordered: tuple[Evidence, ...]) -> Layer:
    """Return the layer of the owner: evidence from its class or name comes before evidence from an operator."""
    agreeing = (item.layer for item in ordered if item.role == strongest.role and item.kind != "usage")
    return next((layer for layer in agreeing if layer != "other"), strongest.layer)
