"""Roles by structure, by use and by the state dict, over every architecture of timm, torchvision and transformers.

python -m benchmarks.zoo --cache FOLDER [--only timm] [--sample] [--write docs/zoo.md]

models        the names of the architectures, and each of them built without its weights
readings      an architecture -> Reading: what was read from it and traced, as plain data for a file
answers       a Reading -> Answers: the three roles of each parameter, compared
reasons       a difference between two roles -> the reason for it
tables        the Answers of all architectures -> docs/zoo.md
sample        architectures with unusual parameters, for the tests
__main__      the command
"""
