"""Which keys code reads of a dict that it is given, followed through variables, attributes and calls.

A config's nested dict such as ``encoder=dict(num_layers=6, layer_cfg=dict(...))`` has no type of its own:
what it may hold is what the class of the model does with it, often ``Encoder(**self.encoder)``. The flow of
the value is followed in the syntax trees of that class and its bases. Where it goes where nothing can be
said, such as into a function that is not Python, the dict is *open*: every key passes.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dense3d.config.syntax import Code, code_of, former_names, method, methods, parameters

_MOST_PLACES = 4000  # where one value flows; more is no longer followed
_ALIASES = {
    "copy",
    "deepcopy",
    "dict",
    "list",
    "tuple",
    "ConfigDict",
    "Config",
    "to_dict",
    "ModuleList",
    "reversed",
}
_LOOKS = {"isinstance", "len", "bool", "print", "repr", "str", "type", "id", "callable", "is_list_of",
          "is_seq_of", "is_tuple_of", "all", "any", "int", "float", "max", "min", "sum", "range",
          "warn"}  # fmt: skip


@dataclass(frozen=True)
class Flow:
    """A place that holds the value: a variable, an attribute of self, or an expression.

    ``depth`` counts the lists around the value; ``owner`` is the class that defines ``function``; ``made`` is
    the type in ``dict(type=made, **value)``, where the value came through such a dict.
    """

    cls: type | None
    owner: type | None
    function: Any
    place: str | ast.AST
    depth: int = 0
    made: ast.expr | None = None


class Reads:
    """What is read of one dict.

    Attributes:
        keys: of the dict, with where the value of each flows.
        elements: where the values of keys that are not written out, and items of a list, flow.
        takes_any_key: whether the code goes through all keys.
        swallows: whether ``**kwargs`` takes what no code looks at.
        is_open: whether some use is not understood.
        built: for each place where a registry builds it: None for the type in the dict itself, or the
            expression that gives the type.
    """

    def __init__(self, flows: list[Flow] = (), calls: tuple[Any, ...] = ()) -> None:
        self.keys: dict[str, list[Flow]] = {}
        self.elements: list[Flow] = []
        self.takes_any_key = False
        self.swallows = False
        self.is_open = False
        self.built: list[ast.expr | None] = []
        self._seen: set[tuple] = set()
        self._todo: list[Flow] = list(flows)
        for target in calls:
            self._call(target)
        self._follow()

    def at(self, key: str) -> Reads:
        """What is read of the value of a key, by name or as one of all."""
        return Reads([*self.keys.get(key, ()), *self.elements])

    @cached_property
    def of_elements(self) -> Reads:
        """What is read of the items of a list, or of values under keys of any name."""
        return Reads(self.elements)

    def _follow(self) -> None:
        while self._todo and not self.is_open:
            flow = self._todo.pop()
            mark = (flow.cls, flow.function, flow.place, flow.depth, flow.made)
            if mark in self._seen:
                continue
            self._seen.add(mark)
            if len(self._seen) > _MOST_PLACES or flow.depth > 4:
                self.is_open = True
            elif isinstance(flow.place, ast.AST):
                self._use(flow, code_of(flow.function), flow.place)
            elif flow.function is None:
                self._follow_attribute(flow)
            else:
                self._follow_variable(flow)

    def _follow_variable(self, flow: Flow) -> None:
        code = code_of(flow.function)
        if code is None:
            self.is_open = True
            return
        nodes = code.names.get(flow.place, ())
        replaced = any(_is_replaced(code, node, flow.place) for node in nodes)
        for node in nodes:
            if isinstance(node.ctx, ast.Load):
                self._use(flow, code, node, replaced)

    def _follow_attribute(self, flow: Flow) -> None:
        found = [
            (owner, function, code, code.attributes[flow.place])
            for owner, function in methods(flow.cls)
            if (code := code_of(function)) is not None and flow.place in code.attributes
        ]
        replaced = any(
            _is_replaced(code, node, f"self.{flow.place}") for _, _, code, nodes in found for node in nodes
        )
        for owner, function, code, nodes in found:
            for node in nodes:
                if isinstance(node.ctx, ast.Load):
                    self._use(replace(flow, owner=owner, function=function), code, node, replaced)

    def _use(self, flow: Flow, code: Code | None, node: ast.AST, replaced: bool = False) -> None:
        """One place where the value, the node's, is used: what its parent in the tree does with it."""
        if code is None:
            self.is_open = True
            return
        parent = code.parents.get(node)
        if isinstance(parent, ast.Attribute):
            self._use_attribute(flow, code, parent, replaced)
        elif isinstance(parent, ast.Subscript):
            if parent.value is node and isinstance(parent.ctx, ast.Load):
                self._use_subscript(flow, parent)
        elif isinstance(parent, ast.keyword):
            call = code.parents[parent]
            if parent.arg is None:
                self._splat(flow, code, call)
            else:
                self._pass(flow, code, call, parent.arg)
        elif isinstance(parent, ast.Call):
            if parent.func is not node:
                self._pass(flow, code, parent, parent.args.index(node))
        elif isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            for target in targets:
                self._bind(flow, target)
        elif isinstance(parent, (ast.IfExp, ast.BoolOp, ast.BinOp)):
            if getattr(parent, "test", None) is not node:
                self._alias(flow, parent, flow.depth)
        elif isinstance(parent, (ast.List, ast.Tuple, ast.ListComp, ast.GeneratorExp)):
            self._alias(flow, parent, flow.depth + 1)
        elif isinstance(parent, (ast.For, ast.comprehension)):
            if parent.iter is node:
                self._elements(flow, code, parent.target)
            elif isinstance(parent, ast.comprehension) and parent.iter is not node:
                pass  # a condition
        elif isinstance(parent, ast.Dict):
            is_splat = any(key is None and value is node for key, value in zip(parent.keys, parent.values))
            if is_splat:
                self._alias(flow, parent, flow.depth)
            elif node not in parent.keys:
                self.is_open = True
        elif isinstance(parent, ast.Compare):
            self._compare(flow, parent)
        elif not isinstance(
            parent,
            (ast.If, ast.While, ast.Assert, ast.Expr, ast.UnaryOp, ast.FormattedValue, ast.Raise, ast.Delete,
             ast.AugAssign),
        ):  # fmt: skip
            self.is_open = True

    def _use_attribute(self, flow: Flow, code: Code, node: ast.Attribute, replaced: bool) -> None:
        call = code.parents.get(node)
        if not isinstance(call, ast.Call) or call.func is not node:
            if isinstance(node.ctx, ast.Load) and not flow.depth and not replaced:
                self._key(flow, node.attr, node)
            return
        if flow.depth:
            return
        key = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if node.attr in ("get", "pop", "setdefault"):
            if isinstance(key, str):
                self._key(flow, key, call)
            else:
                self.elements.append(self._at(flow, call))
        elif node.attr in ("copy", "deepcopy", "to_dict"):
            self._alias(flow, call, flow.depth)
        elif node.attr in ("items", "values", "keys"):
            self.takes_any_key = True
            user = code.parents.get(call)
            is_loop = isinstance(user, (ast.For, ast.comprehension)) and user.iter is call
            if node.attr == "items" and is_loop and isinstance(user.target, ast.Tuple):
                self._elements(flow, code, user.target.elts[-1])
            elif node.attr == "values" and is_loop:
                self._elements(flow, code, user.target)
            elif node.attr != "keys":
                self.is_open = True

    def _use_subscript(self, flow: Flow, node: ast.Subscript) -> None:
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(node.slice, ast.Slice):
            self._alias(flow, node, flow.depth)
        elif flow.depth:
            self._alias(flow, node, flow.depth - 1)
        elif isinstance(key, str):
            self._key(flow, key, node)
        else:
            self.elements.append(self._at(flow, node))

    def _compare(self, flow: Flow, node: ast.Compare) -> None:
        is_in = any(isinstance(operator, (ast.In, ast.NotIn)) for operator in node.ops)
        key = node.left.value if isinstance(node.left, ast.Constant) else None
        if is_in and isinstance(key, str) and not flow.depth:
            self.keys.setdefault(key, [])

    def _bind(self, flow: Flow, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._todo.append(replace(flow, place=target.id))
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            if target.value.id == "self" and flow.cls is not None:
                self._todo.append(replace(flow, owner=None, function=None, place=target.attr))
            else:
                self.is_open = True
        else:
            self.is_open = True

    def _elements(self, flow: Flow, code: Code, target: ast.expr) -> None:
        if not isinstance(target, ast.Name):
            self.is_open = True
        elif flow.depth:
            self._todo.append(replace(flow, place=target.id, depth=flow.depth - 1))
        else:
            self.elements.append(Flow(flow.cls, flow.owner, flow.function, target.id))

    def _alias(self, flow: Flow, node: ast.AST, depth: int) -> None:
        self._todo.append(replace(flow, place=node, depth=depth))

    def _at(self, flow: Flow, node: ast.AST) -> Flow:
        return Flow(flow.cls, flow.owner, flow.function, node)

    def _key(self, flow: Flow, key: str, node: ast.AST) -> None:
        self.keys.setdefault(key, []).append(self._at(flow, node))

    # Calls

    def _splat(self, flow: Flow, code: Code, call: ast.Call) -> None:
        """``f(**value)``."""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in ("dict", "ConfigDict"):
            kind = next((keyword.value for keyword in call.keywords if keyword.arg == "type"), None)
            self._todo.append(replace(flow, place=call, made=kind or flow.made))
        elif name in ("update", "setdefault"):
            self.is_open = True
        elif flow.depth == 0:
            target = self._callee(flow, code, call)
            if target is None:
                self.is_open = True
            else:
                self._call(*target)

    def _call(self, target: Any, cls: type | None = None, owner: type | None = None) -> None:
        """The dict becomes keyword arguments of ``target``, found in ``owner`` for an object of ``cls``."""
        if inspect.isclass(target):
            found = method(target, "__init__")
            if found is None or found[0] is object:
                self.is_open |= method(target, "__new__")[0] is not object
                return
            (owner, function), cls = found, target
            if owner.__module__ == "torch.nn.modules.module":
                return
        else:
            function = target
        known = parameters(function)
        if known is None:
            self.is_open = True
            return
        self.keys.update((name, []) for name in former_names(function))
        for parameter in known[1 if cls is not None and _has_self(function) else 0 :]:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                self.keys.setdefault(parameter.name, []).append(Flow(cls, owner, function, parameter.name))
            elif parameter.kind is parameter.VAR_KEYWORD:
                code = code_of(function)
                self.swallows |= code is not None and parameter.name not in code.names
                self._todo.append(Flow(cls, owner, function, parameter.name))

    def _pass(self, flow: Flow, code: Code, call: ast.Call, argument: str | int) -> None:
        """``f(value)`` or ``f(name=value)``."""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in ("hasattr", "getattr") and argument == 0 and isinstance(call.args[1], ast.Constant):
            if not flow.depth:
                self._key(flow, call.args[1].value, call)
        elif name in _ALIASES and argument == 0:
            self._alias(flow, call, flow.depth)
        elif name in ("dict", "ConfigDict", "update"):
            self.is_open = True
        elif name.startswith("build") and argument in (0, "cfg"):
            self.built.append(flow.made)
        elif name == "enumerate" and argument == 0:
            user = code.parents.get(call)
            if isinstance(user, (ast.For, ast.comprehension)) and isinstance(user.target, ast.Tuple):
                self._elements(flow, code, user.target.elts[-1])
            else:
                self.is_open = True
        elif name in ("multi_apply", "partial") and isinstance(argument, str) and call.args:
            self._pass_to(flow, self._callee(flow, code, call, call.args[0]), argument)
        elif name not in _LOOKS:
            self._pass_to(flow, self._callee(flow, code, call), argument)

    def _pass_to(self, flow: Flow, target: tuple | None, argument: str | int) -> None:
        if target is None:
            self.is_open = True
            return
        function, cls, owner = target
        if inspect.isclass(function):
            found = method(function, "__init__")
            if found is None or found[0] is object:
                self.is_open = True
                return
            (owner, function), cls = found, function
        known = parameters(function)
        if known is None:
            self.is_open = True
            return
        known = known[1 if cls is not None and _has_self(function) else 0 :]
        if isinstance(argument, int):
            positional = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            if argument >= len(positional):
                self.is_open = True
                return
            argument = positional[argument].name
        if argument in (p.name for p in known):
            self._todo.append(Flow(cls, owner, function, argument, flow.depth, flow.made))
        else:  # one of **kwargs
            self.is_open = True

    def _callee(
        self, flow: Flow, code: Code, call: ast.Call, func: ast.expr | None = None
    ) -> tuple[Any, type | None, type | None] | None:
        """The function or class that is called, the class of its ``self`` and its owner; None: unknown."""
        func = call.func if func is None else func
        if isinstance(func, ast.Attribute) and flow.cls is not None:
            base, after = func.value, None
            is_super = isinstance(base, ast.Call) and getattr(base.func, "id", "") == "super"
            if is_super:
                after = flow.owner if not base.args else code.resolve(base.args[0])
            if is_super or (isinstance(base, ast.Name) and base.id == "self"):
                found = method(flow.cls, func.attr, after)
                if found is not None and inspect.isclass(found[1]):
                    return found[1], None, None
                if found is None or code_of(found[1]) is None:
                    is_end = found is not None and found[0].__module__ in (
                        "torch.nn.modules.module",
                        "builtins",
                    )
                    return (_nothing, None, None) if is_end and func.attr == "__init__" else None
                return found[1], flow.cls, found[0]
            if isinstance(base, ast.Name) and base.id == "runner":  # as every hook of mmengine calls it
                from mmengine.runner import Runner

                found = method(Runner, func.attr)
                return (found[1], Runner, found[0]) if found is not None else None
        target = code.resolve(func)
        return None if target is None or not callable(target) else (target, None, None)


def _nothing() -> None:
    """Takes no argument: what the constructors of ``torch.nn.Module`` and ``object`` take."""


def _has_self(function: Any) -> bool:
    known = parameters(function)
    return bool(known) and known[0].name in ("self", "cls", "mcs")


def _is_replaced(code: Code, node: ast.AST, name: str) -> bool:
    """Whether the name is later what is made of its value: ``self.x = X(**self.x)``, ``x = BUILD(x)``."""
    if not isinstance(node.ctx, ast.Store):
        return False
    assign = code.parents.get(node)
    value = getattr(assign, "value", None)
    if not isinstance(assign, ast.Assign) or not isinstance(value, ast.Call):
        return False
    called = ast.unparse(value.func).rpartition(".")[2]
    if called in _ALIASES:
        return False
    given = [*value.args, *(keyword.value for keyword in value.keywords)]
    return any(ast.unparse(argument) == name for argument in given)
