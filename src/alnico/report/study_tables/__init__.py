"""The tables of a study: data, models, variants, cost, and whether the routing can be believed."""
