"""Python source as `ruff format` writes it: literals, statements broken into lines, and the templates of modules."""
