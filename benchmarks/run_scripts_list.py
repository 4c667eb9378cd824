"""The training scripts of docs/field.md: a public repository, a folder in it, and the words after `decay-audit run`."""

from typing import NamedTuple


class Script(NamedTuple):
    """One command.

    Attributes:
        repository: owner/name; its checkout is the folder `owner+name`.
        folder: the folder of the repository in which the command runs.
        words: the words after `decay-audit run`.
        pretend: what `--pretend` gets if the command gives no answer without it; "" for nothing.
        path: a path that is added to PYTHONPATH, relative to the folder, for a repository that is not installed.
    """

    repository: str
    folder: str
    words: str
    pretend: str = ""
    path: str = ""


SCRIPTS = (
    Script("karpathy/nanoGPT", "", "train.py config/train_shakespeare_char.py --device=cpu --compile=False"),
    Script("karpathy/minGPT", "", "-m projects.adder.adder"),
    Script("karpathy/makemore", "", "makemore.py"),
    Script("karpathy/nanochat", "", "-m scripts.base_train --depth=4 --device-type=cpu"),
    Script("pytorch/examples", "mnist", "main.py", "data"),
    Script("pytorch/examples", "imagenet", "main.py --dummy -a resnet18 -j 0 -b 4"),
    Script("pytorch/examples", "dcgan", "main.py --dataset fake --workers 0"),
    Script("pytorch/examples", "vae", "main.py", "data"),
    Script("pytorch/examples", "regression", "main.py"),
    Script("pytorch/examples", "reinforcement_learning", "reinforce.py"),
    Script("pytorch/examples", "mnist_hogwild", "main.py --num-processes 2", "data"),
    Script("facebookresearch/dino", "", "main_dino.py --arch vit_tiny --batch_size_per_gpu 2 --num_workers 0 "
           "--local_crops_number 2 --data_path images/train", "gpu,world,data"),
    Script("facebookresearch/ConvNeXt", "", "main.py --device cpu --model convnext_tiny --data_set image_folder "
           "--data_path images/train --eval_data_path images/val --nb_classes 2 --batch_size 2 --num_workers 0",
           "data"),
    Script("facebookresearch/deit", "", "main.py --device cpu --model deit_tiny_patch16_224 --data-path images "
           "--batch-size 2 --num_workers 0", "gpu,data"),
    Script("huggingface/pytorch-image-models", "", "train.py --data-dir images --device cpu "
           "--model vit_tiny_patch16_224 -b 2 -j 1 --opt adamw --weight-decay 0.05", "data"),
    Script("kuangliu/pytorch-cifar", "", "main.py", "data"),
    Script("weiaicunzai/pytorch-cifar100", "", "train.py -net resnet18 -b 4", "data"),
    Script("davda54/sam", "example", "train.py --batch_size 4 --threads 0", "gpu,data"),
    Script("eriklindernoren/PyTorch-GAN", "implementations/wgan_gp", "wgan_gp.py", "data"),
    Script("eriklindernoren/PyTorch-GAN", "implementations/aae", "aae.py", "data"),
    Script("ashleve/lightning-hydra-template", "", "src/train.py trainer=cpu data.num_workers=0", "data"),
    Script("facebookresearch/simsiam", "", "main_simsiam.py --multiprocessing-distributed --world-size 1 --rank 0 "
           "-b 4 -j 0 images", "gpu,world,data"),
    Script("facebookresearch/barlowtwins", "", "main.py images --batch-size 4 --workers 0", "gpu,world,data"),
    Script("facebookresearch/vicreg", "", "-- python -m torch.distributed.run main_vicreg.py --data-dir images "
           "--batch-size 4 --num-workers 0", "gpu,world,data"),
    Script("HobbitLong/SupContrast", "", "main_supcon.py --dataset path --data_folder images/train "
           "--mean (0.5,0.5,0.5) --std (0.5,0.5,0.5) --model resnet18 --batch_size 4 --num_workers 0", "gpu"),
    Script("facebookresearch/mixup-cifar10", "", "train.py --batch-size 4", "data"),
    Script("state-spaces/s4", "", "example.py --dataset mnist --num_workers 0 --batch_size 4", "data"),
    Script("vwxyzjn/cleanrl", "", "cleanrl/ppo.py --num-envs 2 --num-steps 16"),
    Script("vwxyzjn/cleanrl", "", "cleanrl/sac_continuous_action.py --env-id Pendulum-v1 --learning-starts 300",
           path="."),
    Script("yunjey/pytorch-tutorial", "tutorials/02-intermediate/recurrent_neural_network", "main.py", "data"),
    Script("yunjey/pytorch-tutorial", "tutorials/03-advanced/generative_adversarial_network", "main.py", "data"),
    Script("microsoft/Swin-Transformer", "", "main.py --local_rank 0 --data-path images "
           "--cfg configs/swin/swin_tiny_patch4_window7_224.yaml --batch-size 2", "gpu,world,data"),
    Script("mlfoundations/open_clip", "", "-m open_clip_train.main --dataset-type synthetic --train-num-samples 8 "
           "--batch-size 2 --workers 0 --model ViT-B-32 --device cpu", path="src"),
    Script("facebookresearch/detr", "", "main.py --device cpu --num_workers 0"),
    Script("openai/guided-diffusion", "scripts", "image_train.py --data_dir ../images/train --image_size 64 "
           "--batch_size 1 --num_channels 32", path=".."),
    Script("milesial/Pytorch-UNet", "", "train.py --batch-size 1"),
    Script("pytorch/examples", "word_language_model", "main.py --emsize 32 --nhid 32"),
    Script("pytorch/examples", "siamese_network", "main.py"),
    Script("pytorch/examples", "mnist_rnn", "main.py"),
    Script("tkipf/pygcn", "pygcn", "train.py", path=".."),
    Script("vwxyzjn/cleanrl", "", "cleanrl/dqn.py --learning-starts 200", path="."),
)  # fmt: skip
