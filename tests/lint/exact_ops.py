"""Finds, in the source of ``consensus``, whatever could make two machines disagree. It reads syntax, not types."""

import ast
import re
from dataclasses import dataclass
from pathlib import PurePosixPath


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMPURE_MODULES = _names("""
    aiohttp asyncio cmath concurrent datetime glob http httpx io locale multiprocessing os pathlib pickle platform
    random
    requests scipy secrets select shelve shutil signal socket sqlite3 ssl subprocess tempfile threading time urllib uuid
    web3
""")
"""The clock, the network, the disk, chance, and other sources of surprise."""

IMPURE_CALLS = _names("open eval exec input print __import__")

MATH_ALLOWED = _names("ceil comb floor gcd inf isfinite isinf isnan isqrt prod sqrt")
"""Exact by IEEE 754 or in integers. Every other name of ``math`` goes through the C library."""

TRANSCENDENTALS = _names("""
    acos acosh asin asinh atan atan2 atanh cos cosh digamma elu celu erf erfc erfinv exp exp2 expm1 float_power gelu
    hardswish i0 lgamma log log10 log1p log2 log_softmax logaddexp logcumsumexp logit logsigmoid logsumexp mish pow
    rsqrt
    selu sigmoid silu sin sinc sinh softmax softmin softplus softsign tan tanh xlogy
""")
FLOAT_REDUCTIONS = _names("""
    average batch_norm cdist corrcoef cosine_similarity cov cross_entropy cumprod cumsum fsum group_norm instance_norm
    layer_norm matrix_norm mean mse_loss nanmean nansum nll_loss norm normalize rms_norm std std_mean trapezoid var
    var_mean vector_norm
""")
FUSED = _names("""
    addbmm addcdiv addcmul addmm addmv addr baddbmm bilinear chain_matmul conv1d conv2d conv3d einsum fma kron lerp
    linalg
    multi_dot outer scaled_dot_product_attention tensordot
""")
CHANCE = _names("""
    bernoulli cauchy default_rng dropout exponential geometric initial_seed kaiming_normal kaiming_uniform log_normal
    manual_seed multinomial normal poisson rand rand_like randint randint_like randn randn_like random randperm seed
    trunc_normal uniform xavier_normal xavier_uniform
""")
MODES = _names("allow_tf32 amp autocast compile set_float32_matmul_precision set_flush_denormal")
INEXACT_OPS = TRANSCENDENTALS | FLOAT_REDUCTIONS | FUSED | CHANCE | MODES

PRODUCT_OPS = frozenset({"matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "_int_mm", "_scaled_mm", "linear"})
SCATTER_OPS = frozenset({"bincount", "index_add", "scatter_add", "scatter_reduce", "index_reduce"})
ROOT_OPS = frozenset({"sqrt"})
KERNELS = re.compile(r"^consensus/arithmetic/(kernels|reference|products|compiled)\w*\.py$")
"""The only modules that may multiply matrices, scatter sums (of integers) or take roots: each proves its bits."""

KERNEL_OPS = PRODUCT_OPS | SCATTER_OPS | ROOT_OPS

EXACT_BASES = frozenset({"self"})
"""An engine's own ``self.matmul`` is the exact product; every operation of ``engine`` is exact by its contract."""
INTEGER_TYPES = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int", "bool"})


@dataclass(frozen=True, order=True)
class Finding:
    """One line that consensus may not have."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def check(source: str, path: str) -> list[Finding]:
    """Findings in one module, in order of lines. ``path`` is relative to the repository root."""
    found = _Visitor(str(PurePosixPath(path)))
    found.visit(ast.parse(source, path))
    return sorted(found.findings)


class _Visitor(ast.NodeVisitor):
    def __init__(self, path: str) -> None:
        self.path = path
        self.is_kernel = KERNELS.match(path) is not None
        self.findings: list[Finding] = []
        self.modules: dict[str, str] = {}  # local name -> imported module

    def report(self, node: ast.AST, message: str) -> None:
        self.findings.append(Finding(self.path, getattr(node, "lineno", 0), message))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(node, alias.name)
            self.modules[alias.asname or alias.name.split(".")[0]] = alias.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        self._module(node, module)
        for alias in node.names:
            self._module(node, f"{module}.{alias.name}")
            self.modules[alias.asname or alias.name] = f"{module}.{alias.name}"
            if module == "math":
                self._math(node, alias.name)
            elif module.split(".")[0] in {"torch", "numpy"}:
                self._operation(node, alias.name, "")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        base = node.value.id if isinstance(node.value, ast.Name) else _last_name(node.value)
        if self.modules.get(base) == "math":
            self._math(node, node.attr)
        else:
            self._operation(node, node.attr, base)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            if node.func.id in IMPURE_CALLS:
                self.report(node, f"{node.func.id}() reaches outside consensus")
            if node.func.id == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                self._operation(node, str(node.args[1].value), "")
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"sum", "nansum", "sum_to_size"}:
            self._sum(node, node.func)
        if any(keyword.arg == "alpha" for keyword in node.keywords):
            self.report(node, "alpha= fuses a product into a sum")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._operator(node, node.op)
        if isinstance(node.op, ast.Pow) and not _exact_power(node):
            self.report(node, "** goes through the C library unless the base is 2 or both sides are integer literals")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._operator(node, node.op)
        if isinstance(node.op, ast.Pow):
            self.report(node, "**= goes through the C library")
        self.generic_visit(node)

    def _module(self, node: ast.AST, module: str) -> None:
        parts = module.split(".")
        if parts[0] in IMPURE_MODULES:
            self.report(node, f"import of {parts[0]}: consensus has no clock, disk, network or chance")
        if parts[0] in {"torch", "numpy"} and {"random", "linalg", "fft", "distributions", "special"} & set(parts[1:]):
            self.report(node, f"import of {module} is outside the exact set")

    def _math(self, node: ast.AST, name: str) -> None:
        if name not in MATH_ALLOWED:
            self.report(node, f"math.{name} is not the same on every machine")

    def _operation(self, node: ast.AST, name: str, base: str) -> None:
        plain = name.removesuffix("_")  # torch's in-place form
        if base == "engine":
            return
        if {name, plain} & INEXACT_OPS:
            self.report(node, f"{name} is outside the exact set")
        elif plain in KERNEL_OPS and not self.is_kernel and base not in EXACT_BASES:
            self.report(node, f"{name} belongs in a kernel module")

    def _operator(self, node: ast.AST, operator: ast.operator) -> None:
        if isinstance(operator, ast.MatMult) and not self.is_kernel:
            self.report(node, "@ belongs in a kernel module")

    def _sum(self, node: ast.Call, function: ast.Attribute) -> None:
        dtype = next((keyword.value for keyword in node.keywords if keyword.arg == "dtype"), None)
        if dtype is not None:
            exact = _last_name(dtype) in INTEGER_TYPES
        else:
            exact = any(_casts_to_integer(part) for part in (function.value, *node.args))
        if not exact:
            self.report(node, "a sum that is not visibly over integers (give dtype=torch.int64)")


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _casts_to_integer(node: ast.expr) -> bool:
    """Whether ``node`` is ``….to(torch.int64)`` or ``….astype(np.int64)``."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return node.func.attr in {"to", "astype"} and any(_last_name(argument) in INTEGER_TYPES for argument in node.args)


def _exact_power(node: ast.BinOp) -> bool:
    left, right = (side.value if isinstance(side, ast.Constant) else None for side in (node.left, node.right))
    return left in {2} or (isinstance(left, int) and isinstance(right, int))
