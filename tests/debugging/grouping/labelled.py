"""Events of which we know which belong together: problems of Python, Node and browser code, each met several times.

What differs between the events of one problem is what differs in life: ids in the message, line
numbers, the depth of a recursion, the versions and number of framework frames, the folder of a
deployment, the hash in a bundle's name, and, for a few, the wording of the line that raised.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Payload = dict[str, Any]
Frames = list[Payload]


@dataclass(frozen=True)
class Problem:
    """One problem: where it happens, outermost first, and what it says, with `{}` for what varies."""

    platform: str
    kind: str
    message: str
    places: tuple[tuple[str, str, str], ...]
    """File, function, source line."""
    cause: str | None = None
    rewritten: bool = False
    """Half of its events come from after the raising line was put differently."""
    extra: Payload = field(default_factory=dict)


def labelled_events(seed: int = 1, variants: int = 6) -> Iterator[tuple[int, Payload]]:
    """Each event with the number of its problem."""
    chance = random.Random(seed)
    for label, problem in enumerate(PROBLEMS):
        for variant in range(variants):
            yield label, _met(problem, variant, chance)


def _met(problem: Problem, variant: int, chance: random.Random) -> Payload:
    message = problem.message
    while "{}" in message:
        message = message.replace("{}", _varying(chance), 1)
    payload: Payload = {
        "platform": problem.platform,
        "release": f"app@1.{variant}.{chance.randrange(100)}",
        "user": {"id": chance.randrange(10_000)},
        "tags": {"node": f"web-{chance.randrange(9)}"},
        **problem.extra,
    }
    if not problem.kind:
        return {**payload, "message": message}
    make = {"python": _python_frames, "node": _node_frames, "javascript": _browser_frames}[problem.platform]
    exception = {"type": problem.kind, "value": message, "stacktrace": {"frames": make(problem, variant, chance)}}
    causes = [{"type": problem.cause, "value": f"attempt {chance.randrange(99)}"}] if problem.cause else []
    return {**payload, "exception": {"values": [*causes, exception]}}


def _varying(chance: random.Random) -> str:
    return chance.choice(
        [
            str(chance.randrange(10**6)),
            f"{chance.getrandbits(128):032x}",
            f"{chance.getrandbits(32):08x}-{chance.getrandbits(16):04x}-4{chance.getrandbits(12):03x}-a{chance.getrandbits(12):03x}-{chance.getrandbits(48):012x}",
            f"2026-0{chance.randrange(1, 9)}-1{chance.randrange(9)}T0{chance.randrange(9)}:30:00Z",
            f"10.0.{chance.randrange(255)}.{chance.randrange(255)}",
            f"user{chance.randrange(999)}@example.org",
            f"'{chance.choice(['red', 'green', 'blue'])} {chance.randrange(99)}'",
            f"https://example.org/items/{chance.randrange(10**5)}?page={chance.randrange(9)}",
            f"/srv/data/{chance.randrange(10**5)}/in.csv",
        ]
    )


def _source(problem: Problem, position: int, variant: int) -> str:
    line = problem.places[position][2]
    is_raising = position == len(problem.places) - 1
    return f"{line}  # checked above" if problem.rewritten and is_raising and variant % 2 else line


def _python_frames(problem: Problem, variant: int, chance: random.Random) -> Frames:
    frames: Frames = [
        {
            "module": f"starlette.middleware.m{number}",
            "function": "__call__",
            "filename": f"starlette/middleware/m{number}.py",
            "abs_path": f"/usr/lib/python3.1{variant}/site-packages/starlette/middleware/m{number}.py",
            "in_app": False,
        }
        for number in range(chance.randrange(1, 5))
    ]
    for position, (path, function, _) in enumerate(problem.places):
        made = {
            "module": path.removesuffix(".py").replace("/", "."),
            "function": function,
            "filename": path,
            "abs_path": f"/srv/releases/{variant}/{path}",
            "lineno": 10 + variant * 7 + position,
            "context_line": "    " + _source(problem, position, variant),
            "in_app": True,
        }
        frames += [made] * (chance.randrange(1, 9) if function == "walk" else 1)
    return frames


def _node_frames(problem: Problem, variant: int, chance: random.Random) -> Frames:
    frames: Frames = [
        {
            "filename": f"/app/node_modules/express/lib/router/layer{number}.js",
            "function": "Layer.handle [as handle_request]",
            "in_app": False,
        }
        for number in range(chance.randrange(1, 4))
    ]
    frames.append({"filename": "node:internal/process/task_queues", "function": "processTicks", "in_app": False})
    for position, (path, function, _) in enumerate(problem.places):
        frames.append(
            {
                "filename": f"{chance.choice(['/app', '/home/node/app', '/srv/v' + str(variant)])}/dist/{path}",
                "module": path.removesuffix(".js").replace("/", "."),
                "function": chance.choice(["async ", ""]) + function,
                "lineno": 3 + variant * 11,
                "colno": chance.randrange(80),
                "context_line": _source(problem, position, variant),
                "in_app": True,
            }
        )
    return frames


def _browser_frames(problem: Problem, variant: int, chance: random.Random) -> Frames:
    digest = f"{chance.getrandbits(32):08x}"
    folder = f"https://cdn{chance.randrange(3)}.example.org/assets"
    return [
        {
            "filename": f"{folder}/{path.removesuffix('.js')}.{digest}.js?v={variant}",
            "function": function,
            "lineno": 1,
            "colno": chance.randrange(90_000),
            "in_app": True,
        }
        for path, function, _ in problem.places
    ]


def _python(kind: str, message: str, *places: tuple[str, str, str], **options: Any) -> Problem:
    entry = ("shop/api.py", "handle", "return await call(request)")
    return Problem("python", kind, message, (entry, *places), **options)


def _node(kind: str, message: str, *places: tuple[str, str, str], **options: Any) -> Problem:
    return Problem("node", kind, message, (("server.js", "dispatch", "await route(req, res)"), *places), **options)


def _browser(kind: str, message: str, *places: tuple[str, str, str]) -> Problem:
    return Problem("javascript", kind, message, places)


_ORDERS, _PRICES, _MAIL = "shop/orders.py", "shop/prices.py", "shop/mail.py"
_CART, _PAY, _USERS = "cart.js", "pay.js", "users.js"

PROBLEMS = (
    # The same type and message from different places.
    *(
        _python("KeyError", "'currency'", (path, function, "rate = rates[currency]"))
        for path in (_ORDERS, _PRICES)
        for function in ("price", "refund", "tax")
    ),
    *(
        _python("ValueError", "invalid literal for int() with base 10: {}", (path, "parse", line))
        for path in (_ORDERS, _MAIL)
        for line in ("number = int(text)", "amount = int(row[2])")
    ),
    # Different types and messages from the same place.
    *(
        _python(kind, "order {} for {} failed", (_ORDERS, "checkout", line))
        for kind, line in (
            ("PaymentError", "raise PaymentError(order)"),
            ("StockError", "raise StockError(order)"),
            ("AddressError", "raise AddressError(order)"),
        )
    ),
    # Messages that vary wholly.
    _python("NotFound", "{}", (_ORDERS, "load", "raise NotFound(key)")),
    _python("NotFound", "{}", (_PRICES, "load", "raise NotFound(key)")),
    _python("Timeout", "no answer from {} after {}", (_MAIL, "send", "connection.sendmail(message)")),
    _python("Timeout", "no answer from {} after {}", (_MAIL, "connect", "connection = SMTP(host)")),
    # Recursion of different depth.
    _python("RecursionError", "maximum depth at {}", ("shop/tree.py", "walk", "walk(child)")),
    _python(
        "TypeError",
        "node {} has no children",
        ("shop/tree.py", "walk", "walk(child)"),
        ("shop/tree.py", "visit", "len(x)"),
    ),
    # Chains.
    _python(
        "OrderError",
        "could not save {}",
        (_ORDERS, "save", "raise OrderError(key) from error"),
        cause="DeadlockDetected",
    ),
    _python(
        "OrderError",
        "could not save {}",
        (_ORDERS, "save", "raise OrderError(key) from error"),
        cause="UniqueViolation",
    ),
    # Reworded lines: the same problem, which a line of source alone would split.
    _python("IndexError", "list index out of range", (_PRICES, "cheapest", "return offers[0]"), rewritten=True),
    *(
        _node(
            "TypeError",
            "Cannot read properties of undefined (reading '{}')".replace("{}", name),
            (path, function, line),
        )
        for path, function, line, name in (
            (_CART, "addItem", "const price = item.price", "price"),
            (_CART, "removeItem", "delete cart.items[item.id]", "id"),
            (_PAY, "charge", "const card = user.card", "card"),
            (_PAY, "refund", "const card = user.card", "card"),
            (_USERS, "addItem", "const price = item.price", "price"),
        )
    ),
    *(
        _node("Error", "connect ECONNREFUSED {}", (path, "query", "await pool.query(sql)"))
        for path in (_CART, _PAY, _USERS, "mail.js")
    ),
    *(
        _node(kind, "Request {} failed with status code 500", (_PAY, "Stripe.charge", "throw failed(response)"))
        for kind in ("AxiosError", "PaymentError", "HttpError")
    ),
    _node("RangeError", "Invalid time value {}", ("dates.js", "format", "return new Date(text).toISOString()")),
    _node("RangeError", "Invalid time value {}", ("dates.js", "parse", "const at = new Date(text)")),
    _node(
        "SyntaxError", "Unexpected token in JSON at position {}", (_USERS, "load", "JSON.parse(body)"), rewritten=True
    ),
    *(
        _browser("TypeError", "e is null", (path, "render", ""), (path, function, ""))
        for path in ("app.js", "checkout.js")
        for function in ("CartView", "PriceTag", "onClick")
    ),
    # Minified: names that say nothing; only the message tells.
    *(
        _browser(kind, message, ("vendor.js", "t", ""), ("vendor.js", "n", ""))
        for kind, message in (
            ("TypeError", "undefined is not a function"),
            ("TypeError", "can't access property of {}"),
            ("ChunkLoadError", "Loading chunk {} failed"),
            ("RangeError", "Maximum call stack size exceeded"),
            ("NetworkError", "Failed to fetch {}"),
            ("SecurityError", "Blocked a frame with origin {}"),
        )
    ),
    # Log messages, with their values filled in and without stack.
    *(
        Problem("python", "", message, ())
        for message in (
            "payment {} of user {} was declined",
            "user {} could not sign in from {}",
            "import of {} took {}",
            "queue is full",
            "worker {} did not answer within {}",
            "cache miss for {}",
            "retrying {} in {}",
            "could not parse {}: unexpected end",
            "disk of {} is full",
            "certificate of {} runs out in {}",
        )
    ),
    # Told by the SDK.
    *(
        _python(
            "HTTPError", "503 from {}", (_MAIL, "deliver", "response.raise_for_status()"), extra={"fingerprint": mark}
        )
        for mark in (["mail-down"], ["{{ default }}", "tenant-a"], ["{{ default }}", "tenant-b"])
    ),
    _python("HTTPError", "503 from {}", (_MAIL, "deliver", "response.raise_for_status()")),
)
