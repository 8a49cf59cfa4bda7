"""The web page that a service brings along."""

from importlib.resources import files as files_of

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

PAGE = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "parts.js": "text/javascript; charset=utf-8",
    "why.js": "text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_page(routes: APIRouter) -> None:
    """The page at the root and its pieces."""
    files = {name: files_of("alnico.serving").joinpath("page", name).read_bytes() for name in PAGE}
    headers = {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }

    @routes.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(files["index.html"], media_type=PAGE["index.html"], headers=headers)

    @routes.get("/page/{name}", include_in_schema=False)
    async def piece(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "the page has no such file")
        return Response(files[name], media_type=PAGE[name], headers=headers)
