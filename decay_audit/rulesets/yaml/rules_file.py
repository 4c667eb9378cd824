"""Read a rules file, with the ruleset that it `extends`, as a RuleSet or a list of all mistakes. No model is needed."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import files
from decay_audit.errors import RulesError
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.matching.patterns import is_slow
from decay_audit.rulesets.ruleset import LayerDecay, LayerRule, Route, Rule, RuleSet, Scale, label
from decay_audit.rulesets.yaml import examples, preset_files
from decay_audit.rulesets.yaml.examples import amount
from decay_audit.rulesets.yaml.form import AmountForm, FileForm, LayerDecayForm, RuleForm
from decay_audit.rulesets.yaml.nodes import (
    MAX_CHARACTERS,
    ListNode,
    MappingNode,
    Mistake,
    Node,
    ScalarNode,
    UnreadableYamlError,
    parse,
)
from decay_audit.rulesets.yaml.typed import read

T = TypeVar("T")
FORMAT_HINT = "`decay-audit rules schema` prints the accepted form, `decay-audit rules show no-norm-no-bias` an example"
"""The hint of a file with mistakes."""


class RulesText(Struct, frozen=True, kw_only=True):
    """The text of a rules file.

    Attributes:
        path: its absolute path; `extends` is relative to its folder.
        label: its name in messages and reports: a relative path, or the file name.
    """

    text: str
    path: Path
    label: str
    preset: bool = False


class Document(Struct, frozen=True, kw_only=True):
    """A rules file without mistakes of its own: its values, and its nodes, which have the line numbers."""

    form: FileForm
    root: MappingNode


def load(name_or_path: str) -> RuleSet:
    """Read a preset by name, or a rules file by path.

    Raises:
        RulesError: there is no such ruleset, or it has mistakes; all of them are in the message.
    """
    return _load_or_raise(find(name_or_path, Path()))


def from_text(yaml: str, label: str) -> RuleSet:
    """Read a ruleset from a string.

    Raises:
        RulesError: it has mistakes; all of them are in the message.
    """
    return _load_or_raise(RulesText(text=yaml, path=Path.cwd() / label, label=label))


def _load_or_raise(text: RulesText) -> RuleSet:
    ruleset, mistakes = assemble(text, ())
    if ruleset is None:
        raise rejection(mistakes)
    return ruleset


def validate(name_or_path: str) -> RuleSet:
    """Read a rules file, and decide its examples.

    Raises:
        RulesError: it cannot be read, has mistakes, or decides an example otherwise than the example says.
    """
    ruleset = load(name_or_path)
    slow_patterns = list(_slow_patterns(ruleset))
    if slow_patterns:
        raise RulesError(
            "\n".join(slow_patterns),
            "write them without a repeat in a repeat, or two repeats that match the same characters",
        )
    failures = list(examples.failures(ruleset))
    if failures:
        raise RulesError("\n".join(failures), "correct the rules, or what the example promises")
    return ruleset


def _slow_patterns(ruleset: RuleSet) -> Iterator[str]:
    """Find the regular expressions that may search a long name for seconds, or for ever."""
    layers = (ruleset.layer_decay.layers or ()) if ruleset.layer_decay else ()
    entries: list[Rule | Scale | LayerRule | Route] = [*ruleset.rules, *ruleset.lr_scale, *layers, *ruleset.routes]
    for entry in entries:
        for pattern in _regexes(entry.when):
            if is_slow(pattern):
                yield f"{entry.location}: {label(entry)}: `{pattern}` may search a long name for seconds or for ever"


def _regexes(when: When | None) -> Iterator[str]:
    if when is None:
        return
    for value in (when.name_regex, when.leaf_regex, when.owner_class):
        yield from (value,) if isinstance(value, str) else value or ()
    for inner in (*(when.any_ or ()), *(when.all_ or ()), when.not_):
        yield from _regexes(inner)


def rejection(mistakes: Iterable[Mistake]) -> RulesError:
    """Make the error that lists the mistakes by line."""
    return RulesError("\n".join(map(str, sorted(set(mistakes)))), FORMAT_HINT)


def find(name_or_path: str, folder: Path) -> RulesText:
    """Read the text of a preset, or of a file whose path is relative to `folder`.

    Raises:
        RulesError: there is no such ruleset, or the file cannot be read.
    """
    if name_or_path in preset_files.names():
        path = preset_files.path(name_or_path)
        return RulesText(text=path.read_text("utf-8"), path=path, label=path.name, preset=True)
    path = folder / name_or_path
    try:
        text = files.read_text(path, MAX_CHARACTERS)
    except UnicodeDecodeError as error:
        raise RulesError(f"{name_or_path} is not text in UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, ValueError) as error:
        raise _not_found(name_or_path, path, error) from error
    return RulesText(text=text, path=path.resolve(), label=_displayed_path(path))


def _not_found(name: str, path: Path, error: OSError | ValueError) -> RulesError:
    if isinstance(error, IsADirectoryError):
        return RulesError(f"{name} is a folder", "name a preset or one YAML file")
    if not looks_like_file(name):
        return RulesError(
            f"no ruleset is called `{name}`",
            f"{_nearest(name, preset_files.names())}`decay-audit rules list` lists them; name a file by its path",
        )
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return RulesError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}")
    siblings = [str(Path(name).with_name(other.name)) for other in path.parent.glob("*.y*ml")]
    return RulesError(f"no rules file {name}", f"{_nearest(name, siblings)}`decay-audit rules list` lists the presets")


def looks_like_file(name: str) -> bool:
    """Whether a ruleset is named by its path, and not as a preset."""
    return Path(name).suffix in (".yaml", ".yml") or len(Path(name).parts) > 1


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean `{close[0]}`? " if close else ""


def _displayed_path(path: Path) -> str:
    """Return the path for reports, which never show absolute paths."""
    if not path.is_absolute():
        return path.as_posix()
    current_folder = Path.cwd()
    return path.relative_to(current_folder).as_posix() if path.is_relative_to(current_folder) else path.name


def assemble(text: RulesText, chain: tuple[RulesText, ...]) -> tuple[RuleSet | None, list[Mistake]]:
    """Make the RuleSet of a file and of what it extends; None where there are mistakes.

    Args:
        chain: the files that extend this one, outermost first.
    """
    document, mistakes = _document(text)
    extends = document.root.get("extends") if isinstance(document, Document) else None
    base: RuleSet | None = None
    if document and document.form.extends and extends:
        base, base_mistakes = _base(document.form.extends, extends.line, text, chain)
        mistakes += base_mistakes
        if base is not None:
            mistakes += _repeated_names(document.root, base, text)
    if document is None or mistakes:
        return None, mistakes
    return _ruleset(document, text, base), []


def _document(text: RulesText) -> tuple[Document | None, list[Mistake]]:
    mistakes: list[Mistake] = []

    def report(line: int, message: str) -> None:
        mistakes.append(Mistake(text.label, line, message))

    try:
        root = parse(text.text)
    except UnreadableYamlError as error:
        report(error.line, error.text)
        return None, mistakes
    if not isinstance(root, MappingNode):
        report(root.line if root else 1, "the file is empty" if root is None else "the file must be a mapping of keys")
        return None, mistakes
    form = read(root, FileForm, "the file", report)
    return (Document(form=form, root=root) if form is not None else None), mistakes


def _base(name: str, line: int, text: RulesText, chain: tuple[RulesText, ...]) -> tuple[RuleSet | None, list[Mistake]]:
    try:
        base = find(name, text.path.parent)
    except RulesError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return None, [Mistake(text.label, line, f"`extends`: {error.message}{hint}")]
    links = (*chain, text)
    if any(link.path == base.path for link in links):
        circle = " -> ".join(link.label for link in (*links, base))
        return None, [Mistake(text.label, line, f"`extends` goes round in a circle: {circle}")]
    return assemble(base, links)


def _repeated_names(root: MappingNode, base: RuleSet, text: RulesText) -> list[Mistake]:
    """Find the rules that have the name of a rule in `base`."""
    base_names = {rule.name for rule in base.rules}
    names = [item.get("name") for item in _items(root.get("rules")) if isinstance(item, MappingNode)]
    return [
        Mistake(
            text.label, name.line, f"{base.name}, which this file extends, has a rule called `{name.value}` already"
        )
        for name in names
        if isinstance(name, ScalarNode) and name.value in base_names
    ]


def _ruleset(document: Document, text: RulesText, base: RuleSet | None) -> RuleSet:
    """Make the RuleSet: the file's own entries come before those of the ruleset that it extends."""
    form, root = document.form, document.root
    ruleset = RuleSet(
        name=form.name,
        title=form.title,
        source=form.source,
        weight_decay=form.weight_decay or 0.0,
        rules=tuple(_rule(rule, location) for rule, location in _with_locations(form.rules, root.get("rules"), text)),
        default=amount(form.default) if isinstance(form.default, AmountForm) else None,
        default_lenient=isinstance(form.default, AmountForm) and bool(form.default.lenient),
        default_location=f"{text.label}:{node.line}" if (node := root.get("default")) else "",
        file=text.label,
        compare=form.compare or "coefficient",
        frozen=form.frozen or "skip",
        names=form.names or "canonical",
        lr_scale=tuple(
            Scale(when=scale.when, times=scale.times, location=location)
            for scale, location in _with_locations(form.lr_scale, root.get("lr_scale"), text)
        ),
        layer_decay=_layer_decay(form.layer_decay, root.get("layer_decay"), text),
        routes=tuple(
            Route(when=route.when, use=route.use, location=location)
            for route, location in _with_locations(form.optimizer, root.get("optimizer"), text)
        ),
        examples=tuple(
            examples.example(entry, location)
            for entry, location in _with_locations(form.examples, root.get("examples"), text)
        ),
        preset=text.preset,
    )
    return ruleset if base is None else _extended(ruleset, form, base)


def _extended(ruleset: RuleSet, form: FileForm, base: RuleSet) -> RuleSet:
    """Add the entries of the extended ruleset `base`, and its values where the file itself (`form`) has none."""
    return replace(
        ruleset,
        weight_decay=base.weight_decay if form.weight_decay is None else ruleset.weight_decay,
        rules=(*ruleset.rules, *base.rules),
        default=base.default if form.default is None else ruleset.default,
        default_lenient=base.default_lenient if form.default is None else ruleset.default_lenient,
        default_location=base.default_location if form.default is None else ruleset.default_location,
        compare=form.compare or base.compare,
        frozen=form.frozen or base.frozen,
        names=form.names or base.names,
        lr_scale=(*ruleset.lr_scale, *base.lr_scale),
        layer_decay=ruleset.layer_decay or base.layer_decay,
        routes=(*ruleset.routes, *base.routes),
    )


def _rule(form: RuleForm, location: str) -> Rule:
    file, _, line = location.rpartition(":")
    return Rule(
        name=form.name,
        when=form.when,
        amount=amount(form),
        lenient=bool(form.lenient),
        file=file,
        line=int(line),
    )


def _layer_decay(form: LayerDecayForm | None, node: Node | None, text: RulesText) -> LayerDecay | None:
    if form is None or not isinstance(node, MappingNode):
        return None
    layers = None
    if not isinstance(form.layers, str):
        layers = tuple(
            LayerRule(when=layer.when, layer=layer.layer, location=location)
            for layer, location in _with_locations(form.layers, node.get("layers"), text)
        )
    location = f"{text.label}:{node.line}"
    return LayerDecay(rate=form.rate, layers=layers, default=form.default, when=form.when, location=location)


def _with_locations(forms: Sequence[T], node: Node | None, text: RulesText) -> Iterable[tuple[T, str]]:
    """Pair each form of a list with the `file:line` at which it starts."""
    return zip(forms, (f"{text.label}:{item.line}" for item in _items(node)), strict=True)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else ()
