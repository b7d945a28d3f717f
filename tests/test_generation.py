"""The part of generation that needs no model: how prompts are batched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.policy.generate import batches_by_length


def test_by_hand() -> None:
    assert batches_by_length([5, 2, 9, 2, 7], 2) == [[1, 3], [0, 4], [2]]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_nothing_to_do(size: int) -> None:
    assert batches_by_length([], size) == []


@given(st.lists(st.integers(0, 50)), st.integers(1, 20))
def test_every_position_once_in_full_batches_of_rising_length(lengths: list[int], size: int) -> None:
    batches = batches_by_length(lengths, size)
    flat = [position for batch in batches for position in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches)
    # Ties in position order: nothing but the lengths decides, so a resumed run makes the same batches.
    assert [(lengths[k], k) for k in flat] == sorted((length, k) for k, length in enumerate(lengths))
