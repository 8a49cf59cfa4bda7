"""Titles and descriptions: a purpose is a small vocabulary, said among words that mean nothing.

No word here names a colour, a pattern, a way of drawing or a kind of product: texts say what a thing is for
and never what it looks like.
"""

from typing import NamedTuple

import numpy as np


class Purpose(NamedTuple):
    """What a thing is for: its name, its department, words for the occasion, activities, and people."""

    name: str
    department: str
    occasions: tuple[str, ...]
    activities: tuple[str, ...]
    people: tuple[str, ...]


class Wording(NamedTuple):
    """What is written about one item."""

    title: str
    description: str
    category: str


def _purpose(name: str, department: str, occasions: str, activities: str, people: str) -> Purpose:
    lists = (tuple(word.strip() for word in words.split(",")) for words in (occasions, activities, people))
    return Purpose(name, department, *lists)


PURPOSES = (
    _purpose("camping", "Outdoors", "campfires, wild camping, mountain trails, overnight hikes, summits",
             "camping, hiking, trekking, backpacking", "campers, hikers, mountaineers"),
    _purpose("gardening", "Outdoors", "allotments, flowerbeds, greenhouses, vegetables, seedlings, harvests",
             "gardening, sowing, weeding, composting", "gardeners, growers, seed savers"),
    _purpose("cycling", "Outdoors", "bike rides, cycle lanes, pedal tours, mountain passes, bike races",
             "cycling, biking, pedalling, touring", "cyclists, bikers, cycling clubs"),
    _purpose("beach", "Outdoors", "seaside days, shores, tides, rock pools, surf breaks, dunes",
             "swimming, surfing, sunbathing, snorkelling", "swimmers, surfers, beach lovers"),
    _purpose("baking", "Kitchen", "ovens, sourdough, layer cakes, pastry, dough, biscuits",
             "baking, kneading, icing, proving", "bakers, pastry cooks, cake makers"),
    _purpose("coffee", "Kitchen", "espresso, fresh roasts, cappuccino, coffee breaks, beans, filter coffee",
             "brewing, grinding, roasting, frothing", "coffee drinkers, baristas, espresso lovers"),
    _purpose("barbecue", "Kitchen", "grills, embers, barbecues, smokehouses, marinades, skewers",
             "grilling, barbecuing, smoking, searing", "grill masters, pit cooks, barbecue hosts"),
    _purpose("breakfast", "Kitchen", "brunch, porridge, pancakes, toast, granola, scrambled eggs",
             "brunching, toasting, poaching, spreading jam", "early risers, brunch hosts, breakfast lovers"),
    _purpose("sleep", "Home", "bedtime, deep sleep, naps, lullabies, quiet nights, dreams",
             "sleeping, napping, dozing, snoozing", "light sleepers, dreamers, night owls"),
    _purpose("bathing", "Home", "baths, steam rooms, spa evenings, bubbles, saunas, hot springs",
             "bathing, soaking, showering, lathering", "bathers, spa lovers, sauna guests"),
    _purpose("tidying", "Home", "storage, spring cleaning, cupboards, laundry days, dust, attics",
             "tidying, sorting, storing, decluttering", "tidy minds, organisers, cleaners"),
    _purpose("reading", "Home", "novels, libraries, bookshelves, chapters, poems, short stories",
             "reading, leafing, browsing books, rereading", "readers, bookworms, book clubs"),
    _purpose("office", "Work", "desks, keyboards, spreadsheets, video calls, inboxes, deadlines",
             "typing, filing, planning, scheduling", "office workers, managers, teleworkers"),
    _purpose("study", "Work", "exams, lectures, campus days, homework, classrooms, essays",
             "studying, revising, learning, note taking", "students, pupils, teachers"),
    _purpose("travel", "Work", "airports, boarding gates, train journeys, hotels, layovers, road trips",
             "travelling, flying, packing, sightseeing", "travellers, frequent flyers, tourists"),
    _purpose("crafts", "Work", "sewing, yarn, workshops, embroidery, glue, hobby benches",
             "knitting, stitching, crafting, crocheting", "makers, knitters, crafters"),
    _purpose("newborn", "Family", "newborns, nurseries, baby showers, cradles, first steps, feeding times",
             "nursing, rocking, swaddling, cuddling", "babies, new parents, midwives"),
    _purpose("party", "Family", "birthdays, parties, balloons, anniversaries, speeches, confetti",
             "celebrating, partying, hosting, dancing", "party hosts, birthday children, wedding guests"),
    _purpose("pets", "Family", "puppies, kittens, dog walks, kennels, aquariums, vet visits",
             "petting, grooming, fetching, feeding pets", "dog owners, cat people, pet sitters"),
    _purpose("games", "Family", "board games, puzzles, dice, card nights, playrooms, tournaments",
             "playing, puzzling, gaming, bluffing", "players, gamers, puzzle fans"),
    _purpose("yoga", "Wellbeing", "yoga, stretches, breathing, mindful hours, pilates, headstands",
             "meditating, stretching, breathing deeply, balancing", "yogis, meditators, pilates fans"),
    _purpose("running", "Wellbeing", "marathons, sprints, race days, intervals, finish lines, park runs",
             "running, jogging, sprinting, racing", "runners, joggers, sprinters"),
    _purpose("music", "Wellbeing", "rehearsals, concerts, pianos, guitars, choirs, melodies",
             "singing, practising scales, drumming, strumming", "musicians, singers, guitarists"),
    _purpose("festival", "Wellbeing", "open air stages, headliners, festival weekends, crowds, encores, mud",
             "festival going, raving, cheering, singing along", "festival goers, ravers, stage crews"),
)  # fmt: skip
"""Everything that a text can say."""

_MAKERS = (
    "Aldo", "Bergen", "Corvina", "Dalby", "Elmar", "Fenwick", "Gasto", "Halden", "Isola", "Jura", "Kestrel",
    "Lumo", "Marlow", "Norvik", "Osier", "Pell", "Quill", "Rowan & Co", "Sundby", "Tarn", "Ulm", "Veda",
    "Wexford", "Yarrow",
)  # fmt: skip
_RANKS = (
    "Classic", "Favourite", "Companion", "Essential", "Edition", "Pick", "Choice", "Special", "Original",
    "Select",
)  # fmt: skip
_TITLES = (
    "{maker} {rank} for {shown}",
    "{maker} {rank}: {shown} and {activity}",
    "{maker} {rank} for {people}",
)
_OPENINGS = (
    "Made with {people} in mind.",
    "A gift that {people} will use.",
    "Chosen by {people} everywhere.",
    "What {people} asked us for.",
    "Trusted by {people} and their friends.",
)
_MIDDLES = (
    "Think of {occasion}, think of {activity}.",
    "Helps with {activity} and {occasion}.",
    "Ready for {occasion} and for {activity}.",
    "Good for {activity}, better for {occasion}.",
    "Because {occasion} and {activity} belong together.",
)
_CLOSINGS = (
    "From {shown} to {more}, it keeps up.",
    "Just right for {shown}, or for {more}.",
    "At home with {shown} and {more}.",
    "Whoever loves {shown} will love it, and so will friends of {more}.",
)
_FILLERS = (
    "Delivered within three days.",
    "Easy to care for and built to last.",
    "Tested by hand before it leaves us.",
    "Two years of guarantee.",
    "Our customers like it very much.",
    "Sent in a recyclable box.",
    "A fair price for good quality.",
    "Designed by a small team.",
    "Spare parts are available.",
    "Limited stock this season.",
    "Weighs less than you would expect.",
)


def write(purpose: int, random: np.random.Generator) -> Wording:
    """A fresh title, description and category for something with this purpose.

    Five to six words of the purpose's vocabulary stand among others; one text in four also mentions a word of
    some other purpose. Departments hold four purposes each.
    """
    meant = PURPOSES[purpose]
    shown, occasion, more = (meant.occasions[i] for i in random.permutation(len(meant.occasions))[:3])
    words = {
        "maker": _one(_MAKERS, random),
        "rank": _one(_RANKS, random),
        "people": _one(meant.people, random),
        "activity": _one(meant.activities, random),
        "shown": shown,
        "occasion": occasion,
        "more": more,
    }
    sentences = [_one(_OPENINGS, random), _one(_MIDDLES, random), _one(_CLOSINGS, random)]
    sentences += [_FILLERS[i] for i in random.permutation(len(_FILLERS))[: int(random.integers(1, 4))]]
    if random.random() < 0.25:
        other = PURPOSES[int(random.integers(len(PURPOSES)))]
        sentences.append(f"Some also like it for {_one(other.activities, random)}.")
    return Wording(
        _one(_TITLES, random).format(**words), " ".join(sentences).format(**words), meant.department
    )


def _one(choices: tuple[str, ...], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]
