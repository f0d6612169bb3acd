"""The evaluator ``detectron2``: detectron2's own trainer on its configs of semantic networks.

github.com/facebookresearch/detectron2, and Mask2Former's project on top of it. Neither is on the package index. Into an
environment with torch, this one or another::

    pip install torchvision safetensors
    pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2'
    export D3S2BENCH_DETECTRON2_PYTHON=/that/environment/bin/python

The build takes minutes and a C++ compiler (``FORCE_CUDA=0`` leaves CUDA out; nothing that is compiled is needed here).
PointRend needs opencv-python-headless as well; Mask2Former that, timm, scipy and a checkout of
github.com/facebookresearch/Mask2Former on the PYTHONPATH.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from d3s2bench import ConfigError, Json
from d3s2bench_evaluators import detectron2_config
from d3s2bench_evaluators.tool_evaluator import Setting, ToolEvaluator
from d3s2bench_evaluators.tool_process import Tool


def _changed(*changes: str | int) -> Json:
    """Semantic FPN with some values changed: key, value, key, value."""
    return {"config": "Misc/semantic_R_50_FPN_1x.yaml", "changes": changes}


@dataclass(frozen=True)
class Detectron2(ToolEvaluator):
    """Trains one of detectron2's semantic networks.

    - ``config``: a config file (``.yaml``), or the name of one of detectron2's own; its architecture is then named as
      the file, without ``.yaml``. It may use the projects DeepLab, PointRend and, where importable, Mask2Former.
    - ``pretrained``: a file with first weights: safetensors, or a ``.pth`` of nothing but tensors. The ``.pkl`` files
      of detectron2's model zoo are refused, since reading one runs what it says. Names are matched by detectron2; what
      does not fit starts at random. "" is a random start.
    - ``python``: the interpreter that has detectron2. "" is the environment variable D3S2BENCH_DETECTRON2_PYTHON, else
      this interpreter. Like every option it becomes part of what a result is named by; the variable does not.
    """

    TOOL: ClassVar = Tool("detectron2")
    PYTHON: ClassVar = "D3S2BENCH_DETECTRON2_PYTHON"
    CONFIGS: ClassVar = {
        "semantic-fpn-r18": _changed("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
        "semantic-fpn-r50": _changed(),
        "semantic-fpn-r101": _changed("MODEL.RESNETS.DEPTH", 101),
    }

    def _own_learning_rate(self, described: Json) -> float:
        return detectron2_config.own_learning_rate(described["config"])

    def _own_recipe(self, described: Json, name: str) -> tuple[str, Json]:
        return detectron2_config.own_recipe(described["config"])

    def _training(self, described: Json, protocol: Json, setting: Setting) -> Json:
        classes, work, first = setting.classes, setting.work, self._first_weights()
        config = detectron2_config.training_config(
            described["config"], len(classes), protocol, setting.device, work, setting.seed, bool(first)
        )
        data = {"pairs": str(work / "pairs"), "classes": classes, "pretrained": str(first or "")}
        return {"config": config, "projects": described["projects"], **data}

    def _network(self, described: Json, protocol: Json, setting: Setting) -> Json:
        config = detectron2_config.network_config(
            described["config"], len(setting.classes), protocol, setting.device, bool(self.pretrained)
        )
        return {"config": config, "projects": described["projects"]}

    def _check_precision(self, precision: str, device: str) -> None:
        if precision == "fp16" and not device.startswith("cuda"):
            raise ConfigError("protocol.precision is 'fp16': detectron2 needs --device cuda for it")
