"""The service as an ASGI application: a bundle behind HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

from alnico.errors import AlnicoError, ConfigError, StorageError, UnknownIdError, UnsupportedError
from alnico.serving import wire
from alnico.serving.answers import Answer, Filters
from alnico.serving.bundle import BLENDED, Bundle
from alnico.serving.counters import Counters, Counting
from alnico.serving.desk import At, Desk
from alnico.serving.diversity import POOL, diversified, mutual_likeness
from alnico.serving.limits import Limits
from alnico.serving.newcomers import add_items
from alnico.serving.pages import add_page
from alnico.serving.posted import newcomers_of
from alnico.serving.search import found_items
from alnico.serving.settings import ServiceSettings
from alnico.serving.shelf import BusyError, Shelf
from alnico.serving.upkeep import add_health, add_upkeep

MOST_PAGED = 200
KEY = APIKeyHeader(
    name="X-API-Key",
    scheme_name="key",
    description="The key that the service was started with.",
    auto_error=False,
)
"""Stands in the description of a service with a key; ``Limits`` is what checks it."""

STATUS: dict[type[AlnicoError], int] = {
    UnknownIdError: 404,
    UnsupportedError: 409,
    StorageError: 409,
    BusyError: 503,
}
"""Of an error that is none of these the request is at fault: 422."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.Problem, "description": text}
    for status, text in (
        (400, "A body that is no text, or a header that is no number"),
        (401, "No key, or the wrong one"),
        (404, "An id that names nothing here"),
        (408, "The body came too slowly"),
        (409, "The model cannot do that"),
        (413, "The body is too large"),
        (422, "A value that is not allowed"),
        (429, "Too many requests"),
        (503, "Busy"),
    )
}


def make_app(shelf: Shelf, settings: ServiceSettings | None = None) -> FastAPI:
    """The service that answers from ``shelf``; nothing is shared between two applications.

    Errors are JSON with one sentence (``wire.Problem``). The description of all routes stands at ``/openapi.json``.
    """
    settings = settings or ServiceSettings()
    desk = Desk(shelf, settings, Counters(shelf))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        shelf.close()

    app = FastAPI(
        title="alnico",
        version=version("alnico"),
        description="Recommendations with their reasons.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
        responses=ERRORS,
    )
    app.state.desk = desk
    app.add_exception_handler(AlnicoError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    guarded = APIRouter(dependencies=[] if settings.api_key is None else [Security(KEY)])
    _add_lists(guarded)
    _add_items(guarded)
    _add_reasons(guarded)
    add_upkeep(guarded)
    free = APIRouter()
    add_health(free)
    add_page(free)
    app.include_router(guarded)
    app.include_router(free)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(Counting, counters=desk.counters)
    return app


async def _problem(request: Request, problem: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(problem, kind)), 422)
    headers = {"retry-after": "1"} if status == 503 else None
    return JSONResponse({"error": str(problem)}, status, headers)


async def _invalid(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    told = []
    for one in problem.errors():
        place = ".".join(str(step) for step in one["loc"] if step not in ("body", "query", "path"))
        told.append(f"{place}: {one['msg']}" if place else str(one["msg"]))
    return JSONResponse({"error": "; ".join(told)}, 422)


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return JSONResponse({"error": str(problem.detail)}, problem.status_code, problem.headers)


def _wishes(
    k: Annotated[int, Query(ge=1, le=1_000_000_000, description="Length of the list.")] = 10,
    allow: Annotated[list[str] | None, Query(max_length=1000)] = None,
    deny: Annotated[list[str], Query(max_length=1000)] = [],  # noqa: B006
    category: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006
    least_price: Annotated[float | None, Query(ge=0)] = None,
    most_price: Annotated[float | None, Query(ge=0)] = None,
    keep_seen: bool = False,
    diversity: Annotated[float, Query(ge=0, le=1)] = 0.0,
    emphasis: Annotated[list[str], Query(max_length=32, description="PART:FACTOR, such as image:2")] = [],  # noqa: B006
) -> wire.Wishes:
    return wire.Wishes(
        k=k,
        allow=allow,
        deny=deny,
        categories=category,
        least_price=least_price,
        most_price=most_price,
        keep_seen=keep_seen,
        diversity=diversity,
        emphasis=_factors(emphasis),
    )


def _factors(told: list[str]) -> dict[str, float]:
    """``PART:FACTOR`` texts as numbers."""
    found = {}
    for text in told:
        part, _, factor = text.rpartition(":")
        try:
            found[part] = float(factor)
        except ValueError:
            found[part] = -1.0
        if not part or not 0 <= found[part] <= 100:
            raise ConfigError(
                f"emphasis is PART:FACTOR with a factor of 0 to 100, such as image:2; found {text!r}"
            )
    return found


Asked = Annotated[wire.Wishes, Depends(_wishes)]


def _filters(wishes: wire.Wishes) -> Filters:
    return Filters(
        allow=None if wishes.allow is None else tuple(wishes.allow),
        deny=tuple(wishes.deny),
        categories=tuple(wishes.categories),
        least_price=wishes.least_price,
        most_price=wishes.most_price,
    )


def _made(
    bundle: Bundle, wishes: wire.Wishes, most: int, ask: Callable[[int, Filters], Answer]
) -> wire.ItemList:
    """The list that was wished for; ``ask`` gives one of some length through a filter."""
    k = min(wishes.k, most)
    if not wishes.diversity:
        return wire.item_list(bundle, ask(k, _filters(wishes)))
    answer = ask(min(POOL * k, bundle.n_items), _filters(wishes))
    numbers = bundle.items.numbers([one.item for one in answer.items])
    chosen = diversified(answer.items, mutual_likeness(bundle.content, numbers), k, wishes.diversity)
    return wire.item_list(bundle, Answer(tuple(chosen), answer.basis, answer.notes))


def _add_lists(routes: APIRouter) -> None:
    @routes.get("/users")
    async def users(
        desk: At,
        search: Annotated[str, Query(max_length=200)] = "",
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_PAGED)] = 50,
    ) -> wire.UserPage:
        """User ids, in the model's order, those that contain ``search``."""
        names = desk.shelf.bundle.users.names.tolist()
        found = [name for name in names if search in str(name)] if search else names
        return wire.UserPage(users=found[offset : offset + limit], total=len(found))

    @routes.get("/users/{user:path}/history")
    async def history(desk: At, user: str) -> wire.UserHistory:
        """The items that a user had in training; none where the bundle was exported without histories."""
        bundle = desk.shelf.bundle
        number = bundle.users.number(user)
        items = [wire.card_entry(bundle, item) for item in bundle.history_of(number).tolist()]
        return wire.UserHistory(user=bundle.users.name(number), items=items)

    @routes.get("/users/{user:path}/recommendations")
    async def recommendations(desk: At, user: str, wishes: Asked) -> wire.ItemList:
        """The best items for a user of the training."""
        bundle, most = desk.shelf.bundle, desk.settings.most_listed

        def ask(k: int, filters: Filters) -> Answer:
            return bundle.recommend(
                user, k, filters, keep_seen=wishes.keep_seen, emphasis=wishes.emphasis or None
            )

        return await desk.ask(partial(_made, bundle, wishes, most, ask))

    @routes.post("/recommendations")
    async def anonymous(desk: At, wishes: wire.AnonymousWishes) -> wire.ItemList:
        """The best items for somebody who was not in training and has these items."""
        bundle, most = desk.shelf.bundle, desk.settings.most_listed
        _check_length(wishes.history, desk.settings)

        def ask(k: int, filters: Filters) -> Answer:
            return bundle.recommend_for(
                wishes.history, k, filters, keep_seen=wishes.keep_seen, emphasis=wishes.emphasis or None
            )

        return await desk.ask(partial(_made, bundle, wishes, most, ask))


def _check_length(history: list[str], settings: ServiceSettings) -> None:
    if len(history) > settings.most_history:
        raise ConfigError(f"a history may have at most {settings.most_history} items; found {len(history)}")


def _add_items(routes: APIRouter) -> None:
    @routes.get("/items")
    async def items(
        desk: At,
        search: Annotated[str, Query(max_length=200)] = "",
        category: Annotated[str, Query(max_length=200)] = "",
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_PAGED)] = 50,
    ) -> wire.ItemPage:
        """Items whose title or id contains ``search``, of one category if that is named."""
        bundle = desk.shelf.bundle
        found = found_items(bundle, search, category)
        some = found[offset : offset + limit].tolist()
        return wire.ItemPage(items=[wire.card_entry(bundle, item) for item in some], total=len(found))

    @routes.get(
        "/items/{item:path}/picture",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def picture(desk: At, item: str) -> Response:
        """A small JPEG of the item."""
        found = desk.shelf.bundle.picture(item)
        if found is None:
            raise UnknownIdError(f"item {item!r} has no picture here")
        return Response(found, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})

    @routes.get("/items/{item:path}/similar")
    async def similar(
        desk: At, item: str, wishes: Asked, by: Annotated[str, Query(max_length=200)] = BLENDED
    ) -> wire.ItemList:
        """The items most like one: by behaviour, by a modality, or blended."""
        bundle, most = desk.shelf.bundle, desk.settings.most_listed

        def ask(k: int, filters: Filters) -> Answer:
            return bundle.similar(item, by, k, filters)

        return await desk.ask(partial(_made, bundle, wishes, most, ask))

    @routes.get("/items/{item:path}")
    async def item(desk: At, item: str) -> wire.ItemDetail:
        """One item."""
        bundle = desk.shelf.bundle
        number = bundle.items.number(item)
        return wire.ItemDetail(
            **wire.card_entry(bundle, number).model_dump(),
            columns={name: text for name, text in bundle.card(item).items() if name != "image"},
            takers=int(bundle.takers[number]),
            sources=list(bundle.sources),
        )

    @routes.post("/items", status_code=201)
    async def add(desk: At, new: wire.NewItems) -> wire.Added:
        """Take in items that came after training, by their content alone. They stay until the bundle is loaded anew."""
        bundle = await desk.shelf.change(lambda now: newcomers_of(now, new.items), add_items)
        notes = ["added items are kept until the bundle is loaded anew"]
        first = bundle.n_items - len(new.items)
        bare = [
            one.id for place, one in enumerate(new.items, start=first) if bundle.basis_of(place) == "nothing"
        ]
        if bare:
            notes.append(f"without content, and so listed nowhere: {', '.join(bare)}")
        return wire.Added(added=[one.id for one in new.items], items=bundle.n_items, notes=notes)


def _add_reasons(routes: APIRouter) -> None:
    @routes.get("/explanations/{user}/{item:path}")
    async def explanation(desk: At, request: Request, user: str, item: str) -> wire.Explained:
        """Why a user of the training gets an item: routing, parts, history items and content edges that speak for it.

        A slash within an id is written %2F.
        """
        bundle = desk.shelf.bundle
        who, what = _two_ids(request, user, item)
        return _without_paths(await desk.ask(lambda: bundle.explain(who, what)))

    @routes.post("/explanations")
    async def anonymous_explanation(desk: At, question: wire.Question) -> wire.Explained:
        """Why somebody who has these items would get this one."""
        bundle = desk.shelf.bundle
        _check_length(question.history, desk.settings)
        emphasis = question.emphasis or None
        return _without_paths(
            await desk.ask(lambda: bundle.explain_for(question.history, question.item, emphasis=emphasis))
        )


def _without_paths(told: wire.Explained) -> wire.Explained:
    """An explanation without the places of pictures on the machine that the model was trained on."""
    for card in (told["item"], *(one["item"] for one in told["witnesses"])):
        card.pop("image", None)
    return told


def _two_ids(request: Request, user: str, item: str) -> tuple[str, str]:
    """The two ids as they were sent: by now a slash within the first is no longer told from the one between them."""
    raw = request.scope.get("raw_path", b"").partition(b"?")[0]
    pieces = raw.rpartition(b"/explanations/")[2].split(b"/")
    if len(pieces) == 2:
        user, item = (unquote_to_bytes(piece).decode(errors="replace") for piece in pieces)
    return user, item
