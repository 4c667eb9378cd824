"""A plan becomes a function of conditions, such as `isinstance(module, nn.LayerNorm)`, that a person would write.

classes      a class by its qualified name -> how code imports it and refers to it
kinds        plans -> kinds of parameters: those with the same class, leaf name, dimensions and group
conditions   kinds -> every condition that could be written, with its cost and the kinds for which it holds
search       kinds, conditions -> for each group the cheapest conditions that select it
source       the conditions -> the lines of the function
"""
