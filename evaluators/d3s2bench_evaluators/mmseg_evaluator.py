"""The evaluator ``mmseg``: mmsegmentation's own Runner on any of its configs.

mmsegmentation 1.x, github.com/open-mmlab/mmsegmentation.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, ClassVar

from d3s2bench import ConfigError, Json
from d3s2bench_evaluators import mmseg_config
from d3s2bench_evaluators.tool_evaluator import Setting, ToolEvaluator
from d3s2bench_evaluators.tool_process import Tool

ADE20K = {
    **{f"segformer-b{n}": f"segformer/segformer_mit-b{n}_8xb2-160k_ade20k-512x512.py" for n in range(6)},
    "mask2former-swin-t": "mask2former/mask2former_swin-t_8xb2-160k_ade20k-512x512.py",
    "mask2former-swin-s": "mask2former/mask2former_swin-s_8xb2-160k_ade20k-512x512.py",
    "mask2former-swin-b": "mask2former/mask2former_swin-b-in1k-384x384-pre_8xb2-160k_ade20k-640x640.py",
    "segmenter-s": "segmenter/segmenter_vit-s_mask_8xb1-160k_ade20k-512x512.py",
    "segmenter-b": "segmenter/segmenter_vit-b_mask_8xb1-160k_ade20k-512x512.py",
    "upernet-swin-t": "swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py",
    "upernet-r50": "upernet/upernet_r50_4xb4-160k_ade20k-512x512.py",
    "deeplabv3plus-r50": "deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py",
    "pspnet-r50": "pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py",
}
"""Architecture → one of mmsegmentation's own configs."""


@dataclass(frozen=True)
class Mmseg(ToolEvaluator):
    """Trains one of mmsegmentation's networks.

    - ``config``: a config file, or the name of one of mmsegmentation's own as
      ``fcn/fcn_hr18_4xb4-160k_ade20k-512x512.py``; its architecture is then named as the file, without ``.py``.
    - ``pretrained``: a file with the backbone's first weights, safetensors or a .pth of nothing but tensors; refused
      where none of them fits. "" is a random start.
    - ``python``: the interpreter that has mmsegmentation. "" is the environment variable D3S2BENCH_MMSEG_PYTHON, else
      this interpreter. Like every option it becomes part of what a result is named by; the variable does not.
    """

    TOOL: ClassVar = Tool("mmseg")
    PYTHON: ClassVar = "D3S2BENCH_MMSEG_PYTHON"
    CONFIGS: ClassVar = {arch: {"config": config} for arch, config in ADE20K.items()}

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        """With the config's own way to test.

        Raises:
            ConfigError: the interpreter has no mmsegmentation, or it no such config.
        """
        own = mmseg_config.own_inference(_literal(self._described(arch)))
        return {**super().protocol(arch, size), "inference": own}

    def _own_learning_rate(self, described: Json) -> float:
        return mmseg_config.own_learning_rate(_literal(described))

    def _own_recipe(self, described: Json, name: str) -> tuple[str, Json]:
        return mmseg_config.own_recipe(_literal(described), name)

    def _training(self, described: Json, protocol: Json, setting: Setting) -> Json:
        config, first = _literal(described), self._first_weights()
        ours = mmseg_config.training_config(config, setting.classes, protocol, setting.work, setting.seed, first)
        return {"config": repr(ours), "pretrained": str(first or "")}

    def _network(self, described: Json, protocol: Json, setting: Setting) -> Json:
        return {"config": repr(mmseg_config.network_config(_literal(described), len(setting.classes), protocol))}

    def _check_precision(self, precision: str, device: str) -> None:
        if precision != "fp32" and not device.startswith("cuda"):
            raise ConfigError(f"protocol.precision is '{precision}': mmengine needs --device cuda for it")


def _literal(described: Json) -> dict[str, Any]:
    found: dict[str, Any] = ast.literal_eval(described["config"])
    return found
