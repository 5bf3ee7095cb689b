"""From a PyTorch function to a program: each operation of its graph becomes a view or an op of the set, or fails."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.func import functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from consensus.errors import ProgramError
from consensus.program import lowering
from consensus.program.builder import Builder
from consensus.program.ops import Program

Tensors = Mapping[str, Tensor]


def capture(step: Callable[[dict[str, Tensor]], dict[str, Tensor]], inputs: Tensors) -> Program:
    """The program of ``step``, a function from named tensors to named tensors; ``inputs`` give shapes and types only.

    Raises ProgramError, with name and place, for an operation outside the op set.
    """
    names = list(inputs)
    results: list[str] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        out = step(dict(zip(names, tensors, strict=True)))
        results[:] = out
        return [out[name] for name in results]

    graph = make_fx(functionalize(flat), tracing_mode="fake")(*(inputs[name] for name in names))
    return _lower(graph, names, results)


def _lower(graph: GraphModule, names: list[str], results: list[str]) -> Program:
    builder = Builder(names)
    values: dict[Node, Any] = {}
    given = iter(names)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            meta = node.meta["val"]
            values[node] = builder.input(next(given), lowering.dtype_of(meta.dtype), tuple(meta.shape))
        elif node.op == "get_attr":
            values[node] = lowering.constants(builder, getattr(graph, str(node.target)))
        elif node.op == "output":
            outputs = [_resolve(value, values) for value in node.args[0]]
            return builder.finish(dict(zip(results, outputs, strict=True)))
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
