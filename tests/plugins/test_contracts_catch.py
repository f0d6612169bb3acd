"""Each promise of a contract is broken by a component that breaks it, and the contract says which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from d3s2bench import Budget, Context, Folders, Json, MaskIndex, ModelError, Sample, Selection
from d3s2bench.testing import (
    Contract,
    GeneratorContract,
    ObserverContract,
    RendererContract,
    SelectorContract,
    SynthesizerContract,
)
from d3s2bench.testing.models import tiny_generator


def trying(contract: type[Contract], component: Any) -> Any:
    """The contract of a component, as pytest would make it."""
    return type("TestBroken", (contract,), {"component": component})()


class Base:
    """The first images; what follows breaks one promise each."""

    deterministic = True
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        return self.chosen(np.arange(budget.images), context)

    def chosen(self, first: Any, context: Context) -> Selection:
        return Selection(first)


class TooMany(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        return Selection(np.arange(len(first) + 1))


class Twice(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        return Selection(np.zeros_like(first))


class Outside(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        return Selection(first + 1)


class AsList(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        return Selection(first.tolist())


class NotANumber(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        return Selection(first, np.full(len(first), np.nan))


class FromTheClock(Base):
    draw = np.random.default_rng()

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        return Selection(self.draw.permutation(len(index))[: budget.images])


class LooksAtTest(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        context.dataset.split("test")
        return Selection(first)


class NeedsUnsaid(Base):
    def chosen(self, first: Any, context: Context) -> Selection:
        context.teacher  # noqa: B018 - asked for without having said so
        return Selection(first)


class OnItsOwnGpu(Base):
    needs: ClassVar[tuple[str, ...]] = ("torch",)

    def chosen(self, first: Any, context: Context) -> Selection:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Selection(torch.as_tensor(first).to(device).cpu().numpy())


class Unready:
    """Lacks what a selector declares."""

    def select(self) -> None: ...


class Oracle(Base):
    needs: ClassVar[tuple[str, ...]] = ("oracle",)


@dataclass(frozen=True)
class LivePart(Base):
    """An option that JSON cannot hold."""

    part: Any = None


BUDGET = "test_the_budget_is_exact_without_duplicates"
SELECTORS = [
    (TooMany, BUDGET, r"it gave \(2,\) for a budget of 1"),
    (Twice, BUDGET, "it chose an image twice"),
    (Outside, BUDGET, r"it chose \[1\] of 1 images"),
    (AsList, BUDGET, "must be a NumPy int64 array"),
    (NotANumber, BUDGET, "scores must be finite"),
    (LooksAtTest, BUDGET, "it reads the split 'test'"),
    (FromTheClock, "test_the_same_seed_gives_the_same_images", "gave .* then"),
    (FromTheClock, "test_the_seed_matters_unless_it_says_otherwise", "says that it is deterministic"),
    (Unready, "test_it_has_all_that_its_kind_must_have", "it lacks deterministic, needs"),
    (Oracle, "test_it_says_what_it_needs", "oracle"),
]


@pytest.mark.parametrize(("broken", "promise", "message"), SELECTORS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_selector_that_breaks_it(broken: type[Any], promise: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(trying(SelectorContract, broken()), promise)()


def test_a_seed_that_does_not_matter_is_to_be_declared() -> None:
    careless = type("Careless", (Base,), {"deterministic": False})()
    with pytest.raises(AssertionError, match="declare it deterministic"):
        trying(SelectorContract, careless).test_the_seed_matters_unless_it_says_otherwise()


def test_the_order_of_images_matters_to_one_that_says_it_does_not() -> None:
    claims = type("Claims", (Base,), {"permutation_equivariant": True})()
    with pytest.raises(AssertionError, match="the order of the images changes"):
        trying(SelectorContract, claims).test_another_order_gives_the_same_images()


def test_a_model_that_was_not_asked_for_is_not_there() -> None:
    with pytest.raises(ModelError, match="add 'teacher' to its 'needs'"):
        trying(SelectorContract, NeedsUnsaid()).test_all_images_are_a_budget_too()


def test_an_option_must_survive_json() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        trying(SelectorContract, LivePart(object())).test_it_can_be_made_again_from_its_options()


def test_one_that_looks_for_a_gpu_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("here it would find one")
    with pytest.raises((AssertionError, RuntimeError)):
        trying(SelectorContract, OnItsOwnGpu()).test_it_computes_where_it_is_told("cpu", monkeypatch)


# --- synthesizers ----------------------------------------------------------------------------------------------------


class Copies:
    """The photographs; what follows breaks one promise each."""

    deterministic = True
    needs: ClassVar[tuple[str, ...]] = ()
    sources_per_image = 1
    preserves_mask = True
    generative = False

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        train = context.dataset.split("train")
        for i in map(int, selection.indices[start:]):
            yield Sample(train.image(i), self.mask(train.mask(i)), (i,))

    def mask(self, mask: Any) -> Any:
        return mask


class OneShort(Copies):
    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        return super().synthesize(Selection(selection.indices[1:]), context, start)


class Turned(Copies):
    def mask(self, mask: Any) -> Any:
        return mask[::-1]


class FromNumpy(Copies):
    """What indexing an array gives is no int of Python, and JSON does not take it."""

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        for sample in super().synthesize(selection, context, start):
            yield Sample(sample.image, sample.mask, tuple(selection.indices[start : start + 1]))
            start += 1


class Scored(Copies):
    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        for sample in super().synthesize(selection, context, start):
            yield Sample(sample.image, sample.mask, sample.sources, {"score": sample.image.mean(dtype=np.float32)})


class Unlabelled(Copies):
    def mask(self, mask: Any) -> Any:
        return np.full_like(mask, 77)


class Hoards(Copies):
    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        made = list(super().synthesize(selection, context, start))
        yield from made


class FromTheStart(Copies):
    """Draws in a row, so that a later start draws other noise."""

    deterministic = False

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        draw = np.random.default_rng(context.seed)
        for sample in super().synthesize(selection, context, start):
            yield Sample(sample.image ^ draw.integers(0, 2, sample.image.shape, np.uint8), sample.mask, sample.sources)


SYNTHESIZERS = [
    (OneShort, "test_the_budget_is_exact_and_the_order_kept", "it made 2 images for a budget of 3"),
    (Turned, "test_masks_are_kept_where_it_says_so", "preserves the mask"),
    (FromNumpy, "test_what_it_tells_of_an_image_is_json", "its sources must be a tuple of Python's int"),
    (Scored, "test_what_it_tells_of_an_image_is_json", "its provenance cannot be written as JSON: Object of type floa"),
    (Unlabelled, "test_images_and_masks_fit_each_other", r"its mask holds \[77\]"),
    (Hoards, "test_it_holds_few_images_at_once", "yield each and let it go|holds .* of train"),
    (FromTheStart, "test_a_stopped_run_goes_on_with_the_same_bytes", "from sample 1 on it makes others"),
]


@pytest.mark.parametrize(
    ("broken", "promise", "message"), SYNTHESIZERS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_synthesizer_that_breaks_it(broken: type[Any], promise: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(trying(SynthesizerContract, broken()), promise)()


class Paints(Copies):
    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        for sample in super().synthesize(selection, context, start):
            sample.image[:] = 0
            yield sample


class Empties(Base):
    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection:
        index.counts[:] = 0
        return super().select(index, budget, context)


@pytest.mark.parametrize(
    ("contract", "component", "promise"),
    [
        (SynthesizerContract, Paints(), "test_the_budget_is_exact_and_the_order_kept"),
        (SelectorContract, Empties(), "test_all_images_are_a_budget_too"),
    ],
)
def test_what_is_handed_out_is_read_only(contract: type[Contract], component: Any, promise: str) -> None:
    """As it is with some datasets: who changes it in place fails there alone."""
    with pytest.raises(ValueError, match="read-only"):
        getattr(trying(contract, component), promise)()


# --- generators, renderers, observers --------------------------------------------------------------------------------


class OneNoiseForAll(type(tiny_generator())):  # type: ignore[misc]
    def latents(self, seeds: Any) -> Any:
        return super().latents(sorted(seeds)).flip(0)


class Family:
    def train(self, pairs: Any, folder: Path, context: Context) -> None: ...

    def load(self, folder: Path, device: str) -> Any:
        return OneNoiseForAll(device)


def test_a_generator_whose_noise_depends_on_its_neighbours(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="from seeds"):
        trying(GeneratorContract, Family()).test_noise_follows_from_each_seed_alone(tmp_path)


def test_a_generator_that_takes_any_folder(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        trying(GeneratorContract, Family()).test_another_folder_is_no_generator(tmp_path)


class InTheirOrder:
    def render(self, records: Any) -> str:
        return " ".join(record["id"] for record in records)


def test_a_renderer_that_depends_on_the_order(tmp_path: Path) -> None:
    from d3s2bench.testing import tiny_records

    with pytest.raises(AssertionError, match="depends on their order"):
        tried = trying(RendererContract, InTheirOrder())
        tried.test_the_order_of_the_records_does_not_matter(tiny_records(tmp_path), tmp_path)


class Scribbles:
    def on_record(self, record: Json, folders: Folders) -> None:
        record["seen"] = True  # type: ignore[index]

    def finish(self) -> None: ...


def test_an_observer_that_changes_records(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it changes the records"):
        trying(ObserverContract, Scribbles()).test_it_takes_records_and_leaves_them_as_they_are(tmp_path)
