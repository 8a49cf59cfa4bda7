"""The model card: what a bundle is, for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from alnico.experiment.spec import settings_toml
from alnico.serving.bundle import TRAINED, Bundle

_TOLD = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def card_text(bundle: Bundle) -> str:
    """The card in Markdown: model, data, measures, contents, use and limits."""
    facts, data = bundle.facts, bundle.facts.data
    modalities = ", ".join(data.get("modalities", [])) or "none"
    lines = [
        f"# {facts.label}",
        "",
        f"A recommender of kind `{facts.model}` ({facts.title}), trained with alnico.",
        *([f"Source: {facts.source}."] if facts.source else []),
        *([facts.remark] if facts.remark else []),
        "",
        "## Data",
        "",
        f"{data.get('name')}: {data.get('users')} users, {data.get('items')} items; content: {modalities}.",
        f"Fingerprint `{data.get('fingerprint')}`. Split by `{facts.split.get('recipe', {}).get('rule')}`, "
        f"fingerprint `{facts.split.get('fingerprint')}`.",
        "The licence of the data is not known to alnico: ask whoever owns them before you pass this bundle on.",
        "",
        "## Measures",
        "",
        *_measures(facts.measures),
        "",
        "Settings were chosen on validation, and the test part was opened once. `untaken` are test items that nobody "
        "had in training.",
        "",
        "## Contents",
        "",
        *_contents(bundle),
        "",
        "## Use and limits",
        "",
        "Meant for ranking the items of this catalogue for its users, or for people known by a few of its items, "
        "and for saying why. Scores order one person's list; they are no probabilities and cannot be compared between "
        "people. It repeats what the training interactions show, their preference for popular items included. It was "
        "not tested for decisions about people.",
        "",
        "## Origin",
        "",
        f"Trained {facts.trained} with "
        + ", ".join(f"{name} {number}" for name, number in facts.versions.items())
        + ".",
        "",
        "```toml",
        *_settings(facts.settings),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _measures(measures: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    told = [name for name in _TOLD if any(name in own for own in measures.values())]
    rows = [["part", *told], ["---"] * (1 + len(told))]
    for part, own in measures.items():
        values = (own.get(name) for name in told)
        rows.append([part, *("-" if value is None else f"{value:.4f}" for value in values)])
    return [f"| {' | '.join(row)} |" for row in rows]


def _contents(bundle: Bundle) -> Iterable[str]:
    added = int((bundle.standing != TRAINED).sum())
    pictures = sum(picture is not None for picture in bundle.pictures)
    histories = (
        "no histories" if bundle.histories is None else f"{len(bundle.histories)} training interactions"
    )
    yield f"* {len(bundle.users)} users, {bundle.n_items} items ({added} added after training), {histories}"
    yield f"* item table: {', '.join(bundle.cards.columns) or 'none'}; {pictures} small pictures"
    for name, own in bundle.content.items():
        note = bundle.facts.encoders.get(name)
        maker = f"by {note.encoder}, fingerprint `{note.fingerprint}`" if note else "encoder unknown"
        yield f"* vectors `{name}`: {own.width} numbers, {int(own.present.sum())} items; {maker}"
    for name, lists in bundle.neighbours.items():
        yield f"* neighbours by {name}: up to {lists.k} per item"
    stages = bundle.facts.stages
    if stages.recall is not None:
        yield (
            f"* lists in two stages (above {stages.above} items): recall@{stages.k} against exact lists "
            f"{stages.recall:.4f}, measured on {stages.users} users"
        )


def _settings(settings: Mapping[str, Any]) -> list[str]:
    return settings_toml(settings).rstrip().split("\n")
