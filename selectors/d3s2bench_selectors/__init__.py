"""The selectors that come with d3s2bench: which images of the train split a distilled set is made from."""

from __future__ import annotations

from d3s2bench import Component, hookimpl


@hookimpl
def register_selectors() -> list[Component]:
    """One file each; its docstring says where the method comes from and what in it is a re-implementation."""
    home = "d3s2bench_selectors"
    methods = [
        ("random", "random:Random", "Uniform, without replacement (control); or stratified by class presence"),
        ("balanced", "balanced:Balanced", "D3S2 stage 1: greedy, rarest classes first; or submodular"),
        ("label-complexity", "label_complexity:LabelComplexity", "Masks of the highest entropy of classes"),
        ("class-balance", "class_balance:ClassBalance", "Greedy: highest entropy of all classes chosen"),
        ("shape-complexity", "shape_complexity:ShapeComplexity", "TFDP: many and intricate regions, per class"),
        ("foreground", "foreground:Foreground", "Images that their classes dominate, classes in turn"),
        ("k-center", "k_center:KCenter", "Greedy k-center on features of the teacher or a backbone"),
        ("herding", "herding:Herding", "Keeps the mean of features of the teacher or a backbone"),
        ("dfss", "dfss:Dfss", "DFSS: nearest to the teacher's BatchNorm statistics"),
        ("entropy", "uncertainty:Entropy", "Highest mean entropy of the teacher's predictions"),
        ("margin", "uncertainty:Margin", "Smallest mean margin of the teacher's predictions"),
        ("el2n", "uncertainty:El2n", "Largest mean error norm (EL2N) of the teacher"),
    ]
    return [Component("selector", name, f"{home}.{target}", summary) for name, target, summary in methods]
