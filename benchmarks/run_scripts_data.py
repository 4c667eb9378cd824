"""Write data sets of random numbers, in the formats of the real ones, where the scripts of `run_scripts_list` read.

`python -m benchmarks.run_scripts_data CHECKOUTS` writes them. A script is judged before its first step, so what the
data shows does not matter. CIFAR is left out: torchvision compares its checksum.
"""

import sys
from pathlib import Path

import numpy
from PIL import Image

MNIST_ROOTS = (
    "pytorch+examples/data",
    "eriklindernoren+PyTorch-GAN/data/mnist",
    "yunjey+pytorch-tutorial/tutorials/data",
    "state-spaces+s4/data",
    "ashleve+lightning-hydra-template/data",
)
"""Where scripts look for `torchvision.datasets.MNIST`."""
IMAGE_ROOTS = (
    "facebookresearch+deit/images",
    "huggingface+pytorch-image-models/images",
    "HobbitLong+SupContrast/images",
    "facebookresearch+ConvNeXt/images",
    "openai+guided-diffusion/images",
    "facebookresearch+simsiam/images",
    "facebookresearch+barlowtwins/images",
    "facebookresearch+vicreg/images",
    "facebookresearch+dino/images",
    "microsoft+Swin-Transformer/images",
)
"""Where scripts look for folders of images, one folder for each class."""
TEXT_ROOT = "pytorch+examples/word_language_model/data/wikitext-2"
"""Where the language model of pytorch/examples looks for its texts."""
GRAPH_ROOT = "tkipf+pygcn/data/cora"
"""Where pygcn looks for the papers of Cora and for its citations."""
UNET_ROOT = "milesial+Pytorch-UNet/data"
"""Where Pytorch-UNet looks for images and masks."""
_RANDOM = numpy.random.RandomState(0)


def write_mnist(root: Path) -> None:
    """Write the four files of MNIST. The example of a lightning template splits them into 55,000, 5,000 and 10,000."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 60_000), ("t10k", 10_000)):
        images = _RANDOM.randint(0, 256, (count, 28, 28)).astype(numpy.uint8)
        labels = (numpy.arange(count) % 10).astype(numpy.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(_idx_header(3, images.shape) + images.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(_idx_header(1, labels.shape) + labels.tobytes())


def _idx_header(dimensions: int, shape: tuple[int, ...]) -> bytes:
    return bytes([0, 0, 8, dimensions]) + b"".join(size.to_bytes(4, "big") for size in shape)


def write_images(root: Path) -> None:
    """Write `train` and `val`, each with two classes of 16 images."""
    for part in ("train", "val"):
        for label in ("a", "b"):
            folder = root / part / label
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(16):
                _image().save(folder / f"{index}.png")


def write_segmentation(root: Path) -> None:
    """Write images, and masks with two values."""
    for name in ("imgs", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for index in range(16):
        _image().save(root / "imgs" / f"{index}.png")
        mask = _RANDOM.randint(0, 2, (64, 64)).astype(numpy.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{index}_mask.png")


def write_texts(root: Path) -> None:
    """Write three texts."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        (root / f"{name}.txt").write_text(" the cat sat on the mat \n" * 2_000)


def write_graph(root: Path) -> None:
    """Write 2,000 papers with 50 words and one of 7 classes each, and a citation for each."""
    root.mkdir(parents=True, exist_ok=True)
    words = _RANDOM.randint(0, 2, (2_000, 50))
    (root / "cora.content").write_text(
        "".join(f"{paper} {' '.join(map(str, row))} class{paper % 7}\n" for paper, row in enumerate(words))
    )
    (root / "cora.cites").write_text("".join(f"{paper} {(paper * 7 + 1) % 2_000}\n" for paper in range(2_000)))


def _image() -> Image.Image:
    return Image.fromarray(_RANDOM.randint(0, 256, (64, 64, 3)).astype(numpy.uint8))


def main() -> None:
    """Write all data sets."""
    checkouts = Path(sys.argv[1])
    for root in MNIST_ROOTS:
        write_mnist(checkouts / root)
    for root in IMAGE_ROOTS:
        write_images(checkouts / root)
    write_texts(checkouts / TEXT_ROOT)
    write_graph(checkouts / GRAPH_ROOT)
    write_segmentation(checkouts / UNET_ROOT)


if __name__ == "__main__":
    main()
