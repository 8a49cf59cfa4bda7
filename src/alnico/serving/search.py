"""Items by what a person remembers of them."""

import numpy as np
from numpy.typing import NDArray

from alnico.serving.bundle import Bundle


def found_items(bundle: Bundle, text: str, category: str) -> NDArray[np.int64]:
    """Inside numbers, ascending, of the items whose title or id contains ``text`` (without case), of one category.

    Empty texts ask for nothing.
    """
    numbers = bundle.in_category(category) if category else np.arange(bundle.n_items)
    wanted = text.casefold()
    if not wanted:
        return numbers
    names, titles = bundle.items.names, bundle.cards.columns.get("title", ("",) * bundle.n_items)
    hits = [
        item
        for item in numbers.tolist()
        if wanted in titles[item].casefold() or wanted in str(names[item]).casefold()
    ]
    return np.array(hits, np.int64)
