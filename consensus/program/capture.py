"""From a PyTorch function to a program: each operation of its graph becomes a view or an op of the set, or fails."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from torch import Tensor
from torch.func import functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.traceback import annotate, preserve_node_meta

from consensus.errors import ProgramError
from consensus.program import lowering
from consensus.program.builder import Builder, LayerOf, of_none
from consensus.program.ops import NO_LAYER, Program

Tensors = Mapping[str, Tensor]
_LAYER: Final = "ponw_layer"


def for_layer(layer: int) -> AbstractContextManager[None]:
    """While a step is captured: what runs within works for ``layer``."""
    return annotate({_LAYER: layer})


def capture(
    step: Callable[[dict[str, Tensor]], dict[str, Tensor]], inputs: Tensors, layer_of: LayerOf = of_none
) -> Program:
    """The program of ``step``, a function from named tensors to named tensors; ``inputs`` give shapes and types only.

    ``layer_of`` gives the layer of a named tensor; operations that ran within ``for_layer`` work for that one.
    Raises ProgramError, with name and place, for an operation outside the op set.
    """
    names = list(inputs)
    results: list[str] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        out = step(dict(zip(names, tensors, strict=True)))
        results[:] = out
        return [out[name] for name in results]

    with preserve_node_meta():
        graph = make_fx(functionalize(flat), tracing_mode="fake")(*(inputs[name] for name in names))
    return _lower(graph, names, results, layer_of)


def _lower(graph: GraphModule, names: list[str], results: list[str], layer_of: LayerOf) -> Program:
    builder = Builder(names)
    values: dict[Node, Any] = {}
    given = iter(names)
    for node in graph.graph.nodes:
        builder.layer = node.meta.get("custom", {}).get(_LAYER, NO_LAYER)
        if node.op == "placeholder":
            meta = node.meta["val"]
            name = next(given)
            builder.layer = layer_of(name)
            values[node] = builder.input(name, lowering.dtype_of(meta.dtype), tuple(meta.shape))
        elif node.op == "get_attr":
            values[node] = lowering.constants(builder, getattr(graph, str(node.target)))
        elif node.op == "output":
            outputs = [_resolve(value, values) for value in node.args[0]]
            return builder.finish(dict(zip(results, outputs, strict=True)), layer_of)
        else:
            values[node] = _call(builder, node, values)
    raise ProgramError("the captured graph has no output")


def _call(builder: Builder, node: Node, values: dict[Node, Any]) -> Any:
    name = str(node.target)
    handler = lowering.HANDLERS.get(name)
    if node.op != "call_function" or handler is None:
        raise ProgramError(f"{name} (node {node.name}) is not in the op set")
    arguments = [_resolve(value, values) for value in node.args]
    options = {key: _resolve(value, values) for key, value in node.kwargs.items()}
    try:
        return handler(builder, node.meta.get("val"), *arguments, **options)
    except (TypeError, ProgramError) as error:
        raise ProgramError(f"{name} (node {node.name}): {error}") from error


def _resolve(value: Any, values: dict[Node, Any]) -> Any:
    if isinstance(value, Node):
        return values[value]
    if isinstance(value, list | tuple):
        return [_resolve(one, values) for one in value]
    return value
