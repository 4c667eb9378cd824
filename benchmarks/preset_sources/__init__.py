"""Where each preset was read, what its source is now, and whether the source's own text does what the tests say.

    python -m benchmarks.preset_sources [--clones FOLDER] [--run] [--only PRESET] [--write docs/preset-sources.md]

    table         for each preset: repository, file, definitions, revision, and a hash of their text
    revisions     what is current: the head of a repository, the newest release of a package; and texts at a revision
    extract       a file's text -> the text of its definitions, and a namespace in which they can be called
    functions     how to call the definitions of a repository on a model
    __main__      the command

Without `--clones` it asks GitHub and the package index; a folder of clones answers for the repositories in it.
`--run` executes the definitions of the source on the models of the tests, and compares them with the reimplementation.
"""
