"""File formats: `detect` chooses the reader of a file, and that reader interprets its header.

A reader takes an `OpenFile`. `safetensors` returns FileContents; the others return a PickleResult, which
`state_dict/find` searches. Readers import nothing from each other.

    byte_source        an open file, read at a position or as a stream of pages
    detect             a file -> its format, or an error that says what else it is
    safetensors        8 bytes of length, then a JSON header
    torch_zip          torch.save since 1.6, and TorchScript
    zip_directory      the directory of a zip archive, for `torch_zip`
    torch_legacy       torch.save before 1.6: five pickles, then data
    torch_tar          torch.save of 2016: a tar archive
    numpy_pickle       a plain pickle of NumPy arrays, as Detectron2 publishes
    torch_distributed  torch.distributed.checkpoint: the `.metadata` of a folder
"""
