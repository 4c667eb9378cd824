"""How a model groups its own layers: timm's `group_matcher()` becomes the layer number of each parameter."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import batched if False else islice  # placeholder
