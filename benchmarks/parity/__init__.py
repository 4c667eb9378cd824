"""Every preset compared with its source on every architecture of torchvision, timm and transformers.

python -m benchmarks.parity --cache FOLDER [--only PRESET] [--models PREFIX] [--every N] [--write docs/parity.md]

tables        the results of all architectures -> docs/parity.md
__main__      the command
"""
