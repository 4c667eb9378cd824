"""Which model is chosen when the target names only a file."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from decay_audit.errors import TargetError
from decay_audit.sources.module import build
from decay_audit.sources.target import FileTarget, parse

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import Linear as Imported\n"
NET = """
class Block(nn.Module):
    def __init__(self, width=2):
        super().__init__()
        self.inner = nn.Linear(width, width)

class Net(nn.Module):
    def __init__(self, depth=2):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
"""


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)

    def chosen(text: str) -> str:
        Path("model.py").write_text(HEAD + dedent(text))
        target = parse("model.py")
        assert isinstance(target, FileTarget)
        return build(target).inventory.target.removeprefix("model.py:")

    return chosen


REBOUND = "def make():\n    net = Net()\n    net = wrap(net)\n    return net\ndef wrap(x): return x"
NESTED = "def _make(n): return Net(n)\ndef make(): return _make(4).eval().to('cpu')"
TRAINING = "def train():\n    net = Net()\n    net.step()\n    return net"
RECURSIVE = "def make():\n    return make() if False else nn.Linear(2, 2)"
COMPARED = """
class Base(nn.Module):
    def init(self, part):
        return isinstance(part, Model)

class Model(Base):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
"""
WIDE = "'model.py:wide(width=10)'"

ONE_MODEL = {
    "the class that no other is made of": (NET, "Net"),
    "the class derived from it": (NET + "class Variant(Net): pass", "Variant"),
    "a class that another only compares with": (COMPARED, "Model"),
    "an instance before its class": (NET + "model = Net(3)", "model"),
    "the whole before its part": (NET + "part = Block()\nmodel = nn.Sequential(part)", "model"),
    "one instance under two names": (NET + "model = Net()\nalias = model", "model"),
    "one class under two names": (NET + "Alias = Net", "Net"),
    "a loss is not a model": (NET + "model = Net()\nloss = nn.MSELoss()", "model"),
    "a class of losses is not either": (NET + "class DiceLoss(nn.Module): pass", "Net"),
    "a factory before its class": (NET + "def make(depth=3): return Net(depth)", "make"),
    "a factory that names its model": (NET + REBOUND, "make"),
    "a factory that is annotated": (NET + "def make() -> nn.Module: return globals()['Net']()", "make"),
    "a factory annotated by a string": (NET + "def make() -> 'Net': return globals()['Net']()", "make"),
    "a factory of a factory": (NET + NESTED, "make"),
    "a class before a factory that needs arguments": (NET + "def make(n): return Net(n)", "Net"),
    "training is not run": (NET + TRAINING, "Net"),
    "a factory that calls itself": (RECURSIVE, "make"),
    "no averaged copy": ("model = nn.Linear(2, 2)\nema = torch.optim.swa_utils.AveragedModel(model)", "model"),
    "no frozen copy": ("model = nn.Linear(2, 2)\nteacher = nn.Linear(2, 2).requires_grad_(False)", "model"),
    "a frozen model alone": ("model = nn.Linear(2, 2).requires_grad_(False)", "model"),
    "a private name is not offered": ("model = nn.Linear(2, 2)\n_hidden = nn.Linear(3, 3)", "model"),
}


@pytest.mark.parametrize(("text", "name"), ONE_MODEL.values(), ids=ONE_MODEL)
def test_a_file_with_one_model_needs_no_name(chosen: Callable[[str], str], text: str, name: str) -> None:
    assert chosen(text) == name


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param(
            NET + "def small(): return Net(1)\ndef big(): return Net(9)",
            "model.py has 3 models: name the one that you mean",
            "one of:\n  decay-audit inspect model.py:small\n  decay-audit inspect model.py:big\n"
            "  decay-audit inspect model.py:Net",
            id="several factories",
        ),
        pytest.param(
            "a = nn.Linear(2, 2)\nb = nn.Linear(2, 2)",
            "model.py has 2 models: name the one that you mean",
            "one of:\n  decay-audit inspect model.py:a\n  decay-audit inspect model.py:b",
            id="several instances",
        ),
        pytest.param(
            NET + "n = N = Net()\nm = Net()\nAlias = Net\ndef wide(width): return Net(width)",
            "model.py has 4 models: name the one that you mean",
            "\n  decay-audit inspect ".join(["one of:", *(f"model.py:{n}" for n in ("n", "m", "Net")), WIDE]),
            id="instances, a class and a factory, none under two names",
        ),
        pytest.param(
            "\n".join(f"n{i} = nn.Linear(2, 2)" for i in range(20)),
            "model.py has 20 models: name the one that you mean",
            "\n".join(["one of:", *(f"  decay-audit inspect model.py:n{i}" for i in range(8)), "  and 12 more"]),
            id="many instances",
        ),
        pytest.param(
            "from dataclasses import dataclass\n@dataclass\nclass GPTConfig:\n    n: int = 2\n"
            "class Block(nn.Module):\n    def __init__(self, config): super().__init__()\n"
            "class GPT(nn.Module):\n    def __init__(self, config):\n        super().__init__()\n        Block(config)",
            "model.py:GPT needs arguments: GPT(config)",
            "give them in the target, for example: decay-audit inspect 'model.py:GPT(GPTConfig())'",
            id="one class that needs its configuration",
        ),
        pytest.param(
            "from torch.nn.modules.linear import Identity as Settings\n"
            "class Net(nn.Module):\n    def __init__(self, width: int, settings: 'Settings'): super().__init__()\n",
            "model.py:Net needs arguments: Net(width: int, settings: 'Settings')",
            "give them in the target, for example: decay-audit inspect 'model.py:Net(width=10, settings=Settings())'",
            id="one class that needs an imported class",
        ),
        pytest.param(
            "def make(num_classes, name: str, ratio: float, cfg, /, *, flag: bool): return nn.Linear(num_classes, 1)",
            "model.py:make needs arguments: make(num_classes, name: str, ratio: float, cfg, /, *, flag: bool)",
            "give them in the target, for example: "
            """decay-audit inspect "model.py:make(10, '...', 0.1, ..., flag=True)\"""",
            id="one factory that needs arguments",
        ),
        pytest.param(
            "class A(nn.Module):\n    def __init__(self, width): super().__init__()\n"
            "class B(nn.Module):\n    def __init__(self, x): super().__init__()",
            "model.py has 2 models: name the one that you mean",
            "one of:\n  decay-audit inspect 'model.py:A(width=10)'\n  decay-audit inspect 'model.py:B(x=...)'",
            id="several classes that need arguments",
        ),
        pytest.param(
            "def setup():\n    return build()",
            "model.py defines no model",
            "name a model, or a function that returns one: decay-audit inspect model.py:setup",
            id="no model, but a function",
        ),
        pytest.param(
            "import torch\ndef annotated(model) -> torch.optim.Optimizer:\n    return build(model)\n"
            "def named(model):\n    made = torch.optim.SGD(model.parameters())\n    return made\n"
            "def called(model):\n    return torch.optim.AdamW(model.parameters())\n",
            "model.py defines no model",
            "name a model, or a function that returns one: decay-audit inspect model.py:NAME",
            id="only functions that make an optimizer",
        ),
        pytest.param(
            "class Box: pass\nbox = Box()\nbox.net = nn.Linear(2, 2)\n"
            "kept = {'a': nn.Linear(2, 2), 'b': [1, nn.Linear(2, 2)]}\ndef make(): return kept",
            "model.py defines no model",
            "\n  decay-audit inspect ".join(
                [
                    "name a model, or a function that returns one:",
                    "model.py:box.net",
                    "\"model.py:kept['a']\"",
                    "\"model.py:kept['b'][1]\"",
                ]
            ),
            id="no model, but values that hold some",
        ),
        pytest.param(
            "from dataclasses import dataclass\n@dataclass\nclass Config:\n    dim: int\n    name: str\n    n: int=2\n"
            "class GPT(nn.Module):\n    def __init__(self, config: Config): super().__init__()\n",
            "model.py:GPT needs arguments: GPT(config: model.Config)",
            "give them in the target, for example: "
            """decay-audit inspect "model.py:GPT(Config(dim=10, name='...'))\"""",
            id="one class that needs a configuration that needs arguments",
        ),
        pytest.param(
            "x = 1",
            "model.py defines no model",
            "name a model, or a function that returns one: decay-audit inspect model.py:NAME",
            id="nothing",
        ),
    ],
)
def test_a_file_without_one_clear_model_says_what_to_run(
    chosen: Callable[[str], str], text: str, message: str, hint: str
) -> None:
    with pytest.raises(TargetError) as caught:
        chosen(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_no_function_is_called_to_find_out_what_it_returns(chosen: Callable[[str], str]) -> None:
    with pytest.raises(TargetError, match="defines no model"):
        chosen("def launch():\n    raise SystemExit('launched')\ndef main():\n    launch()\n    return 1")


def test_the_suggested_commands_work(chosen: Callable[[str], str]) -> None:
    text = """
        class C(nn.Module):
            def __init__(self, width: int):
                super().__init__()
                self.inner = nn.Linear(width, 1)
    """
    with pytest.raises(TargetError) as caught:
        chosen(text)
    suggested = parse(caught.value.hint.partition("inspect '")[2].removesuffix("'"))
    assert isinstance(suggested, FileTarget)
    assert build(suggested).inventory.parameters[0].shape == (1, 10)
