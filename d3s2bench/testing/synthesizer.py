"""The contract of synthesizers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from weakref import ref

import numpy as np
import pytest

from d3s2bench.interfaces import Synthesizer
from d3s2bench.sets.given import resized
from d3s2bench.testing.base import DEVICES, Contract, prepare
from d3s2bench.testing.models import tiny_context
from d3s2bench.testing.tiny import CLASSES, TinyDataset, TinySplit
from d3s2bench.values import IGNORE, Json, Sample, Selection

OUTPUTS = 3
MANY = 32


class SynthesizerContract(Contract):
    """What a synthesizer keeps to; three lines try yours:

    >>> class TestMine(SynthesizerContract):  # doctest: +SKIP
    ...     component = Mine(steps=2)
    """

    interface = Synthesizer

    def stream(
        self, split: TinySplit, outputs: int, start: int = 0, seed: int = 0, device: str = "cpu"
    ) -> Iterator[Sample]:
        context = tiny_context(self.component, TinyDataset(split), seed, device)
        samples: Iterator[Sample] = self.component.synthesize(self.chosen(split, outputs), context, start)
        return samples

    def chosen(self, split: TinySplit, outputs: int) -> Selection:
        order = np.random.default_rng(1).permutation(len(split))
        return Selection(order[: outputs * self.component.sources_per_image])

    def samples(self, outputs: int = OUTPUTS, start: int = 0, seed: int = 0, device: str = "cpu") -> list[Sample]:
        return list(self.stream(self.split(outputs), outputs, start, seed, device))

    def split(self, outputs: int = OUTPUTS) -> TinySplit:
        return TinySplit(outputs * self.component.sources_per_image + 2)

    def test_the_budget_is_exact_and_the_order_kept(self) -> None:
        made, chosen = self.samples(), self.chosen(self.split(), OUTPUTS)
        assert len(made) == OUTPUTS, f"it made {len(made)} images for a budget of {OUTPUTS}"
        sources = [i for sample in made for i in sample.sources]
        assert sources == chosen.indices.tolist(), f"its sources are {sources}, chosen were {chosen.indices.tolist()}"

    def test_images_and_masks_fit_each_other(self) -> None:
        for sample in self.samples():
            assert sample.image.dtype == sample.mask.dtype == np.uint8, "image and mask must be uint8"
            shapes = f"{sample.image.shape} and {sample.mask.shape}"
            assert sample.image.shape == (*sample.mask.shape, 3), f"image and mask are {shapes}"
            strange = set(np.unique(sample.mask).tolist()) - {*range(len(CLASSES)), IGNORE}
            assert not strange, f"its mask holds {sorted(strange)}: labels are 0 to {len(CLASSES) - 1} and {IGNORE}"

    def test_what_it_tells_of_an_image_is_json(self) -> None:
        for sample in self.samples():
            sources = sample.sources
            plain = isinstance(sources, tuple) and all(type(i) is int for i in sources)
            assert plain, f"its sources must be a tuple of Python's int, not {sources!r}: int(i) makes one"
            assert (why := _no_json(sample.provenance)) is None, f"its provenance cannot be written as JSON: {why}"

    def test_masks_are_kept_where_it_says_so(self) -> None:
        if not self.component.preserves_mask:
            pytest.skip("it does not say that it preserves_mask")
        split = self.split()
        for sample in self.samples():
            source = resized(split.mask(sample.sources[0]), sample.mask.shape)
            assert np.array_equal(sample.mask, source), "it says that it preserves the mask, but this one has changed"

    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        assert _bytes(self.samples()) == _bytes(self.samples()), "the same seed gave other images or masks"

    def test_the_seed_matters_unless_it_says_otherwise(self) -> None:
        same = _bytes(self.samples(seed=1)) == _bytes(self.samples(seed=2))
        if self.component.deterministic:
            assert same, "it says that it is deterministic, but two seeds gave different images"
        else:
            assert not same, "two seeds gave the same images: declare it deterministic"

    def test_a_stopped_run_goes_on_with_the_same_bytes(self) -> None:
        whole = _bytes(self.samples())
        for start in range(1, OUTPUTS + 1):
            rest = _bytes(self.samples(start=start))
            assert rest == whole[start:], f"from sample {start} on it makes others: its number decides, not the start"

    def test_it_holds_few_images_at_once(self) -> None:
        """Streams: what was read and made is let go, so that a set larger than memory works."""
        split = self.split(MANY)
        made: list[ref[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []
        for sample in self.stream(split, MANY):
            made.append(ref(sample.image))
            del sample
            alive = sum(image() is not None for image in made)
            most = 8 + MANY // 2
            assert alive <= most, f"it holds {alive} of {MANY} images that it made: yield each and let it go"
            held = split.held()
            assert held <= most * self.component.sources_per_image * 2, f"it holds {held} images and masks of train"

    @DEVICES
    def test_it_computes_where_it_is_told(self, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare(device, self.component, monkeypatch)
        assert len(self.samples(device=device)) == OUTPUTS


def _no_json(value: Json) -> str | None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _bytes(samples: list[Sample]) -> list[tuple[bytes, bytes, tuple[int, ...]]]:
    return [(sample.image.tobytes(), sample.mask.tobytes(), sample.sources) for sample in samples]
