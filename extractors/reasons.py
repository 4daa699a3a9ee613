"""Why a media file gave no features: the closed vocabulary that decoding and the engine use.

Names only; this module decodes nothing and imports neither torch nor a decoder.
"""

from enum import StrEnum


class MediaFailure(StrEnum):
    """One reason a file yields nothing; the value is what `failures/<stage>` stores."""

    EMPTY_FILE = "empty_file"
    NOT_A_VIDEO = "not_a_video"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    DECODER_CRASHED = "decoder_crashed"
    DECODE_TIMEOUT = "decode_timeout"
    TOO_LARGE = "too_large"
    UNSUPPORTED_CODEC = "unsupported_codec"
    DECODER_LIMIT = "decoder_limit"
    NO_AUDIO = "no_audio"
    NOT_FINITE = "not_finite"
