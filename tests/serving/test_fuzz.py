"""The service keeps to its own description, whatever it is asked."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from alnico.serving.app import make_app
from alnico.serving.settings import ServiceSettings
from alnico.serving.shelf import Shelf
from exported_bundles import Exported

KEY = {"X-API-Key": "secret"}
# Every question brings the key: what is asked without it says nothing about the rest of the description.
PLANNED = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
# Not whether all that fits the description is taken: which ids and parts there are is not in it.
load_all_checks()
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
    checks.unsupported_method,
]


@dataclass
class Fuzzed:
    """A service's description, and some ids that it knows."""

    api: Any
    known: dict[str, list[str]]


@pytest.fixture(params=["magnet", "popularity"])
def fuzzed(exported: dict[str, Exported], request: pytest.FixtureRequest) -> Iterator[Fuzzed]:
    """A model that can do everything, and one that refuses most."""
    bundle = exported[request.param].bundle
    shelf = Shelf(bundle)
    app = make_app(shelf, ServiceSettings(api_key=KEY["X-API-Key"]))
    known = {"user": bundle.users.names.tolist()[:3], "item": bundle.items.names.tolist()[:3]}
    try:
        yield Fuzzed(
            schemathesis.openapi.from_asgi("/openapi.json", app, config=PLANNED),
            {name: [str(one) for one in ids] for name, ids in known.items()},
        )
    finally:
        shelf.close()


def ask_everything(fuzzed: Fuzzed, mode: GenerationMode, examples: int) -> Counter[int]:
    """How often each status came back; fails with a command that repeats it where an answer is not as described."""
    heard: Counter[int] = Counter()
    for found in fuzzed.api.get_all_operations():
        operation = found.ok()
        has_wrong_forms = len(list(operation.query)) + len(list(operation.body)) > 0
        if mode is GenerationMode.NEGATIVE and not has_wrong_forms:
            continue

        @settings(
            max_examples=examples,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
        )
        @given(case=operation.as_strategy(generation_mode=mode), choice=st.integers(0, 5))
        def ask(case: Any, choice: int) -> None:
            for name, ids in fuzzed.known.items():
                # Random ids name nothing: half of the questions are about something.
                if choice < len(ids) and name in (case.path_parameters or {}):
                    case.path_parameters[name] = ids[choice]
            answer = case.call(headers=KEY)
            heard[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        ask()
    return heard


def test_what_fits_the_description_is_answered_as_described(fuzzed: Fuzzed) -> None:
    heard = ask_everything(fuzzed, GenerationMode.POSITIVE, 6)
    assert heard[200] > 20
    assert heard[404] > 5


def test_what_does_not_fit_is_refused_as_described(fuzzed: Fuzzed) -> None:
    assert ask_everything(fuzzed, GenerationMode.NEGATIVE, 6)[422] > 20


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_neither_is_anything_else_in_long(fuzzed: Fuzzed, mode: GenerationMode) -> None:
    heard = ask_everything(fuzzed, mode, 150)
    assert sum(heard.values()) > 500


def test_a_description_can_be_read_by_others(fuzzed: Fuzzed) -> None:
    paths = fuzzed.api.raw_schema["paths"]
    assert "/users/{user}/recommendations" in paths
    for routes in paths.values():
        for route in routes.values():
            assert {"400", "401", "404", "422", "503"} <= set(route["responses"])
            assert route["responses"]["422"]["content"]["application/json"]["schema"] == {
                "$ref": "#/components/schemas/Problem"
            }
