"""The source of each preset: its text when the preset was written and now, and what its own function does.

    python -m benchmarks.preset_sources [--clones FOLDER] [--run] [--only PRESET] [--write docs/preset-sources.md]

    table         for each preset: repository, file, definitions, revision, and a hash of their text
    revisions     the current head of a repository, the newest release of a package, and a file's text at a revision
    extract       a file's text -> the text of its definitions, and a namespace in which they can be called
    functions     how to call the definitions of a repository on a model
    __main__      the command

Without `--clones` it asks GitHub and the package index; with it, repositories in that folder are read there.
`--run` calls the functions of the source on the models of the tests, and compares them with the reimplementation.
"""
