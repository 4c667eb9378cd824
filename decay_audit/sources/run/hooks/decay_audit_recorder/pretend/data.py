"""With `--pretend data`: a dataset of torchvision that is not on the disk gives noise of the right shape."""

import functools
import inspect
import sys
from typing import Any, Callable, Dict, List, Tuple

_NOT_WRAPPED = ("VisionDataset", "FakeData")
"""Classes that need no files: the base class, and a dataset of noise."""
_SHAPES: Dict[str, Tuple[Tuple[int, ...], int, int, int]] = {
    "MNIST": ((28, 28), 10, 60000, 10000),
    "FashionMNIST": ((28, 28), 10, 60000, 10000),
    "KMNIST": ((28, 28), 10, 60000, 10000),
    "QMNIST": ((28, 28), 10, 60000, 60000),
    "EMNIST": ((28, 28), 47, 112800, 18800),
    "USPS": ((16, 16), 10, 7291, 2007),
    "CIFAR10": ((32, 32, 3), 10, 50000, 10000),
    "CIFAR100": ((32, 32, 3), 100, 50000, 10000),
    "SVHN": ((32, 32, 3), 10, 73257, 26032),
    "STL10": ((96, 96, 3), 10, 5000, 8000),
}
"""For each class the shape of an image, the number of classes, and how many images are for training and for tests."""
_OTHER_DATASETS = ((256, 256, 3), 1000, 512, 512)
"""The same numbers for folders of images and for all other datasets."""


def after_import(datasets: Any) -> None:
    """Wrap the constructors of the datasets of `torchvision.datasets`."""
    base = datasets.VisionDataset
    for cls in list(vars(datasets).values()):
        is_dataset = isinstance(cls, type) and issubclass(cls, base) and cls.__name__ not in _NOT_WRAPPED
        if is_dataset and "__init__" in cls.__dict__:
            cls.__init__ = _with_noise_on_failure(cls.__init__, base)


def _with_noise_on_failure(init: Callable[..., None], base: Any) -> Callable[..., None]:
    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        bound = inspect.signature(init).bind(self, *args, **kwargs)
        given = dict(bound.arguments)
        try:  # without `download`: nothing is fetched for a run that stops at the first step
            init(self, *args, **{name: value for name, value in kwargs.items() if name != "download"})
        except Exception as error:
            if not type(self).__module__.startswith("torchvision"):
                raise
            _become_noise(self, base, given, error)

    return __init__


def _become_noise(dataset: Any, base: Any, given: Dict[str, Any], error: Exception) -> None:
    """Make a dataset, whose constructor raised `error`, return noise instead of its images."""
    import numpy

    from .. import recording

    kind = type(dataset)
    # EMNIST derives from MNIST: the first known class in the MRO is the right one
    name = next((cls.__name__ for cls in kind.__mro__ if cls.__name__ in _SHAPES), "")
    shape, classes, count, test_count = _SHAPES.get(name, _OTHER_DATASETS)
    if given.get("train") is False or given.get("split") == "test":
        count = test_count
    recording.note("--pretend data: {} gives noise ({})".format(kind.__name__, str(error).splitlines()[0][:80]))
    base.__init__(dataset, str(given.get("root", "")), **_transforms(given))
    labels = [str(number) for number in range(classes)]
    _change_class(dataset, labels)
    dataset.noise = (shape, classes)
    dataset.targets = [index % classes for index in range(count)]
    dataset.samples = dataset.imgs = [("noise", target) for target in dataset.targets]
    if name:
        dataset.data = numpy.zeros((count, *shape), dtype="uint8")
        if len(shape) == 2:
            torch = sys.modules["torch"]
            dataset.data, dataset.targets = torch.from_numpy(dataset.data), torch.tensor(dataset.targets)


def _transforms(given: Dict[str, Any]) -> Dict[str, Any]:
    named = {**given.get("kwargs", {}), **given}
    return {name: named[name] for name in ("transform", "target_transform") if named.get(name) is not None}


def _change_class(dataset: Any, labels: List[str]) -> None:
    """Give a dataset a subclass of its class, whose methods return noise."""
    kind = type(dataset)
    names = {"__module__": kind.__module__, "__len__": _length, "__getitem__": _item, "classes": labels}
    names["__reduce_ex__"] = _reduce
    names["class_to_idx"] = {label: number for number, label in enumerate(labels)}
    dataset.__class__ = type(kind.__name__, (kind,), names)


def _reduce(dataset: Any, protocol: int) -> Any:  # noqa: ARG001
    """Pickle a dataset for a spawned process, which cannot find the class made by `_change_class` by its name."""
    return _restore, (type(dataset).__mro__[1], type(dataset).__dict__["classes"], dataset.__dict__)


def _restore(kind: type, labels: List[str], state: Dict[str, Any]) -> Any:
    dataset: Any = object.__new__(kind)
    dataset.__dict__.update(state)
    _change_class(dataset, labels)
    return dataset


def _length(dataset: Any) -> int:
    return len(dataset.samples)


def _item(dataset: Any, index: int) -> Any:
    import numpy
    from PIL import Image

    if index >= len(dataset.samples):
        raise IndexError(index)
    shape, classes = dataset.noise
    image = Image.fromarray(numpy.random.RandomState(index).randint(0, 256, shape, dtype="uint8"))
    target = index % classes
    return (image, target) if dataset.transforms is None else dataset.transforms(image, target)
