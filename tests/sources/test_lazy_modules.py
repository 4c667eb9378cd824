"""Modules that import on demand: reading a model asks none of them for anything."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from decay_audit import read


class Lazy(ModuleType):
    """A module that imports a missing package as soon as it is asked for any attribute."""

    def __getattr__(self, name: str) -> object:
        raise ImportError(f"{self.__name__} needs a package that is not installed")


def test_a_lazy_module_that_cannot_be_imported_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "net.py"
    file.write_text("import torch\nnet = torch.nn.Linear(2, 3)\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "lazy_integrations", Lazy("lazy_integrations"))
    assert [parameter.name for parameter in read(str(file)).parameters] == ["weight", "bias"]
