"""What each kind of component looks like from the engine. Reading order: dataset, selector, synthesizer, evaluator.

A component is a class, most simply a frozen dataclass: its fields are its options (all with defaults), which
``--set KIND.NAME.OPTION=VALUE`` overrides and which are part of its identity. Class variables declare what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from d3s2bench.values import Budget, Counts, Image, Json, Mask, MaskIndex, Sample, Selection

if TYPE_CHECKING:
    from torch import Tensor

Tap = Literal["activation", "batchnorm_input"]
"""Where a teacher's layer is read: at its output, or where its last BatchNorm takes its input."""


class Split(Protocol):
    """Images with masks, read one by one: a split of a dataset, or a distilled set.

    One method is optional: ``label_counts(i) -> (256,) int64``, how many pixels of each train id mask i has, or None;
    for splits that know it in less time than ``mask(i)`` takes.
    """

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image:
        """``(H, W, 3) uint8``. Raises DatasetError for a corrupt file."""
        ...

    def mask(self, i: int) -> Mask:
        """``(H, W) uint8`` train ids, 255 = ignore. Raises DatasetError for a corrupt file or a label out of range."""
        ...

    def item_name(self, i: int) -> str:
        """A name for humans and files, unique in the split."""
        ...


class Dataset(Protocol):
    """A dataset. The engine passes the constructor those of ``root``, ``name`` and ``cache`` that it has fields for.

    One whose official protocol scores another split than ``test`` says so in an attribute ``eval_split``.
    """

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str:
        """64 hex digits that depend on the content, not on the path."""
        ...

    @property
    def redistributable(self) -> bool:
        """Whether its images may be uploaded or published."""
        ...

    @property
    def assets(self) -> Path | None:
        """A folder with what is shipped for this dataset: ``generator/``, ``teacher/``, ``records/``; or None."""
        ...

    def split(self, name: str) -> Split:
        """Raises DatasetError for an unknown or empty split."""
        ...


class Teacher(Protocol):
    """A segmentation network trained on the full train split, frozen. Images are ``(B, 3, H, W) float32`` in 0…1."""

    layers: tuple[str, ...]
    """Names of the layers whose features it gives, from shallow to deep to output."""
    batchnorm: Mapping[str, tuple[Tensor, Tensor]]
    """Layer → running mean and variance, each ``(D,)``; empty when the network has no BatchNorm."""
    class_features: Mapping[str, tuple[Tensor, Tensor]]
    """Layer → mean and std over the real train pixels of each class, each ``(C, D)``; NaN for absent classes."""
    pooled_layer: str
    """The layer that stands for the whole image when pooled (last stage of the encoder)."""

    def features(self, images: Tensor, tap: Tap = "activation") -> tuple[Tensor, Mapping[str, Tensor]]:
        """Logits ``(B, C, H, W)`` and layer → ``(B, D, h, w)``; differentiable in ``images``, at their size."""
        ...


class Generator(Protocol):
    """A layout-to-image diffusion model, in pixel or latent space."""

    scheduler: Any
    """A diffusers scheduler; its ``prediction_type`` says what ``denoise`` returns."""
    size: tuple[int, int]
    """Width and height of its images."""
    num_classes: int
    """How many classes its masks may name."""

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Starting noise ``(B, …)``, row i from ``seeds[i]`` alone."""
        ...

    def condition(self, masks: Tensor) -> Any:
        """What ``denoise`` needs of masks ``(B, H, W) int64`` (255 = ignore) of its size."""
        ...

    def denoise(self, z: Tensor, t: Tensor, condition: Any) -> Tensor:
        """The network's prediction for noisy ``z`` at timestep ``t``."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Clean latents → images ``(B, 3, H, W)`` in 0…1 (not clamped, differentiable)."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Images in 0…1 → clean latents."""
        ...


def no_progress(done: int, total: int, note: str = "") -> None:
    """Takes progress and shows nothing."""


@dataclass
class Context:
    """What the engine hands a component beside its arguments."""

    dataset: Dataset
    seed: int = 0
    """The seed of this stage; derive more with :func:`d3s2bench.derive_seed`."""
    device: str = "cpu"
    workdir: Path = field(default_factory=Path.cwd)
    """A folder that outlives a killed run: checkpoints go here."""
    progress: Callable[[int, int, str], None] = no_progress
    load_teacher: Callable[[], Teacher] | None = None
    load_generator: Callable[[], Generator] | None = None

    @property
    def teacher(self) -> Teacher:
        """Loaded when first asked for. Raises ModelError when there is none."""
        teacher: Teacher = _loaded(self.load_teacher, "teacher")
        return teacher

    @property
    def generator(self) -> Generator:
        """Loaded when first asked for. Raises ModelError when there is none."""
        generator: Generator = _loaded(self.load_generator, "generator")
        return generator


def _loaded(load: Callable[[], Any] | None, what: str) -> Any:
    from d3s2bench.errors import ModelError

    if load is None:
        raise ModelError(f"this component uses a {what} but does not declare it: add '{what}' to its 'needs'")
    return load()


@runtime_checkable
class Selector(Protocol):
    """Chooses ``budget.images`` distinct images of the train split.

    One whose choice does not depend on the order of the images, ties apart, may say so in an attribute
    ``permutation_equivariant = True``: its contract then tries it.
    """

    deterministic: ClassVar[bool]
    """True when the seed does not matter; computed once for all repetitions then."""
    needs: tuple[str, ...]
    """Of ``teacher``, ``generator``; ``("torch",)`` for one that computes with torch and without either. A property
    where it depends on the options."""

    def select(self, index: MaskIndex, budget: Budget, context: Context) -> Selection: ...


@runtime_checkable
class Synthesizer(Protocol):
    """Turns a selection into the pairs of a distilled set: output k from the selected images ``k · sources_per_image``
    up to ``(k + 1) · sources_per_image``, in the order of their choice."""

    deterministic: ClassVar[bool]
    needs: ClassVar[tuple[str, ...]]
    sources_per_image: int
    """1, or more for one that puts several into one image; a property where it depends on the options. The selector
    chooses so many for each image of the budget."""
    preserves_mask: ClassVar[bool]
    """True when each mask is the source mask, resized with nearest neighbour at most."""
    generative: ClassVar[bool]
    """True when images are made rather than taken; their nearest train image is then recorded."""

    def synthesize(self, selection: Selection, context: Context, start: int = 0) -> Iterator[Sample]:
        """Samples from number ``start`` on; sample k depends on ``context.seed`` and k, never on ``start``."""
        ...


@runtime_checkable
class Evaluator(Protocol):
    """Trains a student on a set of pairs and counts on a split.

    Two methods are optional: ``dataset_recipe(arch, dataset) -> Json``, what the published recipe of an architecture
    changes for a dataset of that name (its ``size`` gives way to the user's), and ``completed(arch, protocol) ->
    Json``, the protocol with what the user's overrides left open.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """May depend on the options (soft labels need the teacher)."""
        ...

    def architectures(self) -> tuple[str, ...]: ...

    def protocol(self, arch: str, size: tuple[int, int]) -> dict[str, Any]:
        """The default training protocol, JSON: at least ``iterations``, ``converged_iterations``, ``size`` (w, h),
        ``precision``, ``batch_size``. Everything that changes the numbers and is no method's own stands here."""
        ...

    def train(self, pairs: Split, arch: str, protocol: Json, context: Context) -> Any:
        """A trained model. Goes on from a checkpoint in ``context.workdir`` when there is one."""
        ...

    def evaluate(self, model: Any, split: Split, protocol: Json, context: Context) -> Counts:
        """Confusion per image at the annotation's native resolution."""
        ...

    def save_teacher(self, model: Any, pairs: Split, folder: Path, context: Context) -> None:
        """Writes the model and its class-wise feature statistics over ``pairs`` (safetensors and JSON)."""
        ...

    def load_teacher(self, folder: Path, device: str) -> Teacher:
        """Raises ModelError for a folder that is no teacher."""
        ...


@runtime_checkable
class GeneratorFamily(Protocol):
    """The component of kind ``generator``: trains, saves and loads one family of diffusion models.

    One method is optional: ``require(dataset)``, asked when a run is planned, raises ModelError or ConfigError for a
    dataset that the family knows it cannot make a model for.
    """

    def train(self, pairs: Split, folder: Path, context: Context) -> None:
        """Trains on pairs and writes the model into ``folder``; checkpoints in ``context.workdir``."""
        ...

    def load(self, folder: Path, device: str) -> Generator:
        """Raises ModelError for a folder that is no such model."""
        ...


@runtime_checkable
class Renderer(Protocol):
    """Turns records into a text, or into files by name where one text will not do (figures)."""

    def render(self, records: Iterable[Json]) -> str | Mapping[str, bytes]: ...


# --- where stages are worked on --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One stage as an executor carries it to where it is worked on."""

    key: str
    """Names the stage; 64 hex digits."""
    name: str
    """What a person calls it."""
    threads: int
    """Cores that it keeps busy."""
    gpu: bool
    """Whether it computes on a GPU."""
    work: Json
    """What :func:`d3s2bench.run_task` needs there."""


@dataclass(frozen=True)
class Site:
    """What all tasks of a run have in common."""

    out: Path
    """The folder of the store; every machine that works on a task sees it under this path."""
    threads: int
    """Numeric threads per stage, from the protocol."""
    workers: int | None
    """Stages at once; None = as many as there is room for."""
    device: str


class Pool(Protocol):
    """An executor at work."""

    @property
    def count(self) -> int:
        """Stages at once."""
        ...

    @property
    def retries(self) -> int:
        """How often a stage is tried again that has raised WorkerDied."""
        ...

    def submit(self, tasks: Sequence[Task], progress: Callable[[str, int, int, str], None]) -> Sequence[Future[None]]:
        """One future per task, which raises WorkerDied or another D3S2Error. ``progress(key, done, total, note)`` may
        be called from any thread. Raises D3S2Error when no task can be taken at all: the run then ends."""
        ...

    def stop(self) -> None:
        """Ends all work that is still going on."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Decides where stages are worked on, and nothing else: it and its options are part of no identity or record."""

    def start(self, site: Site) -> Pool:
        """Raises ConfigError where the machines do not offer what a stage needs."""
        ...


@dataclass(frozen=True)
class Folders:
    """Where the files behind a record lie."""

    out: Path
    """The folder of the run: its records, its store; an observer may write into a folder of its own there."""
    distilled: Path | None = None
    """The set that was trained on, with its ``preview.png``; None for all of train and for a set made elsewhere."""
    redistributable: bool = False
    """Whether the images of that set may leave this machine."""


@runtime_checkable
class Observer(Protocol):
    """Is told of each record that a run scores, in the run's own process: a log, a message. The records are on disk
    before; whatever it raises is one line at the end of the run, and it is then told no more."""

    def on_record(self, record: Json, folders: Folders) -> None:
        """May be told the same record again, by a later run."""
        ...

    def finish(self) -> None:
        """The run is over."""
        ...
