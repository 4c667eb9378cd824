"""The state of each tensor of a traced pass: its provenance, its fake tensor, and whether the pass owns its memory."""

from collections.abc import Iterable, Mapping

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from decay_audit.model.parameters import Use
from decay_audit.sources.trace.dataflow.provenance import Provenance, Tag, merge, parameter_provenance
from decay_audit.sources.trace.limits import Limits, LineCounter

MAX_USES = 64  # per parameter
MAX_CONSTANT = 1 << 20  # elements of a constant that is computed for real
MAX_KEPT = 1 << 12  # elements of an integer input that keeps its values


class TensorStates:
    """The states of all tensors in one trace, and the uses of parameters recorded so far.

    Tensors are kept alive, so that an id means one tensor until the trace ends.

    Attributes:
        fake_mode: runs operators on shapes alone.
        uses: the uses of each parameter by its name; the inner dict is an ordered set.
        feeds: for each gain, by its name, the weights that its data meets next, and RESIDUAL; an ordered set.
        heads: the weights of the layers that computed the output of the model.
        calls: how many operators were called and inputs added; each gives its results a number.
        limits: how much work the passes may do.
        lines: counts the lines of Python code that the passes run.
        in_forward: whether a forward pass is running now.
        stopped: whether a limit was reached; then no further pass is run.
        assumed_operators: the operators whose results were assumed, because they depend on unknown values.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], limits: Limits) -> None:
        self.fake_mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.uses: dict[str, dict[Use, None]] = {}
        self.feeds: dict[str, dict[str, None]] = {}
        self.heads: set[str] = set()
        self.calls = 0
        self.limits = limits
        self.lines = LineCounter(limits.lines)
        self.in_forward = False
        self.stopped = False
        self.assumed_operators: set[str] = set()
        self._provenances: dict[int, Provenance] = {}
        self._storage_provenances: dict[int, Provenance] = {}
        self._fakes: dict[int, torch.Tensor] = {}
        self._placeholders: dict[int, torch.Tensor] = {}
        self._real_storages: dict[int, int] = {}  # the real storage of each fake storage
        self._own_storages: set[int] = set()
        self._overwritten_storages: set[int] = set()
        self._alive: list[torch.Tensor] = []
        for name, parameter in parameters.items():
            self._set_provenance(parameter, parameter_provenance(name))

    def add_input(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor that the model gets for an input: usually its fake tensor. It counts as data.

        A small tensor of integers or booleans keeps its values: they are indices, lengths and masks.
        """
        has_indices = tensor.device.type == "cpu" and not tensor.dtype.is_floating_point and not tensor.dtype.is_complex
        kept = has_indices and not isinstance(tensor, FakeTensor) and tensor.numel() <= MAX_KEPT
        data = tensor.clone() if kept else self.fake(tensor)
        self.calls += 1
        is_integer = not (tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype == torch.bool)
        tags: frozenset[Tag] = frozenset({"ids"}) if is_integer else frozenset()
        self._set_provenance(data, Provenance(is_data=True, tags=tags, value_id=self.calls))
        return data

    def provenance(self, tensor: torch.Tensor) -> Provenance | None:
        """Return what a tensor is computed from; None for a constant."""
        return merge(self._provenances.get(id(tensor)), self._storage_provenances.get(self._storage(tensor)))

    def fake(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the fake CPU tensor for a real one; the same each time."""
        if isinstance(tensor, FakeTensor):
            return tensor
        if id(tensor) not in self._fakes:
            with self.fake_mode, torch.no_grad():
                fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
            self._fakes[id(tensor)] = fake
            self._alive += (tensor, fake)
            self._real_storages[fake.untyped_storage()._cdata] = tensor.untyped_storage()._cdata
        return self._fakes[id(tensor)]

    def placeholder(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the placeholder for a tensor of the model; the tensor itself if its values can be used.

        The placeholder of a parameter is an nn.Parameter, because modules test for that class. It says that it is on
        the CPU, because fused kernels compare devices before any dispatch mode sees the call.
        """
        if id(tensor) in self._placeholders:
            return self._placeholders[id(tensor)]
        provenance = self._provenances.get(id(tensor))
        if provenance is None and not tensor.is_meta:
            return tensor
        placeholder = self.fake(tensor)
        if isinstance(tensor, torch.nn.Parameter):
            placeholder = torch.nn.Parameter(placeholder, requires_grad=tensor.requires_grad)
            vars(placeholder).update(vars(tensor))
        self._placeholders[id(tensor)] = placeholder
        self._set_provenance(placeholder, provenance)
        self._alive.append(tensor)
        return placeholder

    def has_values(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor has values that can be computed with."""
        return (
            not isinstance(tensor, FakeTensor)
            and tensor.device.type == "cpu"
            and self._storage(tensor) not in self._overwritten_storages
            and tensor.numel() <= MAX_CONSTANT
        )

    def owns_memory(self, tensor: torch.Tensor) -> bool:
        """Whether the pass allocated this memory itself, so that it may be overwritten."""
        return self._storage(tensor) in self._own_storages

    def add_written(self, tensor: torch.Tensor, provenance: Provenance | None) -> None:
        """Record that an operator wrote into a tensor, and so into every view of the same memory."""
        storage = self._storage(tensor)
        self._overwritten_storages.add(storage)
        if provenance is None:
            return
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        written = provenance if whole else merge(self._storage_provenances.get(storage), provenance)
        if written is not None:
            self._storage_provenances[storage] = written
        if whole:
            self._set_provenance(tensor, provenance)

    def add_results(
        self, tensors: Iterable[torch.Tensor], provenance: Provenance | None, arguments: Iterable[torch.Tensor]
    ) -> None:
        """Record the results of an operator. They may share memory with its arguments."""
        shared = {self._storage(argument) for argument in arguments}
        for tensor in tensors:
            self._set_provenance(tensor, provenance)
            storage = self._storage(tensor)
            if not isinstance(tensor, FakeTensor) and storage not in shared:
                self._own_storages.add(storage)

    def add_use(self, name: str, use: Use) -> None:
        """Record a use of a parameter."""
        uses = self.uses.setdefault(name, {})
        if len(uses) < MAX_USES:
            uses[use] = None

    def add_output(self, tensor: torch.Tensor) -> None:
        """Record which layers computed an output of the model."""
        provenance = self.provenance(tensor)
        self.heads |= provenance.computed_by if provenance is not None else set()

    def met_data(self, name: str) -> bool:
        """Whether a parameter was used with data, or with the result of a layer, and not only with parameters."""
        return any("without data" not in use.tags for use in self.uses.get(name, ()))

    def _storage(self, tensor: torch.Tensor) -> int:
        if tensor.layout is not torch.strided:
            return id(tensor)
        storage: int = tensor.untyped_storage()._cdata
        return self._real_storages.get(storage, storage)

    def _set_provenance(self, tensor: torch.Tensor, provenance: Provenance | None) -> None:
        self._alive.append(tensor)
        if provenance is None:
            self._provenances.pop(id(tensor), None)
        else:
            self._provenances[id(tensor)] = provenance
