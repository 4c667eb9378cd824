"""Roles against dataflow with real numbers, on the classes of model libraries that no convention was made with.

- `libraries`: which libraries were looked at while the rules were made, and which were only measured.
- `models`: every module class of a library, built with guessed arguments.
- `inputs`: real inputs that a module accepts.
- `dataflow`: what each parameter does in a real forward pass, read from the autograd graph.
- `observe`: one module, read, traced and run: everything that judging needs.
- `measure`: one package: a file of observed modules.
- `verdicts`: the role by structure, with the automatic trace, and with the input, each held against the dataflow.
- `__main__`: one process for each library; the tables.
"""
