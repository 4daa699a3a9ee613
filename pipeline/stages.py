"""The pipeline: its stages, in order. Adding one touches its own module and this list."""

from pipeline.features_stage import FeaturesStage
from pipeline.media.declared import MediaStage
from pipeline.report import ReportStage
from pipeline.sources.stages import CollectStage, TablesStage
from pipeline.splits import SplitsStage
from pipeline.stage import Stage
from pipeline.vccsa.stage import TrainStage

STAGES: tuple[Stage, ...] = (
    CollectStage(),
    TablesStage(),
    MediaStage(),
    FeaturesStage(),
    SplitsStage(),
    TrainStage(),
    ReportStage(),
)
