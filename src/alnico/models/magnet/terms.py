"""Terms that hold the views together, and content and behaviour; the latter look at cues as they are, before factor and
anchor."""

from jaxtyping import Float, Int
from torch import Tensor

from alnico.models.magnet.cues import Cue
from alnico.nn.losses import info_nce

Pairs = tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]


def agreement(
    plain: Float[Tensor, "nodes width"],
    other: Float[Tensor, "nodes width"],
    n_users: int,
    items: Int[Tensor, " items"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Each unique user and positive item of the batch should look alike in both views, both ways.

    The first ``n_users`` rows of the views are the users; ``items`` are the rows of the positive items.
    Implements: Eq. (28).
    """
    users = info_nce(plain[:n_users], other[:n_users], temperature, both_ways=True)
    left, right = plain.index_select(0, items), other.index_select(0, items)
    return users + info_nce(left, right, temperature, both_ways=True)


def alignment(z: Float[Tensor, "nodes width"], content: Cue, temperature: float) -> Float[Tensor, ""]:
    """InfoNCE between the mean cue of each node and its z, over the nodes that have a cue; 0 if none has.

    Source: the contrast of Yu et al., MGCN, MM 2023, each node counting once.
    """
    rows = content.present.nonzero().squeeze(1)
    if not len(rows):
        return z.new_zeros(())
    return info_nce(content.vectors.index_select(0, rows), z.index_select(0, rows), temperature)


def attraction(
    users: tuple[Float[Tensor, "users width"], Cue],
    items: tuple[Float[Tensor, "items width"], Cue],
    pairs: Pairs,
    temperature: float,
) -> Float[Tensor, ""]:
    """InfoNCE between each pair's user, z plus mean cue, and its item's z, plus the same with its item's mean cue.

    Candidates are the items of all pairs, as often as they stand there; the second term is over the pairs whose item
    has a cue. ``users`` and ``items`` are z and mean cue; ``pairs`` say which rows belong together.
    Source: Su et al., SOIL, MM 2024.
    """
    z, content = users
    whole = z + content.vectors
    own, other = items
    total = info_nce(whole, own, temperature, pairs=pairs)
    kept = other.present[pairs[1]].nonzero().squeeze(1)
    if not len(kept):
        return total
    return total + info_nce(whole, other.vectors, temperature, pairs=(pairs[0][kept], pairs[1][kept]))
