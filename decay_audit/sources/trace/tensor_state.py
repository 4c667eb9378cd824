"""What is known of every tensor of a traced pass: its trail, its fake twin, who made it. Knows torch, and no roles."""

from collections.abc import Iterable, Mapping

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from decay_audit.model.parameters import Use
from decay_audit.sources.trace.provenance import Trail, join, of_parameter

MAX_USES = 64  # kept for one parameter
MAX_CONSTANT = 1 << 20  # elements


class Ledger:
    """What is known of every tensor of the pass: its trail, its fake twin, and who owns its memory.

    Tensors are kept alive, so that an id means one tensor for the whole pass.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.uses: dict[str, dict[Use, None]] = {}
        self.calls = 0
        self.running = False
        self.assumed: set[str] = set()
        self._trails: dict[int, Trail] = {}
        self._written: dict[int, Trail] = {}
        self._twins: dict[int, torch.Tensor] = {}
        self._stand_ins: dict[int, torch.Tensor] = {}
        self._links: dict[int, int] = {}
        self._own: set[int] = set()
        self._stale: set[int] = set()
        self._alive: list[torch.Tensor] = []
        for name, parameter in parameters.items():
            self._keep(parameter, of_parameter(name))

    def declare_data(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give an input of the model its twin, and call it data."""
        twin = self.twin(tensor)
        self.calls += 1
        self._keep(twin, Trail(data=True, value=self.calls))
        return twin

    def trail(self, tensor: torch.Tensor) -> Trail | None:
        """Say what a tensor is made of; None for a constant."""
        return join(self._trails.get(id(tensor)), self._written.get(self._storage(tensor)))

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Make the fake tensor, on the CPU, that stands for a real one."""
        if isinstance(tensor, FakeTensor):
            return tensor
        if id(tensor) not in self._twins:
            with self.fake, torch.no_grad():
                twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
            self._twins[id(tensor)] = twin
            self._alive += (tensor, twin)
            self._links[twin.untyped_storage()._cdata] = tensor.untyped_storage()._cdata
        return self._twins[id(tensor)]

    def stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give what takes a model's own tensor's place during the pass: the one itself if its values can be used.

        A parameter's is a parameter: modules look, and fused kernels compare devices before any mode sees the call.
        """
        if id(tensor) in self._stand_ins:
            return self._stand_ins[id(tensor)]
        trail = self._trails.get(id(tensor))
        if trail is None and not tensor.is_meta:
            return tensor
        twin = self.twin(tensor)
        if isinstance(tensor, torch.nn.Parameter):
            twin = torch.nn.Parameter(twin, requires_grad=tensor.requires_grad)
            vars(twin).update(vars(tensor))
        self._stand_ins[id(tensor)] = twin
        self._keep(twin, trail)
        self._alive.append(tensor)
        return twin

    def real(self, tensor: torch.Tensor) -> bool:
        """Say whether a tensor has values that can be computed with."""
        return (
            not isinstance(tensor, FakeTensor)
            and tensor.device.type == "cpu"
            and self._storage(tensor) not in self._stale
            and tensor.numel() <= MAX_CONSTANT
        )

    def owns(self, tensor: torch.Tensor) -> bool:
        """Say whether the pass made this memory itself, so that writing into it harms nobody."""
        return self._storage(tensor) in self._own

    def wrote(self, tensor: torch.Tensor, trail: Trail | None) -> None:
        """Note that an operator wrote into a tensor, and so into all that shares its memory."""
        storage = self._storage(tensor)
        self._stale.add(storage)
        if trail is None:
            return
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        written = trail if whole else join(self._written.get(storage), trail)
        if written is not None:
            self._written[storage] = written
        if whole:
            self._keep(tensor, trail)

    def made(self, tensors: Iterable[torch.Tensor], trail: Trail | None, sources: Iterable[torch.Tensor]) -> None:
        """Note what came out of an operator."""
        shared = {self._storage(source) for source in sources}
        for tensor in tensors:
            self._keep(tensor, trail)
            storage = self._storage(tensor)
            if not isinstance(tensor, FakeTensor) and storage not in shared:
                self._own.add(storage)

    def record(self, name: str, use: Use) -> None:
        """Note that a parameter met data."""
        uses = self.uses.setdefault(name, {})
        if len(uses) < MAX_USES:
            uses[use] = None

    def _storage(self, tensor: torch.Tensor) -> int:
        if tensor.layout is not torch.strided:
            return id(tensor)
        storage: int = tensor.untyped_storage()._cdata
        return self._links.get(storage, storage)

    def _keep(self, tensor: torch.Tensor, trail: Trail | None) -> None:
        self._alive.append(tensor)
        if trail is None:
            self._trails.pop(id(tensor), None)
        else:
            self._trails[id(tensor)] = trail
