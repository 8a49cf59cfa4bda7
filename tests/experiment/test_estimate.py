"""What a run will cost: laws that carry measurements on, sums done by hand, and proposals that keep their word."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import worlds
from alnico.data.dataset import Dataset
from alnico.data.ids import IdMap
from alnico.data.splitting import split
from alnico.data.store import save_dataset
from alnico.errors import ConfigError, DataError, DivergedError
from alnico.experiment.estimate import Budget, Trials, carried, changed, check_reading, estimate, propose
from alnico.experiment.folder import default_recipe, open_for
from alnico.experiment.probing import Copy, probe, warm_up
from alnico.experiment.spec import RunSpec, read_spec
from alnico.models import MODELS
from finished_runs import Finished

USERS, ITEMS, PER_USER = 3000, 1500, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored data set without meaning, large enough for its tables to outweigh everything else."""
    rng = np.random.default_rng(3)
    pairs = [
        (user, int(item)) for user in range(USERS) for item in np.unique(rng.integers(ITEMS, size=PER_USER))
    ]
    events = worlds.interactions(pairs, USERS, ITEMS)
    content = worlds.features(ITEMS, image=worlds.modality(rng.standard_normal((ITEMS, 8))))
    data = Dataset("large", events, content, IdMap.range(USERS, "user"), IdMap.range(ITEMS, "item"))
    place = tmp_path_factory.mktemp("estimate") / "large"
    save_dataset(data, place)
    return place


def spec_of(folder: Path, model: str = "bpr_mf", **settings: object) -> RunSpec:
    """A run on that data."""
    return read_spec(
        {
            "dataset": str(folder),
            "model": {"name": model, **settings},
            "split": {"rule": "random"},
            "training": {"batch_size": 256},
        }
    )


# -- laws ------------------------------------------------------------------------------------------------------


def test_measurement_of_the_whole_is_the_answer() -> None:
    assert carried([(10, 10, 5.0), (40, 20, 7.0)], (40, 20), ("users", "items")) == 7.0


def test_bytes_are_carried_on_along_users_and_items() -> None:
    # 100 + 3 per user + 2 per item.
    measured = [(u, i, 100 + 3 * u + 2 * i) for u, i in [(10, 20), (20, 20), (20, 40)]]
    told = carried(measured, (1000, 500), ("users", "items"))
    assert told == pytest.approx(100 + 3000 + 1000, rel=1e-6)


def test_search_is_carried_on_with_the_square_of_items() -> None:
    measured = [(u, i, 1 + 0.1 * i * i) for u, i in [(10, 20), (20, 20), (20, 40), (80, 160)]]
    told = carried(measured, (100, 1000), ("users", "items", "pairs", "squares"))
    assert told == pytest.approx(1 + 0.1 * 1000**2, rel=1e-3)


def test_nothing_grows_below_zero() -> None:
    # Noise: more users took less time. It must not become a time that shrinks with users.
    told = carried([(10, 10, 2.0), (20, 10, 1.0)], (1000, 10), ("users", "items"))
    assert 1.0 <= told <= 2.0


def test_what_costs_nothing_stays_free() -> None:
    assert carried([(10, 10, 0.0), (20, 10, 0.0)], (1000, 10), ("users", "items")) == 0


# -- sums by hand ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warm() -> None:
    """What torch imports at the first step of a process, and compiled kernels at their first call, are nobody's."""
    world = worlds.scattered(n_users=40, n_items=40)
    for model in ("bpr_mf", "lightgcn"):
        warm_up(spec_of(Path("nowhere"), model), Copy.of(world.data, world.split.valid, 40, 40))


@pytest.mark.usefixtures("warm")
def test_tables_of_matrix_factorisation_are_counted_by_hand() -> None:
    world = worlds.scattered(n_users=2000, n_items=1000, per_user=5)
    spec = spec_of(Path("nowhere"), width=512)
    told = probe(spec, Copy.of(world.data, world.split.valid, 2000, 1000)).phases
    table = (2000 + 1000) * 512 * 4
    # Built: the table once, and some columns of 10,000 interactions.
    assert told["building"] == pytest.approx(table, rel=0.25)
    # At a step: the table, its gradient, Adam's two moments, and the best model so far, which is a copy.
    # While Adam divides, it needs a sixth for a moment.
    assert told["training"] == pytest.approx(6 * table, rel=0.15)
    # While the checkpoint is written: the same and a file with the table and the moments.
    assert told["saving"] == pytest.approx(8 * table, rel=0.2)


@pytest.mark.usefixtures("warm")
def test_graph_and_table_of_lightgcn_are_counted_by_hand() -> None:
    world = worlds.scattered(n_users=2000, n_items=1000, per_user=20)
    copy = Copy.of(world.data, world.split.valid, 2000, 1000)
    # Sorted once and kept by the data: the first model that draws negatives would be charged with it.
    assert len(copy.data.interactions.items_by_id)
    without = probe(spec_of(Path("nowhere")), copy).phases["saving"]
    told = probe(spec_of(Path("nowhere"), "lightgcn"), copy).phases["saving"]
    # What it holds more than matrix factorisation: every interaction twice, a column of 4 bytes and a value of 4
    # each, and where each of the 3000 rows begins in 8 bytes.
    edges = len(world.split.train)
    assert told - without == pytest.approx(2 * edges * 8 + 3001 * 8, rel=0.1)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("name", ["bpr_mf", "lightgcn", "magnet"])
def test_smaller_copies_foretell_the_bytes_of_the_whole(name: str) -> None:
    world = worlds.scattered(n_users=1500, n_items=1100, per_user=8)
    spec = spec_of(Path("nowhere"), name)
    probes = {
        size: probe(spec, Copy.of(world.data, world.split.valid, *size))
        for size in [(512, 512), (1024, 512), (1024, 1024), (1500, 1100)]
    }
    whole = probes.pop((1500, 1100)).phases
    for phase, truth in whole.items():
        measured = [(u, i, found.phases[phase]) for (u, i), found in probes.items()]
        assert carried(measured, (1500, 1100), ("users", "items")) == pytest.approx(truth, rel=0.25), phase


def test_trial_that_breaks_off_counts_no_further() -> None:
    world = worlds.scattered(n_users=40, n_items=40)
    spec = changed(
        spec_of(Path("nowhere"), l2=1e30), {"training.learning_rate": 1e30, "training.batch_size": 8}
    )
    with pytest.raises(DivergedError):
        probe(spec, Copy.of(world.data, world.split.valid, 40, 40))
    assert not tracemalloc.is_tracing()


# -- whole estimates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_estimated(finished: Finished, name: str) -> None:
    told = estimate(spec_of(finished.data, name))
    cost = told.forecast
    assert (told.users, told.items, cost.tried_users, cost.tried_items) == (40, 48, 40, 48)
    assert told.excess == []
    assert cost.peak_bytes == cost.process_bytes + max(cost.phases.values())
    assert cost.build_seconds > 0
    assert cost.validation_seconds > 0
    assert cost.steps == (-(-told.interactions // 256) if "training" in cost.phases else 0)
    assert (cost.step_seconds > 0) == ("training" in cost.phases)
    assert cost.epoch_seconds == pytest.approx(cost.train_seconds + cost.validation_seconds)


def trials_of(spec: RunSpec) -> Trials:
    """The spec tried out with all memory and time."""
    dataset = open_for(spec)
    parts = split(dataset, spec.split or default_recipe(dataset))
    return Trials(spec, dataset, parts, limit_bytes=2**40, deadline=math.inf)


def test_proposals_fit_the_memory_that_they_are_made_for(folder: Path) -> None:
    spec = spec_of(folder, width=1024)
    trials = trials_of(spec)
    cost = trials.first_forecast(spec)
    # The tables weigh 4500 * 1024 * 4 = 18 MB and stand eight times at the height: two thirds of that may be had.
    budget = Budget(memory_bytes=cost.peak_bytes - max(cost.phases.values()) // 3)
    assert cost.excess(budget) == ["memory"]
    proposals, tried_all = propose(spec, trials, budget, ["memory"], deadline=math.inf)
    assert tried_all
    assert {"model.width": 512} in [proposal.changes for proposal in proposals]
    for proposal in proposals:
        assert proposal.forecast.excess(budget) == []
        # Asked for by itself it costs the same beyond what the process holds.
        other = changed(spec, proposal.changes)
        alone = trials_of(other).first_forecast(other)
        assert max(alone.phases.values()) == pytest.approx(max(proposal.forecast.phases.values()), rel=0.1)


def test_search_for_proposals_ends_at_its_deadline(folder: Path) -> None:
    spec = spec_of(folder)
    assert propose(spec, trials_of(spec), Budget(2**20), ["memory"], deadline=0.0) == ([], False)


def test_nothing_is_proposed_where_nothing_helps(folder: Path) -> None:
    told = estimate(spec_of(folder), Budget(memory_bytes=2**20))
    assert (told.excess, told.proposals) == (["memory"], [])


def test_tight_memory_keeps_the_copies_small(folder: Path) -> None:
    spec = spec_of(folder, width=1024)
    cost = estimate(spec).forecast
    tight = estimate(spec, Budget(memory_bytes=cost.process_bytes + max(cost.phases.values()) // 3)).forecast
    assert (tight.tried_users, tight.tried_items) < (USERS, ITEMS)
    assert max(tight.phases.values()) == pytest.approx(max(cost.phases.values()), rel=0.3)


def test_nothing_is_written(finished: Finished) -> None:
    before = sorted(finished.data.rglob("*"))
    # Settings of which nobody has kept the graphs.
    estimate(spec_of(finished.data, "magnet", preset="projected", neighbours=3, induced=4))
    assert sorted(finished.data.rglob("*")) == before


def test_only_the_cpu_is_foretold(folder: Path) -> None:
    spec = spec_of(folder)
    with pytest.raises(
        ConfigError, match=r"CPU only; found device = 'cuda'; with --set device=cpu you learn"
    ):
        estimate(spec.model_copy(update={"device": "cuda"}))


def test_data_that_cannot_be_read_are_left_alone(folder: Path) -> None:
    with pytest.raises(DataError, match=r"reading the 1[0-9]{4} interactions of .* but 0\.0 GB are free"):
        check_reading(spec_of(folder), free=1000)


def test_changes_reach_model_and_training(folder: Path) -> None:
    spec = changed(spec_of(folder), {"model.width": 32, "training.batch_size": 64, "seed": 5})
    assert spec.seed == 5
    assert spec.model_config_record().model_dump()["width"] == 32
    assert spec.training.batch_size == 64
    with pytest.raises(ConfigError, match=r"there is no setting 'model\.widht'"):
        changed(spec, {"model.widht": 1})
    with pytest.raises(ConfigError, match=r"model\.width\.deep: 'width' is a single value"):
        changed(spec, {"model.width.deep": 1})


@pytest.mark.parametrize("name", MODELS)
def test_every_thriftier_setting_is_one_that_the_model_takes(name: str) -> None:
    config = MODELS[name].Config()
    for change in config.thriftier():
        other = MODELS[name].Config(**change)
        assert other != config


def test_thrift_in_magnet_begins_with_fewer_drawn_edges() -> None:
    paper = MODELS["magnet"].Config(preset="paper", induced_cap=20)
    assert [next(iter(change.items())) for change in paper.thriftier()] == [
        ("induced_cap", 10),
        ("induced_cap", 5),
        ("fanout", 20),
        ("fanout", 10),
        ("views", "single"),
        ("induced", 75),
        ("width", 32),
    ]
    single = MODELS["magnet"].Config(views="single", width=24, fanout=20)
    assert single.thriftier() == [{"fanout": 10}]
