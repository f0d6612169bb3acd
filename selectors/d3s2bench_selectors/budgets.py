"""The one thing that no selector can do: choose more images than there are."""

from __future__ import annotations

from d3s2bench import Budget, BudgetError, MaskIndex


def check_budget(index: MaskIndex, budget: Budget) -> None:
    """Raises BudgetError when the budget is larger than the split."""
    if budget.images > len(index):
        raise BudgetError(f"a budget of {budget.images} images, but the split has {len(index)}: give a smaller budget")
