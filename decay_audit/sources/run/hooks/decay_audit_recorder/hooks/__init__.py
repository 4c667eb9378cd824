"""The functions and methods of Python and torch that the recorder replaces; see the map in the package above."""
