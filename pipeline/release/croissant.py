"""Croissant metadata of a release: which files it has, what a record is, and its responsible-AI fields.

Source: the Croissant format 1.1 (https://docs.mlcommons.org/croissant) and its RAI extension 1.0. Addresses of files
are relative, so that a release can be copied anywhere; `mlcroissant` reads it where it lies.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.release.datasheet import Answer
from csmv.pipeline.release.release_folder import TABLES, About

FILE = "croissant.json"
_PARQUET = "application/x-parquet"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The terms of the format, as every description of it begins."""

_KEYS = {"videos": "video_id", "comments": "comment_id"}
_REFERENCES = {"video_id": "videos/video_id", "comment_id": "comments/comment_id"}
_RAI: Mapping[str, tuple[str, ...]] = {
    "dataCollection": ("acquired", "mechanisms"),
    "dataCollectionMissingData": ("missing",),
    "dataCollectionRawData": ("raw",),
    "dataCollectionTimeframe": ("timeframe",),
    "dataPreprocessingProtocol": ("preprocessing",),
    "dataAnnotationAnalysis": ("labels",),
    "dataAnnotationProtocol": ("workers",),
    "dataUseCases": ("used", "other_tasks"),
    "dataLimitations": ("sampling", "errors", "not_for"),
    "dataBiases": ("groups",),
    "dataSocialImpact": ("impact", "consequences"),
    "personalSensitiveInformation": ("confidential", "identifiable", "sensitive"),
    "dataReleaseMaintenancePlan": ("updates", "maintainer", "revocation"),
}
"""Responsible-AI field -> the questions of the datasheet whose answers it has."""


def croissant_json(
    folder: Path,
    about: About,
    sums: Mapping[str, str],
    said: Mapping[str, Answer],
    answers: Mapping[str, str],
    description: str,
) -> str:
    """The metadata of a release.

    Args:
        folder: where its Parquet files lie.
        about: what it says of itself.
        sums: file -> SHA-256.
        said: question of the datasheet -> what the data say.
        answers: question of the datasheet -> what a person wrote.
        description: a sentence or two.
    """
    files = {name: sha256 for name, sha256 in sums.items() if name.endswith(".parquet")}
    whole: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": about.name,
        "description": description,
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "license": about.license,
        "url": f"https://doi.org/{about.doi}"
        if about.doi
        else about.homepage or "https://example.org/not-published-yet",
        "version": about.version,
        "isLiveDataset": False,
        "creator": [{"@type": "Person", "name": name} for name in about.authors],
        "datePublished": about.day,
        "citeAs": about.citation or f"{about.title or about.name}, version {about.version}.",
    }
    if about.title:
        whole["alternateName"] = about.title
    for field, keys in _RAI.items():
        texts = [*(text for key in keys for text in said.get(key, Answer()).sentences)]
        texts += [answers[key] for key in keys if key in answers]
        whole[f"rai:{field}"] = " ".join(texts)
    whole["distribution"] = [*_file_objects(folder, files), *_file_sets(about)]
    whole["recordSet"] = list(_record_sets(folder, about, files))
    filled = {name: value for name, value in whole.items() if value not in ("", None, [])}
    return json.dumps(filled, indent=1, ensure_ascii=False) + "\n"


def _file_objects(folder: Path, files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, sha256 in files.items():
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{(folder / name).stat().st_size} B",
            "encodingFormat": _PARQUET,
            "sha256": sha256,
        }


def _file_sets(about: About) -> Iterator[dict[str, Any]]:
    """Features, of which a set has several files."""
    for name in about.features:
        yield {
            "@type": "cr:FileSet",
            "@id": f"features-{name}",
            "name": f"features-{name}",
            "encodingFormat": _PARQUET,
            "includes": f"features/{name}/*.parquet",
        }


def _record_sets(folder: Path, about: About, files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for table in TABLES:
        schema = pq.read_schema(folder / f"{table}.parquet")
        yield _record_set(table, schema, {"fileObject": {"@id": f"{table}.parquet"}}, _KEYS.get(table))
    for split, parts in about.splits.items():
        for part in parts:
            name = f"splits/{split}/{part}"
            schema = pq.read_schema(folder / f"{name}.parquet")
            yield _record_set(name, schema, {"fileObject": {"@id": f"{name}.parquet"}})
    for name in about.features:
        first = next(file for file in files if file.startswith(f"features/{name}/"))
        yield _record_set(f"features/{name}", pq.read_schema(folder / first), {"fileSet": {"@id": f"features-{name}"}})


def _record_set(name: str, schema: pa.Schema, source: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
    described: dict[str, Any] = {"@type": "cr:RecordSet", "@id": name, "name": name}
    if key is not None:
        described["key"] = {"@id": f"{name}/{key}"}
    described["field"] = [_field(name, field, source) for field in schema]
    return described


def _field(table: str, field: pa.Field, source: Mapping[str, Any]) -> dict[str, Any]:
    meaning = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    identity = f"{table}/{field.name}"
    described: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": identity,
        "name": field.name,
        "description": ", ".join(filter(None, (meaning.get("meaning", ""), meaning.get("unit", "")))),
        "dataType": _data_type(field.type),
        "source": {**source, "extract": {"column": field.name}},
    }
    shape = _shape(field.type)
    if shape:
        described |= {"isArray": True, "arrayShape": ",".join(map(str, shape))}
    reference = _REFERENCES.get(field.name)
    if reference is not None and reference != identity:
        described["references"] = {"field": {"@id": reference}}
    return described


def _shape(kind: pa.DataType) -> Sequence[int]:
    """The lengths of nested lists, -1 where they vary; empty for a plain value."""
    if pa.types.is_fixed_size_list(kind):
        return (kind.list_size, *_shape(kind.value_type))
    return (-1, *_shape(kind.value_type)) if pa.types.is_list(kind) else ()


def _data_type(kind: pa.DataType) -> str:
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Date" if pa.types.is_temporal(kind) else "sc:Text"
