"""From targets to built models: which stage builds them, in which surroundings, and what is left behind."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.model.choices import Device
from decay_audit.sources.module import Built, build, evaluate
from decay_audit.sources.target import FileTarget, ModuleTarget, parse

Write = Callable[[str, str], Path]

PLAIN = """
    from torch import nn
    class Net(nn.Module):
        def __init__(self, width=4):
            super().__init__()
            self.embedding = nn.Embedding(7, width)
            self.head = nn.Linear(width, 7)
            self.head.weight = self.embedding.weight
"""
NUMBERS = """
    import torch
    from torch import nn
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
            self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in rates)
            shared = nn.Parameter(torch.randn(3))
            shared._no_weight_decay = True
            self.left, self.right = shared, shared
"""
LAZY = """
    def __getattr__(name):
        from torch import nn
        if name == "Net":
            return nn.PReLU
        raise AttributeError(name)
"""
REGISTERED = """
    from pkg.registry import KNOWN
    from torch import nn
    class Net(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
    assert "Net" not in KNOWN
    KNOWN.add("Net")
"""
VALUES = """
    import torch
    from torch import nn
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.total = self.weight.sum().item()
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write


def built(text: str, device: Device = "auto") -> Built:
    target = parse(text)
    assert isinstance(target, FileTarget | ModuleTarget)
    return build(target, device=device)


@pytest.mark.parametrize(("source", "stage"), [(PLAIN, "meta"), (NUMBERS, "streamed"), (VALUES, "cpu")])
def test_a_constructor_is_built_on_the_first_stage_that_it_bears(write: Write, source: str, stage: str) -> None:
    write("model.py", source)
    one = built("model.py")
    assert one.inventory.built_on == stage
    assert all(parameter.is_meta for parameter in one.model.parameters()) == (stage != "cpu")


@pytest.mark.parametrize("device", ["meta", "streamed", "cpu"])
def test_every_stage_reads_the_same_parameters(write: Write, device: Device) -> None:
    write("model.py", PLAIN)
    one = built("model.py", device)
    assert one.inventory.built_on == device
    assert [(each.name, each.shape, each.tied_to) for each in one.inventory.parameters] == [
        ("embedding.weight", (7, 4), ("head.weight",)),
        ("head.bias", (7,), ()),
    ]


def test_a_streamed_parameter_stays_one_object_with_its_ties_and_attributes(write: Write) -> None:
    write("model.py", NUMBERS)
    one = built("model.py")
    (tied,) = [each for each in one.inventory.parameters if each.tied_to]
    assert (tied.name, tied.tied_to, tied.attributes) == ("left", ("right",), ("_no_weight_decay",))
    assert one.model.left is one.model.right


def test_the_report_says_why_a_model_had_to_be_built_on_the_cpu(write: Write) -> None:
    write("model.py", VALUES)
    (note,) = built("model.py").inventory.notes
    assert note.startswith("built on the CPU, because its code needs real numbers: model.py:8: RuntimeError:")


def test_a_forced_stage_that_does_not_work_says_so(write: Write) -> None:
    write("model.py", NUMBERS)
    with pytest.raises(TargetError) as caught:
        built("model.py", "meta")
    assert caught.value.message.startswith("model.py:7: RuntimeError: Tensor.item() cannot be called on meta tensors")
    assert caught.value.hint == "not every constructor bears --device meta; --device auto tries others"


def test_the_name_of_the_chosen_model_joins_the_target(write: Write) -> None:
    write("nets/model.py", PLAIN)
    inventory = built("nets/model.py").inventory
    assert (inventory.target, inventory.files, inventory.kind) == ("model.py:Net", ("model.py",), "module")


def test_an_expression_sees_the_names_of_its_file(write: Write) -> None:
    write("model.py", PLAIN)
    assert built("model.py:nn.Sequential(*[Net(width=2 * i) for i in (1, 2)])").inventory.parameters[0].shape == (7, 2)


def test_a_function_inside_an_expression_sees_them_too(write: Write) -> None:
    write("model.py", PLAIN)
    assert built("model.py:(lambda: Net(width=3))").inventory.parameters[0].shape == (7, 3)


def test_names_that_a_lazy_module_makes_on_demand_are_found(write: Write) -> None:
    write("lazy.py", LAZY)
    assert built("lazy.py:Net()").inventory.parameters[0].shape == (1,)
    assert built("lazy:Net").inventory.parameters[0].shape == (1,)


def test_an_instance_was_built_as_the_file_was_loaded(write: Write) -> None:
    write("model.py", PLAIN + "\n    model = Net().cuda()")
    one = built("model.py")
    assert (one.inventory.target, one.inventory.built_on) == ("model.py:model", "streamed")


def test_moving_to_a_gpu_that_is_not_there_does_not_stop_a_build(write: Write) -> None:
    write("model.py", PLAIN.replace("= nn.Linear(width, 7)", "= nn.Linear(width, 7).cuda().half()"))
    assert [each.dtype for each in built("model.py").inventory.parameters] == ["float32", "float16"]
    write("model.py", PLAIN + "    make = lambda: Net().to('cuda:1', nn.Linear(1, 1).half().weight.dtype)")
    assert {each.dtype for each in built("model.py:make").inventory.parameters} == {"float16"}


def test_nor_does_it_where_the_numbers_are_needed(write: Write) -> None:
    write("model.py", VALUES + "            self.cuda()")
    assert built("model.py").inventory.built_on == "cpu"


@pytest.mark.parametrize("device", ["auto", "streamed", "cpu"])
def test_a_parameter_that_is_made_on_a_gpu_that_is_not_there_is_made_here(write: Write, device: Device) -> None:
    write("model.py", """
        import torch
        from torch import nn
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(3, device="cuda"))
                self.fc = nn.Linear(3, 2, device=torch.device("cuda:1"))
    """)  # fmt: skip
    if torch.cuda.is_available():
        pytest.skip("it is there")
    assert [one.name for one in built("model.py", device).inventory.parameters] == ["scale", "fc.weight", "fc.bias"]


def test_an_expression_may_name_the_package_that_it_is_evaluated_in() -> None:
    sizes = [one.shape for one in built("torch.nn:Sequential(torch.nn.Linear(2, 3))").inventory.parameters]
    assert sizes == [(3, 2), (3,)]


def test_a_file_imports_its_neighbours_and_the_next_one_its_own(write: Write) -> None:
    for folder, width in (("a", 2), ("b", 5)):
        write(f"{folder}/layers.py", f"WIDTH = {width}")
        write(f"{folder}/model.py", "from layers import WIDTH\nfrom torch import nn\nmodel = nn.Linear(WIDTH, 1)")
    assert [built(f"{each}/model.py").inventory.parameters[0].shape for each in "aba"] == [(1, 2), (1, 5), (1, 2)]


def test_a_file_of_a_package_may_import_relatively(write: Write) -> None:
    for name in ("pkg/__init__.py", "pkg/nets/__init__.py"):
        write(name, "")
    write("pkg/sizes.py", "WIDTH = 6")
    write("pkg/nets/model.py", "from ..sizes import WIDTH\nfrom torch import nn\nmodel = nn.Linear(WIDTH, 1)")
    for target in ("pkg/nets/model.py", "pkg.nets.model", "pkg.nets.model.model", "pkg.nets.model:model"):
        assert built(target).inventory.parameters[0].shape == (1, 6)


def test_a_file_that_imports_its_own_package_is_a_member_of_it(write: Write) -> None:
    write("pkg/__init__.py", "from pkg import model")
    write("pkg/registry.py", "KNOWN = set()")
    write("pkg/model.py", REGISTERED)
    assert built("pkg/model.py").inventory.parameters[0].owner.types[0] == "pkg.model.Net"


def test_a_file_named_like_a_module_in_use_displaces_nothing(write: Write) -> None:
    write("torch.py", "from torch.nn import Linear\nmodel = Linear(3, 1)")
    write("json.py", "import dataclasses\nfrom torch import nn\nmodel = nn.Linear(3, 1)")
    assert built("json.py").inventory.parameters[0].shape == (1, 3)
    assert sys.modules["torch"] is torch


def test_the_process_is_left_as_it_was(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("layers.py", "import os\nos.system('echo from a program')\nprint('from layers')")
    head = "import sys, torch, layers\nassert sys.argv == ['model.py']\ntorch.set_default_dtype(torch.half)\n"
    write("model.py", head + dedent(PLAIN))
    before = (list(sys.path), list(sys.argv), set(sys.modules), torch.get_default_dtype())
    built("model.py:Net()")
    assert (list(sys.path), list(sys.argv), set(sys.modules), torch.get_default_dtype()) == before
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == "from a program\nfrom layers\n"


def test_a_hook_on_registration_does_not_outlive_the_build(write: Write) -> None:
    write("model.py", NUMBERS)
    built("model.py")
    assert not nn.Linear(2, 2).weight.is_meta


def test_progress_is_told_stage_by_stage(write: Write) -> None:
    write("model.py", NUMBERS)
    said: list[str] = []
    target = parse("model.py")
    assert isinstance(target, FileTarget)
    build(target, progress=said.append)
    loading = "loading model.py"
    assert said == [loading, "building model.py:Net (meta)", loading, "building model.py:Net (streamed)"]


def test_further_expressions_are_evaluated_where_the_model_was(write: Write) -> None:
    write("late.py", "RATE = 0.5")
    write("model.py", PLAIN + "\n    def rate():\n        import late\n        return late.RATE")
    one = built("model.py:Net()")
    assert evaluate("(rate(), model)", one.namespace, model=one.model) == (0.5, one.model)
    with pytest.raises(TargetError) as caught:
        evaluate("modle", one.namespace, model=one.model)
    assert (caught.value.message, caught.value.hint) == ("model.py has no `modle`", "did you mean `model`?")


def test_an_exception_in_a_further_expression_is_told_with_its_place(write: Write) -> None:
    write("model.py", PLAIN + "\n    def broken():\n        return {}['lr']")
    one = built("model.py:Net()")
    with pytest.raises(TargetError, match=r"model.py:11: KeyError: 'lr'") as caught:
        evaluate("broken()", one.namespace)
    assert isinstance(caught.value.__cause__, KeyError)


BIG = """
    import torch
    from torch import nn
    class Block(nn.Module):
        def __init__(self, width, rate):
            super().__init__()
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.norm = nn.LayerNorm(width)
    class Big(nn.Module):
        def __init__(self, width=2048):
            super().__init__()
            self.embedding = nn.Embedding(1000, width)
            self.blocks = nn.ModuleList(Block(width, rate.item()) for rate in torch.linspace(0, 0.1, 48))
            self.head = nn.Linear(width, 1000, bias=False)
            self.head.weight = self.embedding.weight
"""
PEAK = """
    import resource, sys
    import torch
    from decay_audit.sources.module import build
    from decay_audit.sources.target import parse
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inventory = build(parse("big.py"), device=sys.argv[1]).inventory
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(sum(each.numel for each in inventory.parameters), inventory.parameters[0].tied_to, (after - before) // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX")
def test_a_streamed_model_of_1_6_billion_parameters_takes_the_memory_of_one(write: Write) -> None:
    write("big.py", BIG)
    write("peak.py", PEAK)
    ran = subprocess.run([sys.executable, "peak.py", "streamed"], capture_output=True, text=True, check=True)
    *facts, grown = ran.stdout.split()
    assert facts == ["1613348864", "('head.weight',)"]
    assert int(grown) < 250  # MiB above a bare import of torch, which takes about 220; all of it would be 6.2 GB
