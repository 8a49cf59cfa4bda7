"""`alnico serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alnico.cli.output import print_json

if TYPE_CHECKING:
    from alnico.serving.bundle import Bundle


def serve(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle, see `alnico export`.")],
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for everybody.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.", min=0, max=65535)] = 8000,
    api_key: Annotated[
        str | None, typer.Option(envvar="ALNICO_API_KEY", help="Ask this of every request, in X-API-Key.")
    ] = None,
    per_minute: Annotated[
        int | None, typer.Option(help="Requests that one client may make in a minute.", min=1)
    ] = None,
    most_bytes: Annotated[int | None, typer.Option(help="Largest body of a request.", min=1)] = None,
    seconds: Annotated[float | None, typer.Option(help="Longest time that an answer may take.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Say as JSON where it listens.")] = False,
) -> None:
    """Answer over HTTP: recommendations, reasons, similar and new items; a page for people at /.

    SIGHUP loads the folder again without losing a request, SIGTERM ends after the requests in progress.
    """
    from alnico.errors import ConfigError
    from alnico.serving.manifest import read_manifest

    try:
        from alnico.serving.server import bound
        from alnico.serving.server import serve as run
        from alnico.serving.settings import ServiceSettings
    except ImportError as problem:
        raise ConfigError(
            f"serving needs packages that are not here ({problem.name}); install alnico[serve]"
        ) from problem
    if seconds is not None and not seconds > 0:
        raise ConfigError(f"--seconds must be above 0; found {seconds:g}")
    read_manifest(bundle)
    given = {"api_key": api_key, "per_minute": per_minute, "most_bytes": most_bytes, "seconds": seconds}
    settings = ServiceSettings(**{name: value for name, value in given.items() if value is not None})
    place = bound(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{place.getsockname()[1]}"

    def ready(found: "Bundle") -> None:
        if json:
            print_json({"address": address, "users": len(found.users), "items": found.n_items})
        else:
            told = f"{len(found.users)} users, {found.n_items} items"
            print(f"{found.facts.label}: {told} at {address}", flush=True)

    run(bundle, place, settings, ready)
