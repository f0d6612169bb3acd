"""Prompts by hand, and token by token against the tokenizer's reading of the whole sentence."""

from __future__ import annotations

import pytest
import torch
from latent_fakes import LENGTH, spelled, write_tokenizer
from transformers import CLIPTokenizer

from d3s2bench import ConfigError
from d3s2bench_synthesizers.latent_prompts import OPEN, Prompts, words


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer") / "tiny"
    write_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


def prompts(tokenizer: CLIPTokenizer, *names: str, template: str = "<classes>", length: int = LENGTH) -> Prompts:
    return Prompts(tokenizer, length, names, template)


def mask(*areas: int) -> torch.Tensor:
    """One row in which class c has ``areas[c]`` pixels, then an ignored one."""
    return torch.cat([torch.arange(len(areas)).repeat_interleave(torch.tensor(areas)), torch.tensor([255])])[None, None]


def test_a_prompt_names_the_classes_of_its_mask_in_order(tokenizer: CLIPTokenizer) -> None:
    written = prompts(tokenizer, "sky", "road", "", "car", template="a <classes>, up")
    both = torch.cat([mask(2, 1, 3, 5), torch.full((1, 1, 12), 255)])[..., :12]
    tokens = written.of(both)
    assert spelled(tokenizer, tokens) == "a sky , road , car , up"
    assert spelled(tokenizer, tokens, 1) == "a , up"


def test_tokens_are_those_of_the_whole_sentence_and_know_their_class(tokenizer: CLIPTokenizer) -> None:
    tokens = prompts(tokenizer, "sky", "cat", "car", template="a <classes> up").of(mask(1, 1, 1))
    whole = tokenizer("a sky, cat, car up", padding="max_length", max_length=LENGTH, return_tensors="pt")
    assert torch.equal(tokens.ids, whole.input_ids)
    # start, a, sky, comma, c-a-t as "ca" and "t", comma, car, u and p, end and padding
    expected = [OPEN, OPEN, 0, OPEN, 1, 1, OPEN, 2]
    assert tokens.classes.tolist() == [expected + [OPEN] * (LENGTH - len(expected))]


def test_where_room_is_short_the_largest_classes_are_named(tokenizer: CLIPTokenizer) -> None:
    """Between start and end there are four tokens: two of the three one-token names, and a comma."""
    written = prompts(tokenizer, "sky", "road", "car", length=6)
    assert spelled(tokenizer, written.of(mask(1, 5, 3))) == "road , car"
    assert spelled(tokenizer, written.of(mask(5, 1, 3))) == "sky , car"
    assert prompts(tokenizer, "qwertz", "sky", length=6).of(mask(9, 1)).classes.tolist() == [[OPEN, 1] + [OPEN] * 4]


def test_one_prompt_for_all_names_no_class(tokenizer: CLIPTokenizer) -> None:
    tokens = prompts(tokenizer, "sky").same("a sky", 2)
    assert spelled(tokenizer, tokens, 1) == "a sky" and bool((tokens.classes == OPEN).all())
    assert prompts(tokenizer, "sky", length=6).same("qwertzuiop", 1).ids[0, -1] == tokenizer.eos_token_id


def test_templates_that_cannot_work_are_refused(tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(ConfigError, match=r"must hold <classes> once"):
        prompts(tokenizer, "sky", template="a photo")
    with pytest.raises(ConfigError, match="leaves no room for classes in 6 tokens"):
        prompts(tokenizer, "sky", template="qwert <classes>", length=6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sky-other", "sky"),
        ("desk-stuff", "desk"),
        ("wall-brick", "brick wall"),
        ("wall-other-merged", "wall"),
        ("window-blind", "blind window"),
        ("Traffic_Light", "traffic light"),
        ("building, edifice", "building"),
        ("double-decker", "double decker"),
        ("background", ""),
    ],
)
def test_class_names_become_words(name: str, said: str) -> None:
    assert words(name) == said
