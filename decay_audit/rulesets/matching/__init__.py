"""Test the conditions of a ruleset's entries on parameters, and find the first entry whose condition holds.

predicates  a condition -> a function of a classified parameter that answers True, False or None
patterns    regular expressions, whose search ends after a time limit
index       the entries that a parameter may match, and the parameters that an entry may match
"""

from decay_audit.rulesets.matching.index import EntryFinder, MatchingParameters
from decay_audit.rulesets.matching.predicates import compile_when

__all__ = ["EntryFinder", "MatchingParameters", "compile_when"]
