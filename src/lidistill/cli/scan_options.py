"""How scans of one's own are read and where they are computed: options of several commands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lidistill.errors import ConfigError

if TYPE_CHECKING:
    from lidistill.apps.feature_files import Compute, ScanWork
    from lidistill.apps.features import FeatureModel
    from lidistill.apps.recordings import RecordingPlan
    from lidistill.apps.scan_jobs import Existing


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How scans are read and where they are computed; the same for every output."""

    sensor: str | None = None
    """Lidar that the scans come from; needed where the run was trained on several."""
    statistics: Path | None = None
    """File of `lidistill data stats` with the intensity statistics of another lidar."""
    intensity: str | None = None
    """Column to take as intensity; none: there is none. Default: the usual names."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """bf16: matrix products in 16 bits; auto: where that is faster and the first scans show that it
    changes at most 3 in 10,000 points."""
    overwrite: bool = False
    """Replace outputs that are there already; scans are never replaced."""
    skip_existing: bool = False
    """Leave outputs that are there as they are, and write only what is missing."""
    ply: bool = False
    """Write a coloured .ply beside every output, for any viewer of point clouds."""

    points: str | None = None
    """Of a bag: topic of the lidar, where it has several."""
    realtime: bool = False
    """Of a bag: play it as fast as it was recorded, and drop what comes while one is worked on."""

    @property
    def existing(self) -> "Existing":
        """What happens to outputs that are there already."""
        if self.overwrite and self.skip_existing:
            msg = "--overwrite and --skip-existing contradict each other; give one of them."
            raise ConfigError(msg)
        return "overwrite" if self.overwrite else "skip" if self.skip_existing else "refuse"

    def recording(
        self, scans: Sequence[Path], output: Path, *, name: str
    ) -> "RecordingPlan | None":
        """What to do with a recording; None where scan files are given.

        Raises:
            ConfigError: If there are both, the output is there, or an option is for the other.
        """
        from lidistill.apps.recordings import RecordingPlan
        from lidistill.apps.scan_jobs import check_free
        from lidistill.cli.recordings import only_recording

        source = only_recording(scans)
        if source is None:
            if self.points is not None or self.realtime:
                msg = "--points and --realtime are for bags, and none is given."
                raise ConfigError(msg)
            return None
        if self.ply or self.skip_existing:
            msg = "--ply and --skip-existing are for scan files, not for a recording."
            raise ConfigError(msg)
        check_free([output], existing=self.existing)
        return RecordingPlan(
            source=source,
            output=output,
            name=name,
            topic=self.points,
            intensity=self.intensity,
            realtime=self.realtime,
        )

    def for_model(self, plan: "RecordingPlan", model: "FeatureModel") -> "RecordingPlan":
        """The plan without intensity where the network takes none."""
        from lidistill.scan_formats.intensities import NO_INTENSITY

        return plan if model.takes_intensity else replace(plan, intensity=NO_INTENSITY)

    def column(self, model: "FeatureModel") -> str | None:
        """What is taken as intensity; see ``ScanWork``."""
        from lidistill.scan_formats.intensities import NO_INTENSITY

        return self.intensity if model.takes_intensity else NO_INTENSITY

    def work(self, model: "FeatureModel", compute: "Compute") -> "ScanWork":
        """What is done with every scan: one of the model's methods, or something on top of it."""
        from lidistill.apps.feature_files import ScanWork

        return ScanWork(compute=compute, prepare=model.prepare, intensity=self.column(model))

    def load(self, run: Path, *, head: str | None = None) -> "FeatureModel":
        """The network of a run.

        Args:
            run: Whose.
            head: Of a run with several teachers: whose head.
        """
        from lidistill.apps.load_features import load
        from lidistill.datasets.own.files import read_statistics

        mean, std = (None, None) if self.statistics is None else read_statistics(self.statistics)
        return load(
            run,
            self.device,
            sensor=self.sensor,
            intensity_mean=mean,
            intensity_std=std,
            precision=self.precision,
            head=head,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions(ScanOptions):
    """The same, and classes that somebody has marked in the viewer."""

    head: Path | None = None
    """File NAME.head.json with classes that were marked in `lidistill view` of the same run."""
    examples: Path | None = None
    """Folder with a folder of example images for each class: classes that nobody has labelled in a
    scan. For a distillation, whose teacher's weights are needed."""
    classes: str | None = None
    """Names of classes, as in 'car, tree', for a teacher with a text partner."""
    teacher: str | None = None
    """Of a run with several teachers: the one that looks at the examples, reads the names, or in
    whose space classes were marked."""
    text: Path | None = None
    """Folder with that partner: text/ (encoder and tokenizer), and projection or adaptor beside."""

    def load(self, run: Path, *, head: str | None = None) -> "FeatureModel":
        """See ``ScanOptions.load``."""
        from lidistill.apps.few_shot import with_few_shot_head
        from lidistill.apps.open_vocabulary import with_examples
        from lidistill.apps.text_classes import class_names_of, with_text

        named = [value for value in (self.head, self.examples, self.classes) if value is not None]
        if len(named) > 1 or (self.classes is None) != (self.text is None):
            msg = "classes come from one of --head, --examples, or --classes together with --text."
            raise ConfigError(msg)
        names = None if self.classes is None else class_names_of(self.classes)
        model = ScanOptions.load(self, run, head=self.teacher if head is None else head)
        if self.examples is not None:
            return with_examples(model, run, self.examples)
        if names is not None and self.text is not None:
            return with_text(model, names, self.text)
        return model if self.head is None else with_few_shot_head(model, self.head)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyScans:
    """What features are written into, and how many scans are dealt out."""

    dtype: Literal["float16", "float32"] = "float16"
    """Number format of the files."""
    format: Literal["npy", "parquet"] = "npy"
    """npy: a file for every scan; parquet: one data set, a row for every point."""
    part: str = "1/1"
    """Do one part of several, 3/16, and leave the others to other jobs."""
