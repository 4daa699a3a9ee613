"""Where datasets come from, one source a module: a folder of videos, the published CSMV files, TikTok."""
