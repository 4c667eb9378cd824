"""Roles against dataflow with real numbers, on the classes of model libraries that no convention was made with.

- `libraries`: which libraries were looked at while the rules were made, and which were only measured.
- `models`: finds the module classes of a library, and builds them with guessed arguments.
- `inputs`: finds real inputs that a module accepts.
- `dataflow`: finds the action of each parameter in a real forward pass, from the autograd graph.
- `observe`: reads, traces and runs one module.
- `measure`: writes a file with the observed modules of one package.
- `verdicts`: compares the role by structure, with the automatic trace, and with an input, with the dataflow.
- `__main__`: measures each library in a process of its own, and prints the tables.
"""
