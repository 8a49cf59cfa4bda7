"""The type checker that the tests switch on for the whole package, at every call of every function."""

from typing import Self

from beartype import BeartypeConf, FrozenDict, beartype

# The hook decorates each method by itself, where beartype cannot know what ``Self`` means and refuses.
# mypy checks those annotations; all others, shapes of tensors included, are checked here. An int will do
# for a float, as for mypy.
check = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: object}), is_pep484_tower=True))
