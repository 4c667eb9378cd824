"""What the shape of the code promises: torch stays out, imports point down, modules and functions stay small."""

import ast
import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "decay_audit"
HEAVY = ("torch", "numpy", "timm", "transformers", "torchvision")

LONGEST_MODULE = 400
LONGEST_FUNCTION = 45
MOST_FILES = 12
"""Modules and folders beside each other: about ten is the guide; with more, the folder lacks a level."""
MOST_AT_THE_TOP = 16
MACHINE_PATHS = re.compile(
    r"/(?:root|work|tmp|home|Users|opt|mnt|var)/[\w.-]+|file:/{2,3}[\w.~-]|https?://[^\s/]*(?:localhost|127\.0)"
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".cfg", ""}
TOP_LEVEL = ("decay_audit", "rules", "tests", "examples", "benchmarks", "docs", ".ci", ".github")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file, written by hand as the format's specification says."""
    header = {
        "layer.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "layer.bias": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]},
    }
    text = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(32))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["inspect", "--help"],
        ["rules", "list"],
        ["rules", "show", "no-norm-no-bias"],
        ["rules", "schema"],
        ["explain", "DA101"],
        ["inspect", "WEIGHTS"],
        ["inspect", "WEIGHTS", "--format", "json"],
        ["check", "WEIGHTS"],
    ],
    ids=" ".join,
)
def test_torch_stays_out_of_what_needs_no_model(arguments: list[str], weights: Path) -> None:
    given = [str(weights) if argument == "WEIGHTS" else argument for argument in arguments]
    assert heavy_imports("import sys; from decay_audit.__main__ import main; main()", *given) == set()


def test_help_imports_only_what_declares_options() -> None:
    code = "import sys; import decay_audit.cli.main; print(*sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    packages = {name.split(".")[1] for name in made.stdout.split() if name.startswith("decay_audit.")}
    assert packages <= {"api", "cli", "errors", "files", "model", "text", "work"}


def test_importing_the_package_imports_no_torch() -> None:
    assert heavy_imports("import decay_audit") == set()


@pytest.mark.parametrize("module", ["torch", "numpy"])
def test_the_check_for_torch_can_fail(module: str) -> None:
    assert module in heavy_imports(f"import {module}")


def test_a_model_does_import_torch() -> None:
    main = "from decay_audit.__main__ import main; main()"
    assert "torch" in heavy_imports(main, "inspect", str(ROOT / "examples/resnext29.py"))


def test_imports_point_down() -> None:
    pytest.importorskip("importlinter", reason="the lint extra is not installed; CI runs lint-imports by itself")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {path: length for path in modules() if (length := len(path.read_text().splitlines())) > LONGEST_MODULE}
    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    assert [place for place, length in functions() if length > LONGEST_FUNCTION] == []


def test_functions_are_short_as_a_rule() -> None:
    lengths = sorted(length for _, length in functions())
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 25


def test_no_folder_holds_more_than_a_reader_takes_in() -> None:
    sizes = {folder: len(members(folder)) for folder in folders()}
    assert [f for f, size in sizes.items() if size > (MOST_AT_THE_TOP if f == PACKAGE else MOST_FILES)] == []


def test_a_deep_folder_opens_with_a_map_of_all_that_is_in_it() -> None:
    missing = {
        f"{folder.relative_to(ROOT)}: {name}"
        for folder in folders()
        if len(members(folder)) > 6
        for name in members(folder)
        if not re.search(rf"\b{name}\b", ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "")
    }
    assert missing == set()


def test_a_class_name_is_used_once() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: at for name, at in places.items() if len(at) > 1} == {}


def test_no_alias_of_a_type_has_the_name_of_a_class() -> None:
    classes: set[str] = set()
    aliases: dict[str, str] = {}
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                aliases[node.targets[0].id] = f"{path.relative_to(ROOT)}:{node.lineno}"
    assert {name: at for name, at in aliases.items() if name in classes} == {}


def test_no_module_imports_itself_through_others() -> None:
    grimp = pytest.importorskip("grimp", reason="it comes with import-linter, of the lint extra")
    graph = grimp.build_graph("decay_audit")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while leaves := {module for module, imported in imports.items() if not imported & imports.keys()}:
        imports = {module: imported for module, imported in imports.items() if module not in leaves}
    used = {imported for module in imports for imported in imports[module]}
    assert sorted(imports.keys() & used) == []


def test_every_module_says_what_it_is_for() -> None:
    summaries = {path: ast.get_docstring(ast.parse(path.read_text())) for path in modules()}
    assert [path for path, summary in summaries.items() if not summary or len(_first_paragraph(summary)) > 5] == []


def test_no_text_names_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATHS.search(line) and path != Path(__file__)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["see /home/me/model.py", "cd /root/x", "--find-links file:///srv", "open('/tmp/a.pt')"]
)
def test_the_check_for_machine_paths_can_fail(line: str) -> None:
    assert MACHINE_PATHS.search(line)


def test_a_url_of_a_file_that_a_test_makes_names_no_machine() -> None:
    assert not MACHINE_PATHS.search('init_method=f"file://{folder}/store"')


def _first_paragraph(text: str) -> list[str]:
    return text.partition("\n\n")[0].splitlines()


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def folders() -> list[Path]:
    return sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def members(folder: Path) -> list[str]:
    """The modules and the folders of modules in a folder, by name."""
    within = [path.stem for path in folder.glob("*.py")] + [path.parent.name for path in folder.glob("*/__init__.py")]
    return sorted(set(within) - {"__init__", "__main__"})


def functions() -> Iterator[tuple[str, int]]:
    """Place and length of each function, from `def` to its last line, its docstring left out."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", _length(node)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is None:
        return length
    docstring = node.body[0]
    return length - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def texts() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT)
    for folder in TOP_LEVEL:
        yield from (
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts
        )


def heavy_imports(code: str, *arguments: str) -> set[str]:
    """Which of the heavy packages a fresh process has imported when it ends."""
    watch = f"import sys, atexit; atexit.register(lambda: print('\\nIMPORTED', *({HEAVY!r} & sys.modules.keys())))"
    watch = watch.replace(repr(HEAVY), repr(set(HEAVY)))
    made = subprocess.run(
        [sys.executable, "-c", f"{watch}\n{code}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode in (0, 1), made.stdout + made.stderr
    assert "Traceback" not in made.stderr, made.stderr
    return set(made.stdout.rpartition("IMPORTED")[2].split())
