"""Fuzz one reader with atheris, which follows the coverage: python -m tests.fuzz.coverage_guided zip [CORPUS].

atheris is not among the test dependencies: pip install atheris.
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.fuzz.test_readers import read_or_refuse, seeds


def main() -> None:
    """Run until something is raised that is no TargetError."""
    atheris = import_module("atheris")
    form = sys.argv.pop(1)
    folder = Path(tempfile.mkdtemp())
    path = folder / f"fuzzed.{'safetensors' if form == 'safetensors' else 'pt'}"
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(seeds(folder)[form])
    atheris.instrument_all()
    atheris.Setup([*sys.argv, str(corpus)], lambda content: read_or_refuse(content, path))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
