"""Trained networks as encoders."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alnico.cli.main import main
from alnico.encoders import blocks, choosing, encode
from alnico.encoders.efficientnet import LITE, EfficientNetLite
from alnico.encoders.encode import encode_folder
from alnico.encoders.encoder import fingerprint
from alnico.encoders.networks import MINILM, Sentences
from alnico.encoders.reading import decoders, read_block
from alnico.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five items of several kinds of picture; the fourth is cut short."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.png")
    Image.fromarray(noise).convert("CMYK").save(tmp_path / "1.jpg")
    Image.fromarray(noise).quantize(8).save(tmp_path / "2.gif")
    Image.fromarray(noise).save(tmp_path / "3.jpg")
    (tmp_path / "3.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:900])
    Image.new("RGB", (9, 9), (250, 0, 0)).save(tmp_path / "4.png")
    rows = [f"i{n},Thing {n},{name}" for n, name in enumerate(("0.png", "1.jpg", "2.gif", "3.jpg", "4.png"))]
    (tmp_path / "items.csv").write_text("\n".join(["item_id,title,image", *rows]) + "\n")
    return tmp_path


def test_lite_network_recognises_what_is_alike(folder: Path) -> None:
    report = encode_folder(folder, LITE, "none")
    vectors = np.load(folder / "features" / "image.npy")
    assert vectors.shape == (5, 1280)
    assert vectors.any(axis=1).tolist() == [True, True, True, False, True]
    assert [bad.item for bad in report.modalities[0].unreadable_images] == ["i3"]
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = units @ units[0]
    assert cosines[1] > 0.8 > cosines[4]


def test_vectors_of_a_picture_do_not_depend_on_its_batch(folder: Path) -> None:
    encoder = EfficientNetLite()
    with decoders() as pool:
        alone = read_block([folder / "4.png"], encoder, pool).vectors
        among = read_block([folder / "0.png", None, folder / "4.png"], encoder, pool).vectors
    assert among[2] == pytest.approx(alone[0], abs=1e-5)


def test_sentences_of_one_meaning_are_near() -> None:
    vectors = Sentences().encode(["A tent for two", "", "Camping shelter for a couple", "Cake tin"])
    assert vectors.shape == (4, 384)
    assert not vectors[1].any()
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[3] + 0.2
    assert Sentences().words("Tent", " ", "For two") == "Tent. For two"


def test_auto_takes_what_is_installed() -> None:
    assert choosing.picture_encoder("auto").name == LITE
    assert choosing.text_encoder("auto").name == MINILM
    assert choosing.picture_encoder("light").name == "colour-gradient"


def test_other_encoder_is_another_fingerprint_and_renews(folder: Path) -> None:
    light = encode_folder(folder, "light", "none").modalities[0]
    trained = encode_folder(folder, LITE, "none").modalities[0]
    assert trained.renewed
    assert trained.fingerprint == fingerprint(EfficientNetLite()) != light.fingerprint


def test_model_that_is_nowhere_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (folder / "empty").mkdir()
    assert main(["encode", str(folder), "--image", "nobody/nothing", "--text", "none"]) == 2
    told = capsys.readouterr().err
    assert "without a network, give the folder of a copy" in told
    assert told.count("\n") == 1
    for option in ("--image", "--text"):
        assert (
            main(["encode", str(folder), "--image", "none", "--text", "none", option, f"{folder}/empty"]) == 2
        )
        told = capsys.readouterr().err
        assert "cannot be loaded" in told
        assert "save_pretrained" in told
        assert told.count("\n") == 1


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ConfigError, match=r"not installed; install alnico\[encode\]"):
        choosing.picture_encoder(LITE)


def test_run_that_was_cut_off_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS", 2)
    whole = encode_folder(folder, "light", "light")
    expected = (folder / "features" / "image.npy").read_bytes()

    def breaks_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(encode, "_store", breaks_off)
        with pytest.raises(KeyboardInterrupt):
            encode_folder(folder, "light", "none", force=True)
    (folder / "features" / "image.npy").unlink()
    one_block = next((folder / "features" / ".image.blocks").iterdir())
    one_block.write_bytes(one_block.read_bytes()[:50])
    again = encode_folder(folder, "light", "none").modalities[0]
    assert (again.resumed + again.encoded, again.encoded <= 2) == (5, True)
    assert (folder / "features" / "image.npy").read_bytes() == expected
    assert again.unreadable_images == whole.modalities[0].unreadable_images
    assert not (folder / "features" / ".image.blocks").exists()


@pytest.mark.slow
def test_killed_command_goes_on(folder: Path) -> None:
    rows = [f"i{n},Thing {n},{n % 3}.{('png', 'jpg', 'gif')[n % 3]}" for n in range(640)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,image", *rows]) + "\n")
    command = [sys.executable, "-m", "alnico", "encode", str(folder), "--image", LITE, "--text", "none"]
    command[1:3] = ["-c", "from alnico.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"]
    environment = {**os.environ, "PYTHONPATH": str(Path(encode.__file__).parents[2])}
    running = subprocess.Popen(command, env=environment)
    kept = folder / "features" / ".image.blocks"
    while running.poll() is None and not (kept.is_dir() and list(kept.glob("*.safetensors"))):
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    told = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    made = json.loads(told.stdout)["modalities"][0]
    assert made["resumed"] == 512
    assert made["resumed"] + made["encoded"] == 640


def test_model_of_transformers_is_taken_from_its_folder(folder: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessorPil

    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder / "tiny")
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder / "tiny")
    made = encode_folder(folder, str(folder / "tiny"), "none").modalities[0]
    assert (made.encoder, made.width, made.present) == ("tiny", 16, 4)
    assert not encode_folder(folder, str(folder / "tiny"), "none").modalities[0].renewed


@pytest.mark.realdata
def test_lite_network_gives_the_vectors_that_came_with_the_films(
    real_data: Callable[[str], Path],
) -> None:
    films = real_data("ml-100k-posters")
    shipped = np.load(films / "image_feat_efflite0.npy")[:8]
    with decoders() as pool:
        paths = [films / "posters" / f"{item}.jpg" for item in range(8)]
        made = read_block([path if path.is_file() else None for path in paths], EfficientNetLite(), pool)
    assert made.vectors == pytest.approx(shipped, abs=1e-3)
