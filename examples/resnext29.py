"""ResNeXt-29 (8x64d) for CIFAR-10: aggregated residual blocks with grouped convolutions and batch norm.

The network of "Aggregated Residual Transformations for Deep Neural Networks" (Xie et al. 2017, arXiv:1611.05431,
section 5.3): 3 stages of 3 blocks, 8 paths of 64 channels in the first stage; 34,426,698 parameters in 95 tensors.

    decay-audit inspect examples/resnext29.py
    decay-audit check examples/resnext29.py --optimizer examples/resnext29.py:make_optimizer
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """A bottleneck whose middle convolution runs as `cardinality` independent paths."""

    def __init__(self, inputs: int, outputs: int, width: int, cardinality: int, stride: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn_reduce = nn.BatchNorm2d(width)
        self.conv_conv = nn.Conv2d(width, width, 3, stride, padding=1, groups=cardinality, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.conv_expand = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn_expand = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut.add_module("conv", nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W) -> (N, outputs, H / stride, W / stride)
        y = F.relu(self.bn_reduce(self.conv_reduce(x)))
        y = F.relu(self.bn(self.conv_conv(y)))
        y = self.bn_expand(self.conv_expand(y))
        return F.relu(self.shortcut(x) + y)


class ResNeXt(nn.Module):
    """`depth` = 9 x blocks + 2; each stage doubles the channels and, but for the first, halves the image."""

    def __init__(self, depth: int, cardinality: int, base_width: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 9
        self.conv_1_3x3 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn_1 = nn.BatchNorm2d(64)
        self.stage_1 = _stage(blocks, 64, 256, cardinality * base_width, cardinality, stride=1)
        self.stage_2 = _stage(blocks, 256, 512, 2 * cardinality * base_width, cardinality, stride=2)
        self.stage_3 = _stage(blocks, 512, 1024, 4 * cardinality * base_width, cardinality, stride=2)
        self.classifier = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, classes)
        x = F.relu(self.bn_1(self.conv_1_3x3(x)))
        x = self.stage_3(self.stage_2(self.stage_1(x)))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _stage(blocks: int, inputs: int, outputs: int, width: int, cardinality: int, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, width, cardinality, stride)
    rest = [Block(outputs, outputs, width, cardinality, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def resnext29_8x64d() -> ResNeXt:
    """The CIFAR-10 model of the paper's table 7 with 8 paths of width 64."""
    return ResNeXt(depth=29, cardinality=8, base_width=64, classes=10)


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """SGD with the paper's settings and one param group, so that everything decays, as in its Lua code."""
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def make_schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.MultiStepLR:
    """The paper's schedule (appendix A), stepped once an epoch: lr / 10 after 150 and after 225 of 300 epochs."""
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[150, 225])
