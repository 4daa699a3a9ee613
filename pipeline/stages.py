"""The pipeline: its stages, in order. Adding one touches its own module and this list."""

from csmv.pipeline.features_stage import FeaturesStage
from csmv.pipeline.media.media_stage import MediaStage
from csmv.pipeline.release.release_stage import ReleaseStage
from csmv.pipeline.report import ReportStage
from csmv.pipeline.sources.collect_stages import CollectStage, TablesStage
from csmv.pipeline.splits_stage import SplitsStage
from csmv.pipeline.stage import Stage
from csmv.pipeline.vccsa.train_stage import TrainStage
from csmv.pipeline.zeroshot.zeroshot_stage import ZeroShotStage

STAGES: tuple[Stage, ...] = (
    CollectStage(),
    TablesStage(),
    MediaStage(),
    FeaturesStage(),
    SplitsStage(),
    TrainStage(),
    ZeroShotStage(),
    ReportStage(),
    ReleaseStage(),
)
