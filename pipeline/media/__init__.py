"""The media stage: a video's file, whatever its origin, is got, verified and kept in one way.

`stage.media_shard` does one shard; `get` brings files, `verify` looks at them, `keep` puts the good ones into the root.
"""
