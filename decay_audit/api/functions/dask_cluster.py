"""Call a function with each of many items on the workers of a Dask cluster, and yield what it returns, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")

_ITEMS_FOR_EACH_WORKER: Final = 3
"""How many items wait at a time for each thread of a worker, so that memory does not grow with their number."""
_TIMEOUT: Final = 20
"""The seconds to wait for the scheduler, and for its first worker."""


def map_in_order(address: str, function: Callable[[Item], Iterable[Result]], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of all calls, in the order of the items.

    Args:
        address: that of the scheduler.
        function: a function of an installed module, because a worker imports it.

    Raises:
        DecayAuditError: Dask is not installed, the scheduler cannot be reached or has no workers, or a worker was
            killed.
    """
    client = _connect(address)
    waiting: deque[Any] = deque()
    try:
        at_once = _ITEMS_FOR_EACH_WORKER * sum(client.nthreads().values())
        for item in items:
            waiting.append(client.submit(function, item, pure=False))
            if len(waiting) > at_once:
                yield from _result(waiting.popleft())
        while waiting:
            yield from _result(waiting.popleft())
    finally:
        client.cancel(list(waiting))
        client.close()


def _connect(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise DecayAuditError("--cluster needs Dask", "pip install 'decay-audit[dask]'") from None
    try:
        client = Client(address, timeout=_TIMEOUT, set_as_default=False)
        client.wait_for_workers(1, timeout=_TIMEOUT)
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise DecayAuditError(
            f"the Dask cluster at {address} cannot be used: {error}", "start it with `dask scheduler`, `dask worker`"
        ) from None
    return client


def _result(future: Any) -> Any:  # noqa: ANN401 - the future of another library
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        raise DecayAuditError(
            "a worker was killed while it read a checkpoint", "run the command again with --resume"
        ) from None
    except ModuleNotFoundError as error:
        raise DecayAuditError(
            f"a worker of the cluster has no {error.name}", "install decay-audit where the workers run"
        ) from None
