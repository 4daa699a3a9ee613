"""Odd files give the frames that ffmpeg's `fps=24` gives, and the sound that lies under them; damage is told.

The films are made here by ffmpeg, whose command is asked for the right answer too.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from csmv.extractors.cutting import Cut, Plan, cut
from csmv.extractors.decode import opened, probe_open
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.sampling import ClipRule

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SIDE = 24


class Small:
    """Means over blocks: enough to tell one frame from another, whatever its size was."""

    size: ClassVar = (SIDE, SIDE)
    dtype: ClassVar[Literal["uint8"]] = "uint8"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        flat = frames.reshape(-1, *frames.shape[-3:])
        small = [np.asarray(Image.fromarray(np.ascontiguousarray(one)).resize(self.size, Image.BOX)) for one in flat]
        return np.stack(small).reshape(*frames.shape[:-3], SIDE, SIDE, 3)


EVERY_FRAME = Plan(ClipRule(frames=1, step=1, max_clips=100_000), Small())
SECONDS_OF_SOUND = Plan(ClipRule(frames=24, step=24, max_clips=1_000), None, 16_000)


def run(*arguments: object) -> bytes:
    command = [FFMPEG, "-y", "-v", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def right(path: Path) -> np.ndarray:
    """The frames that ffmpeg's command selects, small."""
    data = run("-i", path, "-an", "-vf", "fps=24", "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-")
    frames, at, small = [], 0, Small()
    while at < len(data):
        end = at
        for _ in range(3):
            end = data.index(b"\n", end) + 1
        width, height = map(int, data[at:end].split()[1:3])
        at = end + width * height * 3
        frames.append(small(np.frombuffer(data[end:at], np.uint8).reshape(1, height, width, 3))[0])
    return np.array(frames)


def taken(path: Path, *plans: Plan, max_damage: float = 1.0) -> tuple[list[np.ndarray], Cut]:
    """The windows of each plan, one after the other, and how it went."""
    windows: list[list[np.ndarray]] = [[] for _ in plans]
    result = cut(path, plans, lambda plan, _number, window: windows[plan].append(window.copy()), max_damage=max_damage)
    return [np.concatenate(one) if one else np.zeros(0) for one in windows], result


def loud(sound: np.ndarray) -> tuple[float, float]:
    """The seconds at which sound begins and ends."""
    heard = np.flatnonzero(np.abs(sound.reshape(-1)) > 0.02)
    return (float(heard[0]) / 16_000, float(heard[-1]) / 16_000) if heard.size else (-1.0, -1.0)


# ---------------------------------------------------------------------- films


@dataclass(frozen=True)
class Film:
    """A kind of file: how it is made, by how many frames ffmpeg may differ, and where its sound lies."""

    make: Callable[[Path], None]
    suffix: str
    frames_off: int = 0
    sound: tuple[float, float] | None = None


def picture(seconds: float = 3, size: str = "96x64", rate: int = 30) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def tone(seconds: float = 3, rate: int = 44_100, pitch: int = 440) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=frequency={pitch}:sample_rate={rate}:duration={seconds}"]


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-pix_fmt", "yuv420p")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "4")
WITH_B = ("-c:v", "libx264", "-preset", "medium", "-bf", "3", "-threads", "1", "-pix_fmt", "yuv420p")


def _joined(suffix: str, *lengths: float, layouts: tuple[int, ...] = (), codec: tuple[str, ...] = X264) -> Film:
    """Streams end to end, whose timestamps start again, with mono or stereo sound."""

    def make(path: Path) -> None:
        data = b""
        for number, seconds in enumerate(lengths):
            part = path.with_name(f"{path.stem}-{number}{suffix}")
            channels = layouts[number] if layouts else 1
            run(*picture(seconds), *tone(seconds), *codec, "-ac", channels, "-b:a", "96k", part)
            data += part.read_bytes()
        path.write_bytes(data)

    return Film(make, suffix, sound=(0, sum(lengths)) if suffix == ".ts" else None)


def _later(seconds: float) -> Film:
    """A transport stream whose second half is stamped much later."""

    def make(path: Path) -> None:
        first, second = (path.with_name(f"{path.stem}-{half}.ts") for half in "ab")
        run(*picture(2), *tone(2), *X264, first)
        run(*picture(2), *tone(2), *X264, "-output_ts_offset", seconds, second)
        path.write_bytes(first.read_bytes() + second.read_bytes())

    return Film(make, ".ts", sound=(0, 4))


def _two_videos(suffix: str, default: int | None, sizes: tuple[str, str], codecs: tuple[str, str]) -> Film:
    def make(path: Path) -> None:
        inputs = [*picture(2, sizes[0]), "-f", "lavfi", "-i", f"smptebars=size={sizes[1]}:rate=30:duration=2"]
        flags = ["-disposition:v:0", "0", "-disposition:v:1", "0"]
        if default is not None:
            flags += [f"-disposition:v:{default}", "default"]
        run(
            *inputs, "-map", 0, "-map", 1, "-c:v:0", codecs[0], "-c:v:1", codecs[1], "-pix_fmt", "yuv420p", *flags, path
        )

    return Film(make, suffix)


def _poster(size: str) -> Film:
    """A film with one large picture beside it, which is not marked as an attached one."""

    def make(path: Path) -> None:
        still = path.with_name(f"{path.stem}.jpg")
        run("-f", "lavfi", "-i", f"smptebars=size={size}:rate=1:duration=1", "-frames:v", 1, still)
        run(
            *picture(2),
            "-i",
            still,
            "-map",
            0,
            "-map",
            1,
            *X264,
            "-c:v:1",
            "mjpeg",
            "-disposition:v:0",
            "default",
            path,
        )

    return Film(make, ".mkv")


def _two_sounds(default: int, first: str) -> Film:
    """Two streams of sound, the first silent or noise that no decoder takes."""

    def make(path: Path) -> None:
        silence = ["-f", "lavfi", "-i", f"anullsrc=r=44100:cl={first}"]
        flags = ["-disposition:a:0", "0", "-disposition:a:1", "0", f"-disposition:a:{default}", "default"]
        run(*picture(3), *silence, *tone(3), "-map", 0, "-map", 1, "-map", 2, *X264, *flags, "-t", 3, path)

    return Film(make, ".mkv", sound=(0, 3) if default == 1 else (-1, -1))


def _turned(matrix: str, suffix: str = ".mp4") -> Film:
    def make(path: Path) -> None:
        plain = path.with_name(f"{path.stem}-plain.mp4")
        run(*picture(2), *X264, plain)
        run(*matrix.split(), "-i", plain, "-c", "copy", path)

    return Film(make, suffix)


def _shifted(suffix: str, picture_at: float, sound_at: float) -> Film:
    """Sound or pictures that begin first."""

    def make(path: Path) -> None:
        film, track = path.with_name(f"{path.stem}-v.mkv"), path.with_name(f"{path.stem}-a.mka")
        run(*picture(3), *(MPEG2 if suffix == ".mpg" else X264), film)
        run(*tone(3), "-c:a", "mp2", track)
        shifts = ["-itsoffset", picture_at, "-i", film, "-itsoffset", sound_at, "-i", track]
        run(*shifts, "-map", 0, "-map", 1, "-c", "copy", path)

    begin = max(sound_at - picture_at, 0)
    return Film(make, suffix, sound=(begin, min(begin + 3 - max(picture_at - sound_at, 0), 3)))


def _hole(begin: float, end: float, codec: str) -> Film:
    """A tone from the third second on; before it some packets are missing."""

    def make(path: Path) -> None:
        whole = path.with_name(f"{path.stem}-whole.mkv")
        late = "aevalsrc='0.3*sin(440*2*PI*t)*gt(t,3)':s=16000:d=5"
        run(*picture(5, rate=24), "-f", "lavfi", "-i", late, *X264, "-c:a", codec, whole)
        drop = f"noise=drop='between(pts*tb,{begin},{end})'"
        run("-i", whole, "-c", "copy", "-bsf:a", drop, path)

    return Film(make, ".mkv", sound=(3, 5))


def _sound_changes(first: str, second: str) -> Film:
    """The layout or rate of the sound changes midway."""

    def make(path: Path) -> None:
        parts = []
        for number, options in enumerate((first, second)):
            part = path.with_name(f"{path.stem}-{number}.ts")
            offset = ["-output_ts_offset", 2 * number]
            run(*picture(2), *tone(2), *X264, *options.split(), "-muxdelay", 0, *offset, part)
            parts.append(part.read_bytes())
        path.write_bytes(b"".join(parts))

    return Film(make, ".ts", sound=(0, 4))


def _sizes(first: str, second: str) -> Film:
    """The size of the picture changes midway."""

    def make(path: Path) -> None:
        parts = b""
        for number, size in enumerate((first, second)):
            part = path.with_name(f"{path.stem}-{number}.ts")
            run(*picture(2, size), *X264, "-output_ts_offset", 2 * number, part)
            parts += part.read_bytes()
        path.write_bytes(parts)

    return Film(make, ".ts", frames_off=1)


def _rates(expression: str, suffix: str) -> Film:
    """A rate that varies."""

    def make(path: Path) -> None:
        run(*picture(3, rate=60), "-vf", f"select='{expression}'", "-fps_mode", "vfr", *WITH_B, path)

    return Film(make, suffix)


FILMS: dict[str, Film] = {
    "joined": _joined(".ts", 2, 2),
    "joined-thrice": _joined(".ts", 1, 2, 1),
    "joined-unlike": _joined(".ts", 2.3, 1.1),
    "joined-b": _joined(".ts", 2, 2, codec=WITH_B),
    "joined-mono-stereo": _joined(".ts", 2, 2, layouts=(1, 2)),
    "joined-stereo-mono": _joined(".ts", 2, 2, layouts=(2, 1)),
    "joined-ps": _joined(".mpg", 2, 2, codec=MPEG2),
    "later-1000": _later(1_000),
    "later-20": _later(20),
    "default-small": _two_videos(".mp4", 0, ("96x64", "320x240"), ("libx264", "libx264")),
    "default-second": _two_videos(".mkv", 1, ("320x240", "96x64"), ("libx264", "libx264")),
    "no-default": _two_videos(".mkv", None, ("96x64", "320x240"), ("libx264", "libx264")),
    "no-default-first": _two_videos(".mkv", None, ("320x240", "96x64"), ("libx264", "mpeg4")),
    "default-huge": _two_videos(".mkv", 1, ("1920x1080", "96x64"), ("mpeg4", "libx264")),
    "poster": _poster("600x600"),
    "poster-huge": _poster("3000x2000"),
    "first-sound-silent": _two_sounds(1, "stereo"),
    "first-sound-wide": _two_sounds(1, "5.1"),
    "first-sound-default": _two_sounds(0, "mono"),
    "mirrored": _turned("-display_hflip"),
    "upside-down": _turned("-display_vflip"),
    "mirrored-turned": _turned("-display_rotation 90 -display_hflip"),
    "mirrored-turned-back": _turned("-display_rotation 270 -display_hflip"),
    "vflip-turned": _turned("-display_rotation 90 -display_vflip"),
    "turned-90": _turned("-display_rotation 90"),
    "turned-180": _turned("-display_rotation 180"),
    "turned-270": _turned("-display_rotation 270"),
    "mirrored-mov": _turned("-display_hflip", ".mov"),
    "sound-first-ts": _shifted(".ts", 1.0, 0.0),
    "pictures-first-ts": _shifted(".ts", 0.0, 1.0),
    "sound-a-bit-first-ts": _shifted(".ts", 0.02, 0.0),
    "sound-first-mpg": _shifted(".mpg", 0.5, 0.0),
    "sound-first-mkv": _shifted(".mkv", 1.0, 0.0),
    "pictures-first-mkv": _shifted(".mkv", 0.0, 1.0),
    "sound-first-mp4": _shifted(".mp4", 0.7, 0.0),
    "hole-aac": _hole(0.5, 2.5, "aac"),
    "hole-opus": _hole(1, 2, "libopus"),
    "hole-flac": _hole(0.2, 0.9, "flac"),
    "hole-short": _hole(1, 1.1, "mp2"),
    "layout-ac3": _sound_changes("-c:a ac3 -ac 2", "-c:a ac3 -ac 1"),
    "layout-ac3-six": _sound_changes("-c:a ac3 -ac 2", "-c:a ac3 -ac 6"),
    "rate-aac": _sound_changes("-c:a aac -ar 44100", "-c:a aac -ar 22050"),
    "rate-mp2": _sound_changes("-c:a mp2 -ar 48000", "-c:a mp2 -ar 32000"),
    "layout-and-rate": _sound_changes("-c:a aac -ac 2 -ar 48000", "-c:a aac -ac 1 -ar 24000"),
    "size-grows": _sizes("96x64", "192x128"),
    "size-shrinks": _sizes("192x128", "96x64"),
    "size-turns": _sizes("96x64", "64x96"),
    "half-then-all": _rates("if(lt(t,1.5),not(mod(n,2)),1)", ".mp4"),
    "a-long-still": _rates("lt(t,1)+gt(t,2.5)", ".mp4"),
    "every-third-mkv": _rates("not(mod(n,3))+gt(t,2)", ".mkv"),
}
ALWAYS = ("joined-mono-stereo", "later-1000", "default-small", "first-sound-silent", "mirrored-turned", "hole-aac")
"""One of each kind that is tried every time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in FILMS]
)
def test_frames_and_sound_are_ffmpegs(folder: Path, name: str) -> None:
    film = FILMS[name]
    path = folder / f"{name}{film.suffix}"
    film.make(path)
    (alone,), _ = taken(path, EVERY_FRAME)
    wanted = right(path)
    assert abs(len(alone) - len(wanted)) <= film.frames_off
    if not film.frames_off:
        differences = np.abs(alone.astype(float) - wanted).mean((1, 2, 3))
        assert differences.max() < 1.5, np.flatnonzero(differences >= 1.5)
    if film.sound is None:
        return
    (frames, beside), _ = taken(path, EVERY_FRAME, SECONDS_OF_SOUND)
    (by_itself,), _ = taken(path, SECONDS_OF_SOUND)
    np.testing.assert_array_equal(frames, alone)
    np.testing.assert_array_equal(by_itself, beside)
    assert len(beside) == len(alone) // 24 * 16_000
    begin, end = loud(beside)
    step = 1 / 24 + 0.002
    assert abs(begin - film.sound[0]) < step
    assert abs(end - min(film.sound[1], len(beside) / 16_000)) < step + (0.05 if film.suffix == ".ts" else 0)


# ---------------------------------------------------------------------- the files that people met


MET = {
    "ac3change.mp4": 0,
    "monostereo.ts": 0,
    "tone6.mkv": 0,
    "tone6hole.mkv": 0,
    "concat.ts": 0,
    "two_default_small.mp4": 0,
    "posterplain.mkv": 0,
    "twoaudio.mkv": 0,
    "hflip.mp4": 0,
    "cutfast.mp4": 0,
    "cutwebm.mp4": 0,
    "a.ts": 0,
    "corrupt_good.mp4": 0,
    "reschange.mp4": 1,
    "vfr60.mp4": 0,
}


@pytest.mark.parametrize("name", MET)
def test_files_that_people_met(shared: Path, name: str) -> None:
    path = shared / "cases" / "media" / name
    (frames,), _ = taken(path, EVERY_FRAME)
    wanted = right(path)
    assert abs(len(frames) - len(wanted)) <= MET[name]
    if not MET[name]:
        assert np.abs(frames.astype(float) - wanted).mean((1, 2, 3)).max() < 1.5


# ---------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def film(folder: Path) -> Path:
    path = folder / "film.mp4"
    run(*picture(6), *tone(6), *X264, "-g", 30, "-movflags", "+faststart", path)
    return path


def overwritten(film: Path, path: Path, begin: float, end: float) -> Path:
    """`film` with the pictures between two times overwritten."""
    import av

    data = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pos is not None and begin <= float(packet.pts * packet.time_base) < end:
                data[packet.pos + 5 : packet.pos + packet.size] = bytes(packet.size - 5)
    path.write_bytes(data)
    return path


def test_pictures_that_can_t_be_decoded_are_counted(film: Path, folder: Path) -> None:
    assert not taken(film, EVERY_FRAME, SECONDS_OF_SOUND)[1].damage
    path = overwritten(film, folder / "overwritten.mp4", 2, 3)
    _, result = taken(path, EVERY_FRAME, SECONDS_OF_SOUND)
    lost = result.damage[0]
    assert 25 <= lost.frames <= 35 and lost.share == pytest.approx(lost.frames / 180, abs=0.01)
    assert 1 not in result.damage  # the sound is whole
    assert "of 6.00 seconds, could not be decoded" in str(lost)


def test_a_file_of_which_too_much_is_damaged_fails(film: Path, folder: Path) -> None:
    path = overwritten(film, folder / "overwritten2.mp4", 2, 3)
    assert not taken(path, EVERY_FRAME, max_damage=0.3)[1].failures
    with pytest.raises(MediaError) as failed:
        taken(path, EVERY_FRAME, max_damage=0.1)
    assert failed.value.reason is MediaFailure.DAMAGED
    _, result = taken(path, EVERY_FRAME, SECONDS_OF_SOUND, max_damage=0.1)
    assert result.failures.keys() == {0}


def test_a_file_that_is_cut_short_has_one_answer(film: Path, folder: Path) -> None:
    path = folder / "cut.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
    plans = (EVERY_FRAME, SECONDS_OF_SOUND)
    for asked in (plans, plans[:1], plans[1:]):
        with pytest.raises(MediaError) as failed:
            taken(path, *asked, max_damage=0.1)
        assert failed.value.reason is MediaFailure.TRUNCATED
    (frames, sound), result = taken(path, *plans)
    assert {round(one.share, 1) for one in result.damage.values()} == {0.4}
    np.testing.assert_array_equal(taken(path, plans[0])[0][0], frames)
    np.testing.assert_array_equal(taken(path, plans[1])[0][0], sound)


def test_a_plan_that_ends_before_the_damage_is_whole(film: Path, folder: Path) -> None:
    path = overwritten(film, folder / "overwritten3.mp4", 4, 5)
    short = Plan(ClipRule(frames=24, step=24, max_clips=2), Small())
    _, result = taken(path, short, EVERY_FRAME, max_damage=0.1)
    assert result.failures.keys() == {1} and not result.damage
    assert not taken(path, short, max_damage=0.1)[1].failures


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "http:x.mp4", "pipe:0", "-i.mp4", "ü 漢.mp4", "%03d.mp4", "file", "a?b#c.mp4"]
)
def test_any_name_will_do(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(film.read_bytes())
    monkeypatch.chdir(tmp_path)
    with opened(Path(name)) as container:
        assert probe_open(container).n_frames == 180


def test_a_name_that_is_no_utf_8(film: Path, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.write_bytes(film.read_bytes())
    (frames,), _ = taken(path, EVERY_FRAME)
    assert len(frames) == 144
