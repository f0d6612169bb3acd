"""The evaluator ``mmseg``: mmsegmentation's own Runner on any of its configs.

mmsegmentation 1.x, github.com/open-mmlab/mmsegmentation.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from d3s2bench import ConfigError, Context, Json
from d3s2bench_evaluators import mmseg_config
from d3s2bench_evaluators.tool_evaluator import Source, ToolEvaluator
from d3s2bench_evaluators.tool_process import Tool
from d3s2bench_evaluators.tool_scripts import mmseg_jobs

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
    - ``pretrained``: a file with the backbone's first weights, safetensors or a .pth of nothing but tensors; "" is a
      random start.
    - ``python``: the interpreter that has mmsegmentation. "" is the environment variable D3S2BENCH_MMSEG_PYTHON, else
      this interpreter. Like every option it becomes part of what a result is named by; the variable does not.
    """

    TOOL: ClassVar = Tool("mmseg", Path(mmseg_jobs.__file__).parent)
    PYTHON: ClassVar = "D3S2BENCH_MMSEG_PYTHON"
    CONFIGS: ClassVar = {arch: Source(config) for arch, config in ADE20K.items()}

    def _own_learning_rate(self, described: Json) -> float:
        return mmseg_config.own_learning_rate(_literal(described))

    def _training(self, described: Json, protocol: Json, work: Path, seed: int, context: Context) -> Json:
        classes = tuple(context.dataset.classes)
        config = mmseg_config.training_config(_literal(described), classes, protocol, work, seed, self._first_weights())
        return {"config": repr(config)}

    def _network(self, described: Json, protocol: Json, context: Context) -> dict[str, Any]:
        return {
            "config": repr(mmseg_config.network_config(_literal(described), len(context.dataset.classes), protocol))
        }

    def _check_precision(self, precision: str, device: str) -> None:
        if precision != "fp32" and not device.startswith("cuda"):
            raise ConfigError(f"protocol.precision is '{precision}': mmengine needs --device cuda for it")


def _literal(described: Json) -> dict[str, Any]:
    found: dict[str, Any] = ast.literal_eval(described["config"])
    return found
