"""Windows that cover the picture are the picture; elsewhere scores are averaged over the windows that show a pixel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_segmenters import tiny_protocol
from torch import Tensor

from d3s2bench import ConfigError
from d3s2bench_evaluators.segmenters import build_segmenter
from d3s2bench_evaluators.windows import inference, sliding, starts


def test_one_window_is_the_whole() -> None:
    protocol = tiny_protocol("segformer-b0")
    network = build_segmenter("segformer-b0", 4, protocol).eval()
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        whole, slide = (inference(network, protocol | {"inference": how})(images) for how in ("whole", "slide"))
    assert torch.equal(whole, slide)


def test_overlaps_are_averaged() -> None:
    """Each window scores its own mean: 1, 2, 3, 4 in columns, windows of two columns, one apart."""
    images = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 3, 2, 4)

    def mean(part: Tensor) -> Tensor:
        assert part.shape == (1, 3, 2, 2)
        return part.mean().expand(1, 1, 2, 2)

    found = sliding(mean, images, (2, 2), (2, 1))
    assert found.shape == (1, 1, 2, 4) and found[0, 0].tolist() == [[1.5, 2.0, 3.0, 3.5]] * 2
    apart = sliding(mean, images[..., :3], (2, 2), (2, 2))  # the last window is moved back: columns 0-1 and 1-2
    assert apart[0, 0, 0].tolist() == [1.5, 2.0, 2.5]


def test_windows_start_as_mmsegmentations_do() -> None:
    for length in range(1, 40):
        for window in (5, 8, 16):
            for stride in (3, 5):
                grids = max(length - window + stride - 1, 0) // stride + 1
                ends = [min(k * stride + window, length) for k in range(grids)]
                assert starts(length, window, stride) == sorted({max(end - window, 0) for end in ends})


@pytest.mark.parametrize("changes", [{"inference": "x"}, {"inference": "slide", "window_stride": 1.5}])
def test_wrong_values_are_told(changes: dict[str, Any]) -> None:
    protocol = tiny_protocol("segformer-b0") | changes
    with pytest.raises(ConfigError, match=list(changes)[-1]):
        inference(build_segmenter("segformer-b0", 4, protocol), protocol)
