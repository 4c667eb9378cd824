"""Module classes with unusual structure, names or tensors; `tests.menagerie` builds one of each, and more."""

from typing import Any

import torch
from torch import Tensor, nn

ODD_NAMES = (
    "weird name\n\x1b[31m",
    'single\' and "double"',
    "{braces} {0} {{}}",
    "[bold]markup[/bold]",
    "back\\slash",
    "naïve_β",
    "*",
    "bias ",
    "<script>",
    "a,b;c|d\t`e`",
)


class Bare(nn.Module):
    """Parameters that no submodule of torch.nn holds."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
        self.gamma = nn.Parameter(torch.ones(8))
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token"}


class Tied(nn.Module):
    """A language model's head that is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(11, 4)
        self.norm = nn.LayerNorm(4)
        self.lm_head = nn.Linear(4, 11, bias=False)
        self.lm_head.weight = self.wte.weight


class Shared(nn.Module):
    """One submodule under two names, and once more inside a list."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 4)
        self.decoder = self.encoder
        self.stack = nn.ModuleList([self.encoder, nn.Linear(4, 2)])


class Diamond(nn.Module):
    """Modules shared at every level: the number of paths doubles with each."""

    def __init__(self, depth: int = 24) -> None:
        super().__init__()
        inner: nn.Module = nn.Linear(2, 2)
        for _ in range(depth):
            inner = nn.ModuleDict({"left": inner, "right": inner})
        self.top = inner


class Cyclic(nn.Module):
    """A module that is registered inside its own child."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(3, 3)
        self.child.add_module("parent", self)


class OddNames(nn.Module):
    """Names that torch allows, and that are hard to print safely."""

    def __init__(self) -> None:
        super().__init__()
        for name in ODD_NAMES:
            self.register_parameter(name, nn.Parameter(torch.zeros(2)))
            self.add_module(f"module {name}", nn.Linear(2, 2))


class RootBias(nn.Module):
    """Parameters `weight` and `bias` at the root, without a prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 2))
        self.bias = nn.Parameter(torch.zeros(3))


class Scalars(nn.Module):
    """0-d tensors, and tensors without elements."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.eps = nn.Parameter(torch.tensor(1e-6), requires_grad=False)
        self.nothing = nn.Parameter(torch.zeros(0, 4))
        self.vector = nn.Parameter(torch.zeros(1))


class Flagged(nn.Module):
    """Tensors with attributes of their own, as state-space models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.A_log = nn.Parameter(torch.zeros(4, 2))
        self.A_log.__dict__["_no_weight_decay"] = True
        self.D = nn.Parameter(torch.ones(4))
        self.D.__dict__["_optim"] = {"weight_decay": 0.0}
        self.dt_bias = nn.Parameter(torch.zeros(4))
        self.dt_bias.__dict__["_no_weight_decay"] = False
        self.in_proj = nn.Linear(4, 8)


class Declaring(nn.Module):
    """The hooks of timm and OpenCLIP, at the root and in a child, with a glob among the names."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.trunk = Bare()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def no_weight_decay(self) -> list[str]:
        return ["pos_embed", "blocks.*.bias"]

    def no_weight_decay_keywords(self) -> tuple[str, ...]:
        return ("logit_scale",)

    def no_weight_decay_patterns(self) -> list[str]:
        return ["*locks.1.w*"]


class BrokenHook(nn.Linear):
    """A hook that raises: it must become a note, not an error."""

    def no_weight_decay(self) -> set[str]:
        raise KeyError("backbone")


class PlainDicts(nn.Module):
    """Modules in a plain dict and list, which torch does not register."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.heads = {"a": nn.Linear(4, 2), "b": nn.Linear(4, 3)}
        self.extra = [nn.Linear(4, 1)]
        self.registered = [self.stem]


class RMSNorm(nn.Module):
    """A norm that derives from nothing in torch.nn."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))


class TiedBare(nn.Module):
    """A tie between bare parameters: one tensor under three names."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Parameter(torch.zeros(3, 3))
        self.left = shared
        self.right = shared
        self.both = nn.ParameterList([shared, nn.Parameter(torch.zeros(2))])


class Buffers(nn.Module):
    """State without parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(4))
        self.norm = nn.BatchNorm1d(4, affine=False)


class Custom(Tensor):
    """A tensor subclass that allows a few queries and refuses all operators."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in {"__get__", "__hash__", "numel", "requires_grad_"}:
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        raise TypeError(f"{func.__name__} is refused")


class Subclassed(nn.Module):
    """A parameter of a tensor class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.register_parameter("odd", _custom_parameter())


def _custom_parameter() -> Any:
    parameter: Any = torch.zeros(2, 3).as_subclass(Custom).requires_grad_()
    parameter._is_param = True  # what makes isinstance(x, nn.Parameter) true
    return parameter
