"""The training scripts of docs/field.md: a public repository, a folder in it, and the words after `decay-audit run`."""

from typing import NamedTuple


class Script(NamedTuple):
    """One command.

    Attributes:
        repository: owner/name; its checkout is the folder `owner+name`.
        folder: the folder of the repository in which the command runs.
        words: the words after `decay-audit run`.
        path: a path that is added to PYTHONPATH, relative to the folder, for a repository that is not installed.
    """

    repository: str
    folder: str
    words: str
    path: str = ""


SCRIPTS = (
    Script("karpathy/nanoGPT", "", "train.py config/train_shakespeare_char.py --device=cpu --compile=False"),
    Script("karpathy/minGPT", "", "-m projects.adder.adder"),
    Script("karpathy/makemore", "", "makemore.py"),
    Script("karpathy/nanochat", "", "-m scripts.base_train --depth=4 --device-type=cpu"),
    Script("pytorch/examples", "mnist", "--pretend data main.py"),
    Script("pytorch/examples", "imagenet", "main.py --dummy -a resnet18 -j 0 -b 4"),
    Script("pytorch/examples", "dcgan", "main.py --dataset fake --workers 0"),
    Script("pytorch/examples", "vae", "--pretend data main.py"),
    Script("pytorch/examples", "regression", "main.py"),
    Script("pytorch/examples", "reinforcement_learning", "reinforce.py"),
    Script("pytorch/examples", "mnist_hogwild", "--pretend data main.py --num-processes 2"),
    Script("facebookresearch/dino", "", "--pretend gpu,world,data main_dino.py --arch vit_tiny --batch_size_per_gpu 2 "
           "--num_workers 0 --local_crops_number 2"),
    Script("facebookresearch/ConvNeXt", "", "--pretend data main.py --device cpu --model convnext_tiny "
           "--data_set CIFAR --batch_size 2 --num_workers 0"),
    Script("facebookresearch/deit", "", "--pretend data main.py --device cpu --model deit_tiny_patch16_224 "
           "--data-set CIFAR --batch-size 2 --num_workers 0"),
    Script("huggingface/pytorch-image-models", "", "--pretend data train.py --dataset torch/cifar10 --device cpu "
           "--model vit_tiny_patch16_224 -b 2 -j 1 --opt adamw --data-dir x --weight-decay 0.05"),
    Script("kuangliu/pytorch-cifar", "", "--pretend data main.py"),
    Script("weiaicunzai/pytorch-cifar100", "", "--pretend data train.py -net resnet18 -b 4"),
    Script("davda54/sam", "example", "--pretend gpu,data train.py --batch_size 4 --threads 0"),
    Script("eriklindernoren/PyTorch-GAN", "implementations/wgan_gp", "--pretend data wgan_gp.py"),
    Script("eriklindernoren/PyTorch-GAN", "implementations/aae", "--pretend data aae.py"),
    Script("ashleve/lightning-hydra-template", "", "--pretend data src/train.py trainer=cpu data.num_workers=0"),
    Script("facebookresearch/simsiam", "", "--pretend gpu,world,data main_simsiam.py "
           "--multiprocessing-distributed --world-size 1 --rank 0 -b 4 -j 0 x"),
    Script("facebookresearch/barlowtwins", "", "--pretend gpu,world,data main.py x --batch-size 4 --workers 0"),
    Script("facebookresearch/vicreg", "", "--pretend gpu,world,data -- python -m torch.distributed.run main_vicreg.py "
           "--data-dir x --batch-size 4 "
           "--num-workers 0"),
    Script("HobbitLong/SupContrast", "", "--pretend data main_ce.py --batch_size 4 --num_workers 0"),
    Script("facebookresearch/mixup-cifar10", "", "--pretend data train.py --batch-size 4"),
    Script("state-spaces/s4", "", "--pretend data example.py --grayscale --num_workers 0 --batch_size 4"),
    Script("vwxyzjn/cleanrl", "", "cleanrl/ppo.py --num-envs 2 --num-steps 16"),
    Script("vwxyzjn/cleanrl", "", "cleanrl/sac_continuous_action.py --env-id Pendulum-v1 --learning-starts 300",
           path="."),
    Script("yunjey/pytorch-tutorial", "tutorials/02-intermediate/recurrent_neural_network", "--pretend data main.py"),
    Script("yunjey/pytorch-tutorial", "tutorials/03-advanced/generative_adversarial_network", "--pretend data main.py"),
    Script("microsoft/Swin-Transformer", "", "--pretend gpu,world,data main.py --local_rank 0 --data-path x "
           "--cfg configs/swin/swin_tiny_patch4_window7_224.yaml --batch-size 2"),
    Script("mlfoundations/open_clip", "", "-m open_clip_train.main --dataset-type synthetic --train-num-samples 8 "
           "--batch-size 2 --workers 0 --model ViT-B-32 --device cpu", path="src"),
    Script("facebookresearch/detr", "", "main.py --device cpu --num_workers 0"),
    Script("openai/guided-diffusion", "scripts", "image_train.py --data_dir . --image_size 64 --batch_size 1 "
           "--num_channels 32", path=".."),
    Script("milesial/Pytorch-UNet", "", "train.py"),
)  # fmt: skip
