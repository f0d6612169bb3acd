"""What a row is compared with. A control has the same dataset, evaluator and architecture, real images, hard labels."""

from __future__ import annotations

from collections.abc import Iterable

from d3s2bench_leaderboards.rows import Row


def random_real(row: Row, rows: Iterable[Row]) -> Row | None:
    """Random photographs, as many, trained under the same protocol."""
    return _nearest(row, (r for r in _same_protocol(row, rows) if _name(r) == "random" and r.images == row.images))


def selector_real(row: Row, rows: Iterable[Row]) -> Row | None:
    """The photographs that the same selector with the same options chose, as many, under the same protocol."""
    same = (r for r in _same_protocol(row, rows) if r.setting.selector == row.setting.selector)
    return _nearest(row, (r for r in same if r.images == row.images))


def full(row: Row, rows: Iterable[Row]) -> Row | None:
    """All photographs under the same protocol, so with the same iterations."""
    return _nearest(row, (r for r in _same_protocol(row, rows) if _name(r) == "full"))


def converged(row: Row, rows: Iterable[Row]) -> Row | None:
    """All photographs, under the protocol that differs in nothing but ``iterations = converged_iterations``."""
    alike = (r for r in _controls(row, rows) if r.setting.converged and r.setting.recipe == row.setting.recipe)
    return _nearest(row, (r for r in alike if _name(r) == "full"))


def paired_difference(row: Row, control: Row | None) -> float | None:
    """Mean difference of mIoU over the repetitions that both have; None without any, and for a control itself."""
    common = [seed for seed in row.miou if control and control is not row and seed in control.miou]
    if not control or not common:
        return None
    return sum(row.miou[seed] - control.miou[seed] for seed in common) / len(common)


def percent_of(row: Row, reference: Row | None) -> float | None:
    """Mean mIoU in percent of the reference's; not paired, since a reference often has one repetition."""
    return 100 * row.mean / reference.mean if reference and reference.mean else None


def _controls(row: Row, rows: Iterable[Row]) -> Iterable[Row]:
    column = (row.setting.dataset, row.setting.arch)
    real = (r for r in rows if r.setting.synth.name == "real" and r.setting.labels.name == "hard")
    return (r for r in real if (r.setting.dataset, r.setting.arch) == column)


def _same_protocol(row: Row, rows: Iterable[Row]) -> Iterable[Row]:
    return (r for r in _controls(row, rows) if r.setting.protocol == row.setting.protocol)


def _name(row: Row) -> str:
    return row.setting.selector.name


def _nearest(row: Row, controls: Iterable[Row]) -> Row | None:
    """Of several, the row itself, else one that used the same models, else the first by its setting."""

    def distance(control: Row) -> tuple[bool, bool, str]:
        return control is not row, control.setting.models != row.setting.models, repr(control.setting)

    return min(controls, key=distance, default=None)
