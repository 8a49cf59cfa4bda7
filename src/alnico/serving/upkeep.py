"""Routes for those who keep a service running."""

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from alnico.contracts import ExplainingScorer
from alnico.serving import wire
from alnico.serving.desk import At, Desk
from alnico.serving.routing import routing_health


def health_of(desk: Desk) -> wire.Health:
    """That the service answers, and from what."""
    bundle = desk.shelf.bundle
    return wire.Health(
        status="ok",
        label=bundle.facts.label,
        model=bundle.facts.model,
        users=len(bundle.users),
        items=bundle.n_items,
        waiting=desk.shelf.waiting,
        two_stages=bundle.in_two_stages,
        stages_recall=bundle.facts.stages.recall,
    )


def add_health(routes: APIRouter) -> None:
    """That the service answers, for whoever watches over it; needs no key."""

    @routes.get("/health")
    async def health(desk: At) -> wire.Health:
        """That the service answers, and from what."""
        return health_of(desk)


def add_upkeep(routes: APIRouter) -> None:
    """What the model is, its routing, what the service counts, and loading the bundle again."""

    @routes.get("/about")
    async def about(desk: At) -> wire.About:
        """What the model is and what can be asked of it."""
        bundle = desk.shelf.bundle
        explains = isinstance(bundle.scorer, ExplainingScorer)
        return wire.About(
            label=bundle.facts.label,
            model=bundle.facts.model,
            title=bundle.facts.title,
            remark=bundle.facts.remark,
            trained=bundle.facts.trained,
            users=len(bundle.users),
            items=bundle.n_items,
            parts=list(bundle.scorer.parts) if isinstance(bundle.scorer, ExplainingScorer) else [],
            sources=list(bundle.sources),
            categories=list(bundle.categories),
            explains=explains,
            has_histories=bundle.histories is not None,
            has_prices=any(bundle.cards.columns.get("price", ())),
            measures=bundle.facts.measures,
        )

    @routes.get("/routing")
    async def routing(desk: At) -> wire.RoutingHealth:
        """Where the model sends training pairs, on the whole."""
        bundle = desk.shelf.bundle
        return await desk.ask(lambda: routing_health(bundle))

    @routes.get("/metrics", response_class=Response)
    async def metrics(desk: At) -> Response:
        """What the service counts of itself, for Prometheus."""
        return Response(desk.counters.text(), media_type="text/plain; version=0.0.4")

    @routes.post("/reload", responses={403: {"model": wire.Problem, "description": "The service has no key"}})
    async def reload(desk: At) -> wire.Health:
        """Load the bundle's folder again; no request is lost meanwhile. Needs a service with a key."""
        if desk.settings.api_key is None:
            raise HTTPException(403, "reloading needs a service that was started with a key")
        await desk.shelf.reload()
        desk.counters.reloads.inc()
        return health_of(desk)
