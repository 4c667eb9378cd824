"""Write a ruleset as a function of any model: each rule becomes a test, in the order of the rules.

A condition is written if code can test it on a module and a tensor. A role cannot be tested: only an audit finds it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import chain, count

from msgspec import Struct

from decay_audit.emit.groups import GroupKey
from decay_audit.emit.python.literals import LINE_LENGTH, comment, raw_string, string
from decay_audit.emit.rule.branches import INDENT, BranchCode
from decay_audit.emit.rule.classes import find_reference
from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.text import join_words

DERIVES = '''def derives(module: nn.Module, patterns: tuple[str, ...]) -> bool:
    """Whether the class of `module`, or a base class, has one of these names."""
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)'''
"""A function of the emitted code, for classes of packages that may not be installed."""

PARENTS = (
    '        paths = accumulate(name.split(".")[:-1], "{}.{}".format)',
    "        parents = [model.get_submodule(path) for path in paths]",
)
"""Lines of the emitted code: the modules around a parameter, without the model itself."""

_WORD = re.compile(r"[\w.]*")
_FORMS = {"exact", "glob", "substring", "keywords"}
"""The forms of `declared_no_decay` that can be written."""
_HANDLED = frozenset(
    {"name", "leaf", "owner_name", "name_regex", "leaf_regex", "owner", "owner_class", "within", "ndim", "numel"}
    | {"effective_ndim", "shape", "attribute", "trainable", "declared_no_decay", "any", "all", "not"}
)
"""The keys of conditions that can be written."""
_AUDITED = frozenset({"role", "layer", "scale_invariant", "inert", "rests_at", "feeds"})
"""The keys of conditions on facts that only an audit finds out."""


class PolicyTest(Struct, frozen=True, kw_only=True):
    """A test of the emitted code: it holds if one of these expressions does."""

    texts: tuple[str, ...]

    @property
    def text(self) -> str:
        """The test as one expression, with brackets if it needs them beside `and`."""
        return f"({' or '.join(self.texts)})" if len(self.texts) > 1 else self.texts[0]


class PolicyConditions(Struct, kw_only=True):
    """Collects what the tests of a ruleset need: constants above the function, and variables in it.

    Attributes:
        name_variable: the variable that holds the name of a parameter.
    """

    constants: list[tuple[str, ...]] = []
    prefix: str = ""
    name_variable: str = "name"

    def write(self, when: When) -> list[PolicyTest]:
        """Write a condition as operands that must all hold."""
        return [
            *self._names(when),
            *_sizes(when),
            *self._classes(when),
            *_declarations(when),
            *self._nested(when),
        ]

    def join(self, when: When) -> str:
        """Write a condition as one expression."""
        operands = self.write(when)
        if len(operands) == 1:
            return " or ".join(operands[0].texts)
        return " and ".join(operand.text for operand in operands) or "True"

    def alternatives(self, when: When) -> tuple[str, ...]:
        """Write a condition as expressions of which one must hold."""
        operands = self.write(when)
        return operands[0].texts if len(operands) == 1 else (f"({self.join(when)})",)

    def _names(self, when: When) -> Iterator[PolicyTest]:
        for value, expression in ((when.name, self.name_variable), (when.leaf, _LEAF), (when.owner_name, _OWNER_NAME)):
            if value is not None:
                yield _any_of(_glob_tests(_as_tuple(value), expression))
        for value, expression in ((when.name_regex, self.name_variable), (when.leaf_regex, _LEAF)):
            if value is not None:
                yield _any_of(_regex_tests(_as_tuple(value), expression))

    def _classes(self, when: When) -> Iterator[PolicyTest]:
        if when.owner is not None:
            yield _any_of(self._class_tests(_as_tuple(when.owner), "module"))
        if when.within is not None:
            tests = self._class_tests(_as_tuple(when.within), "m")
            yield _any_of(f"any({test} for m in parents)" for test in tests)
        if when.owner_class is not None:
            names = [name for pattern in _as_tuple(when.owner_class) for name in _listed_words(pattern)]
            others = [pattern for pattern in _as_tuple(when.owner_class) if not _listed_words(pattern)]
            constant = [self._constant([*map(string, names)], "CLASS_NAMES", always=True)] if names else []
            listed = [f"type(module).__name__ in {name}" for name in constant]
            yield _any_of([*listed, *_regex_tests(others, "type(module).__name__")])

    def _class_tests(self, patterns: Sequence[str], variable: str) -> Iterator[str]:
        """Write a test with isinstance for the classes of torch, and one by name for all others."""
        classes = [*dict.fromkeys(name for pattern in patterns for name in _torch_classes(pattern))]
        others = [pattern for pattern in patterns if not _torch_classes(pattern)]
        if classes:
            yield f"isinstance({variable}, {self._constant(classes, 'CLASSES')})"
        if others:
            yield f"derives({variable}, {self._constant([*map(string, others)], 'CLASS_NAMES', always=True)})"

    def _constant(self, items: Sequence[str], ending: str, *, always: bool = False) -> str:
        """Return a tuple of few items as it is; more items become a constant, which equal tuples share."""
        if len(items) == 1 and not always:
            return items[0]
        if len(items) <= 3 and not always and len(", ".join(items)) < 45:
            return f"({', '.join(items)})"
        for lines in self.constants:
            if " ".join(" ".join(lines[1:-1]).split()) == " ".join(f"{item}," for item in items):
                return lines[0].partition(" ")[0]
        taken = {lines[0].partition(" ")[0] for lines in self.constants}
        names = chain([self.prefix, f"{self.prefix}_{ending}"], (f"{self.prefix}_{index}" for index in count(2)))
        name = next(name for name in names if name not in taken)
        self.constants.append((f"{name} = (", *(f"    {item}," for item in items), ")"))
        return name

    def _nested(self, when: When) -> Iterator[PolicyTest]:
        if when.any_ is not None:
            yield _any_of(text for inner in when.any_ for text in self.alternatives(inner))
        for inner in when.all_ or ():
            yield from self.write(inner)
        if when.not_ is not None:
            yield _any_of([_negate(self.join(when.not_))])


_CONTAINS = re.compile(r'("[^"\\]*") in (\w+)')
"""The test that a text contains another."""
_LEAF = "leaf"
_OWNER_NAME = "path"


def write_policy(ruleset: RuleSet, variable_of: Callable[[float], str]) -> BranchCode:
    """Write the rules as branches.

    Args:
        variable_of: gives the variable of the list for a coefficient.

    Raises:
        DecayAuditError: a condition of the ruleset cannot be asked without an audit of the model.
    """
    _check(ruleset)
    if not ruleset.weight_decay:
        raise DecayAuditError(f"the base coefficient of {ruleset.name} is 0", "give one: --weight-decay 0.01")
    conditions = PolicyConditions(constants=[])
    lines = _branches(ruleset, conditions, variable_of)
    text = "\n".join(lines)
    uses_module = bool(re.search(r"\bmodule\b", text))
    names = [name for name in ("path", "leaf") if re.search(rf"\b{name}\b(?![\"'])", text)]
    imports = [("fnmatch", "fnmatchcase")] if "fnmatchcase(" in text or "derives(" in text else []
    imports += [("itertools", "accumulate")] if "in parents)" in text else []
    declarations = [
        f"    {variable}: Any = getattr(model, {string(method)}, tuple)()"
        for variable, method in (("declared", "no_weight_decay"), ("keywords", "no_weight_decay_keywords"))
        if f"in {variable}" in text
    ]
    return BranchCode(
        before_loop=tuple(declarations),
        lines=(
            *([f'        {name} = name.rpartition(".")[{(0, 2)[name == "leaf"]}]' for name in names]),
            *(PARENTS if "in parents)" in text else ()),
            *lines,
        ),
        helper=(*DERIVES.splitlines(), "", "") if "derives(" in text else (),
        constants=tuple(conditions.constants),
        imports=frozenset(),
        uses_module=uses_module,
        uses_bare_names=False,
        standard_imports=tuple(imports),
        uses_patterns="re.search(" in text,
    )


def _branches(ruleset: RuleSet, conditions: PolicyConditions, variable_of: Callable[[float], str]) -> list[str]:
    """Write a branch for each rule, and one for the default."""
    lines: list[str] = []
    for rule in ruleset.rules:
        conditions.prefix = re.sub(r"\W", "_", rule.name).upper().lstrip("0123456789_") or "RULE"
        variable = variable_of(rule.amount.coefficient(ruleset.weight_decay))
        lines += _branch("elif" if lines else "if", conditions.write(rule.when))
        lines.append(f"            {variable}.append(p)  # {comment(rule.name)}")
    if ruleset.default is None:
        lines += ["        else:", '            raise ValueError(f"no rule decides for {name}")']
    else:
        variable = variable_of(ruleset.default.coefficient(ruleset.weight_decay))
        lines += ["        else:", f"            {variable}.append(p)"] if lines else [f"        {variable}.append(p)"]
    return lines


def policy_groups(ruleset: RuleSet) -> tuple[GroupKey, ...]:
    """List the groups that a ruleset can give, one for each coefficient, the largest first."""
    amounts = [rule.amount for rule in ruleset.rules] + ([ruleset.default] if ruleset.default else [])
    coefficients = dict.fromkeys(amount.coefficient(ruleset.weight_decay) for amount in amounts)
    return tuple(GroupKey(weight_decay=value) for value in sorted(coefficients, reverse=True))


def _check(ruleset: RuleSet) -> None:
    """Refuse a ruleset that cannot be a function of any model."""
    keys = {key for rule in ruleset.rules for key in rule.when.keys()} - _HANDLED  # noqa: SIM118  (a method)
    reasons = [f"its condition `{key}` is known only after an audit of a model" for key in sorted(keys & _AUDITED)]
    reasons += [f"this style has no test for its condition `{key}`" for key in sorted(keys - _AUDITED)]
    reasons += ["it has learning rates by layer"] if ruleset.layer_decay is not None else []
    reasons += ["it scales learning rates"] if ruleset.lr_scale else []
    reasons += ["it has several optimizers"] if ruleset.routes else []
    reasons += ["it reads raw names"] if ruleset.names == "raw" else []
    forms = {form for when in _all_conditions(ruleset) for form in _as_tuple(when.declared_no_decay or ())} - _FORMS
    reasons += [f"it reads what a model declares as {join_words(sorted(forms))}"] if forms else []
    if reasons:
        raise DecayAuditError(
            f"{ruleset.name} cannot be written as a function of any model: {'; '.join(reasons)}",
            "--style rule writes conditions for this model, --style library calls decay_audit.param_groups",
        )


def _all_conditions(ruleset: RuleSet) -> Iterator[When]:
    pending = [rule.when for rule in ruleset.rules]
    while pending:
        when = pending.pop()
        yield when
        pending += [*(when.any_ or ()), *(when.all_ or ()), *((when.not_,) if when.not_ else ())]


def _branch(keyword: str, operands: Sequence[PolicyTest]) -> list[str]:
    """Write the line of a branch; if it is too long, one line for each operand."""
    if len(operands) == 1:
        texts, word = operands[0].texts, "or"
    else:
        texts, word = tuple(operand.text for operand in operands), "and"
    line = f"        {keyword} {f' {word} '.join(texts)}:"
    if len(line) <= LINE_LENGTH or len(texts) == 1:
        return [line]
    margin = " " * (INDENT + 4)
    rest = [f"{margin}{word} {text}" for text in texts[1:]]
    return [f"        {keyword} (", f"{margin}{texts[0]}", *rest, "        ):"]


def _negate(text: str) -> str:
    """Write the opposite of an expression.

    >>> _negate('"norm" in name'), _negate("p.ndim < 2"), _negate("a or b")
    ('"norm" not in name', 'not p.ndim < 2', 'not (a or b)')
    """
    if match := _CONTAINS.fullmatch(text):
        return f"{match[1]} not in {match[2]}"
    return f"not ({text})" if " and " in text or " or " in text else f"not {text}"


def _any_of(tests: Iterable[str]) -> PolicyTest:
    return PolicyTest(texts=tuple(tests))


def _as_tuple(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def _torch_classes(pattern: str) -> list[str]:
    """List the classes of torch.nn that a glob matches, as expressions; [] for classes of other packages."""
    if "*" not in pattern and "[" not in pattern and "?" not in pattern:
        reference = find_reference(pattern) if pattern.startswith("torch.nn.") else None
        return [f"nn.{pattern.removeprefix('torch.nn.')}"] if reference is not None else []
    from torch import nn

    matches = [
        value
        for name, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and fnmatchcase(f"torch.nn.{name}", pattern)
        if not name.startswith("Lazy")  # such a module has its final class as soon as its parameters have shapes
    ]
    return [f"nn.{cls.__name__}" for cls in matches if not any(base in matches for base in cls.__mro__[1:])]


def _glob_tests(globs: Sequence[str], expression: str) -> Iterator[str]:
    literals = [string(glob) for glob in globs if not set(glob) & set("*?[")]
    if literals:
        yield f"{expression} == {literals[0]}" if len(literals) == 1 else f"{expression} in ({', '.join(literals)})"
    yield from (_glob_test(glob, expression) for glob in globs if set(glob) & set("*?["))


def _glob_test(glob: str, expression: str) -> str:
    inner = glob.strip("*")
    if inner and not set(inner) & set("*?["):
        if glob == f"*{inner}*":
            return f"{string(inner)} in {expression}"
        if glob == f"*{inner}":
            return f"{expression}.endswith({string(inner)})"
        if glob == f"{inner}*":
            return f"{expression}.startswith({string(inner)})"
    return f"fnmatchcase({expression}, {string(glob)})"


def _regex_tests(patterns: Sequence[str], expression: str) -> Iterator[str]:
    """Write a test for each pattern: `in` and `endswith` for plain words, otherwise re.search."""
    for pattern in patterns:
        lower = pattern.startswith("(?i)")
        body = pattern.removeprefix("(?i)")
        literal = body.replace(r"\.", ".") if not re.search(r"(?<!\\)\.", body) else body
        subject = f"{expression}.lower()" if lower else expression
        text = literal.lower() if lower else literal
        if literal and _WORD.fullmatch(literal) and literal.isascii():
            yield f"{string(text)} in {subject}"
        elif literal.endswith("$") and _WORD.fullmatch(literal[:-1]) and literal.isascii():
            yield f"{subject}.endswith({string(text[:-1])})"
        elif literal.startswith("^") and _WORD.fullmatch(literal[1:]) and literal.isascii():
            yield f"{subject}.startswith({string(text[1:])})"
        else:
            yield f"re.search({raw_string(pattern)}, {expression})"


def _listed_words(pattern: str) -> list[str]:
    """List the words of a pattern such as `^(LayerNorm|RMSNorm)$`; [] for any other pattern."""
    match = re.fullmatch(r"\^\((\w+(?:\|\w+)*)\)\$", pattern)
    return match[1].split("|") if match else []


def _sizes(when: When) -> Iterator[PolicyTest]:
    for value, expression in (
        (when.ndim, "p.ndim"),
        (when.effective_ndim, "sum(size > 1 for size in p.shape)"),
        (when.numel, "p.numel()"),
    ):
        if value is not None:
            yield _any_of(_comparison(expression, bound) for bound in _as_tuple(value))
    if when.shape is not None:
        yield _any_of(map(_shape_test, when.shapes))
    if when.trainable is not None:
        yield _any_of(["p.requires_grad" if when.trainable else "not p.requires_grad"])
    if when.attribute is not None:
        yield _any_of(f"getattr(p, {string(name)}, False)" for name in _as_tuple(when.attribute))


def _shape_test(shape: Sequence[int | None]) -> str:
    """Write the test of one shape, in which None is any size.

    >>> _shape_test((10,)), _shape_test((10, None, 3)), _shape_test((None, None))
    ('p.shape == (10,)', 'p.ndim == 3 and p.shape[0] == 10 and p.shape[2] == 3', 'p.ndim == 2')
    """
    if None not in shape:
        return f"p.shape == {tuple(shape)}"
    sizes = (f"p.shape[{index}] == {size}" for index, size in enumerate(shape) if size is not None)
    return " and ".join((f"p.ndim == {len(shape)}", *sizes))


def _comparison(expression: str, bound: object) -> str:
    match = re.fullmatch(r"(==|!=|<=|>=|<|>)? *([0-9]+)", str(bound))
    sign, count = (match[1] or "==", match[2]) if match else ("==", str(bound))
    return f"{expression} {sign} {count}"


def _declarations(when: When) -> Iterator[PolicyTest]:
    if when.declared_no_decay is None:
        return
    tests = {
        "exact": "name in declared",
        "glob": "any(fnmatchcase(name, pattern) for pattern in declared)",
        "substring": "any(part in name for part in declared)",
        "keywords": "any(part in name for part in keywords)",
    }
    yield _any_of(tests[form] for form in _as_tuple(when.declared_no_decay))
