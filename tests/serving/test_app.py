"""The service gives the bundle's answers, and one sentence for whatever it cannot answer."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest

from alnico.data.ids import IdMap
from alnico.serving.app import make_app
from alnico.serving.bundle import Bundle
from alnico.serving.manifest import Stages
from alnico.serving.settings import ServiceSettings
from alnico.serving.shelf import BusyError, Shelf
from exported_bundles import Exported

Exports = Mapping[str, Exported]
Found = TypeVar("Found")
STRANGE = """a/b "c" <script>alert('x')</script> ü?#%2F"""


def talk(
    bundle: Bundle, do: Callable[[httpx.AsyncClient, Shelf], Awaitable[Found]], **settings: Any
) -> Found:
    """What ``do`` returns, given a client of a service that answers from this bundle."""

    async def main() -> Found:
        shelf = Shelf(bundle)
        app = make_app(shelf, ServiceSettings(**settings))
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await do(client, shelf)
        finally:
            shelf.close()

    return asyncio.run(main())


def get(bundle: Bundle, path: str, **settings: Any) -> httpx.Response:
    return talk(bundle, lambda client, _: client.get(path), **settings)


def post(bundle: Bundle, path: str, content: Any, **settings: Any) -> httpx.Response:
    return talk(bundle, lambda client, _: client.post(path, json=content), **settings)


def sentence(response: httpx.Response) -> str:
    told = response.json()
    assert list(told) == ["error"]
    return str(told["error"])


@pytest.fixture(scope="module")
def magnet(exported: Exports) -> Bundle:
    return exported["magnet"].bundle


@pytest.mark.parametrize("name", ["magnet", "bpr_mf", "item_knn", "popularity"])
def test_lists_are_the_bundles_own(exported: Exports, name: str) -> None:
    bundle = exported[name].bundle
    user = bundle.users.names.tolist()[3]
    told = get(bundle, f"/users/{quote(str(user), safe='')}/recommendations?k=7").json()
    answer = bundle.recommend(user, 7)
    assert [one["item"] for one in told["items"]] == [listed.item for listed in answer.items]
    assert [one["score"] for one in told["items"]] == [listed.score for listed in answer.items]
    assert told["basis"] == answer.basis
    assert told["items"][0]["title"] == bundle.card(answer.items[0].item)["title"]


def test_somebody_unknown_is_answered_by_history(magnet: Bundle) -> None:
    history = [str(name) for name in magnet.items.names[:3].tolist()]
    told = post(magnet, "/recommendations", {"history": history, "k": 5}).json()
    assert [one["item"] for one in told["items"]] == [
        one.item for one in magnet.recommend_for(history, 5).items
    ]
    assert not set(history) & {str(one["item"]) for one in told["items"]}
    nobody = post(magnet, "/recommendations", {"history": [], "k": 3}).json()
    assert nobody["basis"] == "popularity"


def test_filters_and_emphasis_reach_the_model(magnet: Bundle) -> None:
    user = magnet.users.names.tolist()[0]
    category = magnet.categories[0]
    told = get(magnet, f"/users/{user}/recommendations?k=20&category={quote(category)}").json()
    assert told["items"]
    assert all(category in one["category"].casefold() for one in told["items"])
    denied = told["items"][0]["item"]
    again = get(magnet, f"/users/{user}/recommendations?k=20&deny={quote(str(denied))}").json()
    assert denied not in [one["item"] for one in again["items"]]
    turned = get(magnet, f"/users/{user}/recommendations?emphasis=image:5&emphasis=text:0").json()
    answer = magnet.recommend(user, 10, emphasis={"image": 5.0, "text": 0.0})
    assert [one["item"] for one in turned["items"]] == [one.item for one in answer.items]


def test_a_list_is_as_long_as_the_service_allows(magnet: Bundle) -> None:
    user = magnet.users.names.tolist()[0]
    told = get(magnet, f"/users/{user}/recommendations?k=1000000000", most_listed=6).json()
    assert len(told["items"]) == 6


def over_the_wire(told: dict[str, Any]) -> Any:
    """The same as JSON, without the places of pictures on the machine of the training."""
    for card in (told["item"], *(one["item"] for one in told["witnesses"])):
        assert card.pop("image", None) is not None
    return json.loads(json.dumps(told))


def test_explanations_are_the_bundles_own(magnet: Bundle) -> None:
    user = magnet.users.names.tolist()[2]
    item = magnet.recommend(user, 1).items[0].item
    told = get(magnet, f"/explanations/{user}/{quote(str(item), safe='')}").json()
    assert told == over_the_wire(magnet.explain(user, item))
    history = [str(name) for name in magnet.history(user)]
    told = post(magnet, "/explanations", {"history": history, "item": str(item)}).json()
    assert told == over_the_wire(magnet.explain_for(history, item))


def test_ids_with_any_letters_find_their_way(magnet: Bundle) -> None:
    names = magnet.users.names.astype("U100").copy()
    names[0] = STRANGE
    items = magnet.items.names.astype("U100").copy()
    items[5] = STRANGE
    bundle = replace(magnet, users=IdMap(names, "user"), items=IdMap(items, "item"))
    name = quote(STRANGE, safe="")
    assert get(bundle, f"/users/{name}/recommendations").status_code == 200
    assert get(bundle, f"/items/{name}").json()["item"] == STRANGE
    assert get(bundle, f"/items/{name}/similar").status_code == 200
    told = get(bundle, f"/explanations/{name}/{name}").json()
    assert (told["user"], told["item"]["item_id"]) == (STRANGE, STRANGE)
    missing = get(bundle, f"/users/{name}x/recommendations")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/json"


def test_pictures_pages_and_searches(magnet: Bundle) -> None:
    total = get(magnet, "/items?limit=5&offset=3").json()
    assert total["total"] == magnet.n_items
    assert [one["item"] for one in total["items"]] == magnet.items.names[3:8].tolist()
    title = magnet.cards.get("title", 4)
    found = get(magnet, f"/items?search={quote(title.upper())}").json()
    assert magnet.items.name(4) in [one["item"] for one in found["items"]]
    shown = next(number for number, picture in enumerate(magnet.pictures) if picture is not None)
    response = get(magnet, f"/items/{quote(str(magnet.items.name(shown)), safe='')}/picture")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content == magnet.pictures[shown]
    users = get(magnet, "/users?limit=2").json()
    assert users == {"users": magnet.users.names[:2].tolist(), "total": len(magnet.users)}
    history = get(magnet, f"/users/{magnet.users.name(0)}/history").json()
    assert [one["item"] for one in history["items"]] == magnet.history(magnet.users.name(0))


def test_new_item_is_listed_at_once(magnet: Bundle) -> None:
    twin = magnet.recommend(magnet.users.name(1), 1).items[0].item
    vectors = {name: own.vectors[magnet.items.number(twin)].tolist() for name, own in magnet.content.items()}

    async def do(client: httpx.AsyncClient, shelf: Shelf) -> tuple[Any, Any, Any]:
        new = {"items": [{"id": "9000001", "vectors": vectors, "card": {"title": "A new thing"}}]}
        added = await client.post("/items", json=new)
        listed = await client.get("/items/9000001/similar?by=image&k=1")
        again = await client.post("/items", json=new)
        return added, listed, again

    added, listed, again = talk(magnet, do)
    assert added.status_code == 201
    assert added.json()["items"] == magnet.n_items + 1
    assert listed.json()["items"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert "in the bundle already" in sentence(again)
    wrong = post(magnet, "/items", {"items": [{"id": "9000002", "vectors": {"image": [1.0]}}]})
    assert wrong.status_code == 422
    assert "those of the bundle" in sentence(wrong)


def test_an_id_beyond_the_catalogues_integers_is_refused(magnet: Bundle) -> None:
    numbered = replace(magnet, items=IdMap.range(magnet.n_items, "item"))
    response = post(numbered, "/items", {"items": [{"id": "9" * 40}]})
    assert response.status_code == 422
    assert "integers of at most 18 digits" in sentence(response)


def test_new_item_is_encoded_from_its_picture_and_words(magnet: Bundle) -> None:
    """The picture of a known item, sent as a file, lands beside that item."""
    place = next(item for item, picture in enumerate(magnet.pictures) if picture is not None)
    picture = base64.b64encode(magnet.pictures[place] or b"").decode()
    card = {"title": magnet.cards.get("title", place)}

    async def do(client: httpx.AsyncClient, shelf: Shelf) -> tuple[Any, Any]:
        added = await client.post("/items", json={"items": [{"id": "new", "picture": picture, "card": card}]})
        return added.json(), (await client.get("/items/new/similar?by=image&k=3")).json()

    if not magnet.facts.encoders:
        pytest.skip("the vectors of this bundle were not made by its own encoders")
    added, listed = talk(magnet, do)
    assert added["added"] == ["new"]
    assert magnet.items.name(place) in [one["item"] for one in listed["items"]]
    broken = {"items": [{"id": "x", "picture": "AAAA", "card": card}]}
    assert "no image that can be read" in sentence(post(magnet, "/items", broken))
    for picture in ("?", "ü", "a b"):
        refused = post(magnet, "/items", {"items": [{"id": "x", "picture": picture}]})
        assert refused.status_code == 422
        assert "base64" in sentence(refused)
    # float32 ends at 3.4e38.
    huge = {"id": "x", "vectors": {"image": [1e39] + [0.0] * (magnet.content["image"].width - 1)}}
    refused = post(magnet, "/items", {"items": [huge]})
    assert refused.status_code == 422
    assert "not a finite number" in sentence(refused)


def test_page_has_all_its_files_and_fetches_nothing_else(magnet: Bundle) -> None:
    page = get(magnet, "/", api_key="secret")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    files = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert {"page/main.js", "page/style.css"} <= set(files)
    for name in [*files, "page/parts.js", "page/why.js"]:
        piece = get(magnet, f"/{name}", api_key="secret")
        assert piece.status_code == 200
        assert "http://" not in piece.text
        assert "https://" not in piece.text
    assert get(magnet, "/page/nothing.js").status_code == 404


def test_routing_on_the_whole_is_a_distribution(exported: Exports) -> None:
    told = get(exported["magnet"].bundle, "/routing").json()
    assert sum(told["experts"].values()) == pytest.approx(1, abs=1e-5)
    assert sum(told["groups"].values()) == pytest.approx(1, abs=1e-5)
    assert 1 <= told["effective"] <= len(told["experts"]) + 1e-6
    assert get(exported["bpr_mf"].bundle, "/routing").status_code == 409


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/users/nobody/recommendations", None, 404, "user 'nobody' is not among"),
    ("GET", "/users/1/recommendations?k=0", None, 422, "k: "),
    ("GET", "/users/1/recommendations?k=many", None, 422, "k: "),
    ("GET", "/users/1/recommendations?diversity=2", None, 422, "diversity: "),
    ("GET", "/users/1/recommendations?emphasis=image", None, 422, "PART:FACTOR"),
    ("GET", "/users/1/recommendations?emphasis=smell:2", None, 422, "smell"),
    ("GET", "/items/nothing/similar", None, 404, "item 'nothing'"),
    ("GET", "/nowhere", None, 404, "Not Found"),
    ("GET", "/explanations/1", None, 404, "Not Found"),
    ("DELETE", "/items", None, 405, "Method Not Allowed"),
    ("POST", "/recommendations", b"{", 422, ""),
    ("POST", "/recommendations", b"[]", 422, ""),
    ("POST", "/recommendations", b'{"history": 3}', 422, "history: "),
    ("POST", "/recommendations", b'{"history": ["nothing"]}', 404, "item 'nothing'"),
    ("POST", "/recommendations", b'{"history": [], "kk": 3}', 422, "kk: "),
    ("POST", "/recommendations", b'{"history": [], "k": NaN}', 422, "k: "),
    ("POST", "/items", b'{"items": []}', 422, "items: "),
    ("POST", "/items", b'{"items": [{"id": "z", "vectors": {"smell": [1]}}]}', 422, "smell"),
    ("POST", "/reload", None, 403, "key"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "told"), WRONG)
def test_wrong_requests_get_one_sentence(
    magnet: Bundle, method: str, path: str, body: bytes | None, status: int, told: str
) -> None:
    path = path.replace("/users/1/", f"/users/{magnet.users.name(0)}/")
    headers = {"content-type": "application/json"} if body else {}
    response = talk(magnet, lambda client, _: client.request(method, path, content=body, headers=headers))
    assert response.status_code == status
    assert told in sentence(response)


def test_key_size_and_rate(magnet: Bundle) -> None:
    assert get(magnet, "/users", api_key="secret").status_code == 401
    assert get(magnet, "/health", api_key="secret").status_code == 200
    right = talk(
        magnet, lambda client, _: client.get("/users", headers={"X-API-Key": "secret"}), api_key="secret"
    )
    assert right.status_code == 200
    large = post(magnet, "/recommendations", {"history": ["x" * 2000]}, most_bytes=1000)
    assert large.status_code == 413
    assert "at most 1,000 bytes" in sentence(large)

    async def often(client: httpx.AsyncClient, shelf: Shelf) -> list[int]:
        return [(await client.get("/users")).status_code for _ in range(5)]

    assert talk(magnet, often, per_minute=3) == [200, 200, 200, 429, 429]


def test_the_description_says_which_routes_need_the_key(magnet: Bundle) -> None:
    told = get(magnet, "/openapi.json", api_key="secret").json()
    (scheme,) = told["components"]["securitySchemes"]
    kind = told["components"]["securitySchemes"][scheme]
    assert (kind["type"], kind["in"], kind["name"]) == ("apiKey", "header", "X-API-Key")
    for path, methods in told["paths"].items():
        for method in methods.values():
            assert method.get("security") == (None if path == "/health" else [{scheme: []}])
    assert "securitySchemes" not in get(magnet, "/openapi.json").json()["components"]


def test_a_body_without_a_length_is_measured_too(magnet: Bundle) -> None:
    async def do(client: httpx.AsyncClient, shelf: Shelf) -> httpx.Response:
        async def pieces() -> Any:
            for _ in range(20):
                yield b" " * 100

        return await client.post("/recommendations", content=pieces())

    response = talk(magnet, do, most_bytes=1000)
    assert response.status_code == 413


def test_beyond_what_may_wait_the_service_is_busy(magnet: Bundle) -> None:
    async def main() -> tuple[int, str]:
        shelf = Shelf(magnet, most_waiting=2)
        held = threading.Event()
        first = [asyncio.create_task(shelf.ask(held.wait, 10)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="wait already"):
            await shelf.ask(lambda: 1, 10)
        shelf.most_waiting = 9
        with pytest.raises(BusyError, match=r"within 0\.05 seconds"):
            await shelf.ask(lambda: 1, 0.05)
        held.set()
        await asyncio.gather(*first)
        # The turn of the one that gave up has come and gone: nothing waits for ever.
        value = await shelf.ask(lambda: 7, 10)
        shelf.close()
        return value, str(shelf.waiting)

    assert asyncio.run(main()) == (7, "0")


def test_counted_by_route_and_not_by_path(magnet: Bundle) -> None:
    async def do(client: httpx.AsyncClient, shelf: Shelf) -> str:
        for path in ("/users/a/recommendations", "/users/b/recommendations", "/c", "/d"):
            await client.get(path)
        return (await client.get("/metrics")).text

    told = talk(magnet, do)
    route = 'route="/users/{user}/recommendations",status="404"'
    assert f'alnico_requests_total{{method="GET",{route}}} 2.0' in told
    assert 'alnico_requests_total{method="none",route="none",status="404"} 2.0' in told
    assert f"alnico_items {float(magnet.n_items)}" in told


def test_another_bundle_takes_the_place_between_two_requests(exported: Exports) -> None:
    async def main() -> list[str]:
        shelf = Shelf.open(exported["magnet"].folder)
        app = make_app(shelf, ServiceSettings(api_key="k"))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://here", headers={"X-API-Key": "k"}
        ) as client:
            before = (await client.get("/health")).json()["model"]
            shelf.folder = exported["bpr_mf"].folder
            after = (await client.post("/reload")).json()["model"]
            shelf.folder = exported["bpr_mf"].folder / "nothing"
            failed = await client.post("/reload")
            kept = (await client.get("/health")).json()["model"]
        shelf.close()
        return [before, after, str(failed.status_code), kept]

    assert asyncio.run(main()) == ["magnet", "bpr_mf", "409", "bpr_mf"]


def test_description_names_every_route_and_fetches_nothing(magnet: Bundle) -> None:
    told = get(magnet, "/openapi.json").json()
    assert {"/users/{user}/recommendations", "/recommendations", "/items/{item}", "/metrics"} <= set(
        told["paths"]
    )
    assert get(magnet, "/docs").status_code == 404


def test_questions_are_answered_while_new_items_are_read(magnet: Bundle) -> None:
    async def do(client: httpx.AsyncClient, shelf: Shelf) -> tuple[int, int]:
        read = threading.Event()
        change = asyncio.create_task(shelf.change(lambda _: read.wait(60), lambda now, _: replace(now)))
        await asyncio.sleep(0)
        answered = await shelf.ask(lambda: 7, 30)
        before = shelf.bundle
        read.set()
        assert await change is shelf.bundle is not before
        return answered, before.n_items

    assert talk(magnet, do) == (7, magnet.n_items)


def test_health_says_how_lists_are_made(magnet: Bundle) -> None:
    told = get(magnet, "/health").json()
    assert (told["two_stages"], told["stages_recall"]) == (False, None)
    stages = Stages(above=10, recall=1.0, users=40)
    large = replace(magnet, facts=magnet.facts.model_copy(update={"stages": stages}))
    told = get(large, "/health").json()
    assert (told["two_stages"], told["stages_recall"]) == (True, 1.0)
