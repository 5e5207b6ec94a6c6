"""Trees: nested dicts whose leaves are tensors, arrays, HDF5 datasets or other values.

Every function visits keys in the order of the dicts, depth first: the bytes of recorded files depend on that order.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Tree = dict[str, Any]


def is_mapping(value: Any) -> bool:
    """Return whether a value of a tree is a branch rather than a leaf."""
    return isinstance(value, Mapping)


def flatten(
    tree: Mapping[str, Any] | Sequence[Any],
    separator: str = "/",
    is_branch: Callable[[Any], bool] = is_mapping,
    prefix: str = "",
) -> Tree:
    """Return the leaves by path, such as `policy/eef_pos`. A branch without children has no leaves.

    Args:
        tree: nested mappings; also sequences if `is_branch` accepts them (children are named by their index).
        separator: text between the keys of a path.
        is_branch: decides which values are flattened further; all other values are leaves.
        prefix: text at the start of every path.
    """
    leaves: Tree = {}
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        path = f"{prefix}{key}"
        leaves |= flatten(value, separator, is_branch, f"{path}{separator}") if is_branch(value) else {path: value}
    return leaves


def leaf_values(tree: Mapping[str, Any]) -> list[Any]:
    """Return the leaves, which are tensors or arrays, in the order of `flatten` and without paths. Called in each step."""
    values: list[Any] = []
    for value in tree.values():
        # `isinstance(tensor, Mapping)` takes as long as a small operation on the tensor.
        if hasattr(value, "shape"):
            values.append(value)
        else:
            values += leaf_values(value)
    return values


def unflatten(leaves: Mapping[str, Any]) -> Tree:
    """Build the tree from its leaves by path; the inverse of `flatten` for trees without empty branches."""
    tree: Tree = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[name] = leaf
    return tree


def subtree(leaves: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Select the flattened leaves below a group, by their path relative to the group."""
    return {path.removeprefix(f"{group}/"): leaf for path, leaf in leaves.items() if path.startswith(f"{group}/")}


def map(function: Callable[..., Any], tree: Mapping[str, Any], *others: Mapping[str, Any]) -> Tree:
    """Apply `function(leaf, *leaves of the other trees at the same path)` to every leaf; empty branches are kept."""
    return {
        key: map(function, value, *(other[key] for other in others))
        if isinstance(value, Mapping)
        else function(value, *(other[key] for other in others))
        for key, value in tree.items()
    }


def map_with_path(function: Callable[[str, Any], Any], tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """Apply `function(path, leaf)` to every leaf; empty branches are kept."""
    return {
        key: map_with_path(function, value, f"{prefix}{key}/")
        if isinstance(value, Mapping)
        else function(f"{prefix}{key}", value)
        for key, value in tree.items()
    }


def take(tree: Mapping[str, Any], index: Any) -> Tree:
    """Return the tree of `leaf[index]`. The index is one row, a slice of rows or a tensor of row indices."""
    return map(lambda leaf: leaf[index], tree)


def stack(trees: Sequence[Mapping[str, Any]]) -> Tree:
    """Stack trees of tensors with equal shapes (...) to one tree with leaves (len(trees), ...)."""
    import torch  # Late import: the writer process works without torch.

    return map(lambda *leaves: torch.stack(leaves), *trees)


def num_rows(tree: Mapping[str, Any]) -> int:
    """Length of the first leaf.

    Raises:
        StopIteration: the tree has no leaves.
    """
    return len(next(iter(flatten(tree).values())))
