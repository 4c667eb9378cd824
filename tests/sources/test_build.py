"""From targets to built models: on which device they are built, in which import context, and what stays behind."""

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
from decay_audit.sources.module import BuiltModel, build, evaluate
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
NEEDS_ITEM = """
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
NEEDS_VALUES = """
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


def built(text: str, device: Device = "auto") -> BuiltModel:
    target = parse(text)
    assert isinstance(target, FileTarget | ModuleTarget)
    return build(target, device=device)


@pytest.mark.parametrize(("source", "device"), [(PLAIN, "meta"), (NEEDS_ITEM, "streamed"), (NEEDS_VALUES, "cpu")])
def test_a_model_is_built_on_the_first_device_that_works(write: Write, source: str, device: str) -> None:
    write("model.py", source)
    result = built("model.py")
    assert result.inventory.built_on == device
    assert all(parameter.is_meta for parameter in result.model.parameters()) == (device != "cpu")


@pytest.mark.parametrize("device", ["meta", "streamed", "cpu"])
def test_every_device_gives_the_same_parameters(write: Write, device: Device) -> None:
    write("model.py", PLAIN)
    result = built("model.py", device)
    assert result.inventory.built_on == device
    assert [(parameter.name, parameter.shape, parameter.tied_to) for parameter in result.inventory.parameters] == [
        ("embedding.weight", (7, 4), ("head.weight",)),
        ("head.bias", (7,), ()),
    ]


def test_a_streamed_parameter_stays_one_object_with_its_ties_and_attributes(write: Write) -> None:
    write("model.py", NEEDS_ITEM)
    result = built("model.py")
    (tied,) = [parameter for parameter in result.inventory.parameters if parameter.tied_to]
    assert (tied.name, tied.tied_to, tied.attributes) == ("left", ("right",), ("_no_weight_decay",))
    assert result.model.left is result.model.right


def test_the_report_says_why_a_model_had_to_be_built_on_the_cpu(write: Write) -> None:
    write("model.py", NEEDS_VALUES)
    (note,) = built("model.py").inventory.notes
    assert note.startswith("built on the CPU, because its code needs real values: model.py:8: RuntimeError:")


def test_a_device_that_the_user_chose_and_that_does_not_work_is_named(write: Write) -> None:
    write("model.py", NEEDS_ITEM)
    with pytest.raises(TargetError) as caught:
        built("model.py", "meta")
    assert caught.value.message.startswith("model.py:7: RuntimeError: Tensor.item() cannot be called on meta tensors")
    assert caught.value.hint == "--device meta does not suit every model: --device auto also tries the others"


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


def test_names_that_a_lazy_module_makes_on_demand_can_be_used(write: Write) -> None:
    write("lazy.py", LAZY)
    assert built("lazy.py:Net()").inventory.parameters[0].shape == (1,)
    assert built("lazy:Net").inventory.parameters[0].shape == (1,)


def test_an_instance_was_built_as_the_file_was_loaded(write: Write) -> None:
    write("model.py", PLAIN + "\n    model = Net().cuda()")
    result = built("model.py")
    assert (result.inventory.target, result.inventory.built_on) == ("model.py:model", "cpu")


def test_a_move_to_a_missing_gpu_does_not_stop_a_build(write: Write) -> None:
    write("model.py", PLAIN.replace("= nn.Linear(width, 7)", "= nn.Linear(width, 7).cuda().half()"))
    assert [parameter.dtype for parameter in built("model.py").inventory.parameters] == ["float32", "float16"]
    write("model.py", PLAIN + "    make = lambda: Net().to('cuda:1', nn.Linear(1, 1).half().weight.dtype)")
    assert {parameter.dtype for parameter in built("model.py:make").inventory.parameters} == {"float16"}


def test_a_move_to_a_missing_gpu_does_not_stop_a_build_with_real_values(write: Write) -> None:
    write("model.py", NEEDS_VALUES + "            self.cuda()")
    assert built("model.py").inventory.built_on == "cpu"


@pytest.mark.parametrize("device", ["auto", "streamed", "cpu"])
def test_a_parameter_of_a_missing_gpu_is_created_elsewhere(write: Write, device: Device) -> None:
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
        pytest.skip("CUDA is available")
    assert [parameter.name for parameter in built("model.py", device).inventory.parameters] == [
        "scale",
        "fc.weight",
        "fc.bias",
    ]


def test_an_expression_may_name_the_package_that_it_is_evaluated_in() -> None:
    sizes = [parameter.shape for parameter in built("torch.nn:Sequential(torch.nn.Linear(2, 3))").inventory.parameters]
    assert sizes == [(3, 2), (3,)]


def test_a_file_imports_its_neighbours_and_the_next_one_its_own(write: Write) -> None:
    for folder, width in (("a", 2), ("b", 5)):
        write(f"{folder}/layers.py", f"WIDTH = {width}")
        write(f"{folder}/model.py", "from layers import WIDTH\nfrom torch import nn\nmodel = nn.Linear(WIDTH, 1)")
    assert [built(f"{folder}/model.py").inventory.parameters[0].shape for folder in "aba"] == [(1, 2), (1, 5), (1, 2)]


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
    write("model.py", NEEDS_ITEM)
    built("model.py")
    assert not nn.Linear(2, 2).weight.is_meta


def test_progress_is_reported_for_each_device(write: Write) -> None:
    write("model.py", NEEDS_ITEM)
    progress: list[str] = []
    target = parse("model.py")
    assert isinstance(target, FileTarget)
    build(target, progress=progress.append)
    loading = "loading model.py"
    assert progress == [loading, "building model.py:Net (meta)", loading, "building model.py:Net (streamed)"]


def test_further_expressions_are_evaluated_where_the_model_was(write: Write) -> None:
    write("late.py", "RATE = 0.5")
    write("model.py", PLAIN + "\n    def rate():\n        import late\n        return late.RATE")
    result = built("model.py:Net()")
    assert evaluate("(rate(), model)", result.namespace, model=result.model) == (0.5, result.model)
    with pytest.raises(TargetError) as caught:
        evaluate("modle", result.namespace, model=result.model)
    assert (caught.value.message, caught.value.hint) == ("model.py has no `modle`", "did you mean `model`?")


def test_an_exception_in_a_further_expression_is_reported_with_its_location(write: Write) -> None:
    write("model.py", PLAIN + "\n    def broken():\n        return {}['lr']")
    result = built("model.py:Net()")
    with pytest.raises(TargetError, match=r"model.py:11: KeyError: 'lr'") as caught:
        evaluate("broken()", result.namespace)
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
    *facts, increase = ran.stdout.split()
    assert facts == ["1613348864", "('head.weight',)"]
    assert int(increase) < 250  # MiB above a bare import of torch, which takes about 220; all of it would be 6.2 GB
