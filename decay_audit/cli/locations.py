"""Find the lines of the repository for the parts of an audit: the model, its classes, its optimizers, and named files.

Only a file that exists in the repository, and that is not in an environment of Python, is used.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from decay_audit.api.request import Request
from decay_audit.model.choices import Format
from decay_audit.reports.options import FileLocation, SourceLocations
from decay_audit.reports.report import Report
from decay_audit.sources import target as targets

if TYPE_CHECKING:
    from decay_audit.api import LoadedTarget

ToRepository = Callable[[str], str]
"""Takes the path of a file, and returns its path from the root of the repository; "" if the file is not used."""

LOCATED_FORMATS = frozenset({Format.SARIF, Format.GITHUB, Format.GITLAB})
"""The formats that show files and lines of the repository."""

_NAMED_FILE = re.compile(r"(?P<file>[^\s():,]+(?: [^\s():,]+)*):[1-9]")
"""A file with a line number in the text of a finding: `rules.yaml:12`."""
_ENVIRONMENT_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""The folders in which an environment of Python has its packages."""


def find_locations(request: Request, report: Report, loaded: "LoadedTarget | None" = None) -> SourceLocations:
    """Find the files and lines for the findings of a report.

    Args:
        loaded: the model and the optimizers that were built for the report.
    """
    to_repository = _paths_in(_repository_root(Path.cwd()))
    return SourceLocations(
        files=dict(_named_files(report, to_repository)),
        target=_target_location(request.model or request.target, to_repository),
        optimizers=dict(_optimizer_locations(loaded, to_repository) if loaded else _of_script(report, to_repository)),
        owners=dict(_owner_locations(report, loaded, to_repository)) if loaded else {},
    )


def _repository_root(folder: Path) -> Path:
    """Find the root of the git repository of a folder; without a repository, the folder itself."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder).resolve()


def _paths_in(root: Path) -> ToRepository:
    """Make the function that turns the path of a file into its path from the root of a repository."""

    def to_repository(file: str) -> str:
        path = Path(file).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return ""
        relative = path.relative_to(root)
        in_environment = path.is_relative_to(sys.prefix) and not root.is_relative_to(sys.prefix)
        return "" if in_environment or not _ENVIRONMENT_FOLDERS.isdisjoint(relative.parts) else relative.as_posix()

    return to_repository


def _named_files(report: Report, to_repository: ToRepository) -> Iterator[tuple[str, str]]:
    """Yield the files that findings name, except the files of presets, which are not in the repository."""
    names = {
        match["file"]
        for finding in (*report.findings, *report.excepted)
        for match in _NAMED_FILE.finditer(finding.where)
        if not (report.plan.ruleset.preset and match["file"] == report.plan.ruleset.file)
    }
    yield from ((name, path) for name in sorted(names) if (path := to_repository(name)))


def _target_location(target: str, to_repository: ToRepository) -> FileLocation | None:
    """Locate the line that defines the model or the function of a target; for a checkpoint, only the file."""
    spec = targets.parse(target) if target else None
    if spec is None or isinstance(spec, targets.ModuleTarget) or not (path := to_repository(str(spec.path))):
        return None
    name = re.match(r"\w*", spec.expression) if isinstance(spec, targets.FileTarget) else None
    return FileLocation(file=path, line=_line_of(spec.path, name[0]) if name else 0)


def _line_of(file: Path, name: str) -> int:
    """Find the line that defines a name at the top of a file; 0 if none does."""
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError):
        return 0
    return next((statement.lineno for statement in statements if name and name in _defined_names(statement)), 0)


def _defined_names(statement: ast.stmt) -> Iterable[str]:
    match statement:
        case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
            return (statement.name,)
        case ast.Assign():
            return [target.id for target in statement.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return (name,)
        case _:
            return ()


def _optimizer_locations(loaded: "LoadedTarget", to_repository: ToRepository) -> Iterator[tuple[str, FileLocation]]:
    """Yield the line of the repository that is nearest to the constructor of each optimizer."""
    if loaded.made_optimizers is None:
        return
    for name, optimizer in loaded.made_optimizers.optimizers:
        callers = loaded.made_optimizers.log.callers.get(id(optimizer), ())
        locations = ((to_repository(file), line) for file, line in callers if Path(file).is_absolute())
        location = next((FileLocation(file=path, line=line) for path, line in locations if path), None)
        if location is not None:
            yield name, location


def _of_script(report: Report, to_repository: ToRepository) -> Iterator[tuple[str, FileLocation]]:
    """Yield the line that makes each optimizer, for the report on a script that was run."""
    for optimizer in report.optimizers:
        if optimizer.line and (path := to_repository(optimizer.file)):
            yield optimizer.name, FileLocation(file=path, line=optimizer.line)


def _owner_locations(
    report: Report, loaded: "LoadedTarget", to_repository: ToRepository
) -> Iterator[tuple[str, FileLocation]]:
    """Yield the name of each parameter that findings name, and the line that defines the class of its module."""
    from decay_audit.api import loading

    if loaded.built is None:
        return
    names = {name for finding in (*report.findings, *report.excepted) for name in finding.parameters}
    by_class: dict[type, FileLocation | None] = {}
    for parameter in loaded.inventory.parameters:
        if parameter.name not in names:
            continue
        try:
            kind = type(loaded.built.model.get_submodule(parameter.raw_name.rpartition(".")[0]))
        except AttributeError:  # a parameter of another model
            continue
        if kind not in by_class:
            with loading.import_context(loaded):
                by_class[kind] = _class_location(kind, to_repository)
        if (location := by_class[kind]) is not None:
            yield parameter.name, location


def _class_location(kind: type, to_repository: ToRepository) -> FileLocation | None:
    try:
        path = to_repository(inspect.getsourcefile(kind) or "")
        return FileLocation(file=path, line=inspect.getsourcelines(kind)[1]) if path else None
    except (TypeError, OSError):  # a class that is built in, or that no file defines
        return None
