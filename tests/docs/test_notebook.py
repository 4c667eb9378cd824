"""examples/notebook.ipynb is executed by nbconvert, as a reader executes it."""

from typing import Any

import pytest

from tests.docs.pages import DOCS

nbformat: Any = pytest.importorskip("nbformat", reason="pip install -e '.[notebook]'")
preprocessors: Any = pytest.importorskip("nbconvert.preprocessors", reason="pip install -e '.[notebook]'")
pytest.importorskip("ipykernel", reason="pip install -e '.[notebook]'")


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_and_a_report_is_a_tree_that_folds_without_a_script() -> None:
    notebook = nbformat.read(DOCS.parent / "examples" / "notebook.ipynb", as_version=4)
    preprocessors.ExecutePreprocessor(timeout=300, kernel_name="python3").preprocess(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output.output_type for output in outputs] == ["execute_result"] * 3
    first, scalars, held = (output.data for output in outputs)
    assert "DA101" in first["text/html"]
    assert "<details" in first["text/html"]
    assert "<script" not in first["text/html"] + held["text/html"]
    assert "'findings/error': 1.0" in scalars["text/plain"]
    assert "DA101" not in held["text/html"]
