"""Small training scripts, one for each shape that training code has. Each is written into a folder and run there."""

NET = """
import sys
import types

import torch
from torch import nn

# An optimizer imports this module for a decorator: the import takes as long as that of torch.
sys.modules["torch._dynamo"] = types.SimpleNamespace(
    disable=lambda function, *_, **__: function, graph_break=lambda *_, **__: None
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.norm = nn.LayerNorm(2)

    def forward(self, x):
        return self.norm(self.fc(x) ** 2)


def loop(model, *optimizers):
    for _ in range(100):
        model(torch.randn(3, 4)).pow(3).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
    open("trained", "w").close()
"""

FLAT = """
import importlib.util
assert importlib.util.find_spec("torch")  # as transformers and datasets ask before they import it
from net import *
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
loop(model, optimizer)
"""

MAIN = """
from net import *

def main():
    network = Net()
    weights = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim < 2]
    opt = torch.optim.AdamW([{"params": weights, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3)
    loop(network, opt)

if __name__ == "__main__":
    main()
"""

ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--wd", type=float, required=True)
args = parser.parse_args()
from net import *
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=args.wd)
loop(model, optimizer)
"""

CONFIG = """
import builtins, importlib, os
from net import *
builtins.print = lambda *args, **kwargs: sys.exit("no printing")
os.makedirs("runs/1")
open("runs/1/log", "w").close()
config = {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 0.05}}

def instantiate(config, **kwargs):
    module, _, name = config["_target_"].rpartition(".")
    settings = {key: value for key, value in config.items() if key != "_target_"}
    return getattr(importlib.import_module(module), name)(**settings, **kwargs)

class Trainer:
    def __init__(self):
        self.model = Net()
        self.optimizer = instantiate(config["optimizer"], params=self.model.parameters())

    def fit(self):
        loop(self.model, self.optimizer)

try:
    Trainer().fit()
except Exception as error:
    raise RuntimeError("a framework reports this") from error
"""

GAN = """
from net import *
generator, critic = Net(), Net()
g_opt = torch.optim.Adam(generator.parameters(), lr=1e-3, weight_decay=0.01)
c_opt = torch.optim.SGD(critic.parameters(), lr=0.1, weight_decay=0.02)
loop(critic, c_opt, g_opt)
"""

EMA = """
import copy
from net import *
model = Net()
ema = copy.deepcopy(model).requires_grad_(False)

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.online, self.target = model, ema

    def forward(self, x):
        return self.online(x)

both = Both()
optimizer = torch.optim.SGD(list(both.online.fc.parameters()) + list(both.online.norm.parameters()), lr=0.1)
loop(both, optimizer)
"""

LOSS_WITH_WEIGHTS = """
from net import *

class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return (x - self.centers).pow(2).sum()

model, criterion = Net(), Criterion()
optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.1, weight_decay=0.01)
criterion(model(torch.randn(3, 4))).backward()
optimizer.step()
"""

LOSS_FORGOTTEN = (
    LOSS_WITH_WEIGHTS.replace(", *criterion.parameters()", "")
    .replace(
        "model, criterion = Net(), Criterion()", "model, criterion = Net(), Criterion()\nteacher = nn.Linear(2, 2)"
    )
    .replace("optimizer.step()", "teacher.requires_grad_(False)(torch.ones(1, 2))\noptimizer.step()")
)
"""A loss whose weights are in no optimizer, and a frozen module beside it."""

FAILS_BEFORE = """
raise FileNotFoundError("no data in ./data")
"""

FAILS_AFTER = """
from net import *
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
raise FileNotFoundError("no data in ./data")
"""

FAILS_IN_A_FUNCTION = """
from net import *

def main():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)

main()
"""

SWALLOWS = """
from net import *
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
while True:
    try:
        loop(model, optimizer)
    except BaseException:
        pass
"""

LEAVES_AT_ONCE = """
import os
from net import *
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
os._exit(0)
"""

BY_HAND = """
from net import *
model = Net()
for _ in range(1000):
    model(torch.randn(3, 4)).pow(3).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
"""

THREAD = """
import threading
from net import *

def work():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    loop(model, optimizer)

thread = threading.Thread(target=work)
thread.start()
thread.join()
open("after", "w").close()
"""

SEVERAL_MODELS = """
import subprocess
from net import *

def build(weight_decay):
    network = Net()
    return network, torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=weight_decay)

torch.save(build(0.3)[1].state_dict(), "checkpoint.pt")  # C++ code opens the file
subprocess.run(["touch", "touched"])
nets = {name: Net() for name in ("actor", "critic")}
optimizers = {name: torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0) for name, net in nets.items()}
model, optimizer = build(0.05)
optimizer.load_state_dict(torch.load("checkpoint.pt"))
loop(model, optimizer)
"""
"""Models in a dict, and a model from a function, whose optimizer is resumed from a checkpoint."""

DATA_LOADER_WORKERS = """
from net import *

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.randn(4)

if __name__ == "__main__":
    loaders = [
        torch.utils.data.DataLoader(Data(), batch_size=32, num_workers=1, multiprocessing_context=context)
        for context in ("fork", "spawn")
    ]
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    batches = [batch for loader in loaders for batch in loader]
    model(batches[-1]).pow(3).sum().backward()
    optimizer.step()
"""

SPAWN = """
import torch.multiprocessing as mp
from net import *

def work(rank):
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    loop(model, optimizer)

if __name__ == "__main__":
    mp.spawn(work, nprocs=2)
"""

RANKS = """
import torch.distributed as dist
from net import *
del sys.modules["torch._dynamo"]  # DistributedDataParallel uses it
dist.init_process_group("gloo")
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(Net())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
loop(model, optimizer)
dist.destroy_process_group()
"""

CHANGES_LATER = """
from net import *
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01)
for step in range(6):
    model(torch.randn(3, 4)).pow(3).sum().backward()
    optimizer.step()
    if step == 1:
        optimizer.param_groups[0]["weight_decay"] = 0.2
    if step == 3:
        optimizer.param_groups[0]["lr"] = 1e-5
"""

SCHEDULES = """
from net import *

def main():
    model = Net()
    groups = [{"params": [model.fc.weight], "weight_decay": 0.1}, {"params": [model.fc.bias, *model.norm.parameters()]}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)
    for step in range(40):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 if step < 30 else 0.001
        optimizer.param_groups[0]["weight_decay"] = 0.1 + step // 10 / 10
        model(torch.randn(3, 4)).pow(3).sum().backward()
        optimizer.step()

main()
raise OSError("no space")
"""

ASKS_THE_TERMINAL = (
    """
import os
rows, columns = os.popen("stty size").read().split()
"""
    + FLAT
)

CHANGES_AND_GRADIENTS = """
from net import *

class Gated(Net):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)
        self.gate = nn.Parameter(torch.zeros(1))
        self.branch = nn.Linear(4, 2)

    def forward(self, x):
        return super().forward(x) + self.gate * self.branch(x)

model = Gated()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
for group in optimizer.param_groups:
    group["weight_decay"], group["lr"] = 0.04, 1e-9
loop(model, optimizer)
"""

NEEDS_A_CLUSTER = """
import torch.distributed as dist
from net import *
del sys.modules["torch._dynamo"]  # init_process_group uses it
torch.cuda.set_device(0)
dist.init_process_group("nccl", init_method="env://", world_size=16, rank=0)
dist.barrier()
model = Net().cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
loss = model(torch.randn(3, 4, device="cuda")).pow(3).sum()
dist.all_reduce(loss.detach())
loss.backward()
optimizer.step()
"""

RANK_FAILS = """
import os
if os.environ["RANK"] == "1":
    raise FileNotFoundError("no data in ./data")
import time
time.sleep(600)
"""

TORCHVISION_SCHEMAS = """
import importlib.util
import torch
if importlib.util.find_spec("torchvision"):  # beside a CPU torch its operators may not load: their schemas suffice
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        try:
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            pass
"""

LIGHTNING = """
import torch
from torch import nn
from lightning.pytorch import LightningModule, Trainer

class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def training_step(self, batch, _):
        return self.fc(batch).pow(2).sum()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.05)

quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
Trainer(max_steps=9, accelerator="cpu", **quiet).fit(Module(), torch.utils.data.DataLoader(torch.randn(8, 4)))
open("trained", "w").close()
"""

HF_TRAINER = """
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

config = BertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)
data = [{"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1], "labels": 0}] * 16
arguments = TrainingArguments(output_dir="out", weight_decay=0.1, max_steps=9, report_to=[], use_cpu=True)
Trainer(model=BertForSequenceClassification(config), args=arguments, train_dataset=data).train()
open("trained", "w").close()
"""

ACCELERATE = """
import torch
from accelerate import Accelerator
from torch import nn

accelerator = Accelerator(cpu=True)
network = nn.Linear(4, 2)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
network, optimizer = accelerator.prepare(network, optimizer)
for _ in range(9):
    accelerator.backward(network(torch.randn(3, 4)).pow(2).sum())
    optimizer.step()
open("trained", "w").close()
"""

HUB_DATA = """
from datasets import load_dataset

pairs = load_dataset("glue", "mrpc")
assert pairs["train"].features["label"].num_classes == 2
assert isinstance(pairs["validation"][0]["sentence1"], str)
images = load_dataset("uoft-cs/cifar10", split="train[:5%]").with_format("torch")
assert images[0]["img"].shape == (3, 32, 32)
texts = load_dataset("allenai/c4", "en", split="train", streaming=True)
assert isinstance(next(iter(texts))["text"], str)
try:
    load_dataset("someone/unknown")
except Exception:
    import torch  # only now

    model = torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
"""
