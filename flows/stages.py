"""One flow a stage: each only says which task runs on which shards. The work is in `pipeline/`."""

from prefect.client.schemas.objects import State

from flows.settings import FEATURES, INGEST, MEDIA, REPORT, SPLITS, TRAIN
from flows.shards import Dataset, run_all, stage_flow, stage_task
from pipeline.progress import track
from pipeline.store import Store


@stage_task(INGEST, "ingest-{shard:04d}")
def ingest_shard(root: str, shard: int) -> None:
    """One shard of videos, comments and labels from what landed, scrubbed."""
    from pipeline.sources.registry import source_of
    from pipeline.sources.tables import write_shard

    store = Store.open(root)
    write_shard(store, source_of(store.config.source), store.config.scrub, store.key(), shard)


@stage_task(MEDIA, "media-{shard:04d}")
def media_shard(root: str, shard: int) -> None:
    """The video files of one shard."""
    from pipeline.media.stage import media_shard as bring
    from pipeline.sources.registry import source_of

    store = Store.open(root)
    source = source_of(store.config.source)
    if source.has_files:
        bring(store, shard, source, store.config.media)


@stage_task(FEATURES, "features-{shard:04d}")
def features_shard(root: str, shard: int) -> None:
    """One shard of every feature set in the configuration."""
    from pipeline.features import extract_shard, missing

    store = Store.open(root)
    configs = store.config.features
    waiting = {video for config in configs for video in missing(store, shard, config)}
    with track(f"features, shard {shard}", len(waiting)) as tick:
        extract_shard(store, shard, *configs, tick=tick)


@stage_task(SPLITS, "split-{number}")
def build_split(root: str, number: int) -> None:
    """The split that stands `number`th in the configuration."""
    from pipeline import splits

    store = Store.open(root)
    splits.build_split(store, store.config.splits[number])


@stage_task(TRAIN, "train-{number}")
def train_model(root: str, number: int) -> None:
    """The training run that stands `number`th in the configuration, and its evaluation."""
    from pipeline.vccsa import train

    store = Store.open(root)
    train(store, store.config.train[number])


@stage_task(REPORT, "report")
def write_report(root: str) -> None:
    """The page about the root."""
    from pipeline import report

    report.write_report(Store.open(root))


@stage_flow(INGEST)
def ingest(dataset: Dataset) -> "State[None]":
    """Videos, comments and labels from the source into tables, personal data removed."""
    from pipeline.collect import collect
    from pipeline.sources.base import Reach
    from pipeline.sources.registry import source_of
    from pipeline.sources.tables import write_published_split

    store = dataset.open()
    source = source_of(store.config.source)
    if not source.online:  # what asks a site has a flow of its own
        collect(store, source, Reach())
    state = run_all(INGEST, (ingest_shard.submit(dataset.root, shard) for shard in dataset.chosen(store)), "shards")
    if state.is_completed():
        write_published_split(store, source)
    return state


@stage_flow(MEDIA)
def media(dataset: Dataset) -> "State[None]":
    """The video files into the root's private folder, each looked at and its properties written down."""
    store = dataset.open()
    store.sweep()
    return run_all(MEDIA, (media_shard.submit(dataset.root, shard) for shard in dataset.chosen(store)), "shards")


@stage_flow(FEATURES)
def features(dataset: Dataset) -> "State[None]":
    """Every feature set of the configuration, for every video that can be decoded."""
    from pipeline.features import complete

    store = dataset.open()
    store.sweep()
    runs = (features_shard.submit(dataset.root, shard) for shard in dataset.chosen(store))
    state = run_all(FEATURES, runs, "shards")
    if state.is_completed():
        for config in store.config.features:
            complete(store, config)
    return state


@stage_flow(SPLITS)
def splits(dataset: Dataset) -> "State[None]":
    """Every split of the configuration."""
    numbers = range(len(dataset.open().config.splits))
    return run_all(SPLITS, (build_split.submit(dataset.root, number) for number in numbers), "splits")


@stage_flow(TRAIN)
def train(dataset: Dataset) -> "State[None]":
    """Every training run of the configuration."""
    numbers = range(len(dataset.open().config.train))
    return run_all(TRAIN, (train_model.submit(dataset.root, number) for number in numbers), "models")


@stage_flow(REPORT)
def report(dataset: Dataset) -> "State[None]":
    """The page that shows what is in the root and how the models did."""
    dataset.open()
    return run_all(REPORT, [write_report.submit(dataset.root)], "page")
