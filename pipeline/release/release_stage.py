"""The stage `release`: what may be published of a root, once somebody says under which licence."""

import hashlib

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Files
from csmv.pipeline.release.datasheet import MARKDOWN
from csmv.pipeline.release.make_release import make_release, state_of
from csmv.pipeline.release.release_config import ReleaseConfig
from csmv.pipeline.release.release_folder import ABOUT, FOLDER, read_about, sums_of
from csmv.pipeline.stage import ROOT, DatasetView, RootStage, Tick, UnitReport


class ReleaseStage(RootStage):
    """The release of a root, in its folder `release/`."""

    name = "release"
    summary = "what may be published: tables, splits and features as Parquet, with checksums and a dataset card"
    section = "release"
    reads = ("videos", "comments", "labels", "splits", "features")
    writes = (FOLDER,)

    def units(self, dataset: DatasetView) -> list[str]:
        """The root, if the configuration has a section `release`."""
        return [ROOT] if _asked(dataset) is not None else []

    def missing(self, dataset: DatasetView) -> list[str]:
        """The root, unless its release is of what there is now."""
        if _asked(dataset) is None:
            return []
        return [ROOT] if not dataset.store.exists(f"{FOLDER}/{ABOUT}") or self.stale(dataset) else []

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """The root, if something that is released has changed since."""
        store, config = dataset.store, _asked(dataset)
        if config is None or not store.exists(f"{FOLDER}/{ABOUT}"):
            return {}
        release = Files(f"{store.root.rstrip('/')}/{FOLDER}")
        if read_about(release).made_from != state_of(store, config):
            return {ROOT: "tables, splits, features or settings have changed since the release"}
        written = hashlib.sha256(release.read_if_there(MARKDOWN) or b"").hexdigest()
        return {} if written == sums_of(release).get(MARKDOWN) else {ROOT: "somebody wrote into its datasheet"}

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError if the configuration asks for no release."""
        if _asked(dataset) is None:
            raise CsmvError(
                "There is nothing to release: dataset.yaml has no section `release`. Use `csmv release --license ...`."
            )

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> UnitReport:
        """Make the release."""
        made = make_release(dataset, dataset.section(self.section, ReleaseConfig))
        report = UnitReport()
        report.counts.update({"files": made.files, **made.about.rows})
        tick(1)
        return report


def _asked(dataset: DatasetView) -> ReleaseConfig | None:
    """What the configuration says of a release; None where it says nothing."""
    return dataset.section(ReleaseStage.section, ReleaseConfig)
