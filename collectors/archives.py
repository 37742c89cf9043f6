"""Tables inside ZIP archives, unpacked to disk one by one."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from ..storage.vocabulary import Outcome
from .collector import Trouble

MOST_UNPACKED = 4 * 1024**3
_TABLES = {".csv", ".tsv", ".txt", ".xlsx"}
_READABLE = {0, 8, 12, 14}
"""Stored, Deflate, BZIP2 and LZMA: what Python unpacks."""
_ENCRYPTED = 1
_WORKBOOK = "[Content_Types].xml"
_HOW = "unpack it (7-Zip can) and put the CSV in its place"


def tables(path: Path, resources: ExitStack) -> Iterator[tuple[str, Path]]:
    """Name and path of each table in a file: the file itself, or what the archive holds.

    A workbook (XLSX) is a table. What is unpacked goes with ``resources``. Raises Trouble with the
    mend for what cannot be unpacked here.
    """
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"7z\xbc\xaf\x27\x1c":
        raise _wrong(f"{path.name} is a 7z archive; {_HOW}")
    if not start.startswith(b"PK"):
        yield path.name, path
        return
    try:
        archive = resources.enter_context(ZipFile(path))
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _broken(path) from error
    if _WORKBOOK in archive.namelist():
        yield path.name, path
        return
    folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
    for place, part in enumerate(_parts(archive, path)):
        target = folder / f"{place}{PurePosixPath(part.filename).suffix}"
        _unpack(archive, part, target, path)
        yield PurePosixPath(part.filename).name, target
        target.unlink()


def _parts(archive: ZipFile, path: Path) -> list[ZipInfo]:
    inside = [part for part in archive.infolist() if not part.is_dir()]
    found = [part for part in inside if PurePosixPath(part.filename).suffix.lower() in _TABLES]
    if sum(part.file_size for part in found) > MOST_UNPACKED:
        raise _wrong(f"{path.name} unpacks to more than 4 GB; unpack it and split the CSV")
    if not found:
        packed = [part for part in inside if part.filename.lower().endswith((".7z", ".zip"))]
        what = f"another archive ({packed[0].filename[:60]})" if packed else "no table"
        raise _wrong(f"{path.name} holds {what}; {_HOW}")
    return found


def _unpack(archive: ZipFile, part: ZipInfo, target: Path, path: Path) -> None:
    if part.flag_bits & _ENCRYPTED:
        raise _wrong(f"{path.name} is locked with a password; {_HOW}")
    if part.compress_type not in _READABLE:
        method = "Deflate64" if part.compress_type == 9 else f"method {part.compress_type}"  # noqa: PLR2004 - its number in the format
        raise _wrong(f"{path.name} is packed with {method}, which Python cannot unpack; {_HOW}")
    try:
        with archive.open(part) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, 1_048_576)
    except (BadZipFile, EOFError, zlib.error, OSError, ValueError, NotImplementedError) as error:
        raise _broken(path) from error


def _wrong(sentence: str) -> Trouble:
    return Trouble(Outcome.MISCONFIGURED, f"{sentence}.")


def _broken(path: Path) -> Trouble:
    return Trouble(
        Outcome.PARTIAL, f"{path.name} is a damaged archive; get a whole copy and run it again."
    )
