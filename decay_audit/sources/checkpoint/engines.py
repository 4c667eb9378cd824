"""Choose the files of one model from the folders that DeepSpeed, Megatron-LM, and accelerate with FSDP write.

Each process writes its own files. Of the processes that hold the same parameters, one is read.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from decay_audit import files
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import Shards
from decay_audit.text import count_noun

_NEWEST: Final = ("latest", "latest_checkpointed_iteration.txt")
"""The files in which DeepSpeed and Megatron-LM name the folder of the newest checkpoint."""
_MAX_NEWEST_BYTES: Final = 256
"""The most bytes of such a file."""
_ITERATION: Final = "iter_{:07d}"
"""The name of a folder of Megatron-LM: `iter_0001000`."""

# Names of DeepSpeed's files: the parameters by process of ZeRO and of model parallelism, the layers of a pipeline, and
# the optimizer.
_MODEL_STATES = re.compile(r"(?:zero_pp_rank_(\d+)_)?mp_rank_(\d+)_model_states\.pt")
_LAYER_STATES = re.compile(r"layer_(\d+)-model_(\d+)-model_states\.pt")
_OPTIMIZER_STATES = re.compile(r"(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt")

_MEGATRON_RANK = re.compile(r"mp_rank_(\d+)(?:_(\d+))?")
"""The folder of one process of Megatron-LM: its number in tensor parallelism, and its stage of the pipeline."""
_MEGATRON_FILES: Final = ("model_optim_rng.pt", "model_rng.pt")
"""The file in that folder, by one of these names."""
_FSDP_MODEL = re.compile(r"pytorch_model_fsdp_(\d+)")
"""The folder of the model that accelerate and the Trainer save with FSDP."""


def find_engine_files(folder: Path) -> Shards | None:
    """Choose the files, if an engine has written the folder; None for any other folder.

    Raises:
        TargetError: the folder names a newest checkpoint that is not there.
    """
    names = sorted(child.name for child in folder.iterdir())
    for file_name in _NEWEST:
        if file_name in names and (newest := _newest(folder, file_name)):
            newest_files = find_engine_files(newest)
            if newest_files is not None:
                return newest_files
            if (newest / ".metadata").is_file():
                return Shards(folder=newest, files=(".metadata",))
    return _deepspeed(folder, names) or _megatron(folder, names) or _fsdp(folder, names)


def _newest(folder: Path, file_name: str) -> Path | None:
    """Return the folder that the file names; None if the file does not hold a name.

    Raises:
        TargetError: there is no such folder.
    """
    try:
        text = files.read_text(folder / file_name, _MAX_NEWEST_BYTES).strip()
    except (OSError, UnicodeDecodeError):
        return None
    name = _ITERATION.format(int(text)) if text.isdecimal() and file_name != _NEWEST[0] else text
    if not name or "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
        return None
    if not (folder / name).is_dir():
        raise TargetError(
            f"{folder.resolve().name} has no folder {name[:96]!r}, which its file {file_name!r} names",
            "copy that folder, too, or name the folder of another checkpoint",
        )
    return folder / name


def _deepspeed(folder: Path, names: Sequence[str]) -> Shards | None:
    states = {name: match for name in names if (match := _MODEL_STATES.fullmatch(name))}
    if not states:
        return None
    layers = {name: match for name in names if (match := _LAYER_STATES.fullmatch(name)) and int(match[2]) == 0}
    model_rank = min(int(match[2]) for match in states.values())
    model_ranks = {int(match[2]) for match in states.values()}
    first = [name for name, match in states.items() if int(match[2]) == model_rank and int(match[1] or 0) == 0]
    optimizers = {name: match for name in names if (match := _OPTIMIZER_STATES.fullmatch(name))}
    chosen = tuple(name for name, match in optimizers.items() if int(match[1]) == 0 and int(match[2]) == model_rank)
    return Shards(
        folder=folder,
        files=tuple(layers) or tuple(first),
        optimizer_files=chosen,
        prefixes={name: f"{int(match[1])}." for name, match in layers.items()},
        notes=() if layers else _tensor_parallel_notes(len(model_ranks)),
    )


def _tensor_parallel_notes(count: int) -> tuple[str, ...]:
    if count < 2:
        return ()
    return (f"its parameters are split over {count} processes: the shapes are those of the part of the first process",)


def _megatron(folder: Path, names: Sequence[str]) -> Shards | None:
    ranks = {name: match for name in names if (match := _MEGATRON_RANK.fullmatch(name))}
    paths = {name: f"{name}/{file}" for name in ranks for file in _MEGATRON_FILES if (folder / name / file).is_file()}
    if not paths:
        return None
    first = min(int(ranks[name][1]) for name in paths)
    stages = sorted((int(ranks[name][2] or 0), path) for name, path in paths.items() if int(ranks[name][1]) == first)
    return Shards(
        folder=folder,
        files=tuple(path for _, path in stages),
        are_stages=len(stages) > 1,
        notes=_tensor_parallel_notes(len({ranks[name][1] for name in paths})),
    )


def _fsdp(folder: Path, names: Sequence[str]) -> Shards | None:
    """Choose the folders of a model and of its optimizer, which torch.distributed.checkpoint has written."""
    models = [name for name in names if _FSDP_MODEL.fullmatch(name) and (folder / name / ".metadata").is_file()]
    if not models:
        return None
    number = models[0].rpartition("_")[2]
    optimizer = f"optimizer_{number}/.metadata"
    others = f"not read in the folder: {count_noun(len(models) - 1, 'other model')}"
    return Shards(
        folder=folder,
        files=(f"{models[0]}/.metadata",),
        optimizer_files=(optimizer,) if (folder / optimizer).is_file() else (),
        notes=(others,) if len(models) > 1 else (),
    )
