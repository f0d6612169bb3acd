"""Features from a backbone: tiny random networks, saved here, read back without a network or a teacher."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from selector_fakes import ColourTeacher, blank_index, context, random_images
from transformers import (
    BertConfig,
    BertModel,
    ConvNextV2Config,
    ConvNextV2Model,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from d3s2bench import Budget, ConfigError, ModelError
from d3s2bench.plugins import configure, options_of
from d3s2bench_selectors.backbone_features import PROCESSOR, backbone_features, identify
from d3s2bench_selectors.herding import Herding, herding
from d3s2bench_selectors.image_features import FEATURES
from d3s2bench_selectors.k_center import KCenter, k_center

SIZE = 16
COMMIT = "c" * 40
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
MODELS = {
    "convnext": lambda: ConvNextV2Model(
        ConvNextV2Config(num_stages=2, hidden_sizes=[4, 6], depths=[1, 1], image_size=SIZE)
    ),
    "swin": lambda: SwinModel(
        SwinConfig(embed_dim=4, depths=[1, 1], num_heads=[1, 2], window_size=2, image_size=SIZE, patch_size=2)
    ),
    "vit": lambda: ViTModel(
        ViTConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            image_size=SIZE,
            patch_size=8,
        )
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each of the models; ``vit`` comes with an image processor."""
    home = tmp_path_factory.mktemp("backbones")
    for seed, (name, make) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        make().save_pretrained(home / name)
    processor = {"size": {"height": SIZE, "width": SIZE}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    ViTImageProcessor(**processor).save_pretrained(home / "vit")
    return home


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache and no network; gives the cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def copy(saved: Path, name: str, to: Path) -> Path:
    return Path(shutil.copytree(saved / name, to / name))


def squares(images: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (images, SIZE, SIZE, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "model", "mean", "std", "positions"),
    [
        ("convnext", ConvNextV2Model, MEAN, STD, (2, 3)),
        ("swin", SwinModel, MEAN, STD, (1,)),
        ("vit", ViTModel, 0.5, 0.25, (1,)),
    ],
)
def test_features_are_the_mean_of_the_last_hidden_state(
    saved: Path, name: str, model: Any, mean: Any, std: Any, positions: tuple[int, ...]
) -> None:
    images = squares(20)
    pixels = torch.tensor((np.stack(images) / 255 - mean) / std).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        hidden = model.from_pretrained(saved / name).eval()(pixel_values=pixels).last_hidden_state
    expected = hidden.double().mean(positions).numpy()
    found = backbone_features(str(saved / name), context(images))
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3  # and they tell images apart


@pytest.mark.parametrize("name", list(MODELS))
def test_selects_without_a_teacher(saved: Path, name: str) -> None:
    folder, images = str(saved / name), random_images(4, 30)  # of three sizes
    features, budget = backbone_features(folder, context(images)), Budget(6, 30, 0.2)
    assert KCenter(folder).needs == Herding(folder).needs == ("torch",)
    first = int(np.random.default_rng(9).integers(30))
    centres = KCenter(folder).select(blank_index(30), budget, context(images, seed=9))
    assert centres.indices.tolist() == k_center(features, 6, first).indices.tolist()
    herd = Herding(folder).select(blank_index(30), budget, context(images))
    assert herd.indices.tolist() == herding(features, 6).indices.tolist()


@pytest.mark.parametrize("selector", [KCenter, Herding])
def test_the_teacher_is_the_default(selector: Any) -> None:
    assert FEATURES == "pooled last stage of the teacher"  # part of the identity of records
    assert options_of(selector()) == {"features": FEATURES, "sha256": ""}
    assert selector().needs == ("teacher",)
    with pytest.raises(ConfigError, match="features come from the teacher"):
        selector(sha256="0" * 64)


def test_the_options_of_a_record_identify_the_files(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, "vit", tmp_path)
    planned = options_of(configure(KCenter, "selector 'k-center'", {"features": str(folder)}))
    assert planned == {"features": str(folder), "sha256": identify(str(saved / "vit"))}
    (folder / "README.md").write_text("not read by the model")
    assert options_of(configure(KCenter, "selector 'k-center'", planned)) == planned
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ModelError, match="its files have changed"):
        configure(KCenter, "selector 'k-center'", planned)


def test_a_name_means_the_copy_in_the_cache(saved: Path, offline: Path) -> None:
    repository = offline / "models--someone--tiny"
    shutil.copytree(saved / "convnext", repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert KCenter("someone/tiny").sha256 == identify(str(saved / "convnext"))
    found = backbone_features("someone/tiny", context(squares(3)))
    assert found.tolist() == backbone_features(str(saved / "convnext"), context(squares(3))).tolist()


class Hub(BaseHTTPRequestHandler):
    """The Hugging Face hub with the files of ``folder`` as the commit ``COMMIT`` of any repository, and no other."""

    folder = Path()

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if f"/tree/{COMMIT}" in self.path:
            files = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name} for f in self.folder.iterdir()
            ]
            self.answer(200, json.dumps(files).encode())
        elif f"/resolve/{COMMIT}/" in self.path:
            self.answer(200, (self.folder / name).read_bytes())
        else:
            self.answer(404, b"")

    do_HEAD = do_GET

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(content)), "ETag": '"e"', "X-Repo-Commit": COMMIT}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_copy_that_lacks_the_processor_is_completed(saved: Path, tmp_path: Path) -> None:
    """As a program leaves it that reads config and weights alone. Without a network it is read as it is."""
    cached = tmp_path / "models--someone--tiny" / "snapshots" / COMMIT
    shutil.copytree(saved / "vit", cached)
    (cached / PROCESSOR).unlink()
    (tmp_path / "models--someone--tiny" / "refs").mkdir()
    (tmp_path / "models--someone--tiny" / "refs" / "main").write_text(COMMIT)
    partial, whole = identify(str(cached)), identify(str(saved / "vit"))
    hub = ThreadingHTTPServer(("127.0.0.1", 0), type("Vit", (Hub,), {"folder": saved / "vit"}))
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    place = {"HF_HUB_CACHE": str(tmp_path), "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "NO_PROXY": "*"}
    code = "from d3s2bench_selectors.backbone_features import identify; print(identify('someone/tiny'))"
    found = []
    for offline in ("1", "0", "1"):
        given = {**os.environ, **place, "HF_HUB_OFFLINE": offline}
        made = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True)
        found.append(made.stdout.strip() or made.stderr)
    hub.shutdown()
    assert found == [partial, whole, whole] and partial != whole


@pytest.mark.parametrize("name", ["pixels", "someone/unknown", "/no/such/folder", "a b"])
def test_an_unknown_name_offline(offline: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"give option features a folder .* or is in the cache \(HF_HOME\)") as raised:
        KCenter(name)
    assert f"no backbone '{name}' can be used (no such folder, and " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_pickled_weights_are_not_read(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, "swin", tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"does not hold config.json and model.safetensors"):
        Herding(str(folder))


def test_code_that_comes_with_a_model_is_not_run(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, "vit", tmp_path)
    told = json.loads((folder / "config.json").read_text())
    told |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    with pytest.raises(ModelError, match="no backbone"):
        backbone_features(str(folder), context(squares(1)))
    assert not (tmp_path / "run").exists()


def test_a_model_of_text(tmp_path: Path) -> None:
    BertModel(
        BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    ).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no backbone .* \(.*(input_ids|pixel_values).*\): give"):
        backbone_features(str(tmp_path), context(squares(1)))


def test_missing_weights_are_not_replaced_by_random_ones(saved: Path, tmp_path: Path) -> None:
    folder, images = copy(saved, "vit", tmp_path), squares(2)
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "pooler" not in k}, folder / "model.safetensors", {"format": "pt"})
    without_pooler = backbone_features(str(folder), context(images))  # whose output is not used
    assert without_pooler.tolist() == backbone_features(str(saved / "vit"), context(images)).tolist()
    save_file(
        {k: v for k, v in weights.items() if "cls_token" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match=r"1 of its weights are missing, embeddings\.cls_token first"):
        backbone_features(str(folder), context(images))


def test_planning_with_a_backbone_imports_no_torch(saved: Path) -> None:
    code = (
        "import sys; from d3s2bench_selectors.k_center import KCenter; "
        f"assert KCenter({str(saved / 'swin')!r}).sha256; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_teacher_is_not_asked(saved: Path) -> None:
    teacher, images = ColourTeacher(), squares(4)
    Herding(str(saved / "vit")).select(blank_index(4), Budget(2, 4, 0.5), context(images, teacher))
    assert teacher.shapes == []
