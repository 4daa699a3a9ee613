"""Which kinds of files decoding takes: the formats it opens, and the suffixes that such files go by."""

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,asf,ogg,gif,rm,ivf,h264,hevc,m4v,mpegvideo,mjpeg,"
    "obu,av1,dv,mxf,nut,apng,wav,mp3,aac,flac"
)
"""libavformat's names. A file is opened by what is in it; its suffix only says whether a folder is searched for it."""

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"),
    *(".qt", ".3gp", ".3g2", ".mj2", ".mk3d", ".divx", ".flv", ".f4v", ".ts", ".m2ts", ".mts", ".m2t"),
    *(".mpg", ".mpeg", ".mpe", ".m2p", ".vob", ".asf", ".wmv", ".ogv", ".ogg", ".ogm", ".gif", ".rm", ".rmvb", ".ivf"),
    *(".h264", ".264", ".avc", ".hevc", ".h265", ".265", ".m1v", ".m2v", ".mpv", ".mjpeg", ".mjpg", ".obu", ".av1"),
    *(".dv", ".dif", ".mxf", ".nut", ".apng"),
)
"""Of files with pictures, those first that are preferred where a video has several."""

SOUND_SUFFIXES = (".wav", ".mp3", ".aac", ".flac", ".m4a", ".mka", ".oga", ".opus", ".wma", ".weba")
"""Of files with sound alone."""
