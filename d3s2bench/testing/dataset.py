"""The contract of datasets."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from weakref import ref

import numpy as np
import pytest

from d3s2bench.datasets.label_counts import label_counts
from d3s2bench.errors import DatasetError
from d3s2bench.interfaces import Dataset, Split
from d3s2bench.testing.base import Contract
from d3s2bench.values import IGNORE

READ = 8
"""So many pairs of each split are read."""


class DatasetContract(Contract):
    """What a dataset keeps to; three lines try yours:

    >>> class TestMine(DatasetContract):  # doctest: +SKIP
    ...     component = Mine()
    """

    interface = Dataset

    def splits(self) -> list[tuple[Split, range]]:
        """Each split, and which of its pairs are read."""
        opened = (self.component.split(name) for name in self.component.splits)
        return [(split, range(min(len(split), READ))) for split in opened]

    def test_it_can_be_made_again_from_its_options(self) -> None:
        """Its place is no option: the fingerprint says what it holds."""
        assert self.component.fingerprint == self.component.fingerprint, "its fingerprint changes"
        assert len(self.component.fingerprint) == 64 and int(self.component.fingerprint, 16) >= 0, "give 64 hex digits"

    def test_classes_and_colours_fit_each_other(self) -> None:
        classes, palette = self.component.classes, self.component.palette
        assert len(set(classes)) == len(classes) <= IGNORE, "class names must differ, and be 255 at most"
        assert len(palette) == len(classes), f"{len(palette)} colours for {len(classes)} classes"
        assert all(len(c) == 3 and min(c) >= 0 and max(c) <= 255 for c in palette), "colours are three of 0 to 255"

    def test_it_has_a_split_train_and_none_is_empty(self) -> None:
        assert "train" in self.component.splits, f"its splits are {self.component.splits}: one must be train"
        for name in self.component.splits:
            assert len(self.component.split(name)) > 0, f"its split {name} is empty"

    def test_images_and_masks_fit_each_other(self) -> None:
        for split, items in self.splits():
            for i in items:
                image, mask = split.image(i), split.mask(i)
                assert image.dtype == mask.dtype == np.uint8, "image and mask must be uint8"
                assert image.shape == (*mask.shape, 3), f"pair {i}: image {image.shape}, mask {mask.shape}"
                strange = set(np.unique(mask).tolist()) - {*range(len(self.component.classes)), IGNORE}
                assert not strange, f"mask {split.item_name(i)} holds {sorted(strange)}, which is no class"

    def test_counts_that_it_knows_are_those_of_the_masks(self) -> None:
        for split, items in self.splits():
            for i in items:
                counted = np.bincount(split.mask(i).ravel(), minlength=IGNORE + 1)
                assert np.array_equal(label_counts(split, i), counted), f"label_counts({i}) are not those of its mask"

    def test_reading_again_gives_the_same(self) -> None:
        for split, items in self.splits():
            for i in items:
                image = split.image(i)
                image_before = image.copy()
                if image.flags.writeable:
                    image[:] = 0  # whoever changes what it was given changes nothing for others
                assert np.array_equal(split.image(i), image_before), f"image {i} is another when it is read again"

    def test_names_are_unique_and_fit_for_files(self) -> None:
        for split in map(self.component.split, self.component.splits):
            names = [split.item_name(i) for i in islice(range(len(split)), 1000)]
            assert len(set(names)) == len(names), "two pairs have the same name"
            assert all(name == Path(name).name for name in names), "a name is not fit for a file"

    def test_an_unknown_split_is_a_dataset_error(self) -> None:
        with pytest.raises(DatasetError):
            self.component.split("no-such-split")

    def test_it_says_whether_images_may_be_passed_on(self) -> None:
        assert isinstance(self.component.redistributable, bool), "redistributable must be True or False"
        assets = self.component.assets
        assert assets is None or assets.is_dir(), f"its assets {assets} are no folder"

    def test_it_holds_no_image_in_memory(self) -> None:
        for split, items in self.splits():
            alive = [ref(split.image(i)) for i in items]
            assert not any(image() is not None for image in alive), "it keeps images that it gave out: read them anew"
