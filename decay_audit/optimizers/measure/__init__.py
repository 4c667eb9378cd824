"""Find out by experiment what a step does: the observations of an optimizer, with the movement of each parameter.

If a step with a gradient of zero moves a weight, that is decay. The table of classes and rulesets are not used.

- observe_steps: measure() decides which steps are needed, and fills in the observations
- probe: takes steps on a copy of the optimizer, and returns the values before and after
- probe_tensors: makes the copy, on small tensors of known values instead of the model's parameters
- deepcopy: copies what an optimizer holds, as far as it can be copied
- conditions: takes steps under several conditions, and returns the amounts that they remove
- laws: tells from these amounts what they depend on
- settling: takes more steps, to find whether the rate settles, changes by a schedule, or depends on past gradients
- movement: tells from the values before and after in which way a tensor moved, and how far
"""

from decay_audit.optimizers.measure.observe_steps import measure

__all__ = ["measure"]
